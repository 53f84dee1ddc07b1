//! What keeps a session's thread awake for an answer that comes soon.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pipeway_transport::{BusyPoll, IoLoop};
use tokio::task::yield_now;

use crate::conn::Conn;

/// How long is looked for what comes next before the thread sleeps.
const WINDOW: Duration = Duration::from_micros(200);

/// A turn that moved no more is part of a conversation, in bytes: two heads and short bodies.
const SMALL: usize = 16 * 1024;

thread_local! {
    static THREAD: RefCell<Thread> = const { RefCell::new(Thread::new()) };
}

/// What a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// The client's next request.
    Request,
    /// The upstream's answer, or either side's next message.
    Answer,
}

/// How the sessions of a thread wait.
///
/// With one client at a time a bridge sleeps twice in each exchange, and being woken takes longer
/// than all that it does. So a session that moved something looks again before its thread sleeps,
/// for as long as it is the only one on its thread that moves anything: where there are several, one
/// or another has work. What was in vain for one is for the next one, too: a client may have a new
/// connection for each request.
#[derive(Debug)]
struct Thread {
    /// The session that has moved something last.
    last: u64,
    request: BusyPoll,
    answer: BusyPoll,
}

/// What a turn has moved, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) read: usize,
    pub(crate) wrote: usize,
}

impl Moved {
    /// What those connections have moved from their beginning, until now.
    pub(crate) fn until_now(client: &Conn, upstream: &Conn) -> Self {
        let bytes = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        Moved {
            read: bytes(client.received + upstream.received),
            wrote: bytes(client.sent + upstream.sent),
        }
    }

    /// What they have moved since then.
    pub(crate) fn since(self, before: Moved) -> Self {
        Moved { read: self.read - before.read, wrote: self.wrote - before.wrote }
    }

    fn is_nothing(self) -> bool {
        self.read == 0 && self.wrote == 0
    }
}

/// Takes turns of `work` until it is done. Each tells what it has moved. With `looks` the thread is
/// kept awake for it.
pub(crate) async fn wait<T>(
    looks: bool,
    session: u64,
    what: For,
    mut work: impl FnMut(&mut Context<'_>, &mut Moved) -> Poll<T>,
) -> T {
    let mut yielding = pin!(None);
    poll_fn(|cx| {
        let mut moved = Moved::default();
        let polled = work(cx, &mut moved);
        if !looks {
            return polled;
        }
        if IoLoop::looks_here() {
            // The loop knows by itself whether anybody else has work.
            let bytes = moved.read + moved.wrote;
            if polled.is_ready() || (1..=SMALL).contains(&bytes) {
                IoLoop::expect_more();
            }
            return polled;
        }
        let (again, gives_way) = THREAD.with_borrow_mut(|thread| match &polled {
            Poll::Pending => {
                let again = thread.looks_again(session, what, moved, Instant::now);
                (again, again && thread.busy(what).gives_way())
            }
            Poll::Ready(_) => {
                thread.found(session, what, Instant::now);
                (false, false)
            }
        });
        if again {
            if gives_way {
                std::thread::yield_now();
            }
            // The other tasks have their turn, the system is asked for what is ready, and then
            // this task is woken: it waits, but its thread does not sleep.
            yielding.set(Some(yield_now()));
            if let Some(yielding) = yielding.as_mut().as_pin_mut() {
                let _ = yielding.poll(cx);
            }
        }
        polled
    })
    .await
}

impl Thread {
    const fn new() -> Self {
        Thread {
            last: 0,
            request: BusyPoll::new(WINDOW, SMALL),
            answer: BusyPoll::new(WINDOW, SMALL),
        }
    }

    fn looks_again(
        &mut self,
        session: u64,
        what: For,
        moved: Moved,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        if self.last != session {
            if !moved.is_nothing() {
                self.last = session;
                self.request.rest();
                self.answer.rest();
            }
            return false;
        }
        self.busy(what).again(moved.read, moved.wrote, now)
    }

    fn found(&mut self, session: u64, what: For, now: impl FnOnce() -> Instant) {
        if self.last == session {
            self.busy(what).found(now);
        }
    }

    fn busy(&mut self, what: For) -> &mut BusyPoll {
        match what {
            For::Request => &mut self.request,
            For::Answer => &mut self.answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: Moved = Moved { read: 0, wrote: 10 };
    const READ: Moved = Moved { read: 10, wrote: 0 };
    const NOTHING: Moved = Moved { read: 0, wrote: 0 };

    #[test]
    fn a_session_by_itself_looks_for_its_answer() {
        let (mut thread, now) = (Thread::new(), Instant::now());
        // The one before may have been another.
        assert!(!thread.looks_again(1, For::Answer, SENT, || now));
        for _ in 0..100 {
            assert!(thread.looks_again(1, For::Answer, SENT, || now));
            assert!(thread.looks_again(1, For::Answer, NOTHING, || now + WINDOW / 2));
            assert!(thread.looks_again(1, For::Answer, READ, || now + WINDOW / 2));
        }
        assert!(!thread.looks_again(1, For::Answer, NOTHING, || now + 2 * WINDOW));
    }

    #[test]
    fn among_others_nobody_looks_and_no_clock_is_read() {
        let mut thread = Thread::new();
        for _ in 0..10 {
            for session in 1..3 {
                let read = || unreachable!("it reads the clock");
                assert!(!thread.looks_again(session, For::Answer, SENT, read));
                assert!(!thread.looks_again(3, For::Answer, NOTHING, read));
            }
        }
    }

    #[test]
    fn who_looks_stops_when_another_moves() {
        let (mut thread, now) = (Thread::new(), Instant::now());
        thread.looks_again(1, For::Answer, SENT, || now);
        assert!(thread.looks_again(1, For::Answer, SENT, || now));
        assert!(!thread.looks_again(2, For::Answer, SENT, || now));
        assert!(!thread.looks_again(1, For::Answer, NOTHING, || now));
        // And begins anew by itself.
        thread.looks_again(1, For::Answer, SENT, || now);
        assert!(thread.looks_again(1, For::Answer, SENT, || now));
    }

    #[test]
    fn a_client_that_pauses_does_not_keep_a_quick_upstream_from_being_looked_for() {
        let (mut thread, mut now) = (Thread::new(), Instant::now());
        thread.looks_again(1, For::Answer, SENT, || now);
        let mut looked = 0;
        for _ in 0..1000 {
            now += Duration::from_secs(1);
            assert!(thread.looks_again(1, For::Answer, SENT, || now));
            thread.found(1, For::Answer, || now + WINDOW / 2);
            if thread.looks_again(1, For::Request, SENT, || now + WINDOW / 2) {
                looked += 1;
                assert!(!thread.looks_again(1, For::Request, NOTHING, || now + 2 * WINDOW));
            }
        }
        assert!((1..20).contains(&looked), "{looked}");
    }

    #[tokio::test]
    async fn what_is_waited_for_is_found_whether_or_not_it_is_looked_for() {
        for delay in [Duration::ZERO, 20 * WINDOW] {
            let (tx, mut rx) = tokio::sync::oneshot::channel();
            tokio::spawn(async move {
                let began = Instant::now();
                while began.elapsed() < delay {
                    yield_now().await;
                }
                let _ = tx.send("found");
            });
            let mut first = true;
            let found = wait(true, 1, For::Answer, |cx, moved| {
                moved.wrote = usize::from(std::mem::take(&mut first));
                std::pin::Pin::new(&mut rx).poll(cx)
            });
            assert_eq!(found.await, Ok("found"));
        }
    }
}
