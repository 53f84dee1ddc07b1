//! What is known beyond the events.

use std::time::Instant;

use crate::Event;
use crate::clock::WallClock;
use crate::record::Told;
use crate::repeats::{Repeats, Verdict};

/// What is known beyond the events: the time, what was left out, and what was lost.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    wall: WallClock,
    repeats: Repeats,
    /// Events for which there was no room.
    dropped: u64,
    /// The number of lost events that a line last told.
    lost_told: u64,
}

/// Where events go next.
pub(crate) trait Take {
    /// Takes an event; `false` where there is no room for it.
    fn take(&mut self, event: &Event<'_>, told: &Told) -> bool;

    /// How many of those that it took were lost since.
    fn lost(&self) -> u64;
}

impl Telling {
    /// Hands on `event`, if it is not one of many.
    #[inline]
    pub(crate) fn emit(&mut self, to: &mut impl Take, event: &Event<'_>) {
        let mut repeated = 0;
        if Repeats::concern(event.kind) {
            let (verdict, forgotten) = self.repeats.admit(event, Instant::now());
            self.dropped += forgotten;
            match verdict {
                Verdict::Tell { repeated: left_out } => repeated = left_out,
                Verdict::LeaveOut => return,
            }
        }
        self.tell(to, event, repeated);
    }

    /// Hands on what was counted and not told.
    pub(crate) fn settle(&mut self, to: &mut impl Take) {
        let mut repeats = std::mem::take(&mut self.repeats);
        repeats.settle(|event, repeated| self.tell(to, event, repeated));
        self.repeats = repeats;
    }

    /// How many events were dropped or lost.
    pub(crate) fn lost(&self, to: &impl Take) -> u64 {
        self.dropped + to.lost()
    }

    #[inline]
    fn tell(&mut self, to: &mut impl Take, event: &Event<'_>, repeated: u64) {
        // Counted from the start: if the line that tells it is lost itself, the number has grown
        // and the next line tells it.
        let lost = self.lost(to);
        let told = Told {
            time: self.wall.at(event.at.unwrap_or_else(Instant::now)),
            repeated,
            dropped: (lost != self.lost_told).then_some(lost),
        };
        if to.take(event, &told) {
            self.lost_told = lost;
        } else {
            // Those that were left out before this line are dropped with it.
            self.dropped += 1 + repeated;
        }
    }
}
