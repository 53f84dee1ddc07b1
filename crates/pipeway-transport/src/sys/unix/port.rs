//! Where a [worker](crate::sys::worker) is told of what its sockets are ready for: an `epoll` of its
//! own, which tells of each change once, within that of the runtime.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::pin::pin;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, RawWakerVTable, Waker, ready};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use slab::Slab;
use tokio::io::{Interest, ReadBuf};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Instant, sleep};

use super::source::{For, Share, Source, Teller, receive};
use crate::BusyPoll;
use crate::sys::worker::{Turns, Worker, poll_proceed};

/// See [`Worker::IS_OF_RUNTIME`].
pub(in crate::sys) const IS_OF_RUNTIME: bool = true;

/// How many turns the loop has before the runtime has one: each asks what is ready.
const TURNS: usize = 16;

/// After so many changes at once it is asked for more before the runtime's turn, where one more call
/// of the system's is less than that.
const MANY: usize = 4;

/// While anything moves there is a timer that is at most so far off. The runtime is told of a timer
/// that is sooner than all others, by a call of the system's; so the timers of sessions, which are
/// longer, cost none.
const TICK: Duration = Duration::from_millis(500);

/// How long is looked for what comes next before the thread sleeps.
const WINDOW: Duration = Duration::from_micros(200);

/// More changes since the last look are not those of one conversation: where there are several, one or
/// another has work.
const FEW: usize = 4;

/// The most changes that are taken at once.
const EVENTS: usize = 256;

/// What a place's socket is ready for.
const READ: u32 = 1;
const WRITE: u32 = 2;
/// There will be no waiting for it any more.
const READ_ENDED: u32 = 4;
const WRITE_ENDED: u32 = 8;
/// It is told when there is room to write.
const TELLS_ROOM: u32 = 16;
/// Whoever waits for it is woken by the next change.
const READ_AWAITED: u32 = 32;
const WRITE_AWAITED: u32 = 64;
/// By this much the state grows with each change, so that what was found out before one does not
/// count after it.
const CHANGE: u32 = 128;

const READS: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);
const WRITES: EventFlags = EventFlags::OUT.union(EventFlags::ET);

/// An `epoll`, and who waits there.
#[derive(Debug)]
pub(crate) struct Port {
    epoll: Share,
    /// The loop, as a task of the runtime's.
    task: Mutex<Option<Waker>>,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    places: Slab<Kept>,
    /// Numbers the places in the order in which they were made: what is told of one that is gone
    /// must not be taken for the next one's in its stead.
    made: u32,
}

/// One socket's place, and who waits for it.
#[derive(Debug)]
struct Kept {
    made: u32,
    place: Arc<Place>,
    waiting: Waiting,
}

/// What a socket is ready for.
#[derive(Debug, Default)]
struct Place {
    state: AtomicU32,
}

/// Who was the last to wait. They stay: most wait again, and need not be noted down anew.
#[derive(Debug, Default)]
struct Waiting {
    reads: Option<Waker>,
    writes: Option<Waker>,
}

/// Has the loop gone through, as a task of the runtime's: no second thread is woken for what is
/// handed over. docs/decisions/0015-io-loop.md says what else was tried.
pub(in crate::sys) fn drive(mut turns: Turns) -> io::Result<()> {
    let epoll = turns.within(|inside| inside.port().epoll.clone());
    let changes = Source::new(epoll, Interest::READABLE, Teller::Runtime)?;
    let mut wakers = Vec::new();
    // Elsewhere it may be told of changes while others are taken.
    let is_alone = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
    let mut tick = Box::pin(sleep(TICK));
    // Since the thread had nothing to do.
    let (mut changes_since, mut is_active) = (0, false);
    let mut busy = BusyPoll::new(WINDOW, FEW);
    let work = poll_fn(move |cx| {
        turns.within(|inside| {
            inside.wakes_up();
            inside.port().is_driven_by(cx.waker());
            for _ in 0..TURNS {
                if inside.is_left() {
                    return Poll::Ready(());
                }
                let changes_seen = inside.port().take(&mut wakers);
                let turn = inside.turn();
                is_active |= turn.was_any;
                changes_since += changes_seen;
                // After many changes there are more by now.
                if turn.is_next_ready || changes_seen >= MANY {
                    continue;
                }
                // What was looked for has come, or not yet.
                let read = std::mem::take(&mut changes_since);
                let read = if inside.expects_more() { read.max(1) } else { read * (FEW + 1) };
                if busy.again(read, 0, std::time::Instant::now) {
                    if busy.gives_way() {
                        std::thread::yield_now();
                    }
                    continue;
                }
                if inside.falls_asleep() {
                    inside.wakes_up();
                    continue;
                }
                // That it was told of changes is forgotten: they are taken. Those after them it is
                // told of anew.
                let seen = changes.poll_io(cx, For::Read, |_| {
                    io::Result::<()>::Err(io::ErrorKind::WouldBlock.into())
                });
                if seen.is_ready() {
                    // The runtime is shutting down.
                    return Poll::Ready(());
                }
                if !is_alone && inside.port().take(&mut wakers) > 0 {
                    inside.wakes_up();
                    continue;
                }
                if tick.as_mut().poll(cx).is_ready() && is_active {
                    tick.as_mut().reset(Instant::now() + TICK);
                    let _ = tick.as_mut().poll(cx);
                }
                is_active = false;
                return Poll::Pending;
            }
            // Not woken as a task of its own accord is: the runtime sees to its timers and signals first.
            let _ = pin!(yield_now()).poll(cx);
            Poll::Pending
        })
    });
    // Tasks have their own bounds to their turns.
    drop(tokio::spawn(unconstrained(work)));
    Ok(())
}

impl Port {
    pub(crate) fn new() -> io::Result<Port> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        Ok(Port { epoll: epoll.into(), task: Mutex::default(), places: Mutex::default() })
    }

    /// Has the loop look again.
    pub(crate) fn wake(&self) {
        let task = self.task().clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    fn is_driven_by(&self, waker: &Waker) {
        let mut task = self.task();
        if !task.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what has changed, and wakes whom it concerns. How many changes there were.
    fn take(&self, wakers: &mut Vec<Waker>) -> usize {
        let (mut events, at_once) = ([MaybeUninit::uninit(); EVENTS], Timespec::default());
        // An error is a signal's: then it is asked anew in the next turn.
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut events, Some(&at_once)) else {
            return EVENTS;
        };
        let count = events.len();
        if count == 0 {
            return 0;
        }
        let places = self.places();
        for event in events {
            let (flags, data) = (event.flags, event.data.u64());
            let (made, key) = ((data >> 32) as u32, data as u32 as usize);
            match places.places.get(key) {
                Some(kept) if kept.made == made => kept.change(flags, wakers),
                _ => {}
            }
        }
        drop(places);
        wakers.drain(..).for_each(Waker::wake);
        count
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The socket has changed. Whom to wake.
    fn change(&self, flags: EventFlags, wakers: &mut Vec<Waker>) {
        let has = |some: EventFlags| flags.intersects(some);
        let mut told = 0;
        if has(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            told |= READ;
        }
        if has(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR) {
            told |= WRITE;
        }
        if has(EventFlags::HUP | EventFlags::RDHUP) {
            told |= READ | READ_ENDED;
        }
        if has(EventFlags::HUP) {
            told |= WRITE_ENDED;
        }
        let awaited = match (told & READ != 0, told & WRITE != 0) {
            (true, true) => READ_AWAITED | WRITE_AWAITED,
            (true, false) => READ_AWAITED,
            (false, true) => WRITE_AWAITED,
            (false, false) => 0,
        };
        let changed = |state: u32| Some(((state | told) & !awaited).wrapping_add(CHANGE));
        let state = &self.place.state;
        let before = state.fetch_update(Ordering::AcqRel, Ordering::Acquire, changed);
        let awaited = before.unwrap_or_else(|state| state) & awaited;
        if awaited & READ_AWAITED != 0 {
            wakers.extend(self.waiting.reads.clone());
        }
        if awaited & WRITE_AWAITED != 0 {
            wakers.extend(self.waiting.writes.clone());
        }
    }
}

impl Place {
    /// The state, if it is ready.
    #[inline]
    fn ready(&self, what: For) -> Option<u32> {
        let state = self.state.load(Ordering::Acquire);
        (state & what.ready() != 0).then_some(state)
    }

    /// It was not ready after all, or is not any more, when `state` was all that was known. Whoever
    /// waited for it last most likely does again, and is woken by the next change.
    fn clear(&self, what: For, state: u32) {
        let mut known = state;
        loop {
            match self.state.compare_exchange(
                known,
                known & !(what.ready() & (READ | WRITE)) | what.awaited(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                // Something has changed since.
                Err(now) if now / CHANGE != state / CHANGE => return,
                Err(now) => known = now,
                Ok(_) => return,
            }
        }
    }
}

/// A descriptor whose changes a worker takes.
#[derive(Debug)]
pub(crate) struct Watched<F: AsFd> {
    fd: F,
    place: Arc<Place>,
    key: usize,
    worker: Arc<Worker>,
    /// Whether others have the same file open, which keeps it with the port when this is closed.
    is_shared: bool,
    known: [Known; 2],
}

/// Which waker is noted down for a direction: it is compared by these.
#[derive(Debug, Default)]
struct Known {
    data: AtomicPtr<()>,
    vtable: AtomicPtr<RawWakerVTable>,
}

impl For {
    fn ready(self) -> u32 {
        match self {
            For::Read => READ | READ_ENDED,
            For::Write => WRITE | WRITE_ENDED,
        }
    }

    fn awaited(self) -> u32 {
        match self {
            For::Read => READ_AWAITED,
            For::Write => WRITE_AWAITED,
        }
    }
}

impl<F: AsFd> Watched<F> {
    /// Has the changes of `fd` taken by `worker`. Where others have the same file open,
    /// `is_shared` must say so.
    ///
    /// # Errors
    ///
    /// The system's: it has no memory, or watches no files of this kind.
    pub(super) fn new(
        fd: F,
        interest: Interest,
        worker: Arc<Worker>,
        is_shared: bool,
    ) -> io::Result<Self> {
        // That there is room is told once somebody waits for it: else each read of the other end's
        // would be.
        let (flags, state) = match interest.is_readable() {
            true => (READS, 0),
            false => (WRITES, TELLS_ROOM),
        };
        let place = Arc::new(Place { state: state.into() });
        let port = worker.port();
        let mut places = port.places();
        places.made = places.made.wrapping_add(1);
        let made = places.made;
        let kept = Kept { made, place: Arc::clone(&place), waiting: Waiting::default() };
        let key = places.places.insert(kept);
        drop(places);
        // Dropping it gives the place back.
        let watched = Watched { fd, place, key, worker, is_shared, known: <_>::default() };
        let port = watched.worker.port();
        epoll::add(&port.epoll, &watched.fd, watched.data(made)?, flags)?;
        Ok(watched)
    }

    fn data(&self, made: u32) -> io::Result<EventData> {
        let key = u32::try_from(self.key).map_err(|_| io::ErrorKind::OutOfMemory)?;
        Ok(EventData::new_u64(u64::from(made) << 32 | u64::from(key)))
    }

    pub(super) fn file(&self) -> &F {
        &self.fd
    }

    /// Waits until it may be ready.
    #[inline]
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>, what: For) -> Poll<io::Result<()>> {
        let state = self.place.state.load(Ordering::Acquire);
        if state & what.ready() == 0 {
            // Most who ask again wait already.
            if state & what.awaited() != 0 && self.knows(what, cx.waker()) {
                return Poll::Pending;
            }
            ready!(self.poll_waiting(cx, what))?;
        }
        poll_proceed(cx).map(Ok)
    }

    /// Whether it is the waker that is noted down.
    #[inline]
    fn knows(&self, what: For, waker: &Waker) -> bool {
        let known = &self.known[usize::from(what == For::Write)];
        ptr::eq(known.data.load(Ordering::Relaxed), waker.data())
            && ptr::eq(known.vtable.load(Ordering::Relaxed), waker.vtable())
    }

    fn poll_waiting(&self, cx: &mut Context<'_>, what: For) -> Poll<io::Result<()>> {
        if what == For::Write {
            self.tell_room()?;
        }
        if !self.knows(what, cx.waker()) {
            let known = &self.known[usize::from(what == For::Write)];
            let (data, vtable) = (cx.waker().data(), cx.waker().vtable());
            let mut places = self.worker.port().places();
            let old = places.places.get_mut(self.key).and_then(|kept| {
                let waker = match what {
                    For::Read => &mut kept.waiting.reads,
                    For::Write => &mut kept.waiting.writes,
                };
                waker.replace(cx.waker().clone())
            });
            known.data.store(data.cast_mut(), Ordering::Relaxed);
            known.vtable.store(ptr::from_ref(vtable).cast_mut(), Ordering::Relaxed);
            drop(places);
            // Whatever that may drop, not within the lock.
            drop(old);
        }
        // After that, so that no change is missed.
        let state = self.place.state.fetch_or(what.awaited(), Ordering::AcqRel);
        if state & what.ready() != 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Does what it is ready for; [`WouldBlock`](io::ErrorKind::WouldBlock) where it is not, also
    /// from `action`, after which it has to change first.
    pub(super) fn try_io<T>(
        &self,
        what: For,
        action: impl FnOnce(&F) -> io::Result<T>,
    ) -> io::Result<T> {
        let Some(state) = self.place.ready(what) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let done = action(&self.fd);
        if done.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.place.clear(what, state);
        }
        done
    }

    /// Receives what there is from a socket; [`WouldBlock`](io::ErrorKind::WouldBlock) if it is not
    /// known to have anything.
    pub(super) fn receive(&self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let Some(state) = self.place.ready(For::Read) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let received = receive(&self.fd, buf);
        match &received {
            Ok(false) => {}
            Ok(true) => self.place.clear(For::Read, state),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.place.clear(For::Read, state);
            }
            Err(_) => {}
        }
        received.map(drop)
    }

    /// From now on it is told when there is room to write, which is in vain as long as nobody waits
    /// for it.
    fn tell_room(&self) -> io::Result<()> {
        if self.place.state.fetch_or(TELLS_ROOM, Ordering::AcqRel) & TELLS_ROOM != 0 {
            return Ok(());
        }
        let port = self.worker.port();
        let made = port.places().places.get(self.key).map_or(0, |kept| kept.made);
        epoll::modify(&port.epoll, &self.fd, self.data(made)?, READS.union(WRITES))
            .map_err(Into::into)
    }
}

impl<F: AsFd> Drop for Watched<F> {
    fn drop(&mut self) {
        let port = self.worker.port();
        let place = port.places().places.try_remove(self.key);
        // What it holds may drop anything, so not within the lock.
        drop(place);
        if self.is_shared {
            // Best effort: else what is told of it is told in vain.
            let _ = epoll::delete(&port.epoll, &self.fd);
        }
    }
}
