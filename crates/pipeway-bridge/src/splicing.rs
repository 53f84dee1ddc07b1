//! Moving one direction's bytes without copying them into a buffer of ours, where that is less work:
//! the system moves them itself, or a link gives them where it has received them.

use std::io;
use std::task::{Context, Poll};

use pipeway_transport::{Splice, Wide};

use crate::conn::Conn;

/// After so many reads of [`LONG`] or more one after another the system moves the bytes itself.
const LONG_READS: u8 = 4;

/// See [`LONG_READS`]. Where it is known how much is to come, less than this is copied.
const LONG: usize = 64 * 1024;

/// A step that moves less than this is followed by copies: each costs two calls of the system
/// whatever it moves.
const SHORT: usize = 8 * 1024;

/// What is to come of bytes that are passed on as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// None: what comes next is to be read.
    Nothing,
    /// So many; what comes behind them is to be read.
    Exactly(u64),
    /// All until the end of the stream.
    UntilEnd,
}

/// One direction's bytes, as far as the system moves them itself.
#[derive(Debug, Default)]
pub(crate) struct Splicing {
    /// How many long reads there were one after another.
    long_reads: u8,
    /// Whether a known length turned out to come in short pieces.
    trickles: bool,
    /// Whether the system can't move this direction's bytes itself.
    only_copies: bool,
    /// Where the bytes are on their way; given back while none come.
    splice: Option<Splice>,
    /// That they are going to where more than usual may wait, since it did not take all at once; until
    /// they come in short pieces, or end.
    wide: Option<Wide>,
}

/// What a try to let the system move bytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spliced {
    /// It took so many from one side; 0 is the end of the stream.
    Moved(usize),
    /// It is not the way: they are to be read and written.
    Not,
}

impl Splicing {
    /// Whether nothing is on its way.
    pub(crate) fn is_empty(&self) -> bool {
        self.splice.as_ref().is_none_or(Splice::is_empty)
    }

    /// Whether the system moves nothing itself.
    #[inline]
    pub(crate) fn is_unused(&self) -> bool {
        self.splice.is_none()
    }

    /// Takes note of a read of `n` bytes.
    pub(crate) fn was_read(&mut self, n: usize) {
        self.long_reads = if n >= LONG { self.long_reads.saturating_add(1) } else { 0 };
    }

    fn is_worth(&self, ahead: Ahead) -> bool {
        let is_busy = self.long_reads >= LONG_READS;
        !self.only_copies
            && match ahead {
                Ahead::Nothing => false,
                Ahead::Exactly(left) => left >= LONG as u64 && (is_busy || !self.trickles),
                Ahead::UntilEnd => is_busy,
            }
    }

    /// Lets the system take bytes from `from`, if it is worth it. Nothing may stand before them, in
    /// this or in a buffer. An error is `from`'s.
    #[inline]
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Conn,
        to: &Conn,
        ahead: Ahead,
    ) -> Poll<io::Result<Spliced>> {
        // Small messages never come further.
        if self.is_worth(ahead) {
            self.poll_move(cx, from, to, ahead)
        } else {
            Poll::Ready(Ok(Spliced::Not))
        }
    }

    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Conn,
        to: &Conn,
        ahead: Ahead,
    ) -> Poll<io::Result<Spliced>> {
        if from.ended {
            self.ends(to);
            return Poll::Ready(Ok(Spliced::Moved(0)));
        }
        if self.splice.is_none() {
            self.splice = Splice::between(&from.stream, &to.stream);
        }
        let Some(splice) = &mut self.splice else {
            // Enough others are at it, or there is no such thing for these: asked again after as
            // many long reads.
            self.falls_back();
            return Poll::Ready(Ok(Spliced::Not));
        };
        let most = match ahead {
            Ahead::Exactly(left) => usize::try_from(left).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        match splice.poll_fill(cx, &mut from.stream, most) {
            Poll::Ready(Ok(moved)) => {
                from.received += moved as u64;
                from.ended = moved == 0;
                if moved < SHORT {
                    self.falls_back();
                }
                Poll::Ready(Ok(Spliced::Moved(moved)))
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Unsupported => {
                self.only_copies = true;
                self.splice = None;
                Poll::Ready(Ok(Spliced::Not))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.splice = None;
                Poll::Pending
            }
        }
    }

    fn falls_back(&mut self) {
        self.long_reads = 0;
        self.trickles = true;
    }

    /// Passes on what the system has taken. An error is `to`'s.
    #[inline]
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Conn,
    ) -> Poll<io::Result<()>> {
        if self.splice.is_none() { Poll::Ready(Ok(())) } else { self.poll_rest(cx, to) }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>, to: &mut Conn) -> Poll<io::Result<()>> {
        while let Some(splice) = self.splice.as_mut().filter(|splice| !splice.is_empty()) {
            match splice.poll_drain(cx, &mut to.stream) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(moved)) => to.sent += moved as u64,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if self.wide.is_none() => {
                    self.wide = to.stream.widen();
                    if self.wide.is_none() {
                        return Poll::Pending;
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.trickles && self.long_reads < LONG_READS {
            self.ends(to);
        }
        Poll::Ready(Ok(()))
    }

    /// No more of the kind is to come, and nothing is on its way: what was taken for it is given back.
    #[inline]
    pub(crate) fn ends(&mut self, to: &Conn) {
        self.splice = None;
        if let Some(wide) = self.wide.take() {
            to.stream.narrow(wide);
        }
    }

    /// Throws away what is on its way, with where it was going.
    pub(crate) fn clear(&mut self) {
        (self.splice, self.wide) = (None, None);
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")] // Elsewhere nothing is moved so.
mod tests {
    use std::future::poll_fn;

    use pipeway_transport::{ConnectOptions, Endpoint, ListenOptions, Listener, Stream, connect};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Both ends of a connection.
    async fn joined() -> (Stream, Stream) {
        let folder = tempfile::tempdir().unwrap();
        let endpoint: Endpoint = format!("unix:{}/s", folder.path().display()).parse().unwrap();
        joined_at(&endpoint).await
    }

    async fn joined_at(endpoint: &Endpoint) -> (Stream, Stream) {
        let mut listener = Listener::bind(endpoint, &ListenOptions::default()).unwrap();
        let near = connect(listener.endpoint(), &ConnectOptions::default()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    async fn fill(splicing: &mut Splicing, from: &mut Conn, to: &Conn, ahead: Ahead) -> Spliced {
        poll_fn(|cx| splicing.poll_fill(cx, from, to, ahead)).await.unwrap()
    }

    #[tokio::test]
    async fn no_more_is_taken_than_what_was_ahead() {
        let port: Endpoint = "tcp:127.0.0.1:0".parse().unwrap();
        nothing_behind_is_taken(joined().await, joined().await).await;
        nothing_behind_is_taken(joined().await, joined_at(&port).await).await;
        nothing_behind_is_taken(joined_at(&port).await, joined().await).await;
        nothing_behind_is_taken(joined_at(&port).await, joined_at(&port).await).await;
    }

    async fn nothing_behind_is_taken(
        (mut client, from): (Stream, Stream),
        (to, mut upstream): (Stream, Stream),
    ) {
        let (mut from, mut to) = (Conn::new(from), Conn::new(to));
        client.write_all(&[b'b'; LONG]).await.unwrap();
        client.write_all(b"GET /").await.unwrap();
        let mut splicing = Splicing::default();
        let mut left = LONG;
        while left > 0 {
            // As if all of it were still to come: less would be copied.
            let mut splice = Splice::between(&from.stream, &to.stream).unwrap();
            let moved = poll_fn(|cx| splice.poll_fill(cx, &mut from.stream, left)).await.unwrap();
            left -= moved;
            splicing.splice = Some(splice);
            poll_fn(|cx| splicing.poll_drain(cx, &mut to)).await.unwrap();
        }
        let mut body = vec![0; LONG];
        upstream.read_exact(&mut body).await.unwrap();
        assert!(body.iter().all(|byte| *byte == b'b'));
        let mut next = [0; 5];
        from.stream.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"GET /");
    }

    #[tokio::test]
    async fn a_known_length_is_moved_at_once_and_copied_once_it_trickles() {
        let (mut client, from) = joined().await;
        let (to, _upstream) = joined().await;
        let (mut from, mut to) = (Conn::new(from), Conn::new(to));
        let ahead = Ahead::Exactly(1 << 20);
        let mut splicing = Splicing::default();
        assert_eq!(fill(&mut splicing, &mut from, &to, Ahead::Nothing).await, Spliced::Not);
        assert_eq!(fill(&mut splicing, &mut from, &to, Ahead::UntilEnd).await, Spliced::Not);
        assert_eq!(fill(&mut splicing, &mut from, &to, Ahead::Exactly(9)).await, Spliced::Not);
        client.write_all(&[0; SHORT]).await.unwrap();
        assert_eq!(fill(&mut splicing, &mut from, &to, ahead).await, Spliced::Moved(SHORT));
        assert!(!splicing.is_empty());
        poll_fn(|cx| splicing.poll_drain(cx, &mut to)).await.unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(fill(&mut splicing, &mut from, &to, ahead).await, Spliced::Moved(1));
        poll_fn(|cx| splicing.poll_drain(cx, &mut to)).await.unwrap();
        // From here on long reads must come first again, and the pipe is given back.
        assert!(splicing.splice.is_none());
        assert_eq!(fill(&mut splicing, &mut from, &to, ahead).await, Spliced::Not);
        for _ in 0..LONG_READS {
            splicing.was_read(LONG);
        }
        client.write_all(b"xy").await.unwrap();
        assert_eq!(fill(&mut splicing, &mut from, &to, Ahead::UntilEnd).await, Spliced::Moved(2));
        assert_eq!((from.received, to.sent), (SHORT as u64 + 3, SHORT as u64 + 1));
    }

    #[tokio::test]
    async fn where_much_has_to_wait_more_may_wait_until_it_comes_in_short_pieces_or_ends() {
        for short in [true, false] {
            let (mut client, from) = joined().await;
            let (to, mut upstream) = joined().await;
            let (mut from, mut to) = (Conn::new(from), Conn::new(to));
            let own = to.stream.unread_bound().unwrap();
            let mut splicing = Splicing { long_reads: LONG_READS, ..Splicing::default() };
            let sends = tokio::spawn(async move {
                client.write_all(&[b'b'; 8 * LONG]).await.unwrap();
                client
            });
            while splicing.wide.is_none() {
                fill(&mut splicing, &mut from, &to, Ahead::UntilEnd).await;
                poll_fn(|cx| {
                    let _ = splicing.poll_drain(cx, &mut to);
                    Poll::Ready(())
                })
                .await;
            }
            let mut client = sends.await.unwrap();
            let widened = to.stream.unread_bound().unwrap();
            assert!(widened > own, "{widened}, and {own} before");
            let reads = tokio::spawn(async move {
                upstream.read_to_end(&mut Vec::new()).await.unwrap();
            });
            poll_fn(|cx| splicing.poll_drain(cx, &mut to)).await.unwrap();
            while from.received < 8 * LONG as u64 {
                fill(&mut splicing, &mut from, &to, Ahead::UntilEnd).await;
                poll_fn(|cx| splicing.poll_drain(cx, &mut to)).await.unwrap();
            }
            assert!(splicing.wide.is_some());
            if short {
                client.write_all(b"x").await.unwrap();
            } else {
                client.shutdown().await.unwrap();
            }
            fill(&mut splicing, &mut from, &to, Ahead::UntilEnd).await;
            poll_fn(|cx| splicing.poll_drain(cx, &mut to)).await.unwrap();
            fill(&mut splicing, &mut from, &to, Ahead::Nothing).await;
            assert!(splicing.wide.is_none());
            assert_eq!(to.stream.unread_bound().unwrap(), own);
            drop(to);
            reads.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_direction_that_waits_holds_no_pipe() {
        let (_client, from) = joined().await;
        let (to, _upstream) = joined().await;
        let (mut from, to) = (Conn::new(from), Conn::new(to));
        let mut splicing = Splicing::default();
        let waits = poll_fn(|cx| {
            let filled = splicing.poll_fill(cx, &mut from, &to, Ahead::Exactly(1 << 20));
            Poll::Ready(filled.is_pending())
        });
        assert!(waits.await);
        assert!(splicing.splice.is_none());
    }
}
