//! What happens because time passes.

use std::time::Instant;

use super::timers::Due;
use super::{Call, Connection};
use crate::error::ErrorKind;

impl Connection {
    /// When [`tick`](Self::tick) is to be called next; `None`: whenever something else happens.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next().into_iter().chain(self.write_due).min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        while let Some(due) = self.timers.take(now) {
            self.is_due(due, now);
        }
        if self.write_due.is_some_and(|due| due <= now) {
            let why = "the other end took nothing while something waited to be sent";
            self.fail(ErrorKind::WriteStalled, why);
        }
        self.watch_writing(now);
    }

    fn is_due(&mut self, due: Due, now: Instant) {
        match due {
            Due::Parked(key) | Due::EmptyStream(key) => self.hand_over(key, now),
            Due::Call(id) => {
                self.end_call(&id, ErrorKind::ResponseTimedOut, "no response came in time");
                self.timeouts_in_silence = self.timeouts_in_silence.saturating_add(1);
                self.look_for_silence(now);
            }
            Due::Frame => {
                self.fail(ErrorKind::FrameTimedOut, "a frame was begun and not brought to its end");
            }
            Due::Trailing => self.trailing_is_due(now),
            Due::Watchdog => {
                self.watchdog_timer = None;
                self.look_for_silence(now);
                self.watch(now);
            }
        }
    }

    /// Ends the session if the other end is silent though it is waited for.
    fn look_for_silence(&mut self, now: Instant) {
        let Some(watchdog) = self.limits.watchdog else { return };
        let is_long_ago = |instant| now.saturating_duration_since(instant) >= watchdog.silence;
        let waits_long = |call: &Call| is_long_ago(call.started);
        if is_long_ago(self.last_frame)
            && (self.timeouts_in_silence > 0 || self.calls.values().any(waits_long))
        {
            self.fail(ErrorKind::Silent, "the other end is silent, and calls have waited for it");
        }
    }

    /// Sees to it that the watchdog looks while there is a reason to.
    pub(super) fn watch(&mut self, now: Instant) {
        let has_reason = !self.calls.is_empty() || self.timeouts_in_silence > 0;
        if let (Some(watchdog), None, true, None) =
            (self.limits.watchdog, self.watchdog_timer, has_reason, &self.ended)
        {
            self.watchdog_timer = self.timers.set(now, watchdog.period, Due::Watchdog);
        }
    }

    /// Sees to it that what waits to be sent is taken.
    pub(super) fn watch_writing(&mut self, now: Instant) {
        if self.ended.is_some() || self.outbox.is_idle() {
            self.write_due = None;
        } else if self.write_due.is_none() {
            self.write_due = now.checked_add(self.limits.write_timeout);
        }
    }
}
