//! One side of a session: its stream, what was read from it, and what is to be written to it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pipeway_transport::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::{Buffer, Expect, with_space};

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

    /// Reads a little and writes it to `to`, without a buffer of this session's; 0 is the end of the
    /// stream. What `to` has no room for is `input` then. Nothing may stand before it.
    #[inline]
    pub(crate) fn poll_pass(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Conn,
    ) -> Poll<Result<usize, Broken>> {
        debug_assert!(self.input.is_empty() && !self.ended);
        with_space(|space| {
            let mut space = ReadBuf::new(space);
            let read = Pin::new(&mut self.stream).poll_read(cx, &mut space);
            ready!(read).map_err(|_| Broken::Source)?;
            let read = space.filled();
            self.received += read.len() as u64;
            if read.is_empty() {
                self.ended = true;
                return Poll::Ready(Ok(0));
            }
            let sent = match Pin::new(&mut to.stream).poll_write(cx, read) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Broken::Sink)),
                Poll::Ready(Ok(sent)) => sent,
                Poll::Pending => 0,
            };
            to.sent += sent as u64;
            if sent < read.len() {
                self.input.keep(&read[sent..]);
            }
            Poll::Ready(Ok(read.len()))
        })
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

/// Which side of what was to be passed on is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Where it comes from.
    Source,
    /// Where it goes to.
    Sink,
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
    use std::future::poll_fn;

    use pipeway_transport::{ConnectOptions, Endpoint, ListenOptions, Listener, connect};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Both ends of a connection.
    async fn joined() -> (Stream, Stream) {
        let any = Endpoint::Tcp("127.0.0.1:0".parse().unwrap());
        let mut listener = Listener::bind(&any, &ListenOptions::default()).unwrap();
        let endpoint = listener.endpoint().clone();
        let near = connect(&endpoint, &ConnectOptions::default()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    async fn pass(from: &mut Conn, to: &mut Conn) -> Result<usize, Broken> {
        poll_fn(|cx| from.poll_pass(cx, to)).await
    }

    #[tokio::test]
    async fn a_message_is_passed_on_and_what_finds_no_room_is_kept() {
        let (mut client, from) = joined().await;
        let (to, mut upstream) = joined().await;
        let (mut from, mut to) = (Conn::new(from), Conn::new(to));
        client.write_all(b"message").await.unwrap();
        assert_eq!(pass(&mut from, &mut to).await, Ok(7));
        let mut message = [0; 7];
        upstream.read_exact(&mut message).await.unwrap();
        assert_eq!(&message, b"message");

        // Until nobody takes any more.
        let (mut written, mut number) = (Vec::new(), 0_u32);
        while from.input.is_empty() {
            number += 1;
            let text = number.to_be_bytes().repeat(1000);
            client.write_all(&text).await.unwrap();
            written.extend_from_slice(&text);
            let mut passed = 0;
            while passed < text.len() && from.input.is_empty() {
                passed += pass(&mut from, &mut to).await.unwrap();
            }
        }
        client.shutdown().await.unwrap();
        let (received, sent) = (from.received, to.sent);
        assert_eq!(received - sent, from.input.len() as u64);
        let mut all = vec![0; written.len()];
        let send = async {
            loop {
                let mut out = Outgoing { verbatim: from.input.len(), ..Outgoing::default() };
                poll_fn(|cx| to.poll_send(cx, &mut out, &mut from.input)).await.unwrap();
                if pass(&mut from, &mut to).await == Ok(0) {
                    break;
                }
            }
        };
        let (_, read) = tokio::join!(send, upstream.read_exact(&mut all));
        read.unwrap();
        assert!(all == written);
        assert!(from.ended && from.received == to.sent);
    }

    #[tokio::test]
    async fn a_sink_that_is_broken_is_told() {
        let (mut client, from) = joined().await;
        let (to, upstream) = joined().await;
        let (mut from, mut to) = (Conn::new(from), Conn::new(to));
        upstream.abort_on_close();
        drop(upstream);
        // The reset may not be here with the first.
        let broken = loop {
            client.write_all(b"for nobody").await.unwrap();
            if let Err(broken) = pass(&mut from, &mut to).await {
                break broken;
            }
        };
        assert_eq!(broken, Broken::Sink);
    }

    #[tokio::test]
    #[cfg_attr(windows, ignore = "Wine: a reset is read as an orderly end")]
    async fn a_source_that_is_broken_is_told() {
        let (mut client, from) = joined().await;
        let (to, _upstream) = joined().await;
        let (mut from, mut to) = (Conn::new(from), Conn::new(to));
        client.write_all(b"cut short").await.unwrap();
        client.abort_on_close();
        drop(client);
        let broken = loop {
            match pass(&mut from, &mut to).await {
                Ok(count) => assert!(count > 0, "a reset is no end"),
                Err(broken) => break broken,
            }
        };
        assert_eq!(broken, Broken::Source);
    }

    #[test]
    fn emptied_space_has_nothing_of_what_was_to_be_written() {
        let out = Outgoing { bytes: b"half sent".to_vec(), at: 5, verbatim: 7 }.emptied();
        assert_eq!((out.bytes.len(), out.at, out.verbatim), (0, 0, 0));
        assert!(out.bytes.capacity() > 0);
    }
}
