//! The values of a configuration: from text (a flag, a variable) and from TOML, and back.

mod environment;
mod list;
mod measure;

use std::fmt::Display;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use pipeway_bridge::{AgentPath, HostRule, Protocol, ServiceUrl};
use pipeway_directline::pipes::Place;
use pipeway_transport::link::LinkSpec;
use pipeway_transport::{Access, Endpoint, HalfClose};
use toml::de::DeValue;

pub(crate) use environment::Environment;
pub(crate) use list::{Item, List, MethodItem, PathItem, UpgradeItem, is_token};
pub(crate) use measure::{Size, Time, TimeOrZero, seconds_or_time, time_text};

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

impl Value for Place {
    const EXPECTED: &'static str = "the pipes' name such as \"my-site.directline\"";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for AgentPath {
    const EXPECTED: &'static str = "a path such as \"/api/messages\"";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn show(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Value for ServiceUrl {
    const EXPECTED: &'static str = "a URL such as \"http://127.0.0.1:3979\"";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn show(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}

impl Value for LinkSpec {
    const EXPECTED: &'static str = "a link such as \"wsl:Ubuntu\"";

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

impl Value for Protocol {
    const EXPECTED: &'static str = "\"http\" or \"raw\"";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn show(&self) -> Option<String> {
        Some(quoted(self.as_str()))
    }
}

impl Value for HalfClose {
    const EXPECTED: &'static str = "\"auto\", \"message\" or \"none\"";

    fn from_text(text: &str) -> Result<Self, String> {
        parsed(text)
    }

    fn show(&self) -> Option<String> {
        Some(quoted(self.as_str()))
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

/// A word of a command line: a user's name, a program's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) String);

impl Value for Word {
    const EXPECTED: &'static str = "a name, as a string";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty".into());
        }
        if text.starts_with('-') {
            return Err(format!("`{}` would be an option", text.escape_debug()));
        }
        if text.chars().any(char::is_control) {
            return Err(format!("`{}` has a control character in it", text.escape_debug()));
        }
        Ok(Word(text.to_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

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
