//! Listens in on a connection's heads: what `-v` and `-i` show is what was really on the wire.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::output::talk;

/// A head that is longer is shown up to here.
const HEAD_MAX: usize = 1 << 20;

/// A stream that keeps the heads that pass through it.
#[derive(Debug)]
pub(crate) struct Tap<S> {
    stream: S,
    account: Account,
}

/// What a [`Tap`] kept.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug)]
struct Kept {
    verbose: bool,
    sent: Head,
    received: Head,
    /// The heads that came, interim ones too.
    heads: Vec<u8>,
    first_byte: Option<Instant>,
}

#[derive(Debug, Default)]
struct Head {
    bytes: Vec<u8>,
    done: bool,
}

impl<S> Tap<S> {
    /// Listens in on `stream`; `verbose` tells each head on standard error as it passes.
    pub(crate) fn new(stream: S, verbose: bool) -> (Self, Account) {
        let kept = Kept {
            verbose,
            sent: Head::default(),
            received: Head::default(),
            heads: Vec::new(),
            first_byte: None,
        };
        let account = Account { kept: Arc::new(Mutex::new(kept)) };
        (Tap { stream, account: account.clone() }, account)
    }
}

impl Account {
    /// The heads that came, as they came.
    pub(crate) fn received(&self) -> Vec<u8> {
        self.kept().heads.clone()
    }

    /// When the first byte came.
    pub(crate) fn first_byte(&self) -> Option<Instant> {
        self.kept().first_byte
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nobody panics while holding it")
    }
}

impl Kept {
    fn sent(&mut self, bytes: &[u8]) {
        let before = self.sent.done;
        self.sent.feed(bytes);
        if !before && self.sent.done && self.verbose {
            tell('>', &self.sent.bytes);
        }
    }

    fn received(&mut self, mut bytes: &[u8]) {
        if !bytes.is_empty() && self.first_byte.is_none() {
            self.first_byte = Some(Instant::now());
        }
        while !self.received.done && !bytes.is_empty() {
            let taken = self.received.feed(bytes);
            bytes = &bytes[taken..];
            if self.received.done {
                if self.verbose {
                    tell('<', &self.received.bytes);
                }
                self.heads.extend_from_slice(&self.received.bytes);
                if is_interim(&self.received.bytes) {
                    self.received = Head::default();
                }
            }
        }
    }
}

impl Head {
    /// Takes bytes up to the empty line; how many.
    fn feed(&mut self, bytes: &[u8]) -> usize {
        for (index, byte) in bytes.iter().enumerate() {
            if self.done {
                return index;
            }
            self.bytes.push(*byte);
            self.done = self.bytes.ends_with(b"\r\n\r\n")
                || self.bytes.ends_with(b"\n\n")
                || self.bytes.len() >= HEAD_MAX;
        }
        bytes.len()
    }
}

/// Whether this is the head of an interim answer, which another follows: 1xx but 101.
fn is_interim(head: &[u8]) -> bool {
    let status = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    status.starts_with(b"1") && !status.starts_with(b"101")
}

fn tell(mark: char, head: &[u8]) {
    for line in String::from_utf8_lossy(head).lines() {
        // A control character would be an order to the terminal.
        let line: String = line
            .chars()
            .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
            .collect();
        talk(&format!("{mark} {line}"));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.account.kept().received(&buf.filled()[before..]);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = written {
            self.account.kept().sent(&buf[..count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_kept_up_to_the_final_one() {
        let (_, account) = Tap::new((), false);
        let wire = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\r\n\r\n";
        for byte in wire.chunks(3) {
            account.kept().received(byte);
        }
        let end = wire.len() - b"body\r\n\r\n".len();
        assert_eq!(account.received(), &wire[..end]);
        assert!(account.first_byte().is_some());
    }

    #[test]
    fn a_switch_of_protocols_is_a_final_head() {
        let (_, account) = Tap::new((), false);
        account.kept().received(b"HTTP/1.1 101 Switching Protocols\r\n\r\nframes\r\n\r\n");
        assert_eq!(account.received(), b"HTTP/1.1 101 Switching Protocols\r\n\r\n");
    }
}
