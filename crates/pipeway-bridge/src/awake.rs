//! What keeps a session's thread awake for an answer that comes soon.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pipeway_transport::BusyPoll;
use tokio::task::yield_now;

use crate::conn::Conn;

/// How long is looked for what comes next before the thread sleeps.
const WINDOW: Duration = Duration::from_micros(200);

/// A turn that moved no more is part of a conversation, in bytes: two heads and short bodies.
const SMALL: usize = 16 * 1024;

thread_local! {
    /// The session that has moved something on this thread last.
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// How a session waits for one of its two sides.
///
/// With one client at a time a bridge sleeps twice in each exchange, and being woken takes longer
/// than all that it does. So a session that moved something looks again before its thread sleeps,
/// for as long as it is the only one on its thread that moves anything: where there are several, one
/// or another has work.
#[derive(Debug)]
pub(crate) struct Awake {
    busy: BusyPoll,
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

impl Default for Awake {
    fn default() -> Self {
        Awake { busy: BusyPoll::new(WINDOW, SMALL) }
    }
}

impl Awake {
    /// Takes turns of `work` until it is done. Each tells what it has moved.
    pub(crate) async fn wait<T>(
        &mut self,
        session: u64,
        mut work: impl FnMut(&mut Context<'_>, &mut Moved) -> Poll<T>,
    ) -> T {
        let mut yielding = pin!(None);
        poll_fn(|cx| {
            let mut moved = Moved::default();
            let polled = work(cx, &mut moved);
            if polled.is_pending() && self.looks_again(session, moved, Instant::now) {
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

    fn looks_again(&mut self, session: u64, moved: Moved, now: impl FnOnce() -> Instant) -> bool {
        let last = if moved.is_nothing() { LAST.get() } else { LAST.replace(session) };
        if last != session {
            self.busy.rest();
            return false;
        }
        self.busy.again(moved.read, moved.wrote, now)
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
        let (mut awake, now) = (Awake::default(), Instant::now());
        // The one before may have been another.
        assert!(!awake.looks_again(1, SENT, || now));
        for _ in 0..100 {
            assert!(awake.looks_again(1, SENT, || now));
            assert!(awake.looks_again(1, NOTHING, || now + WINDOW / 2));
            assert!(awake.looks_again(1, READ, || now + WINDOW / 2));
        }
        assert!(!awake.looks_again(1, NOTHING, || now + 2 * WINDOW));
    }

    #[test]
    fn among_others_nobody_looks_and_no_clock_is_read() {
        let (mut one, mut other) = (Awake::default(), Awake::default());
        for _ in 0..10 {
            assert!(!one.looks_again(1, SENT, || unreachable!("it reads the clock")));
            assert!(!other.looks_again(2, SENT, || unreachable!("it reads the clock")));
            assert!(!one.looks_again(1, NOTHING, || unreachable!("it reads the clock")));
        }
    }

    #[test]
    fn who_looks_stops_when_another_moves() {
        let (mut one, mut other, now) = (Awake::default(), Awake::default(), Instant::now());
        one.looks_again(1, SENT, || now);
        assert!(one.looks_again(1, SENT, || now));
        assert!(!other.looks_again(2, SENT, || now));
        assert!(!one.looks_again(1, NOTHING, || now));
        // And begins anew by itself.
        one.looks_again(1, SENT, || now);
        assert!(one.looks_again(1, SENT, || now));
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
            let mut awake = Awake::default();
            let mut first = true;
            let found = awake.wait(1, |cx, moved| {
                moved.wrote = usize::from(std::mem::take(&mut first));
                std::pin::Pin::new(&mut rx).poll(cx)
            });
            assert_eq!(found.await, Ok("found"));
        }
    }
}
