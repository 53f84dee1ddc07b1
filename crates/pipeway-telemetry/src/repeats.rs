//! Identical errors are counted, not repeated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Event, EventKind, Fault, Route, Side};

/// One line in this time for each bridge, kind and error.
const INTERVAL: Duration = Duration::from_secs(1);

/// More than a configuration has bridges times errors that accepting can meet.
const MAX_ENTRIES: usize = 64;

/// What was told lately, and how often it happened since.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    route: Arc<Route>,
    kind: EventKind,
    error: String,
    side: Option<Side>,
    told: Instant,
    left_out: u64,
}

/// What to do with an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Write it; so many identical ones were left out before.
    Tell { repeated: u64 },
    /// It was counted.
    LeaveOut,
}

impl Repeats {
    /// Whether events of this kind are counted at all: an error without a session has no bound
    /// of its own, every other event belongs to something that a client did.
    pub(crate) fn concern(kind: EventKind) -> bool {
        kind == EventKind::AcceptError
    }

    /// Judges `event`. Also returns how many left-out events were forgotten to make room.
    pub(crate) fn admit(&mut self, event: &Event<'_>, now: Instant) -> (Verdict, u64) {
        let error = event.error.map_or("", |fault| fault.kind);
        let known = self.entries.iter_mut().find(|entry| {
            entry.kind == event.kind
                && entry.route.bridge() == event.route.bridge()
                && entry.error == error
        });
        if let Some(entry) = known {
            if now.saturating_duration_since(entry.told) < INTERVAL {
                entry.left_out += 1;
                return (Verdict::LeaveOut, 0);
            }
            entry.told = now;
            return (Verdict::Tell { repeated: std::mem::take(&mut entry.left_out) }, 0);
        }
        let mut forgotten = 0;
        if self.entries.len() == MAX_ENTRIES {
            let oldest = (0..MAX_ENTRIES).min_by_key(|&at| self.entries[at].told);
            forgotten = self.entries.swap_remove(oldest.expect("there are entries")).left_out;
        }
        self.entries.push(Entry {
            route: Arc::clone(event.route),
            kind: event.kind,
            error: error.to_owned(),
            side: event.error.map(|fault| fault.side),
            told: now,
            left_out: 0,
        });
        (Verdict::Tell { repeated: 0 }, forgotten)
    }

    /// Hands every count that no line has told yet to `tell`, as the last of the events that were
    /// left out and the number of those before it.
    pub(crate) fn settle(&mut self, mut tell: impl FnMut(&Event<'_>, u64)) {
        for entry in &mut self.entries {
            let left_out = std::mem::take(&mut entry.left_out);
            if left_out > 0 {
                let mut event = Event::new(entry.kind, &entry.route);
                event.error = entry.side.map(|side| Fault { kind: &entry.error, side });
                tell(&event, left_out - 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hops;

    fn route(bridge: &str) -> Arc<Route> {
        Arc::new(Route::new(bridge, Hops::default()))
    }

    fn failure<'a>(route: &'a Arc<Route>, kind: &'a str) -> Event<'a> {
        let mut event = Event::new(EventKind::AcceptError, route);
        event.error = Some(Fault { kind, side: Side::Bridge });
        event
    }

    #[test]
    fn identical_errors_within_a_second_are_counted() {
        let mut repeats = Repeats::default();
        let start = Instant::now();
        let a = route("a");
        let event = failure(&a, "too_many_files");
        assert_eq!(repeats.admit(&event, start), (Verdict::Tell { repeated: 0 }, 0));
        for millis in [1, 500, 999] {
            let now = start + Duration::from_millis(millis);
            assert_eq!(repeats.admit(&event, now), (Verdict::LeaveOut, 0));
        }
        let now = start + Duration::from_secs(1);
        assert_eq!(repeats.admit(&event, now), (Verdict::Tell { repeated: 3 }, 0));
        let now = start + Duration::from_secs(9);
        assert_eq!(repeats.admit(&event, now), (Verdict::Tell { repeated: 0 }, 0));
    }

    #[test]
    fn other_bridges_and_other_errors_are_told() {
        let mut repeats = Repeats::default();
        let now = Instant::now();
        let [a, b] = ["a", "b"].map(route);
        for event in [failure(&a, "x"), failure(&b, "x"), failure(&a, "y")] {
            assert_eq!(repeats.admit(&event, now), (Verdict::Tell { repeated: 0 }, 0));
        }
    }

    #[test]
    fn what_was_left_out_is_settled_once() {
        let mut repeats = Repeats::default();
        let now = Instant::now();
        let a = route("a");
        for _ in 0..4 {
            repeats.admit(&failure(&a, "x"), now);
        }
        let mut told = Vec::new();
        for _ in 0..2 {
            repeats.settle(|event, repeated| told.push((Arc::clone(event.route), repeated)));
        }
        assert!(matches!(told.as_slice(), [(told, 2)] if Arc::ptr_eq(told, &a)));
    }

    #[test]
    fn the_number_of_entries_is_bounded_and_what_is_forgotten_is_counted() {
        let mut repeats = Repeats::default();
        let now = Instant::now();
        let a = route("a");
        repeats.admit(&failure(&a, "first"), now);
        repeats.admit(&failure(&a, "first"), now);
        let later = now + Duration::from_millis(1);
        let mut forgotten = 0;
        for number in 0..1000 {
            let route = route(&number.to_string());
            forgotten += repeats.admit(&failure(&route, "x"), later).1;
        }
        assert_eq!(repeats.entries.len(), MAX_ENTRIES);
        assert_eq!(forgotten, 1);
    }
}
