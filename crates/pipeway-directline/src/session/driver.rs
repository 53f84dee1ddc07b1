//! The task that moves a session's bytes.

use std::future::{Future, poll_fn};
use std::io::IoSlice;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pipeway_transport::BusyPoll;
use tokio::io::{AsyncReadExt as _, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep_until, timeout};

use super::frames::Frames;
use super::space::Space;
use super::state::now;
use super::{Handler, Session};
use crate::observe::{FrameWay, Observer, SessionEvent};
use crate::pipes::{Pair, Reader, Watch, Writer};
use crate::{Error, Event, Pace};

/// How long the notice to the other end, and what stands before it, may take to be written.
const NOTICE: Duration = Duration::from_millis(500);

/// How many slices are given to the system at once.
const SLICES: usize = 64;

/// A turn that moved no more may be part of a conversation, in bytes: the envelopes and activities
/// of a few dozen calls are less.
const SMALL: usize = 16 * 1024;

/// How much is moved before the other tasks of the thread have their turn, in bytes.
const TURN: usize = 1024 * 1024;

/// How much the system keeps for a legacy peer, about, in bytes. Such a peer loses its place behind
/// what one read of 64 KiB leaves. Linux keeps twice what it is asked for, and as much more as one
/// write had that began before: together a little less than 32 KiB. A reader that is interrupted while
/// it reads finds as much again when it goes on, and that is a little less than 64.
const LEGACY_UNREAD: usize = 10_900;

/// How a session ended.
pub(crate) struct Ended {
    /// What ended it, if it was not an end in order.
    pub(crate) error: Option<Error>,
    /// Whether the other end has sent anything.
    pub(crate) spoke: bool,
}

/// Runs `session` over `pair` to its end, and looks for more for `busy_poll` before its thread
/// sleeps. `detached` is called when it has ended and before the
/// notice of that is written: from then on nobody calls through it.
pub(crate) async fn drive(
    session: Session,
    pair: Pair,
    handler: Handler,
    observer: Observer,
    busy_poll: Duration,
    detached: impl FnOnce(),
) -> Ended {
    let Pair { reader, writer, watch, .. } = pair;
    let mut unread_before = None;
    if session.pace() == Pace::Legacy {
        unread_before = writer.unread_bound();
        let whole = writer.bound_unread(LEGACY_UNREAD);
        session.shared.drive(|state| state.connection.write_at_once(whole));
    }
    let frames = |way| observer.wants_frames().then(|| Frames::new(way));
    let mut driver = Driver {
        received: frames(FrameWay::Received),
        sent: frames(FrameWay::Sent),
        session,
        reader,
        writer,
        unread_before,
        watch,
        handler,
        observer,
        space: Space::new(),
        spoke: false,
        write_failed: false,
        timer: None,
        pending: Vec::new(),
    };
    let mut busy = BusyPoll::new(busy_poll, SMALL);
    let mut yielding = pin!(None);
    poll_fn(|cx| {
        let mut moved = Moved::default();
        let poll = driver.poll_run(cx, &mut moved);
        if poll.is_pending() && busy.again(moved.read, moved.wrote, Instant::now) {
            // The other tasks have their turn, the system is asked for what is ready, and then this
            // task is woken: it waits, but its thread does not sleep.
            if busy.gives_way() {
                std::thread::yield_now();
            }
            yielding.set(Some(yield_now()));
            if let Some(yielding) = yielding.as_mut().as_pin_mut() {
                let _ = yielding.poll(cx);
            }
        }
        poll
    })
    .await;
    detached();
    let _ = timeout(NOTICE, poll_fn(|cx| driver.poll_rest(cx))).await;
    driver.take_events();
    let error = driver.session.shared.drive(|state| state.connection.failed().cloned());
    Ended { error, spoke: driver.spoke }
}

/// How many bytes a turn has moved.
#[derive(Clone, Copy, Default)]
struct Moved {
    read: usize,
    wrote: usize,
}

struct Driver {
    session: Session,
    reader: Reader,
    writer: Writer,
    /// How much the system kept for the other end before that was bounded, until it does again.
    unread_before: Option<usize>,
    watch: Watch,
    handler: Handler,
    observer: Observer,
    /// What an observer is told of the frames, where it wants that.
    received: Option<Frames>,
    sent: Option<Frames>,
    space: Space,
    spoke: bool,
    /// Whether a write failed: nothing that is left can be written.
    write_failed: bool,
    timer: Option<Pin<Box<Sleep>>>,
    /// Events that are being passed on.
    pending: Vec<Event>,
}

impl Driver {
    /// Moves bytes until the session has ended.
    fn poll_run(&mut self, cx: &mut Context<'_>, moved: &mut Moved) -> Poll<()> {
        self.session.shared.drive(|state| match &state.driver {
            Some(known) if known.will_wake(cx.waker()) => {}
            _ => state.driver = Some(cx.waker().clone()),
        });
        loop {
            let read = self.poll_read(cx);
            // Also where there is always something to read: nobody may hold up what is due. What
            // comes of it is taken at once: no timer tells of it again.
            self.session.shared.drive(|state| {
                let now = now();
                if state.connection.next_deadline().is_some_and(|due| due <= now) {
                    state.connection.tick(now);
                }
            });
            self.take_events();
            let wrote = self.poll_write(cx);
            let ended = self.session.shared.drive(|state| {
                state.wake_pushers();
                state.connection.ended().is_some()
            });
            if ended {
                return Poll::Ready(());
            }
            moved.read += read;
            moved.wrote += wrote;
            if read + wrote == 0 {
                if self.watch.poll_closed(cx).is_ready() {
                    self.session.shared.drive(|state| state.connection.end_of_input());
                    continue;
                }
                if self.poll_due(cx) {
                    continue;
                }
                return Poll::Pending;
            }
            if moved.read + moved.wrote >= TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Reads and handles what there is; how much that was.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> usize {
        let Driver { session, space, reader, .. } = self;
        if space.wants_room() {
            session.shared.drive(|state| space.make_room(&state.connection));
        }
        let room = space.room();
        let read = match pin!(reader.read_buf(&mut space.input)).poll(cx) {
            Poll::Pending => return 0,
            Poll::Ready(Ok(0)) => {
                self.session.shared.drive(|state| state.connection.end_of_input());
                return 0;
            }
            Poll::Ready(Ok(read)) => read,
            Poll::Ready(Err(error)) => {
                self.session.shared.drive(|state| state.connection.read_failed(error));
                return 0;
            }
        };
        self.space.grow(read, room);
        self.spoke = true;
        let (bytes, is_counted) = self.space.take();
        if let Some(received) = &mut self.received {
            received.push(&bytes, &self.observer);
        }
        self.session.shared.drive(|state| {
            if is_counted {
                state.connection.receive_held(bytes, now());
            } else {
                state.connection.receive(bytes, now());
            }
        });
        read
    }

    /// Passes events on.
    fn take_events(&mut self) {
        let Driver { session, handler, observer, pending, .. } = self;
        session.shared.drive(|state| {
            while let Some(event) = state.connection.next_event() {
                if let Some(event) = state.settle(event) {
                    if let Event::Request(request) = &event {
                        state.running.insert(request.key, None);
                    }
                    pending.push(event);
                }
            }
        });
        for event in pending.drain(..) {
            match event {
                Event::Request(request) => {
                    let key = request.key;
                    // It may have been cancelled right behind.
                    if !session.shared.drive(|state| state.running.contains_key(&key)) {
                        continue;
                    }
                    let work = tokio::spawn(handler(request, session.clone())).abort_handle();
                    session.shared.drive(|state| {
                        // It may be answered already.
                        if let Some(place) = state.running.get_mut(&key) {
                            *place = Some(work);
                        }
                    });
                }
                Event::Warning(warning) => observer.tell(&SessionEvent::Warning(&warning)),
                _ => {}
            }
        }
    }

    /// Writes what there is; how much that was.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> usize {
        let Driver { session, writer, unread_before, sent, observer, write_failed, .. } = self;
        session.shared.drive(|state| {
            if state.connection.pace() == Pace::Modern
                && let Some(before) = unread_before.take()
            {
                writer.bound_unread(before);
            }
            let mut all = 0;
            while state.connection.has_outgoing() {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let count = state.connection.outgoing(&mut slices);
                let outcome = Pin::new(&mut *writer).poll_write_vectored(cx, &slices[..count]);
                match outcome {
                    Poll::Ready(Ok(wrote @ 1..)) => {
                        if let Some(sent) = sent {
                            sent.push_slices(&slices[..count], wrote, observer);
                        }
                        state.connection.wrote(wrote, now());
                        all += wrote;
                        if all >= TURN {
                            break;
                        }
                    }
                    Poll::Ready(Ok(_)) => {
                        *write_failed = true;
                        let error = std::io::ErrorKind::WriteZero.into();
                        state.connection.write_failed(error);
                        break;
                    }
                    Poll::Ready(Err(error)) => {
                        *write_failed = true;
                        state.connection.write_failed(error);
                        break;
                    }
                    Poll::Pending => break,
                }
            }
            all
        })
    }

    /// Whether something was due, and was done. Otherwise the task is woken when something is.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> bool {
        let next = self.session.shared.drive(|state| {
            state.due = state.connection.next_deadline();
            state.due
        });
        // Memory is let go late rather than early, and whoever waits for nothing else is woken once.
        let Some(next) = next.into_iter().chain(self.space.due()).min() else { return false };
        let next = next.into();
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(next)));
        // A timer that is early looks again, and is not moved each time that something is due later.
        if timer.deadline() > next || timer.is_elapsed() {
            timer.as_mut().reset(next);
        }
        if timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.space.release(now());
        self.session.shared.drive(|state| state.connection.tick(now()));
        true
    }

    /// Tells those who wait for responses, and ends the work on requests that were cancelled; other
    /// events stay with nobody.
    fn settle(&self) {
        self.session.shared.drive(|state| {
            while let Some(event) = state.connection.next_event() {
                state.settle(event);
            }
        });
    }

    /// Writes what is left; ready when that is done, or can't be.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let wrote = self.poll_write(cx);
            if self.write_failed {
                return Poll::Ready(());
            }
            if !self.session.shared.drive(|state| state.connection.has_outgoing()) {
                break;
            }
            if wrote == 0 {
                return Poll::Pending;
            }
        }
        Pin::new(&mut self.writer).poll_shutdown(cx).map(drop)
    }
}

/// However the task ends, by the runtime's end for one, nobody waits for it in vain.
impl Drop for Driver {
    fn drop(&mut self) {
        self.session.shared.drive(|state| state.connection.shutdown());
        self.settle();
        self.session.shared.drive(super::state::State::wake_pushers);
    }
}
