//! A channel as a stream of bytes.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use crate::connection::{Key, NotWritten, Taken};
use crate::error::{ChannelError, Ended, OfferError};
use crate::id::ChannelId;
use crate::shared::{Shared, State, Wait};

/// A channel: a stream of bytes, one of many on a connection.
///
/// Each direction ends by itself: [`shutdown`](tokio::io::AsyncWriteExt::shutdown) brings this
/// end's to its end, after what was written, and reading goes on. When both have ended, so has the
/// channel. Dropping it earlier terminates it at once in both directions; what was written before
/// is still sent.
///
/// A write is done when it has a place among what is to be sent; it waits while the other end's
/// window is full, or the channel is not accepted yet. A flush is done when what was written has
/// been handed to the stream below, not when it was read.
///
/// Reading by [`AsyncBufRead`] gives the bytes where they were received, without a copy.
///
/// # Errors
///
/// Reading fails with [`ConnectionReset`](io::ErrorKind::ConnectionReset) where the other end
/// terminated the channel with an error, after all that came before, and with
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) or
/// [`InvalidData`](io::ErrorKind::InvalidData) where the connection was lost. Writing fails in the
/// same ways, and with [`BrokenPipe`](io::ErrorKind::BrokenPipe) where the other end reads no more
/// or the channel has ended. The error's source is a [`ChannelError`] or an
/// [`Error`](crate::Error).
///
/// # Cancel safety
///
/// A pending poll that is not repeated has taken and given nothing.
#[derive(Debug)]
pub struct Channel {
    reading: Reading,
    core: Arc<Core>,
}

/// The receiving half of a [`Channel`]; made by [`Channel::into_split`].
///
/// Dropping it tells the other end that nobody reads any more (versions 2 and 3); dropping the
/// last half terminates the channel.
#[derive(Debug)]
pub struct ReadHalf {
    reading: Reading,
    core: Arc<Core>,
}

/// The sending half of a [`Channel`]; made by [`Channel::into_split`].
///
/// Dropping it brings this end's direction to its end, after what was written; dropping the last
/// half terminates the channel.
#[derive(Debug)]
pub struct WriteHalf {
    core: Arc<Core>,
}

/// A piece that was taken and is not read to its end.
#[derive(Debug, Default)]
struct Reading {
    piece: Bytes,
    /// How much is still to be acknowledged, once this piece is read.
    length: usize,
    /// Whether another one lay behind it.
    more: bool,
}

/// A channel's place on its connection.
pub(crate) struct Core {
    shared: Arc<Shared>,
    key: Key,
    id: ChannelId,
    name: Arc<str>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("id", &self.id).field("name", &self.name).finish()
    }
}

impl Core {
    /// Holds the channel at `key` from now on.
    pub(crate) fn hold(shared: &Arc<Shared>, state: &mut State, key: Key) -> Core {
        state.holders += 1;
        state.forget_waits(key);
        Core {
            shared: Arc::clone(shared),
            key,
            id: state.connection.id(key),
            name: state.connection.name(key),
        }
    }

    /// Waits for the other end's answer to an offer.
    pub(crate) fn poll_answer(&self, cx: &mut Context<'_>) -> Poll<Result<(), OfferError>> {
        self.shared.with(|state| match state.connection.answer(self.key) {
            Some(Ok(())) => Poll::Ready(Ok(())),
            Some(Err(reason)) => Poll::Ready(Err(match state.connection.ended() {
                None => OfferError::Rejected { reason },
                Some(Ok(())) => OfferError::Lost(crate::Error::closed()),
                Some(Err(error)) => OfferError::Lost(error.clone()),
            })),
            None => {
                state.wait(self.key, Wait::Answer, cx.waker());
                Poll::Pending
            }
        })
    }

    fn poll_write(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let budget = ready!(coop::poll_proceed(cx));
        let mut written = 0;
        let polled = self.shared.with(|state| {
            for buf in bufs.iter().filter(|buf| !buf.is_empty()) {
                match state.connection.write(self.key, buf) {
                    Ok(count) => {
                        written += count;
                        if count < buf.len() {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    Err(_) if written > 0 => return Poll::Ready(Ok(())),
                    Err(NotWritten::Wait) => {
                        state.wait(self.key, Wait::Write, cx.waker());
                        return Poll::Pending;
                    }
                    Err(NotWritten::Failed(Some(error))) => {
                        return Poll::Ready(Err(error.into_io()));
                    }
                    Err(NotWritten::Failed(None)) => {
                        return Poll::Ready(Err(io::Error::new(
                            io::ErrorKind::BrokenPipe,
                            "nobody reads this channel any more",
                        )));
                    }
                }
            }
            Poll::Ready(Ok(()))
        });
        ready!(polled)?;
        budget.made_progress();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.with(|state| {
            if state.connection.is_flushed(self.key) {
                return Poll::Ready(Ok(()));
            }
            state.wait(self.key, Wait::Flush, cx.waker());
            Poll::Pending
        })
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.with(|state| state.connection.finish(self.key));
        self.poll_flush(cx)
    }

    async fn completion(&self) -> Result<Ended, ChannelError> {
        poll_fn(|cx| {
            self.shared.with(|state| match state.connection.outcome(self.key) {
                Some(outcome) => Poll::Ready(outcome),
                None => {
                    state.wait(self.key, Wait::End, cx.waker());
                    Poll::Pending
                }
            })
        })
        .await
    }

    fn terminate(&self, error: Option<&str>) {
        self.shared.with(|state| state.connection.terminate(self.key, error));
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.shared.with(|state| {
            state.forget_waits(self.key);
            state.connection.release(self.key);
            state.holders -= 1;
        });
    }
}

impl Reading {
    /// Takes the next piece, if the last one is read. Empty at the end. One of at most `sure` bytes
    /// will be read by who called this, so it is acknowledged at once.
    fn poll_fill(
        &mut self,
        core: &Core,
        cx: &mut Context<'_>,
        sure: usize,
    ) -> Poll<io::Result<()>> {
        if !self.piece.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let budget = ready!(coop::poll_proceed(cx));
        let (taken, length, more) = core.shared.with(|state| {
            let taken = state.connection.take(core.key);
            let mut left = 0;
            match &taken {
                Taken::Piece(piece) if piece.len() <= sure => {
                    state.connection.acknowledge(core.key, piece.len());
                }
                Taken::Piece(piece) => left = piece.len(),
                Taken::Nothing => state.wait(core.key, Wait::Read, cx.waker()),
                Taken::End | Taken::Failed(_) => {}
            }
            (taken, left, state.connection.has_more(core.key))
        });
        match taken {
            Taken::Piece(piece) => {
                budget.made_progress();
                self.length = length;
                self.more = more;
                self.piece = piece;
                Poll::Ready(Ok(()))
            }
            Taken::End => Poll::Ready(Ok(())),
            Taken::Failed(error) => Poll::Ready(Err(error.into_io())),
            Taken::Nothing => Poll::Pending,
        }
    }

    /// Takes pieces of up to `bytes_max` bytes in all, and tells how much it was; 0 is the end.
    fn poll_pieces(
        &mut self,
        core: &Core,
        cx: &mut Context<'_>,
        pieces: &mut VecDeque<Bytes>,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_fill(core, cx, bytes_max))?;
        let mut bytes = self.part_into(pieces, bytes_max);
        let mut read = self.length_if_read();
        if read > 0 || (self.more && bytes < bytes_max) {
            core.shared.with(|state| {
                while bytes < bytes_max {
                    let Some(piece) = state.connection.take_more(core.key) else { break };
                    self.length = piece.len();
                    self.piece = piece;
                    bytes += self.part_into(pieces, bytes_max - bytes);
                    read += self.length_if_read();
                }
                self.more = state.connection.has_more(core.key);
                state.connection.acknowledge(core.key, read);
            });
        }
        Poll::Ready(Ok(bytes))
    }

    /// Moves up to `bytes_max` bytes of the piece behind `pieces`.
    fn part_into(&mut self, pieces: &mut VecDeque<Bytes>, bytes_max: usize) -> usize {
        let part = self.piece.len().min(bytes_max);
        if part > 0 {
            pieces.push_back(self.piece.split_to(part));
        }
        part
    }

    /// What is to be acknowledged now: nothing before the piece is read to its end.
    fn length_if_read(&mut self) -> usize {
        if !self.piece.is_empty() {
            return 0;
        }
        // The buffer that it lay in is free from here on, or its taker's.
        self.piece = Bytes::new();
        std::mem::take(&mut self.length)
    }

    fn consume(&mut self, core: &Core, count: usize) {
        self.piece.advance(count);
        let read = self.length_if_read();
        if read > 0 {
            core.shared.with(|state| state.connection.acknowledge(core.key, read));
        }
    }

    fn poll_read(
        &mut self,
        core: &Core,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        while buf.remaining() > 0 {
            match self.poll_fill(core, cx, buf.remaining()) {
                Poll::Ready(Ok(())) if !self.piece.is_empty() => {
                    let count = self.piece.len().min(buf.remaining());
                    buf.put_slice(&self.piece[..count]);
                    self.consume(core, count);
                    if !self.more {
                        break;
                    }
                }
                // What was read so far is told first.
                _ if buf.filled().len() > before => break,
                polled => return polled,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Channel {
    pub(crate) fn new(core: Core) -> Self {
        Channel { reading: Reading::default(), core: Arc::new(core) }
    }

    /// Its identity on the connection.
    pub fn id(&self) -> ChannelId {
        self.core.id
    }

    /// The name that it was offered by; empty for an anonymous or a seeded one.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// Whether the other end has accepted it: `false` only for an anonymous channel of this end
    /// that was not answered.
    pub fn is_accepted(&self) -> bool {
        self.core.shared.with(|state| state.connection.is_accepted(self.core.key))
    }

    /// Waits until the other end has accepted it. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`OfferError`] where it never will.
    pub async fn accepted(&self) -> Result<(), OfferError> {
        if self.is_accepted() {
            return Ok(());
        }
        poll_fn(|cx| self.core.poll_answer(cx)).await
    }

    /// Terminates it at once, in both directions. `error` is for the other end, in the form
    /// `Kind: message`; it is cut at about 20,000 bytes, and version 1 has no way to tell it.
    /// After its end this does nothing.
    pub fn terminate(&self, error: Option<&str>) {
        self.core.terminate(error);
    }

    /// Waits for its end. Cancel safe; may be called again after the end.
    ///
    /// # Errors
    ///
    /// [`ChannelError`] where it did not end in order.
    pub async fn completion(&self) -> Result<Ended, ChannelError> {
        self.core.completion().await
    }

    /// The two directions, for two tasks.
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        let Channel { reading, core } = self;
        (ReadHalf { reading, core: Arc::clone(&core) }, WriteHalf { core })
    }
}

impl ReadHalf {
    /// Its identity on the connection.
    pub fn id(&self) -> ChannelId {
        self.core.id
    }

    /// As [`Channel::completion`].
    ///
    /// # Errors
    ///
    /// [`ChannelError`] where it did not end in order.
    pub async fn completion(&self) -> Result<Ended, ChannelError> {
        self.core.completion().await
    }

    /// As [`Channel::terminate`].
    pub fn terminate(&self, error: Option<&str>) {
        self.core.terminate(error);
    }
}

impl WriteHalf {
    /// Its identity on the connection.
    pub fn id(&self) -> ChannelId {
        self.core.id
    }

    /// As [`Channel::terminate`].
    pub fn terminate(&self, error: Option<&str>) {
        self.core.terminate(error);
    }
}

macro_rules! pieces {
    ($type:ty) => {
        impl $type {
            /// Takes what was received where it lies, without a copy: pieces of up to `bytes_max`
            /// bytes in all, which must not be 0, behind those in `pieces`. How much that was; 0 is
            /// the end of the direction. What is taken counts as read, and its sender may send as
            /// much again.
            ///
            /// # Errors
            ///
            /// As reading.
            pub fn poll_read_pieces(
                &mut self,
                cx: &mut Context<'_>,
                pieces: &mut VecDeque<Bytes>,
                bytes_max: usize,
            ) -> Poll<io::Result<usize>> {
                self.reading.poll_pieces(&self.core, cx, pieces, bytes_max)
            }
        }
    };
}

pieces!(Channel);
pieces!(ReadHalf);

impl Drop for ReadHalf {
    fn drop(&mut self) {
        // The last half ends it altogether.
        if Arc::strong_count(&self.core) > 1 {
            // A piece that is half read is acknowledged too: who ignores that nobody reads would
            // wait for it.
            let length = std::mem::take(&mut self.reading.length);
            self.core.shared.with(|state| {
                state.connection.stop_reading(self.core.key);
                state.connection.acknowledge(self.core.key, length);
            });
        }
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        self.core.shared.with(|state| state.connection.finish(self.core.key));
    }
}

macro_rules! reads {
    ($type:ty) => {
        impl AsyncRead for $type {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let Self { reading, core, .. } = &mut *self;
                reading.poll_read(core, cx, buf)
            }
        }

        impl AsyncBufRead for $type {
            fn poll_fill_buf(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<&[u8]>> {
                let Self { reading, core, .. } = self.get_mut();
                ready!(reading.poll_fill(core, cx, 0))?;
                Poll::Ready(Ok(&reading.piece))
            }

            fn consume(mut self: Pin<&mut Self>, count: usize) {
                let Self { reading, core, .. } = &mut *self;
                reading.consume(core, count);
            }
        }
    };
}

macro_rules! writes {
    ($type:ty) => {
        impl AsyncWrite for $type {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.core.poll_write(cx, &[IoSlice::new(buf)])
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.core.poll_write(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.core.poll_flush(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.core.poll_shutdown(cx)
            }
        }
    };
}

reads!(Channel);
reads!(ReadHalf);
writes!(Channel);
writes!(WriteHalf);
