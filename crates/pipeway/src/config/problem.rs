//! What is wrong with a configuration, and how it is told.

use std::fmt::Write as _;
use std::ops::Range;

use super::settings::Source;

/// One thing that is wrong: where, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Where.
    pub(crate) place: Place,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// Where something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the file, at these bytes.
    File(Range<usize>),
    /// In a flag or a variable, or in no place of its own: its name.
    Named(String),
}

impl Problem {
    /// A problem in the file.
    pub(crate) fn in_file(span: Range<usize>, message: impl Into<String>) -> Self {
        Problem { place: Place::File(span), message: message.into(), hint: None }
    }

    /// A problem of a value that came from `source`; `key` names it where the source does not.
    pub(crate) fn of(source: &Source, key: &str, message: impl Into<String>) -> Self {
        let place = match source {
            Source::File { span, .. } => Place::File(span.clone()),
            Source::Flag(name) | Source::Env(name) => Place::Named((*name).to_owned()),
            Source::Default => Place::Named(key.to_owned()),
        };
        Problem { place, message: message.into(), hint: None }
    }

    /// What to do about it, as a sentence without a full stop.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Where in the file it is, for sorting; what is outside of it comes last.
    pub(crate) fn start(&self) -> usize {
        match &self.place {
            Place::File(span) => span.start,
            Place::Named(_) => usize::MAX,
        }
    }

    /// The problem as text: the place, the message, and for a file the line with a caret.
    pub(crate) fn render(&self, file: &str, text: &str) -> String {
        let mut out = match &self.place {
            Place::Named(name) => format!("error: {name}: {}", self.message),
            Place::File(span) => {
                let (line, column) = position(text, span.start);
                format!("{file}:{line}:{column}: {}", self.message)
            }
        };
        if let Place::File(span) = &self.place {
            out.push_str(&excerpt(text, span));
        }
        if let Some(hint) = &self.hint {
            // Writing to a String does not fail.
            let _ = write!(out, "\n  hint: {hint}");
        }
        out
    }
}

/// The line and column of a byte, both from 1; the column counts characters.
pub(crate) fn position(text: &str, at: usize) -> (usize, usize) {
    let at = floor(text, at);
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The nearest start of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

fn excerpt(text: &str, span: &Range<usize>) -> String {
    let start = floor(text, span.start);
    let (number, column) = position(text, start);
    let line = text.lines().nth(number - 1).unwrap_or_default();
    let number = number.to_string();
    let gutter = " ".repeat(number.len());
    // A tab is as wide as a terminal likes; the caret's line repeats it.
    let indent: String =
        line.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let room = line.chars().count().saturating_sub(column - 1).max(1);
    let wanted = text[start..floor(text, span.end.max(start))].chars().count();
    let carets = "^".repeat(wanted.clamp(1, room));
    format!("\n {gutter} |\n {number} | {line}\n {gutter} | {indent}{carets}")
}

/// The known name nearest to `unknown`, if one is near.
pub(crate) fn nearest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let distance = |name: &str| {
        strsim::damerau_levenshtein(&unknown.to_ascii_lowercase(), &name.to_ascii_lowercase())
    };
    let (steps, name) =
        known.into_iter().map(|name| (distance(name), name)).min_by_key(|(steps, _)| *steps)?;
    // A third of the name may differ; more is another word.
    (steps * 3 <= name.len().max(unknown.len())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_characters_from_one() {
        assert_eq!(position("ab\ncd", 0), (1, 1));
        assert_eq!(position("ab\ncd", 4), (2, 2));
        assert_eq!(position("ä = 1", 3), (1, 3));
        assert_eq!(position("ab", 99), (1, 3));
    }

    #[test]
    fn a_problem_shows_its_line_with_a_caret() {
        let text = "[[bridge]]\nlisen = \"local:a\"\n";
        let problem =
            Problem::in_file(11..16, "unknown key `lisen`").hint("did you mean `listen`?");
        assert_eq!(
            problem.render("p.toml", text),
            "p.toml:2:1: unknown key `lisen`\n   |\n 2 | lisen = \"local:a\"\n   | ^^^^^\n  hint: did you mean `listen`?"
        );
    }

    #[test]
    fn a_problem_at_the_end_of_a_file_can_be_shown() {
        for text in ["", "x", "x\n", "ä"] {
            let shown = Problem::in_file(text.len()..text.len() + 1, "?").render("f", text);
            assert!(shown.contains('^'), "{shown}");
        }
    }

    #[test]
    fn only_a_near_name_is_offered() {
        let names = ["listen", "limits", "to"];
        assert_eq!(nearest("lisen", names), Some("listen"));
        assert_eq!(nearest("Listen", names), Some("listen"));
        assert_eq!(nearest("banana", names), None);
    }
}
