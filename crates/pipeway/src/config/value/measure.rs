//! Sizes and times, with their units.

use std::time::Duration;

use toml::de::DeValue;

use super::{TomlFault, Value, mismatch, quoted};

/// The longest time that can be written.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl Value for Size {
    const EXPECTED: &'static str = "a size such as \"64KiB\", or a number of bytes";

    fn from_text(text: &str) -> Result<Self, String> {
        let units: [(&str, u64); 8] = [
            ("", 1),
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("KB", 1_000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
        ];
        let (number, unit) = split_unit(text);
        let scale = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        match (scale, number.parse::<u64>()) {
            (Some((_, scale)), Ok(number)) if number > 0 => number
                .checked_mul(*scale)
                .map(Size)
                .ok_or_else(|| format!("`{}` is too large", text.escape_debug())),
            _ => Err(format!(
                "`{}` is not a size; write a whole number and B, KiB, MiB, GiB, KB, MB or GB, such as 64KiB",
                text.escape_debug()
            )),
        }
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, TomlFault> {
        match value {
            DeValue::String(text) => Self::from_text(text).map_err(|message| (None, message)),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
                .ok()
                .filter(|bytes| *bytes > 0)
                .map(Size)
                .ok_or_else(|| (None, format!("`{number}` is not a size; it must be above 0"))),
            other => Err(mismatch::<Self>(other)),
        }
    }

    fn show(&self) -> Option<String> {
        let units: [(&str, u64); 6] = [
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1 << 10),
            ("GB", 1_000_000_000),
            ("MB", 1_000_000),
            ("KB", 1_000),
        ];
        let whole = units.iter().find(|(_, scale)| self.0.is_multiple_of(*scale));
        Some(match whole {
            Some((unit, scale)) => quoted(&format!("{}{unit}", self.0 / scale)),
            None => self.0.to_string(),
        })
    }
}

/// A time above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Duration);

impl Value for Time {
    const EXPECTED: &'static str = "a time with its unit such as \"10s\"";

    fn from_text(text: &str) -> Result<Self, String> {
        match time(text)? {
            Duration::ZERO => Err(format!("`{}` is no time at all", text.escape_debug())),
            time => Ok(Time(time)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&time_text(self.0)))
    }
}

/// A time that may be zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeOrZero(pub(crate) Duration);

impl Value for TimeOrZero {
    const EXPECTED: &'static str = Time::EXPECTED;

    fn from_text(text: &str) -> Result<Self, String> {
        time(text).map(TimeOrZero)
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&time_text(self.0)))
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// A time with its unit: `500ms`, `1.5s`, `2m`, `1h`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "`{}` is not a time; write a number and ms, s, m or h, such as 10s",
            text.escape_debug()
        )
    };
    let (number, unit) = split_unit(text);
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(time) if time <= TIME_MAX => Ok(time),
        _ => Err(format!("`{}` is too long; 8760h (a year) is the most", text.escape_debug())),
    }
}

/// A time as [`time`] reads it.
pub(crate) fn time_text(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0 => "0s".into(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

/// A time as curl writes it, in seconds with or without a decimal point, or with a unit.
pub(crate) fn seconds_or_time(text: &str) -> Result<Duration, String> {
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let with_unit = if bare { format!("{text}s") } else { text.to_owned() };
    Time::from_text(&with_unit).map(|time| time.0).map_err(|_| {
        format!(
            "`{}` is not a time; write seconds, or a number and ms, s, m or h",
            text.escape_debug()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::NoneOr;
    use super::*;

    #[test]
    fn a_time_reads_back() {
        for (text, millis) in
            [("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000), ("90s", 90_000)]
        {
            let read = Time::from_text(text).unwrap();
            assert_eq!(read.0, Duration::from_millis(millis));
            assert_eq!(Time::from_text(&time_text(read.0)).unwrap(), read);
        }
        assert_eq!(Time::from_text("1.5s").unwrap().0, Duration::from_millis(1500));
        assert_eq!(TimeOrZero::from_text("0s").unwrap().0, Duration::ZERO);
        for text in ["", "10", "s", "10 x", "-1s", "1.2.3s", "0s", "9999999h", "infs", "1e3s"] {
            assert!(Time::from_text(text).is_err(), "{text}");
        }
        assert_eq!(NoneOr::<Time>::from_text("none").unwrap(), NoneOr(None));
    }

    #[test]
    fn a_size_reads_back() {
        for (text, bytes) in [("1", 1), ("64KiB", 65_536), ("5MB", 5_000_000), ("2 GiB", 2 << 30)] {
            let read = Size::from_text(text).unwrap();
            assert_eq!(read.0, bytes);
            let shown = read.show().unwrap();
            assert_eq!(Size::from_text(shown.trim_matches('"')).unwrap(), read);
        }
        for text in ["", "0", "KiB", "1.5MiB", "-1", "1XB", "99999999999GiB"] {
            assert!(Size::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_may_be_bare_as_curl_writes_them() {
        assert_eq!(seconds_or_time("2.5").unwrap(), Duration::from_millis(2500));
        assert_eq!(seconds_or_time("300ms").unwrap(), Duration::from_millis(300));
        assert!(seconds_or_time("soon").is_err());
        assert!(seconds_or_time("").is_err());
    }
}
