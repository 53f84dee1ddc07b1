//! Pauses between attempts to connect.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Growing pauses with jitter, inside a deadline.
pub(crate) struct Backoff {
    ceiling: Duration,
    seed: u64,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        let seed = std::hash::RandomState::new().build_hasher().finish();
        // xorshift never leaves zero.
        Backoff { ceiling: Duration::from_millis(2), seed: seed | 1 }
    }

    /// Waits; `false` where the deadline has passed.
    pub(crate) async fn wait(&mut self, deadline: Instant) -> bool {
        let now = Instant::now();
        if now >= deadline {
            return false;
        }
        // xorshift64: only to keep many clients from coming back at the same moment.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        let pause = self.ceiling.mul_f64(0.5 + (self.seed % 1024) as f64 / 2048.0);
        self.ceiling = (self.ceiling * 2).min(Duration::from_millis(100));
        sleep_until((now + pause).min(deadline)).await;
        true
    }
}
