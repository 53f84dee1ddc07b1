//! How many of something this process has at once.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A count with a bound, for a `static`.
#[derive(Debug)]
pub(crate) struct Count(AtomicUsize);

/// One that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(&'static Count);

impl Count {
    pub(crate) const fn new() -> Self {
        Count(AtomicUsize::new(0))
    }

    /// One more, unless there are `max`.
    pub(crate) fn take(&'static self, max: usize) -> Option<Counted> {
        // It is given back on drop, also where there was no room.
        let counted = Counted(self);
        (self.0.fetch_add(1, Ordering::Relaxed) < max).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_and_one_that_is_dropped_makes_room() {
        static COUNT: Count = Count::new();
        let (first, second) = (COUNT.take(2), COUNT.take(2));
        assert!(first.is_some() && second.is_some());
        assert!(COUNT.take(2).is_none() && COUNT.take(2).is_none());
        drop(first);
        let third = COUNT.take(2);
        assert!(third.is_some() && COUNT.take(2).is_none());
    }
}
