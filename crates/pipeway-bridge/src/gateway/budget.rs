//! What bounds the memory of bodies that are held outside of the pipes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// How many bytes may be held.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    held: Arc<AtomicUsize>,
    max: usize,
}

/// A share of a budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Budget,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        Budget { held: Arc::default(), max }
    }

    /// Room for so many bytes, if there is.
    pub(super) fn take(&self, bytes: usize) -> Option<Share> {
        let mut share = Share { budget: self.clone(), bytes: 0 };
        share.grow(bytes).then_some(share)
    }
}

impl Share {
    /// Takes so many bytes more; false where there are none.
    fn grow(&mut self, bytes: usize) -> bool {
        let max = self.budget.max;
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= max);
        let held = &self.budget.held;
        let grown = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if grown {
            self.bytes += bytes;
        }
        grown
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Why a body was not had.
#[derive(Debug)]
pub(super) enum NotHad<E> {
    /// It is longer than one may be.
    TooLong,
    /// It is more than the budget has room for.
    NoRoom,
    /// Nothing of it came for too long.
    Idle,
    /// It failed.
    Failed(E),
}

/// A whole body, of no more than `bytes_max`, and its share. `idle` bounds each wait.
pub(super) async fn collect<B>(
    mut body: B,
    budget: &Budget,
    bytes_max: u64,
    idle: Duration,
) -> Result<(Bytes, Share), NotHad<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut share = budget.take(0).ok_or(NotHad::NoRoom)?;
    let told = body.size_hint().lower();
    if told > bytes_max {
        return Err(NotHad::TooLong);
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let frame = timeout(idle, body.frame()).await.map_err(|_| NotHad::Idle)?;
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(NotHad::Failed)?.into_data() else { continue };
        if (first.len() + all.len() + data.len()) as u64 > bytes_max {
            return Err(NotHad::TooLong);
        }
        if !share.grow(data.len()) {
            return Err(NotHad::NoRoom);
        }
        // What comes in one piece is not copied.
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if !first.is_empty() {
            let known = usize::try_from(told).unwrap_or(0).min(1 << 20);
            all.reserve(known.max(first.len() + data.len()));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok((if all.is_empty() { first } else { all.freeze() }, share))
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    const IDLE: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_body_is_had_whole_or_not_at_all() {
        let budget = Budget::new(10);
        let body = || Full::new(Bytes::from_static(b"12345"));
        let (bytes, share) = collect(body(), &budget, 5, IDLE).await.unwrap();
        assert_eq!(bytes, "12345");
        let (_, other) = collect(body(), &budget, 5, IDLE).await.unwrap();
        assert!(matches!(collect(body(), &budget, 5, IDLE).await, Err(NotHad::NoRoom)));
        drop((share, other));
        assert!(matches!(collect(body(), &budget, 4, IDLE).await, Err(NotHad::TooLong)));
        assert!(budget.take(10).is_some(), "nothing of it is held any more");
        assert!(matches!(collect(Never, &budget, 5, IDLE).await, Err(NotHad::Idle)));
    }

    struct Never;

    impl Body for Never {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
}
