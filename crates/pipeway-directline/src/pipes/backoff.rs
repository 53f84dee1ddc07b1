//! Pauses between attempts.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Growing pauses, each up to a fifth longer or shorter than its turn, so that many who wait for the
/// same thing do not come back at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    most: Duration,
    random: RandomState,
    turn: u64,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Backoff {
        Backoff { next: first, most, random: RandomState::new(), turn: 0 }
    }

    /// The pause before the next attempt.
    pub(crate) fn pause(&mut self) -> Duration {
        self.turn += 1;
        let fraction = (self.random.hash_one(self.turn) % 1024) as f64 / 1023.0;
        let pause = self.next.mul_f64(0.8 + 0.4 * fraction);
        self.next = (self.next * 2).min(self.most);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_most_and_stay_within_a_fifth() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        for turn in [50, 100, 200, 400, 800, 1000, 1000] {
            let pause = backoff.pause().as_millis();
            assert!((turn * 8 / 10..=turn * 12 / 10).contains(&pause), "{pause} for {turn}");
        }
    }
}
