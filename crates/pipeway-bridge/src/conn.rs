//! One side of a session: its stream, what was read from it, and what is to be written to it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pipeway_transport::Stream;
use tokio::io::AsyncWrite;

use crate::buffer::{Buffer, Expect};

/// A stream with what was read from it and not yet used.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) stream: Stream,
    pub(crate) input: Buffer,
    /// Bytes read so far.
    pub(crate) received: u64,
    /// Bytes written so far.
    pub(crate) sent: u64,
    /// Whether the end of the stream was read.
    pub(crate) ended: bool,
}

impl Conn {
    pub(crate) fn new(stream: Stream) -> Self {
        Conn { stream, input: Buffer::default(), received: 0, sent: 0, ended: false }
    }

    /// Reads more behind what is there; 0 is the end of the stream, now and for ever.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        expect: Expect,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        if self.ended {
            return Poll::Ready(Ok(0));
        }
        if self.input.is_empty() {
            // It takes no buffer to find that nothing has come.
            ready!(self.stream.poll_read_ready(cx))?;
        }
        let n = ready!(self.input.poll_fill(cx, &mut self.stream, expect, limit))?;
        self.received += n as u64;
        self.ended = n == 0;
        Poll::Ready(Ok(n))
    }

    /// Whether nothing more comes: the end was read, and everything before it was used.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.ended && self.input.is_empty()
    }

    /// How many of the bytes read so far were used.
    pub(crate) fn used(&self) -> u64 {
        self.received - self.input.len() as u64
    }

    /// Writes all of `out`, whose verbatim part lies in `source`.
    #[inline]
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outgoing,
        source: &mut Buffer,
    ) -> Poll<io::Result<()>> {
        // Each turn of a session asks, and mostly there is nothing.
        if out.bytes.is_empty() && out.verbatim == 0 {
            return Poll::Ready(Ok(()));
        }
        self.poll_send_some(cx, out, source)
    }

    fn poll_send_some(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outgoing,
        source: &mut Buffer,
    ) -> Poll<io::Result<()>> {
        while !out.is_empty() {
            let head = &out.bytes[out.at..];
            let body = &source.bytes()[..out.verbatim];
            let stream = Pin::new(&mut self.stream);
            let n = ready!(match (head.is_empty(), body.is_empty()) {
                (_, true) => stream.poll_write(cx, head),
                (true, false) => stream.poll_write(cx, body),
                (false, false) =>
                    stream.poll_write_vectored(cx, &[IoSlice::new(head), IoSlice::new(body)]),
            })?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n as u64;
            let of_head = n.min(head.len());
            out.at += of_head;
            out.verbatim -= n - of_head;
            source.consume(n - of_head);
        }
        out.bytes.clear();
        out.at = 0;
        Poll::Ready(Ok(()))
    }

    /// Ends the sending half, where the transport has one, after what was written.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What is to be written to one side: bytes made here, then bytes that stand in the other side's
/// input and are passed on as they are.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Vec<u8>,
    at: usize,
    pub(crate) verbatim: usize,
}

/// Up to here, bytes are copied behind those made here; beyond, they are written from where they
/// stand.
pub(crate) const COPY_MAX: usize = 4096;

/// What an idle session keeps of the space for heads.
const KEEP_MAX: usize = 1024;

impl Outgoing {
    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.bytes.len() && self.verbatim == 0
    }

    /// Passes on the first `n` bytes of `source`. Nothing may stand in the way: the last such
    /// bytes are written.
    pub(crate) fn pass(&mut self, source: &mut Buffer, n: usize) {
        debug_assert!(self.verbatim == 0);
        if n <= COPY_MAX {
            self.bytes.extend_from_slice(&source.bytes()[..n]);
            source.consume(n);
        } else {
            self.verbatim = n;
        }
    }

    /// The same space with nothing to be written.
    pub(crate) fn emptied(mut self) -> Self {
        self.bytes.clear();
        Outgoing { bytes: self.bytes, ..Outgoing::default() }
    }

    /// Gives back the memory that an idle session needs not.
    pub(crate) fn trim(&mut self) {
        if self.is_empty() && self.bytes.capacity() > KEEP_MAX {
            *self = Outgoing::default();
        }
    }
}

/// How much one session moves before the others on its thread have their turn, in bytes.
const TURN: usize = 1024 * 1024;

/// A session's turn on its thread.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    moved: usize,
}

impl Turn {
    pub(crate) fn moved(&mut self, n: usize) {
        self.moved += n;
    }

    /// Whether it is time to let the others go on; then the session's own next turn is ordered.
    pub(crate) fn is_over(&self, cx: &Context<'_>) -> bool {
        let over = self.moved >= TURN;
        if over {
            cx.waker().wake_by_ref();
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emptied_space_has_nothing_of_what_was_to_be_written() {
        let out = Outgoing { bytes: b"half sent".to_vec(), at: 5, verbatim: 7 }.emptied();
        assert_eq!((out.bytes.len(), out.at, out.verbatim), (0, 0, 0));
        assert!(out.bytes.capacity() > 0);
    }
}
