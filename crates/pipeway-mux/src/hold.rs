//! Whether output that may wait is held back for more.

use std::time::{Duration, Instant};

/// How long is waited for more.
const WINDOW: Duration = Duration::from_micros(60);

/// After how many vain times in a row the pause between two tries grows no more: 2 to the power of
/// this, less one, is how many times nothing is waited for then.
const VAIN_MAX: u32 = 7;

/// Decides how long a driver holds back what may wait.
///
/// To send is a call of the system's, and the other end is woken for it. What answers a frame and what
/// follows within a moment go together instead: all that the tasks of this thread do next, and, where
/// that has turned out well, what comes from elsewhere within [`WINDOW`]. Where it was in vain it is
/// tried more and more seldom.
#[derive(Debug, Default)]
pub(crate) struct Hold {
    state: State,
    vain: u32,
    passing: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Nothing is held back.
    #[default]
    None,
    /// The tasks that are ready have their turn.
    Turn,
    /// More may come from elsewhere.
    Until(Instant),
}

impl Hold {
    /// There is something that may wait. Whether it is to wait for another turn.
    pub(crate) fn again(&mut self, looks: bool, now: impl FnOnce() -> Instant) -> bool {
        match self.state {
            State::None => {
                self.state = State::Turn;
                true
            }
            State::Turn if looks && self.passing == 0 => {
                self.state = State::Until(now() + WINDOW);
                true
            }
            State::Turn => {
                self.passing = self.passing.saturating_sub(1);
                self.state = State::None;
                false
            }
            State::Until(until) if now() < until => true,
            State::Until(_) => {
                self.vain = (self.vain + 1).min(VAIN_MAX);
                self.passing = (1 << self.vain) - 1;
                self.state = State::None;
                false
            }
        }
    }

    /// What was held back goes out with more.
    pub(crate) fn is_joined(&mut self) {
        if let State::Until(_) = self.state {
            (self.vain, self.passing) = (0, 0);
        }
        self.state = State::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_wait_waits_a_turn_and_then_for_what_is_worth_it() {
        let (mut hold, start) = (Hold::default(), Instant::now());
        let at = |micros| move || start + Duration::from_micros(micros);
        for _ in 0..1000 {
            assert!(hold.again(true, at(0)));
            assert!(hold.again(true, at(0)));
            assert!(hold.again(true, at(59)));
            hold.is_joined();
        }
        let mut waited = 0;
        for _ in 0..1000 {
            assert!(hold.again(true, at(0)));
            if hold.again(true, at(0)) {
                waited += 1;
                assert!(!hold.again(true, at(60)));
            }
        }
        assert!((8..24).contains(&waited), "{waited}");
    }

    #[test]
    fn where_nothing_is_looked_for_it_waits_a_turn_and_reads_no_clock() {
        let mut hold = Hold::default();
        for _ in 0..3 {
            assert!(hold.again(false, || unreachable!()));
            assert!(!hold.again(false, || unreachable!()));
            assert!(hold.again(false, || unreachable!()));
            hold.is_joined();
        }
    }
}
