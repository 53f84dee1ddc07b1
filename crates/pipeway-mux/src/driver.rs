//! The task that moves bytes between a connection's state and the stream below.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::Error;
use crate::busy::BusyPoll;
use crate::hold::Hold;
use crate::input::Input;
use crate::shared::Shared;

/// How much is moved before the other tasks of the thread have their turn, in bytes.
const TURN: usize = 512 * 1024;

/// Owns the stream below; runs until the connection has ended and the stream is let go.
pub(crate) struct Driver<S> {
    io: S,
    shared: Arc<Shared>,
    input: Input,
    writing: Vec<u8>,
    written: usize,
    /// Whether the stream below took it in one piece.
    at_once: bool,
    /// Whether the stream below may hold back what it was given.
    unflushed: bool,
    busy: BusyPoll,
    hold: Hold,
    /// Whether more could be received when the state was looked at last.
    may_receive: bool,
    /// Whether all that was left to be sent when that was looked at last is what may wait.
    may_wait: bool,
    /// Whether it ever looks for anything before its thread sleeps.
    looks: bool,
    /// To wake itself is enough for the others to have their turn.
    wakes_itself: bool,
    close_timeout: Duration,
}

/// How many bytes a turn has moved.
#[derive(Clone, Copy, Default)]
struct Moved {
    read: usize,
    wrote: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// `input` is what was read behind the handshake.
    pub(crate) fn new(
        io: S,
        shared: Arc<Shared>,
        input: BytesMut,
        busy: BusyPoll,
        close_timeout: Duration,
    ) -> Self {
        Driver {
            io,
            shared,
            input: Input::new(input),
            writing: Vec::new(),
            written: 0,
            at_once: false,
            unflushed: false,
            looks: busy.is_on(),
            busy,
            hold: Hold::default(),
            // Before anything is read it is looked at what there is: it may be all that ever comes.
            may_receive: false,
            may_wait: false,
            wakes_itself: false,
            close_timeout,
        }
    }

    pub(crate) fn that_wakes_itself(mut self) -> Self {
        self.wakes_itself = true;
        self.busy = BusyPoll::new(Duration::ZERO);
        self
    }

    pub(crate) async fn run(mut self) {
        let mut yielding = pin!(None);
        let reached_end = poll_fn(|cx| {
            let mut moved = Moved::default();
            let poll = self.poll_run(cx, &mut moved);
            let is_held = poll.is_pending() && self.may_wait && self.holds_back(cx);
            let busy = poll.is_pending() && self.busy.again(moved.read, moved.wrote, Instant::now);
            if is_held || busy {
                // The other tasks have their turn, the system is asked for what is ready, and then
                // this task is woken: it waits, but its thread does not sleep.
                if self.busy.gives_way() {
                    std::thread::yield_now();
                }
                if self.wakes_itself {
                    cx.waker().wake_by_ref();
                    return poll;
                }
                yielding.set(Some(yield_now()));
                if let Some(yielding) = yielding.as_mut().as_pin_mut() {
                    let _ = yielding.poll(cx);
                }
            }
            poll
        })
        .await;
        // Late is as good as never: the stream is let go all the same.
        let _ = timeout(self.close_timeout, self.wind_down(reached_end)).await;
    }

    /// Moves bytes until the connection ends. Whether the other end has closed its direction.
    fn poll_run(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Poll<bool> {
        // The state is looked at once for whatever this task is woken for.
        let (mut looks, mut reads) = (true, true);
        loop {
            let read = match if reads { self.poll_read(cx) } else { Poll::Pending } {
                Poll::Ready(Ok(0)) => {
                    self.shared.with(|state| state.connection.end_of_input(&self.input.bytes));
                    return Poll::Ready(true);
                }
                Poll::Ready(Ok(read)) => read,
                Poll::Ready(Err(error)) => return Poll::Ready(self.fail("reading", error)),
                Poll::Pending => 0,
            };
            if read == 0 && !looks {
                return Poll::Pending;
            }
            let could_receive = self.may_receive;
            let is_ending = self.look(cx);
            let wrote = match self.poll_write(cx) {
                Poll::Ready(Ok(wrote)) => wrote,
                Poll::Ready(Err(error)) => return Poll::Ready(self.fail("writing", error)),
                Poll::Pending => 0,
            };
            if is_ending {
                return Poll::Ready(false);
            }
            moved.read += read;
            moved.wrote += wrote;
            if moved.read + moved.wrote >= TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // What was not ready wakes this task, once it was asked.
            reads = read > 0 || (self.may_receive && !could_receive);
            looks = wrote > 0;
        }
    }

    /// Hands over what was received, and takes over what is to be sent unless there is something
    /// still. Whether the connection is to be wound down.
    fn look(&mut self, cx: &mut Context<'_>) -> bool {
        let Driver { shared, input, writing, written, hold, .. } = self;
        let gather_small = input.is_much_held();
        let mut may_wait = false;
        let (may_receive, is_ending) = shared.with_as_driver(cx.waker(), |state| {
            state.connection.gather_small(gather_small);
            state.connection.receive(&mut input.bytes);
            if *written == writing.len() {
                if std::mem::take(&mut state.is_writing) {
                    state.connection.output_is_sent(self.at_once);
                }
                writing.clear();
                *written = 0;
                if state.connection.has_output() {
                    state.connection.take_output(writing);
                    state.is_writing = true;
                    if std::mem::take(&mut state.is_holding) {
                        hold.is_joined();
                    }
                } else {
                    may_wait = state.connection.has_output_that_may_wait();
                }
                if state.connection.has_queue() {
                    state.connection.give_turns();
                    // Those who had a turn and did not use it must not keep the others waiting.
                    cx.waker().wake_by_ref();
                }
            }
            state.is_stalled = !state.connection.may_receive();
            (!state.is_stalled, state.is_ending())
        });
        self.may_receive = may_receive;
        self.may_wait = may_wait;
        is_ending
    }

    /// Whether there is output that is held back. What is not to wait any more is written.
    fn holds_back(&mut self, cx: &mut Context<'_>) -> bool {
        let Driver { shared, hold, looks, .. } = self;
        shared.with_as_driver(cx.waker(), |state| {
            let may_wait = state.connection.has_output_that_may_wait();
            state.is_holding = may_wait && hold.again(*looks, Instant::now);
            if may_wait && !state.is_holding {
                state.connection.hurry();
                cx.waker().wake_by_ref();
            }
            state.is_holding
        })
    }

    fn fail(&mut self, doing: &str, error: io::Error) -> bool {
        self.shared.with(|state| state.connection.end(Err(Error::io(doing, error))));
        true
    }

    /// Reads what there is; 0 is the end. Pending also while nothing may be received.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.may_receive {
            return Poll::Pending;
        }
        let space = self.input.make_space();
        let read = std::task::ready!(pin!(self.io.read_buf(&mut self.input.bytes)).poll(cx))?;
        if read == space {
            self.input.was_filled();
        }
        Poll::Ready(Ok(read))
    }

    /// Writes what was taken over, or flushes; 0 means that there is nothing.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let left = &self.writing[self.written..];
        if left.is_empty() {
            if self.unflushed {
                std::task::ready!(Pin::new(&mut self.io).poll_flush(cx))?;
                self.unflushed = false;
            }
            return Poll::Ready(Ok(0));
        }
        let wrote = std::task::ready!(Pin::new(&mut self.io).poll_write(cx, left))?;
        if wrote == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.at_once = self.written == 0;
        self.written += wrote;
        self.unflushed = true;
        Poll::Ready(Ok(wrote))
    }

    /// Hands over what was left to be sent, ends the sending direction and waits for the other
    /// end's, so that nothing is lost by a reset.
    async fn wind_down(&mut self, reached_end: bool) {
        let sound = self.shared.with(|state| {
            // With nobody left to hold it, it ends here.
            state.connection.end(Ok(()));
            state.connection.hurry();
            matches!(state.connection.ended(), Some(Ok(())))
        });
        if sound {
            let sent = poll_fn(|cx| {
                loop {
                    self.look(cx);
                    match self.poll_write(cx) {
                        Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                        Poll::Ready(Ok(_)) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            });
            if sent.await.is_err() {
                return;
            }
        }
        let ended = poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await;
        if ended.is_err() || reached_end || !sound {
            return;
        }
        loop {
            self.input.bytes.clear();
            self.input.make_space();
            match self.io.read_buf(&mut self.input.bytes).await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
        }
    }
}

/// However the task ends, by the runtime's end for one, nobody waits for it in vain.
impl<S> Drop for Driver<S> {
    fn drop(&mut self) {
        let wakers = self.shared.with(|state| state.complete());
        wakers.into_iter().for_each(std::task::Waker::wake);
    }
}
