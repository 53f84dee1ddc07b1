//! Pauses between attempts to bring a link up.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// Pauses that grow, each within a quarter by chance, so that links that were lost together do not
/// come back together.
#[derive(Debug)]
pub(super) struct Pauses {
    first: Duration,
    most: Duration,
    next: Duration,
    seed: u64,
}

impl Pauses {
    pub(super) fn new(first: Duration, most: Duration) -> Self {
        let seed = std::hash::RandomState::new().build_hasher().finish();
        // xorshift never leaves zero.
        Pauses { first, most: most.max(first), next: first, seed: seed | 1 }
    }

    /// Begins anew.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        // xorshift64
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let pause = self.next.mul_f64(0.75 + (self.seed % 1024) as f64 / 2048.0);
        self.next = (self.next * 2).min(self.most);
        pause.min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_most_and_begin_anew() {
        let (first, most) = (Duration::from_millis(200), Duration::from_secs(30));
        let mut pauses = Pauses::new(first, most);
        for _ in 0..2 {
            let mut expected = first;
            for _ in 0..12 {
                let pause = pauses.next();
                assert!(pause >= expected.mul_f64(0.75) && pause <= expected.mul_f64(1.25));
                assert!(pause <= most);
                expected = (expected * 2).min(most);
            }
            pauses.reset();
        }
    }
}
