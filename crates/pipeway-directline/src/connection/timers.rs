//! What is due when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::id::Id;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A parked request has waited long enough for all its streams.
    Parked(u64),
    /// A parked message has waited long enough for a stream that is to be empty.
    EmptyStream(u64),
    /// A call gets no response in time.
    Call(Id),
    /// A frame is not whole yet.
    Frame,
    /// Nothing followed a short stream, or unframed content stalls.
    Trailing,
    /// The watchdog looks.
    Watchdog,
}

/// A timer that was set.
pub(crate) type TimerKey = (Instant, u64);

/// The timers.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeMap<TimerKey, Due>,
    last: u64,
}

impl Timers {
    /// Sets a timer. One that lies beyond what the clock can tell is never due.
    pub fn set(&mut self, now: Instant, after: Duration, due: Due) -> Option<TimerKey> {
        let at = now.checked_add(after)?;
        self.last += 1;
        self.set.insert((at, self.last), due);
        Some((at, self.last))
    }

    /// Forgets a timer, if it is set.
    pub fn clear(&mut self, key: &mut Option<TimerKey>) {
        if let Some(key) = key.take() {
            self.set.remove(&key);
        }
    }

    /// When the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.set.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next one that is due.
    pub fn take(&mut self, now: Instant) -> Option<Due> {
        let first = self.set.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
