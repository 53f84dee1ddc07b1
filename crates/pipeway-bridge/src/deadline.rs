//! One timer for a session, moved as seldom as possible.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The moment by which something must have happened.
///
/// Moving it later costs nothing: the timer stays where it is, and looks again when it fires.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Sets it to `timeout` from now; `None` takes it away. A duration beyond what the clock can tell
    /// is no limit.
    pub(crate) fn set(&mut self, timeout: Option<Duration>) {
        self.at = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    }

    /// As [`set`](Self::set), from `start`, which somebody has read from the clock.
    pub(crate) fn set_from(&mut self, start: Instant, timeout: Option<Duration>) {
        self.at = timeout.and_then(|timeout| start.checked_add(timeout));
    }

    /// Ready once it has passed.
    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.at {
            Some(at) => self.poll_at(cx, at),
            None => Poll::Pending,
        }
    }

    fn poll_at(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        loop {
            std::task::ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn passes_after(deadline: &mut Deadline) -> Duration {
        let start = Instant::now();
        std::future::poll_fn(|cx| deadline.poll(cx)).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moves_both_ways() {
        let mut deadline = Deadline::default();
        for seconds in [10, 3, 30, 30, 1] {
            deadline.set(Some(Duration::from_secs(seconds)));
            assert_eq!(passes_after(&mut deadline).await.as_secs(), seconds);
        }
        deadline.set(Some(Duration::MAX));
        assert!(
            tokio::time::timeout(Duration::from_secs(1 << 20), passes_after(&mut deadline))
                .await
                .is_err()
        );
    }
}
