//! Pauses between attempts to connect.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use tokio::time::Instant;

/// The first pause at its longest.
const FIRST: Duration = Duration::from_millis(20);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(1);

/// Pauses that grow, each of a random length, inside a limit.
pub(super) struct Patience {
    deadline: Option<Instant>,
    ceiling: Duration,
}

impl Patience {
    /// Patience from now on; without an end where there is no limit.
    pub(super) fn new(limit: Option<Duration>) -> Self {
        Patience { deadline: limit.map(|limit| Instant::now() + limit), ceiling: FIRST }
    }

    /// What is left of the limit.
    pub(super) fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits a while; `false` where the limit is reached.
    pub(super) async fn pause(&mut self) -> bool {
        if self.left() == Some(Duration::ZERO) {
            return false;
        }
        // Random, so that many clients don't come back at the same moment.
        let random = std::hash::RandomState::new().build_hasher().finish();
        let pause = self.ceiling.mul_f64(0.5 + (random % 1024) as f64 / 2048.0);
        self.ceiling = (self.ceiling * 2).min(LONGEST);
        let until = Instant::now() + pause;
        tokio::time::sleep_until(self.deadline.map_or(until, |deadline| deadline.min(until))).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_and_end_with_the_limit() {
        let begin = Instant::now();
        let mut patience = Patience::new(Some(Duration::from_secs(10)));
        let mut pauses = 0;
        while patience.pause().await {
            pauses += 1;
        }
        // The timer of the runtime has milliseconds.
        let took = begin.elapsed();
        assert!((10_000..10_010).contains(&took.as_millis()), "{took:?}");
        assert!((14..=32).contains(&pauses), "{pauses}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_it_never_ends() {
        let mut patience = Patience::new(None);
        for _ in 0..1_000 {
            assert!(patience.pause().await);
        }
    }
}
