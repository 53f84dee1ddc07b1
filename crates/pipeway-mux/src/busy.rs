//! Whether to look again for input before a thread sleeps.

use std::time::{Duration, Instant};

/// A turn that moved more is no part of a conversation, in bytes: a large transfer keeps its thread
/// awake by itself.
const SMALL: usize = 4096;

/// After how many vain times in a row the pause between two tries grows no more: 2 to the power of
/// this, less one, is how many small turns are then passed over.
const VAIN_MAX: u32 = 7;

/// An answer that comes sooner came from this thread, without any looking: no other process is as
/// quick.
const QUICK: Duration = Duration::from_nanos(2500);

/// After how many quick answers in a row nothing is looked for.
const QUICK_MAX: u32 = 4;

/// For how many small turns that is then: an end that is of this thread stays so, and where the system
/// is asked in vain more than once in a hundred exchanges, the slowest of those tell.
const QUICK_PASSING: u32 = 4095;

/// A look that took longer after the processor was given up: somebody else had it.
const SHARED: Duration = Duration::from_micros(5);

/// How many looks follow each other where nobody else wanted the processor: to give it up takes half as
/// long as a look.
const LOOKS: u32 = 4;

/// Decides when a connection's task keeps looking for input instead of letting its thread sleep.
///
/// Waking a processor that sleeps costs more than a short conversation's own work. So after a small
/// turn the task looks again for a moment; where that was in vain, since the answer takes longer or
/// the processor is needed by who is to answer, it is tried more and more seldom.
#[derive(Debug)]
pub(crate) struct BusyPoll {
    window: Duration,
    until: Option<Instant>,
    vain: u32,
    quick: u32,
    passing: u32,
    /// Whether the processor is given up before the next look, and when it was for this one.
    gives_way: bool,
    gave_way_at: Option<Instant>,
    /// Looks before it is given up again.
    looks: u32,
}

impl BusyPoll {
    /// Whether anything is ever looked for.
    pub(crate) fn is_on(&self) -> bool {
        !self.window.is_zero()
    }

    /// Looks for `window` at the most; zero is never.
    pub(crate) fn new(window: Duration) -> Self {
        BusyPoll {
            window,
            until: None,
            vain: 0,
            quick: 0,
            passing: 0,
            gives_way: false,
            gave_way_at: None,
            looks: 0,
        }
    }

    /// Whether to look again, after a turn that has read and written so many bytes and has found
    /// nothing more to do.
    pub(crate) fn again(
        &mut self,
        read: usize,
        wrote: usize,
        now: impl FnOnce() -> Instant,
    ) -> bool {
        let idle = read == 0 && wrote == 0;
        if self.window.is_zero() || (idle && self.until.is_none()) {
            return false;
        }
        if self.until.is_none() && self.passing > 0 {
            self.passing -= u32::from(read + wrote <= SMALL);
            return false;
        }
        let now = now();
        if let Some(until) = self.until {
            if now >= until {
                self.until = None;
                self.vain = (self.vain + 1).min(VAIN_MAX);
                self.passing = (1 << self.vain) - 1;
            } else if read > 0 {
                self.vain = 0;
                self.passing = 0;
                if now + self.window < until + QUICK {
                    self.quick += 1;
                } else {
                    self.quick = 0;
                }
                if self.quick == QUICK_MAX {
                    self.quick = 0;
                    self.passing = QUICK_PASSING;
                }
            }
        }
        self.share(idle && self.until.is_some(), now);
        if !idle {
            self.until = None;
            if read + wrote <= SMALL {
                if self.passing == 0 {
                    self.until = Some(now + self.window);
                } else {
                    self.passing -= 1;
                }
            }
        }
        self.until.is_some()
    }

    /// Whether the thread is to give up its processor ([`yield_now`](std::thread::yield_now)) before
    /// the next look: who is to answer may need that one.
    pub(crate) fn gives_way(&self) -> bool {
        self.gives_way
    }

    /// Decides that, after another look in vain if `looked`.
    fn share(&mut self, looked: bool, now: Instant) {
        if let Some(at) = self.gave_way_at.take() {
            self.looks = if now - at > SHARED { 0 } else { LOOKS };
        }
        self.gives_way = looked && self.looks == 0;
        if self.gives_way {
            self.gave_way_at = Some(now);
        } else {
            self.looks = self.looks.saturating_sub(u32::from(looked));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_micros(20);

    struct Clock(Instant);

    impl Clock {
        fn after(&mut self, micros: u64) -> impl FnOnce() -> Instant + use<> {
            self.0 += Duration::from_micros(micros);
            let now = self.0;
            move || now
        }
    }

    #[test]
    fn a_conversation_of_small_turns_never_sleeps() {
        let (mut busy, mut clock) = (BusyPoll::new(WINDOW), Clock(Instant::now()));
        for _ in 0..1000 {
            assert!(busy.again(0, 10, clock.after(1)));
            assert!(busy.again(0, 0, clock.after(5)));
            assert!(busy.again(10, 0, clock.after(5)));
        }
    }

    /// Before which looks the processor is given up, of the first three times, where a look after that
    /// takes so many microseconds.
    fn given_up(micros: u64) -> Vec<usize> {
        let (mut busy, mut clock) = (BusyPoll::new(WINDOW), Clock(Instant::now()));
        assert!(busy.again(0, 10, clock.after(1)) && !busy.gives_way());
        let mut given_up = Vec::new();
        let mut after = 0;
        for look in 1.. {
            assert!(busy.again(0, 0, clock.after(after)));
            after = 0;
            if busy.gives_way() {
                after = micros;
                given_up.push(look);
            }
            if given_up.len() == 3 {
                break;
            }
        }
        assert!(busy.again(10, 10, clock.after(0)) && !busy.gives_way());
        given_up
    }

    #[test]
    fn the_processor_is_given_up_more_often_where_somebody_wants_it() {
        assert_eq!(given_up(5), [1, 6, 11]);
        assert_eq!(given_up(6), [1, 2, 3]);
    }

    #[test]
    fn nothing_is_looked_for_while_nothing_moves() {
        let (mut busy, mut clock) = (BusyPoll::new(WINDOW), Clock(Instant::now()));
        assert!(!busy.again(0, 0, clock.after(1)));
        assert!(busy.again(1, 0, clock.after(1)));
        assert!(!busy.again(0, 0, clock.after(20)));
        assert!(!busy.again(0, 0, clock.after(1)));
    }

    #[test]
    fn what_is_in_vain_is_tried_ever_more_seldom() {
        let (mut busy, mut clock) = (BusyPoll::new(WINDOW), Clock(Instant::now()));
        let mut tries = 0;
        for _ in 0..10_000 {
            if busy.again(0, 10, clock.after(1000)) {
                tries += 1;
                assert!(!busy.again(0, 0, clock.after(20)));
            }
        }
        assert!((10_000 / 128..10_000 / 128 + 10).contains(&tries), "{tries}");
        // And as soon as it is worth it, always.
        while !busy.again(0, 10, clock.after(1000)) {}
        for _ in 0..100 {
            assert!(busy.again(10, 0, clock.after(5)));
            assert!(busy.again(0, 10, clock.after(5)));
        }
    }

    #[test]
    fn an_answer_that_came_too_late_was_waited_for_in_vain() {
        let (mut busy, mut clock) = (BusyPoll::new(WINDOW), Clock(Instant::now()));
        assert!(busy.again(0, 10, clock.after(1)));
        assert!(!busy.again(10, 0, clock.after(30)));
    }

    #[test]
    fn answers_of_this_very_thread_are_not_looked_for() {
        let (mut busy, mut clock) = (BusyPoll::new(WINDOW), Clock(Instant::now()));
        let mut looked = 0;
        for _ in 0..100_000 {
            looked += u32::from(busy.again(0, 10, clock.after(1)));
            looked += u32::from(busy.again(10, 0, clock.after(1)));
        }
        assert!((100..1000).contains(&looked), "{looked}");
    }

    #[test]
    fn a_large_turn_and_a_window_of_zero_sleep_at_once() {
        let (mut busy, mut clock) = (BusyPoll::new(WINDOW), Clock(Instant::now()));
        assert!(!busy.again(0, SMALL + 1, clock.after(1)));
        let mut never = BusyPoll::new(Duration::ZERO);
        assert!(!never.again(0, 10, || unreachable!("the clock is not asked")));
    }
}
