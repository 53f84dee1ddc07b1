//! The values of a configuration: from text (a flag, a variable) and from TOML, and back.

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use pipeway_bridge::HostRule;
use pipeway_transport::{Access, Endpoint};
use toml::Spanned;
use toml::de::{DeArray, DeValue};

/// The longest time that can be written.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What is wrong with a value in a file: where (the whole value if not said), and a sentence.
pub(crate) type TomlFault = (Option<Range<usize>>, String);

/// A value of a configuration.
pub(crate) trait Value: Sized {
    /// What to write, for messages: "a time such as \"10s\"".
    const EXPECTED: &'static str;

    /// Reads the text of a flag or a variable.
    fn from_text(text: &str) -> Result<Self, String>;

    /// Reads a value of a file; only strings are taken unless a type says otherwise.
    fn from_toml(value: &DeValue<'_>) -> Result<Self, TomlFault> {
        match value {
            DeValue::String(text) => Self::from_text(text).map_err(|message| (None, message)),
            other => Err(mismatch::<Self>(other)),
        }
    }

    /// Makes a relative path one of `folder`.
    fn anchor(&mut self, _folder: &Path) {}

    /// The value as TOML; `None` where it is not set.
    fn show(&self) -> Option<String>;
}

fn mismatch<T: Value>(value: &DeValue<'_>) -> TomlFault {
    let found = match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a decimal point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    (None, format!("expected {}, found {found}", T::EXPECTED))
}

/// Text as a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A value that may be left out altogether.
impl<T: Value> Value for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_text(text: &str) -> Result<Self, String> {
        T::from_text(text).map(Some)
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, TomlFault> {
        T::from_toml(value).map(Some)
    }

    fn anchor(&mut self, folder: &Path) {
        if let Some(value) = self {
            value.anchor(folder);
        }
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(Value::show)
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

impl Value for Endpoint {
    const EXPECTED: &'static str = "an endpoint such as \"local:my-service\"";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for Access {
    const EXPECTED: &'static str = "an access rule such as \"owner\"";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for HostRule {
    const EXPECTED: &'static str = "\"localhost\", \"preserve\" or a host's name";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn show(&self) -> Option<String> {
        Some(match self {
            HostRule::Localhost => quoted("localhost"),
            HostRule::Preserve => quoted("preserve"),
            HostRule::Fixed(name) => quoted(name),
        })
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "a file's path, as a string";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("a path is not empty".into()) } else { Ok(text.into()) }
    }

    fn anchor(&mut self, folder: &Path) {
        *self = folder.join(&*self);
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.display().to_string()))
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            other => Err(format!("`{}` is neither yes nor no", other.escape_debug())),
        }
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, TomlFault> {
        value.as_bool().ok_or_else(|| mismatch::<Self>(value))
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// A bridge's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) String);

impl Value for Name {
    const EXPECTED: &'static str = "a name such as \"my-service\"";

    fn from_text(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
            return Err(format!(
                "`{}` is not a name: 1 to 64 letters, digits, `.`, `_` and `-`",
                text.escape_debug()
            ));
        }
        Ok(Name(text.to_owned()))
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.0))
    }
}

/// How many: a number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count(pub(crate) usize);

impl Value for Count {
    const EXPECTED: &'static str = "a number from 1";

    fn from_text(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(count) if count > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(Count(count)),
            _ => Err(format!("`{}` is not a number from 1", text.escape_debug())),
        }
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, TomlFault> {
        match value.as_integer() {
            Some(number) => usize::from_str_radix(number.as_str(), number.radix())
                .ok()
                .filter(|count| *count > 0)
                .map(Count)
                .ok_or_else(|| (None, format!("`{number}` is not a number from 1"))),
            None => Err(mismatch::<Self>(value)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

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
        let units: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
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

/// A limit that can be `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoneOr<T>(pub(crate) Option<T>);

impl<T: Value> Value for NoneOr<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_text(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(NoneOr(None));
        }
        match T::from_text(text) {
            Ok(value) => Ok(NoneOr(Some(value))),
            Err(message) => Err(format!("{message} (or none, for no limit)")),
        }
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, TomlFault> {
        if value.as_str() == Some("none") {
            return Ok(NoneOr(None));
        }
        match T::from_toml(value) {
            Ok(value) => Ok(NoneOr(Some(value))),
            Err((span, message)) => Err((span, format!("{message} (or \"none\", for no limit)"))),
        }
    }

    fn show(&self) -> Option<String> {
        match &self.0 {
            Some(value) => value.show(),
            None => Some(quoted("none")),
        }
    }
}

/// Whether the other end's server is verified: yes, no, or as the endpoint wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verify(pub(crate) Option<bool>);

impl Value for Verify {
    const EXPECTED: &'static str = "true, false or \"auto\"";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Verify(None)),
            "yes" | "true" => Ok(Verify(Some(true))),
            "no" | "false" => Ok(Verify(Some(false))),
            other => Err(format!("`{}` is none of yes, no and auto", other.escape_debug())),
        }
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, TomlFault> {
        match value {
            DeValue::Boolean(verify) => Ok(Verify(Some(*verify))),
            DeValue::String(text) if text == "auto" => Ok(Verify(None)),
            other => Err(mismatch::<Self>(other)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.0.map_or_else(|| quoted("auto"), |verify| verify.to_string()))
    }
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventsTo {
    /// Nowhere.
    None,
    /// Standard error.
    Stderr,
    /// A file.
    File(PathBuf),
}

impl Value for EventsTo {
    const EXPECTED: &'static str = "\"none\", \"stderr\" or a file's path";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("a path is not empty; write none, stderr or a file's path".into()),
            "none" => Ok(EventsTo::None),
            "stderr" | "-" => Ok(EventsTo::Stderr),
            path => Ok(EventsTo::File(path.into())),
        }
    }

    fn anchor(&mut self, folder: &Path) {
        if let EventsTo::File(path) = self {
            path.anchor(folder);
        }
    }

    fn show(&self) -> Option<String> {
        match self {
            EventsTo::None => Some(quoted("none")),
            EventsTo::Stderr => Some(quoted("stderr")),
            EventsTo::File(path) => path.show(),
        }
    }
}

/// What a list of texts holds.
pub(crate) trait Item {
    /// What to write.
    const EXPECTED: &'static str;

    /// Whether `text` is one; if not, why.
    fn check(text: &str) -> Result<(), String>;
}

/// A list of texts of one kind; empty: no restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List<T> {
    items: Vec<String>,
    kind: std::marker::PhantomData<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List::new(Vec::new())
    }
}

impl<T> List<T> {
    /// A list of texts that were checked.
    pub(crate) fn new(items: Vec<String>) -> Self {
        List { items, kind: std::marker::PhantomData }
    }

    /// The texts.
    pub(crate) fn into_items(self) -> Vec<String> {
        self.items
    }
}

impl<T: Item> Value for List<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_text(text: &str) -> Result<Self, String> {
        T::check(text)?;
        Ok(List::new(vec![text.to_owned()]))
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, TomlFault> {
        let DeValue::Array(array) = value else { return Err(mismatch::<Self>(value)) };
        let array: &DeArray<'_> = array;
        let mut items = Vec::with_capacity(array.len());
        for item in array.iter() {
            items.push(list_item::<T>(item)?);
        }
        Ok(List::new(items))
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.items.iter().map(|item| quoted(item)).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

fn list_item<T: Item>(item: &Spanned<DeValue<'_>>) -> Result<String, TomlFault> {
    let fault = |message| (Some(item.span()), message);
    match item.get_ref() {
        DeValue::String(text) => match T::check(text) {
            Ok(()) => Ok(text.clone().into_owned()),
            Err(message) => Err(fault(message)),
        },
        other => Err(fault(mismatch::<List<T>>(other).1)),
    }
}

/// A request's method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MethodItem {}

impl Item for MethodItem {
    const EXPECTED: &'static str = "a list of methods such as [\"GET\", \"POST\"]";

    fn check(text: &str) -> Result<(), String> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') {
            return Err(format!("`{}` is not a method", text.escape_debug()));
        }
        let upper = text.to_ascii_uppercase();
        let common = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];
        if upper != text && common.contains(&upper.as_str()) {
            return Err(format!(
                "`{text}` is not a method: methods are case-sensitive, write {upper}"
            ));
        }
        if text == "CONNECT" {
            return Err("CONNECT is never passed on".into());
        }
        Ok(())
    }
}

/// A glob of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathItem {}

impl Item for PathItem {
    const EXPECTED: &'static str = "a list of globs such as [\"/v1/**\"]";

    fn check(text: &str) -> Result<(), String> {
        if !text.starts_with('/') && !text.starts_with("**") {
            return Err(format!(
                "`{}` would match nothing: a path begins with a slash",
                text.escape_debug()
            ));
        }
        match globset::GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build()
        {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("`{}` is not a glob: {}", text.escape_debug(), error.kind())),
        }
    }
}

/// An upgrade's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UpgradeItem {}

impl Item for UpgradeItem {
    const EXPECTED: &'static str = "a list of tokens such as [\"websocket\"]";

    fn check(text: &str) -> Result<(), String> {
        if text.split('/').all(is_token) && text.split('/').count() <= 2 {
            Ok(())
        } else {
            Err(format!("`{}` is not an upgrade's token, such as websocket", text.escape_debug()))
        }
    }
}

/// Whether this is a token of HTTP (RFC 9110, section 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
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

    #[test]
    fn a_glob_that_can_match_nothing_is_refused() {
        assert!(PathItem::check("/v1/**").is_ok());
        assert!(PathItem::check("v1").unwrap_err().contains("begins with a slash"));
        assert!(PathItem::check("/v1/[").unwrap_err().contains("not a glob"));
    }

    #[test]
    fn a_method_in_small_letters_is_refused_with_the_right_one() {
        assert!(MethodItem::check("get").unwrap_err().contains("write GET"));
        assert!(MethodItem::check("PURGE").is_ok());
    }

    #[test]
    fn a_quoted_text_is_toml() {
        let text = "a\"b\\c\nd";
        let document = format!("x = {}", quoted(text));
        let (table, errors) = toml::de::DeTable::parse_recoverable(&document);
        assert!(errors.is_empty());
        let value = table.get_ref().iter().next().unwrap().1.get_ref().as_str();
        assert_eq!(value, Some(text));
    }
}
