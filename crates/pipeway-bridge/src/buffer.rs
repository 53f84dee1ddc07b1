//! Read buffers that belong to a session only while they hold something.
//!
//! Each thread keeps a few free ones, so an idle session costs no buffer and a busy one no
//! allocation.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// The size in which a head is read.
const SMALL: usize = 16 * 1024;

/// The size in which a body is read.
const LARGE: usize = 128 * 1024;

/// How many free buffers of each size a thread keeps.
const KEPT: usize = 32;

thread_local! {
    static FREE: RefCell<[Vec<Box<[u8]>>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

thread_local! {
    /// Space for what is passed on at once.
    static PASSING: RefCell<[u8; SMALL]> = const { RefCell::new([0; SMALL]) };
}

/// Lends this thread's space for a small message that is not kept.
pub(crate) fn with_space<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    PASSING.with_borrow_mut(|space| work(space))
}

/// How much is expected to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A head, or a small message.
    Little,
    /// A long body.
    Much,
}

/// Bytes that were read and not yet passed on. Empty, it holds no memory.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    data: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many bytes are in it.
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// What is in it.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.data {
            Some(data) => &data[self.start..self.end],
            None => &[],
        }
    }

    /// Takes the first `n` bytes out.
    pub(crate) fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            self.release();
        }
    }

    /// Keeps `bytes`, no more than a small buffer has place for. It must be empty.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        debug_assert!(self.is_empty() && bytes.len() <= SMALL);
        let data = self.data.get_or_insert_with(|| take(SMALL));
        data[..bytes.len()].copy_from_slice(bytes);
        (self.start, self.end) = (0, bytes.len());
    }

    /// Empties it.
    pub(crate) fn clear(&mut self) {
        self.consume(self.len());
    }

    /// Reads more from `stream` behind what is there, up to `limit` bytes in all; 0 is the end of
    /// the stream. While nothing comes, an empty buffer holds no memory.
    ///
    /// The caller makes sure that there is less than `limit` in it.
    pub(crate) fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        expect: Expect,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_room(expect, limit);
        let data = self.data.as_deref_mut().expect("make_room has provided one");
        let mut space = ReadBuf::new(&mut data[self.end..]);
        let read = Pin::new(stream).poll_read(cx, &mut space);
        let n = space.filled().len();
        match read {
            Poll::Ready(Ok(())) if n > 0 => {
                self.end += n;
                Poll::Ready(Ok(n))
            }
            other => {
                if self.is_empty() {
                    self.release();
                }
                other.map_ok(|()| 0)
            }
        }
    }

    fn make_room(&mut self, expect: Expect, limit: usize) {
        let size = match expect {
            Expect::Little => SMALL,
            Expect::Much => LARGE,
        };
        let Some(data) = &mut self.data else {
            self.data = Some(take(size));
            return;
        };
        if self.end < data.len() {
            return;
        }
        if self.start > 0 {
            data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            return;
        }
        let grown = (data.len() * 2).min(limit.max(data.len() + 1));
        let mut larger = vec![0; grown].into_boxed_slice();
        larger[..data.len()].copy_from_slice(data);
        give_back(std::mem::replace(data, larger));
    }

    fn release(&mut self) {
        self.start = 0;
        self.end = 0;
        if let Some(data) = self.data.take() {
            give_back(data);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

fn class(size: usize) -> Option<usize> {
    match size {
        SMALL => Some(0),
        LARGE => Some(1),
        _ => None,
    }
}

fn take(size: usize) -> Box<[u8]> {
    let free = class(size)
        .and_then(|class| FREE.try_with(|free| free.borrow_mut()[class].pop()).ok().flatten());
    free.unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

fn give_back(data: Box<[u8]>) {
    if let Some(class) = class(data.len()) {
        // While the thread ends there is no list any more, and the buffer is simply freed.
        let _ = FREE.try_with(|free| {
            let free = &mut free.borrow_mut()[class];
            if free.len() < KEPT {
                free.push(data);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fill(buffer: &mut Buffer, stream: &mut &[u8], limit: usize) -> usize {
        std::future::poll_fn(|cx| buffer.poll_fill(cx, stream, Expect::Little, limit))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn an_emptied_buffer_holds_no_memory() {
        let mut buffer = Buffer::default();
        assert_eq!(fill(&mut buffer, &mut &b"abc"[..], 64).await, 3);
        assert!(buffer.data.is_some());
        buffer.consume(1);
        assert_eq!(buffer.bytes(), b"bc");
        buffer.consume(2);
        assert!(buffer.data.is_none());
        assert_eq!(fill(&mut buffer, &mut &b""[..], 64).await, 0);
        assert!(buffer.data.is_none());
    }

    #[tokio::test]
    async fn a_full_buffer_grows_and_keeps_what_it_holds() {
        let bytes: Vec<u8> = (0..50_000u32).map(|n| n as u8).collect();
        let mut stream = &bytes[..];
        let mut buffer = Buffer::default();
        while fill(&mut buffer, &mut stream, 64 * 1024).await > 0 {}
        assert_eq!(buffer.bytes(), bytes);
        buffer.consume(49_000);
        assert_eq!(buffer.bytes(), &bytes[49_000..]);
    }
}
