//! How much content may be on its way: the arithmetic of flow control, of versions 2 and 3.

use crate::options::CONTENT_MAX;

/// The least window at which an acknowledgement is held back, in bytes.
const ACKNOWLEDGE_MIN: u64 = CONTENT_MAX as u64;

/// A refusal to grow makes the next request later, up to this power of two.
const REFUSALS_MAX: u32 = 10;

/// The other end's window, into which this end sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow {
    window: u64,
    outstanding: u64,
    stalls: u32,
    refusals: u32,
    requested: bool,
}

impl SendWindow {
    pub(super) const fn new(window: u64) -> Self {
        SendWindow { window, outstanding: 0, stalls: 0, refusals: 0, requested: false }
    }

    /// Version 1 has none.
    pub(super) const UNLIMITED: Self = SendWindow::new(u64::MAX);

    /// None while more is outstanding than the window holds: content may have been sent before the
    /// window was known.
    pub(super) fn room(&self) -> u64 {
        self.window.saturating_sub(self.outstanding)
    }

    /// The other end has accepted, and tells its window.
    pub(super) fn open(&mut self, window: u64) {
        self.window = window;
        if window == u64::MAX {
            self.outstanding = 0;
        }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        if self.window != u64::MAX {
            self.outstanding += bytes as u64;
        }
    }

    /// Takes an acknowledgement; `false` if it is for more than was sent.
    #[must_use]
    pub(super) fn acknowledged(&mut self, bytes: u64) -> bool {
        let sound = bytes <= self.outstanding;
        if sound {
            self.outstanding -= bytes;
        }
        sound
    }

    /// There is content to be sent and no room for it: whether to ask for a larger window now.
    pub(super) fn stall(&mut self) -> bool {
        if self.requested || self.window == u64::MAX {
            return false;
        }
        self.stalls += 1;
        if self.stalls < 1 << self.refusals {
            return false;
        }
        self.stalls = 0;
        self.requested = true;
        true
    }

    /// Takes the other end's word on the window. A window never shrinks: a smaller one is a
    /// refusal to grow.
    pub(super) fn adjust(&mut self, window: u64) {
        self.requested = false;
        if window > self.window {
            self.window = window;
            self.refusals = 0;
        } else {
            self.refusals = (self.refusals + 1).min(REFUSALS_MAX);
        }
    }
}

/// This end's window, into which the other end sends.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    window: u64,
    /// What the other end may have outstanding at the most; never less than the window.
    allowed: u64,
    /// Received and not acknowledged.
    outstanding: u64,
    /// Read here and not acknowledged.
    unacknowledged: u64,
    /// The other end has asked for more, and was not answered.
    pub(super) growth_wanted: bool,
    /// By how much it has grown.
    grown: u64,
}

impl ReceiveWindow {
    pub(super) const fn new(window: u64) -> Self {
        ReceiveWindow {
            window,
            allowed: window,
            outstanding: 0,
            unacknowledged: 0,
            growth_wanted: false,
            grown: 0,
        }
    }

    /// Version 1 has none.
    pub(super) const UNLIMITED: Self = ReceiveWindow::new(u64::MAX);

    /// Puts up with as much as `bytes` outstanding, whatever the window.
    pub(super) fn allow(mut self, bytes: u64) -> Self {
        self.allowed = self.allowed.max(bytes);
        self
    }

    /// Another window, for a channel whose sender may have sent before it was told.
    pub(super) fn set(&mut self, window: u64) {
        self.window = window;
        self.allowed = window.max(self.outstanding);
    }

    pub(super) fn grown(&self) -> u64 {
        self.grown
    }

    /// A frame with `bytes` of content begins; `false` if it is more than the window.
    #[must_use]
    pub(super) fn receive(&mut self, bytes: u64) -> bool {
        self.outstanding += bytes;
        self.outstanding <= self.allowed
    }

    /// `bytes` were read here: what is to be acknowledged now, or 0.
    pub(super) fn read(&mut self, bytes: u64) -> u64 {
        self.unacknowledged += bytes;
        let threshold = (self.window / 8).max(ACKNOWLEDGE_MIN).min(self.window.div_ceil(2));
        if self.unacknowledged < threshold {
            return 0;
        }
        self.outstanding = self.outstanding.saturating_sub(self.unacknowledged);
        std::mem::take(&mut self.unacknowledged)
    }

    /// Answers a wish to grow: the window that is to be told. `budget` is what all windows may
    /// still grow.
    pub(super) fn grow(&mut self, limit: u64, budget: &mut u64) -> u64 {
        self.growth_wanted = false;
        let wanted = self.window.saturating_mul(4).min(limit);
        let growth = wanted.saturating_sub(self.window);
        if growth > 0 && growth <= *budget {
            *budget -= growth;
            self.grown += growth;
            self.window = wanted;
            self.allowed = self.allowed.max(wanted);
        }
        self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_filled_to_the_last_byte_and_no_further() {
        let mut window = SendWindow::new(30_000);
        window.sent(20_480);
        assert_eq!(window.room(), 9_520);
        window.sent(9_520);
        assert_eq!(window.room(), 0);
        assert!(window.acknowledged(10));
        assert_eq!(window.room(), 10);
        assert!(!window.acknowledged(29_991));
    }

    #[test]
    fn after_refusals_the_wish_to_grow_comes_later_and_later() {
        let mut window = SendWindow::new(10);
        for refusals in 0..12u32 {
            let stalls = 1 << refusals.min(REFUSALS_MAX);
            for stall in 1..stalls {
                assert!(!window.stall(), "{refusals} {stall}");
            }
            assert!(window.stall());
            assert!(!window.stall(), "asked twice");
            window.adjust(10);
        }
        window.adjust(11);
        assert_eq!(window.room(), 11);
        assert!(window.stall());
    }

    #[test]
    fn what_is_unacknowledged_leaves_room_for_half_the_window() {
        for size in [1, 2, 3, 16, 100, 20_479, 20_480, 40_960, 102_400, 1_024_000, 1 << 23] {
            let mut window = ReceiveWindow::new(size);
            assert!(window.receive(size));
            let mut acknowledged = 0;
            for read in 0..size {
                acknowledged += window.read(1);
                assert!(acknowledged <= read + 1);
                assert!(read + 1 - acknowledged < size.div_ceil(2), "{size} {read}");
            }
        }
    }

    #[test]
    fn growth_is_four_times_up_to_the_limit_and_within_the_budget() {
        let mut window = ReceiveWindow::new(100);
        let mut budget = 1_000;
        assert_eq!(window.grow(1_600, &mut budget), 400);
        assert_eq!(budget, 700);
        assert_eq!(window.grow(1_600, &mut budget), 400, "not within the budget");
        budget = 5_000;
        assert_eq!(window.grow(1_500, &mut budget), 1_500);
        assert_eq!(window.grow(1_500, &mut budget), 1_500);
        assert_eq!((budget, window.grown()), (3_900, 1_400));
    }
}
