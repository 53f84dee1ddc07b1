//! A guest's session: a channel and the stream that was opened for it, joined.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pipeway_mux::{Channel, Ended, ReadHalf, WriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::pieces::Pieces;
use crate::{IoLoop, Stream};

/// How much is read from a stream at once.
const PIECE: usize = 128 * 1024;

/// A turn that moves no more is part of a conversation, in bytes.
const SMALL: u64 = 16 * 1024;

/// How long what the other end wrote before it closed the channel may take to be written here.
const LINGER: Duration = Duration::from_secs(10);

thread_local! {
    /// What is read goes on at once; only what has to wait is kept, by its session.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into_boxed_slice());
}

/// A channel and a stream, joined.
struct Relay {
    stream: Stream,
    /// `None` once the stream takes no more: the other end is told, and the rest goes on.
    from_channel: Option<ReadHalf>,
    to_channel: WriteHalf,
    up: Phase,
    down: Phase,
    /// How many bytes went either way.
    moved: u64,
    /// What was taken from the channel and the stream has not taken yet.
    pieces: Pieces,
    /// What was read from the stream and has no place in the channel yet.
    waiting: Vec<u8>,
    /// Since the other end closed the channel.
    linger: Option<Pin<Box<Sleep>>>,
}

/// How far a direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Moving,
    /// Its end was read, and is passed on.
    Ending,
    Done,
}

/// Joins them until both directions have ended, one of the two failed, or either end is gone.
pub(super) async fn relay(channel: Channel, stream: Stream) {
    let (from_channel, to_channel) = channel.into_split();
    let mut relay = Relay {
        stream,
        from_channel: Some(from_channel),
        to_channel,
        up: Phase::Moving,
        down: Phase::Moving,
        moved: 0,
        pieces: Pieces::default(),
        waiting: Vec::new(),
        linger: None,
    };
    match poll_fn(|cx| relay.poll(cx)).await {
        Ok(()) => relay.to_channel.terminate(None),
        Err(Broken::Stream(error)) => {
            let text = format!("Io: the connection at the other side broke: {error}");
            relay.to_channel.terminate(Some(&text));
        }
        // What was cut there is cut here.
        Err(Broken::Channel) => relay.stream.abort_on_close(),
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // A session that ends with its guest must not look like one that came to its end. After
        // the channel's end this does nothing.
        self.to_channel.terminate(Some("LinkDown: the guest has ended"));
    }
}

/// Which side failed.
enum Broken {
    Stream(io::Error),
    Channel,
}

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let before = self.moved;
        let polled = self.poll_both(cx);
        // A long transfer keeps its thread awake by itself.
        if self.moved - before <= SMALL {
            IoLoop::expect_more();
        }
        polled
    }

    fn poll_both(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if let Poll::Ready(Err(broken)) = self.poll_up(cx) {
            return Poll::Ready(Err(broken));
        }
        if let Poll::Ready(Err(broken)) = self.poll_down(cx) {
            return Poll::Ready(Err(broken));
        }
        if self.up == Phase::Done && self.down == Phase::Done {
            return Poll::Ready(Ok(()));
        }
        self.poll_closed(cx)
    }

    /// From the channel to the stream.
    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while self.up == Phase::Moving {
            let Some(channel) = &mut self.from_channel else {
                self.up = Phase::Done;
                break;
            };
            if self.pieces.len() == 0 {
                let taken = ready!(self.pieces.poll_fill_half(cx, channel));
                let taken = taken.map_err(|_| Broken::Channel)?;
                self.moved += taken as u64;
                if taken == 0 {
                    self.up = Phase::Ending;
                    break;
                }
            }
            match ready!(self.pieces.poll_drain(cx, &mut self.stream)) {
                Ok(1..) => {}
                // It may have answered before it stopped reading.
                Ok(_) | Err(_) => {
                    self.from_channel = None;
                    self.pieces = Pieces::default();
                    self.up = Phase::Done;
                }
            }
        }
        if self.up == Phase::Ending && self.is_closed_by_drop(cx) {
            self.up = Phase::Done;
        }
        if self.up == Phase::Ending {
            // Where a stream has no half-close this waits until all is taken over, and the other
            // direction goes on.
            match ready!(Pin::new(&mut self.stream).poll_shutdown(cx)) {
                Ok(()) => {}
                Err(_) => self.from_channel = None,
            }
            self.up = Phase::Done;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the stream is closed next, which tells its other end the end of this direction as well
    /// as a shutdown would: the channel is over, and a socket keeps what was written.
    fn is_closed_by_drop(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(channel) = &self.from_channel else { return false };
        self.stream.socket().is_some()
            && matches!(pin!(channel.completion()).poll(cx), Poll::Ready(Ok(Ended::Terminated)))
    }

    /// From the stream to the channel.
    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while self.down == Phase::Moving {
            ready!(self.poll_waiting(cx))?;
            let length = SCRATCH.with_borrow_mut(|scratch| {
                let mut piece = ReadBuf::new(scratch);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece))
                    .map_err(Broken::Stream)?;
                let mut piece = piece.filled();
                let length = piece.len();
                while !piece.is_empty() {
                    match Pin::new(&mut self.to_channel).poll_write(cx, piece) {
                        Poll::Ready(Ok(taken)) => piece = &piece[taken..],
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Channel)),
                        Poll::Pending => {
                            self.waiting = piece.to_vec();
                            break;
                        }
                    }
                }
                Poll::Ready(Ok(length))
            });
            let length = ready!(length)?;
            self.moved += length as u64;
            if length == 0 {
                self.down = Phase::Ending;
            }
        }
        if self.down == Phase::Ending {
            ready!(Pin::new(&mut self.to_channel).poll_shutdown(cx))
                .map_err(|_| Broken::Channel)?;
            self.down = Phase::Done;
            if !self.stream.can_half_close() || self.stream.is_hung_up() {
                // Nobody is left who could read the other direction.
                self.up = Phase::Done;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what waits to the channel.
    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.waiting.is_empty() {
            let taken = ready!(Pin::new(&mut self.to_channel).poll_write(cx, &self.waiting))
                .map_err(|_| Broken::Channel)?;
            self.waiting.drain(..taken);
        }
        // An idle session keeps no memory.
        self.waiting = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Ready when the other end has closed the channel and what it wrote before is written here,
    /// or takes too long.
    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(channel) = &self.from_channel else { return Poll::Pending };
        match ready!(pin!(channel.completion()).poll(cx)) {
            Ok(Ended::Complete) => return Poll::Pending,
            Ok(Ended::Terminated) => {}
            Err(_) => return Poll::Ready(Err(Broken::Channel)),
        }
        if self.up == Phase::Done {
            return Poll::Ready(Ok(()));
        }
        let linger = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        linger.as_mut().poll(cx).map(|()| Err(Broken::Channel))
    }
}
