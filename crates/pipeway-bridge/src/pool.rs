//! Connections to the upstream that sessions have left, for sessions to come.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pipeway_transport::Probe;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::conn::Conn;

/// The most that wait at once: one more takes the place of the oldest.
const IDLE_MAX: usize = 16;

/// How long a connection must stay open before others are taken from here. A service that says
/// that it keeps a connection, and closes it after its answer all the same, has done so by then.
const TRIAL: Duration = Duration::from_millis(100);

/// Idle connections to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    /// How long one may wait; zero: none is kept.
    patience: Duration,
    /// Whether the upstream has shown that it keeps connections.
    is_trusted: AtomicBool,
    state: Mutex<State>,
    /// Told when one comes and nobody sees to it that it goes in time.
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they were left.
    idle: VecDeque<Idle>,
    /// One that nobody takes, left at that moment, while the upstream is not trusted.
    on_trial: Option<Idle>,
    is_watched: bool,
    is_closed: bool,
}

#[derive(Debug)]
struct Idle {
    conn: Conn,
    /// When it was last used.
    since: Instant,
}

impl Pool {
    /// A pool whose connections may wait for `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        Pool {
            patience,
            is_trusted: AtomicBool::new(false),
            state: Mutex::default(),
            filled: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The upstream has served a second request on a connection.
    pub(crate) fn vouch(&self) {
        if !self.is_trusted.load(Ordering::Relaxed) {
            self.is_trusted.store(true, Ordering::Relaxed);
        }
    }

    /// Leaves a connection, last used at `since`, whose last exchange is complete.
    pub(crate) fn leave(&self, conn: Conn, since: Instant) {
        if conn.ended || !conn.input.is_empty() || since.elapsed() >= self.patience {
            return;
        }
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        if !self.is_trusted.load(Ordering::Relaxed) {
            if state.on_trial.is_some() {
                return;
            }
            state.on_trial = Some(Idle { conn, since: Instant::now() });
        } else {
            if state.idle.len() == IDLE_MAX {
                state.idle.pop_front();
            }
            state.idle.push_back(Idle { conn, since });
        }
        if !state.is_watched {
            state.is_watched = true;
            self.filled.notify_one();
        }
    }

    /// The connection that was left last, if the upstream has neither closed it nor sent what
    /// nobody asked for. Each is looked at with a system call: the runtime may not have heard yet.
    pub(crate) fn take(&self) -> Option<Conn> {
        loop {
            let Idle { conn, since } = self.state().idle.pop_back()?;
            if since.elapsed() >= self.patience {
                continue;
            }
            if conn.stream.probe() == Probe::Quiet {
                return Some(conn);
            }
            self.is_trusted.store(false, Ordering::Relaxed);
        }
    }

    /// Closes the oldest. A new connection is to be made instead, and the upstream may serve but
    /// so many at once.
    pub(crate) fn make_way(&self) {
        self.state().idle.pop_front();
    }

    /// Closes all, and whatever is left from here on.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.idle.clear();
        state.on_trial = None;
    }

    /// Closes those whose time is over, for ever. Cancel safe.
    pub(crate) async fn watch(&self) -> std::convert::Infallible {
        loop {
            match self.next_end() {
                Some(at) => sleep_until(at).await,
                None => self.filled.notified().await,
            }
        }
    }

    /// Closes those whose time is over; when the next one's is.
    fn next_end(&self) -> Option<Instant> {
        let mut state = self.state();
        state.idle.retain(|idle| idle.since.elapsed() < self.patience);
        if let Some(trial) = state.on_trial.take_if(|trial| trial.since.elapsed() >= TRIAL)
            && trial.conn.stream.probe() == Probe::Quiet
        {
            self.is_trusted.store(true, Ordering::Relaxed);
        }
        // What the clock can't tell is no limit.
        let end = |since: Instant| {
            since.checked_add(self.patience).unwrap_or_else(|| since + Duration::from_secs(1 << 30))
        };
        let idle = state.idle.iter().map(|idle| end(idle.since));
        let trial = state.on_trial.iter().map(|trial| trial.since + TRIAL);
        let next = idle.chain(trial).min();
        state.is_watched = next.is_some();
        next
    }
}
