//! Wall-clock time as RFC 3339 text.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::json::pair;

/// How long the wall clock is reckoned from its last reading. Setting the clock, or waking from
/// sleep, shows in the lines by this much later.
const READING_HOLDS: Duration = Duration::from_millis(10);

/// The wall clock: read seldom, and reckoned in between from instants that are known anyway.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    /// When it was read last, and what it said.
    read: Option<(Instant, u64)>,
}

impl WallClock {
    /// The wall-clock time at `at`, which was just now, in microseconds since 1970; a time before
    /// that is 0.
    pub(crate) fn at(&mut self, at: Instant) -> u64 {
        if let Some((read_at, time)) = self.read
            && let Some(since) = at.checked_duration_since(read_at)
            && since < READING_HOLDS
        {
            return time + u64::from(since.subsec_micros());
        }
        let time = now();
        self.read = Some((at, time));
        time
    }
}

fn now() -> u64 {
    micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// Whole microseconds, as many as there is room for.
pub(crate) fn micros(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000);
    seconds.saturating_add(duration.subsec_micros().into())
}

/// Writes `2026-01-31T23:59:59.123456Z`; keeps the text of the second last written.
#[derive(Debug)]
pub(crate) struct Clock {
    second: u64,
    text: [u8; 27],
}

impl Default for Clock {
    fn default() -> Self {
        Clock { second: 0, text: *b"1970-01-01T00:00:00.000000Z" }
    }
}

impl Clock {
    /// The text of so many microseconds since 1970; of a time after 9999, the end of 9999.
    pub(crate) fn text(&mut self, time: u64) -> &[u8; 27] {
        const LAST_SECOND: u64 = 253_402_300_799;
        let second = (time / 1_000_000).min(LAST_SECOND);
        if second != self.second {
            self.second = second;
            self.text[..19].copy_from_slice(&text(second));
        }
        let micros = (time % 1_000_000) as u32;
        self.text[20..22].copy_from_slice(&pair(micros / 10_000));
        self.text[22..24].copy_from_slice(&pair(micros / 100 % 100));
        self.text[24..26].copy_from_slice(&pair(micros % 100));
        &self.text
    }
}

fn text(second: u64) -> [u8; 19] {
    let (days, in_day) = (second / 86_400, (second % 86_400) as u32);
    let (year, month, day) = date(days as u32);
    let mut text = *b"0000-00-00T00:00:00";
    digits(&mut text[0..4], year);
    digits(&mut text[5..7], month);
    digits(&mut text[8..10], day);
    digits(&mut text[11..13], in_day / 3600);
    digits(&mut text[14..16], in_day / 60 % 60);
    digits(&mut text[17..19], in_day % 60);
    text
}

/// Year, month and day of the `days`th day after 1970-01-01.
///
/// Years are counted from March, so that the leap day is a year's last; 400 years are 146,097 days.
fn date(days: u32) -> (u32, u32, u32) {
    const DAYS_FROM_0000_03_01_TO_1970: u32 = 719_468;
    let days = days + DAYS_FROM_0000_03_01_TO_1970;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u32::from(month <= 2), month, day)
}

fn digits(out: &mut [u8], mut value: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, micros: u32) -> String {
        let time = seconds * 1_000_000 + u64::from(micros);
        String::from_utf8(Clock::default().text(time).to_vec()).unwrap()
    }

    #[test]
    fn known_times_are_written_as_rfc_3339() {
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(at(951_782_399, 1), "2000-02-28T23:59:59.000001Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000000Z");
        assert_eq!(at(1_709_251_199, 999_999), "2024-02-29T23:59:59.999999Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000000Z");
        assert_eq!(at(253_402_300_799, 0), "9999-12-31T23:59:59.000000Z");
        assert_eq!(at(253_402_300_800, 0), "9999-12-31T23:59:59.000000Z");
    }

    #[test]
    fn every_day_until_2400_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..157_054 {
            assert_eq!(date(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u32::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn a_clock_that_goes_back_is_followed() {
        let mut clock = Clock::default();
        clock.text(100_000_000);
        let text = clock.text(5_000_000);
        assert_eq!(text, b"1970-01-01T00:00:05.000000Z");
    }

    #[test]
    fn the_wall_clock_is_reckoned_for_a_while_and_then_read_again() {
        let mut clock = WallClock::default();
        let start = Instant::now();
        let before = now();
        let first = clock.at(start);
        assert!(first >= before);
        let soon = READING_HOLDS - Duration::from_micros(1);
        assert_eq!(clock.at(start + soon), first + 9_999);
        // A reading of the clock itself, which has not moved on by as much as was said.
        let later = clock.at(start + READING_HOLDS);
        assert!(later >= first && later <= now());
        // What was before the last reading is not reckoned from it.
        let back = clock.at(start);
        assert!(back >= later && back <= now());
    }
}
