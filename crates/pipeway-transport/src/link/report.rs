//! An error as text that crosses a link: `Kind: message`, and behind a tab what to do about it.

use std::fmt::Write as _;

use crate::{Error, ErrorKind};

/// The most that is taken over of a text from the other end, in characters.
const TEXT_MAX: usize = 2000;

const KINDS: [ErrorKind; 11] = [
    ErrorKind::InUse,
    ErrorKind::Permission,
    ErrorKind::NotFound,
    ErrorKind::Refused,
    ErrorKind::Busy,
    ErrorKind::TimedOut,
    ErrorKind::Unsupported,
    ErrorKind::Insecure,
    ErrorKind::PeerRejected,
    ErrorKind::LinkDown,
    ErrorKind::Io,
];

/// The error as one line.
pub(super) fn line(error: &Error) -> String {
    let mut text = format!("{:?}: {}", error.kind(), plain(&error.to_string()));
    // Writing to a String does not fail.
    if let Some(cause) = error.os_error() {
        let _ = write!(text, ": {}", plain(&cause.to_string()));
    }
    if let Some(hint) = error.advice() {
        let _ = write!(text, "\t{}", plain(hint));
    }
    text
}

/// Reads what [`line()`] writes; anything else is an error of the kind `Io` with that text.
pub(super) fn read(text: &str) -> Error {
    let text: String = text.chars().take(TEXT_MAX).collect();
    let (message, hint) = text.split_once('\t').unwrap_or((&text, ""));
    let (kind, message) = message
        .split_once(": ")
        .and_then(|(word, rest)| {
            let kind = KINDS.into_iter().find(|kind| format!("{kind:?}") == word)?;
            Some((kind, rest))
        })
        .unwrap_or((ErrorKind::Io, message));
    let error = Error::new(kind, plain(message));
    if hint.is_empty() { error } else { error.hint(plain(hint)) }
}

/// The text without what would end a line, or what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_crosses_a_link_with_its_kind_cause_and_hint() {
        for kind in KINDS {
            let cause = std::io::Error::other("the cause");
            let error = Error::new(kind, "it failed: badly").hint("mend it").source(cause);
            let back = read(&line(&error));
            assert_eq!(back.kind(), kind);
            assert_eq!(back.to_string(), "it failed: badly: the cause");
            assert_eq!(back.advice(), Some("mend it"));
        }
    }

    #[test]
    fn a_text_of_somebody_elses_is_an_error_with_that_text() {
        let error = read("Error: \u{1b}[31mred\nline");
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::Io, "Error:  [31mred line")
        );
        assert!(read(&"x".repeat(10_000)).to_string().len() == TEXT_MAX);
    }
}
