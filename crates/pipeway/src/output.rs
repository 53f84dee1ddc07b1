//! What the program says: data on standard output, talk on standard error.

use std::fmt::{self, Display, Write as _};
use std::io::{IsTerminal, Write as _};

use pipeway_bridge::BindError;

use crate::env;
use crate::exit::Exit;

/// Why a command ended without having done its work: what and where, why, what to do about it,
/// and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    cause: Option<String>,
    hint: Option<String>,
}

impl Failure {
    /// A failure; `message` says what failed and where.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into(), cause: None, hint: None }
    }

    /// What to do about it, as a sentence without a full stop.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What another part of the system said.
    pub(crate) fn cause(mut self, cause: &dyn Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// A failure of which everything has been said.
    pub(crate) fn told(exit: Exit) -> Self {
        Failure::new(exit, "")
    }

    /// The same failure, of a command whose other codes are somebody else's.
    pub(crate) fn own(mut self) -> Self {
        self.exit = Exit::Own;
        self
    }

    /// An endpoint that can't be listened on.
    pub(crate) fn listen(error: &pipeway_transport::Error) -> Self {
        Failure::of_transport(Exit::of_listen(error.kind()), error)
    }

    /// An endpoint that can't be connected to.
    pub(crate) fn connect(error: &pipeway_transport::Error) -> Self {
        Failure::of_transport(Exit::of_connect(error.kind()), error)
    }

    /// A bridge or a gateway, `what`, that can't begin. `bad_config` is the code for what it finds
    /// wrong in its configuration.
    pub(crate) fn bind(error: &BindError, what: &str, bad_config: Exit) -> Self {
        match error {
            BindError::Transport(error) => Failure::listen(error),
            BindError::Config(error) => Failure::new(bad_config, format!("{what}: {error}")),
            BindError::Pipes(error) => {
                let mut failure = Failure::new(Exit::of_listen(error.kind()), error.to_string());
                if let Some(cause) = std::error::Error::source(error) {
                    failure = failure.cause(&cause);
                }
                match error.advice() {
                    Some(advice) => failure.hint(advice),
                    None => failure,
                }
            }
        }
    }

    /// What failed at an endpoint, with a code of the caller's choice.
    pub(crate) fn of_transport(exit: Exit, error: &pipeway_transport::Error) -> Self {
        let mut failure = Failure::new(exit, error.to_string());
        if let Some(os) = error.os_error() {
            failure = failure.cause(os);
        }
        if let Some(advice) = error.advice() {
            failure = failure.hint(advice);
        }
        failure
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Says it on standard error.
    pub(crate) fn report(&self) {
        if !self.message.is_empty() {
            talk(&self.to_string());
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if let Some(cause) = &self.cause {
            write!(f, "\n  cause: {cause}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// A line of talk. Where standard error is closed there is nobody to tell, and nothing to do.
pub(crate) fn talk(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// A line of data, flushed. Where standard output was closed the reader has seen enough.
pub(crate) fn print_line(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

/// Colour for a reader who sees it: none where standard output is not a terminal or `NO_COLOR`
/// is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Paint for standard output.
    pub(crate) fn stdout() -> Self {
        let refused = std::env::var_os(env::NO_COLOR).is_some_and(|value| !value.is_empty());
        Paint { on: std::io::stdout().is_terminal() && !refused }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Rows of text in aligned columns, two spaces apart. A column of numbers ends at the right.
pub(crate) fn table(rows: &[Vec<String>], numbers_from: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell: &String| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let gap = if column == 0 { "" } else { "  " };
            // Writing to a String does not fail.
            let _ = if column >= numbers_from {
                write!(line, "{gap}{cell:>width$}")
            } else {
                write!(line, "{gap}{cell:<width$}")
            };
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A number of bytes for a person: `512 B`, `1.5 MiB`.
pub(crate) fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_bytes_is_readable() {
        assert_eq!(bytes_text(0), "0 B");
        assert_eq!(bytes_text(1023), "1023 B");
        assert_eq!(bytes_text(1536), "1.5 KiB");
        assert_eq!(bytes_text(5 << 30), "5.0 GiB");
    }

    #[test]
    fn a_table_has_aligned_columns() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(table(&[row("name", "ms"), row("x", "10")], 1), ["name  ms", "x     10"]);
        assert_eq!(table(&[row("a", "ms"), row("x", "100")], 1), ["a   ms", "x  100"]);
    }

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let failure = Failure::new(Exit::Failure, "no").cause(&"why").hint("do");
        assert_eq!(failure.to_string(), "error: no\n  cause: why\n  hint: do");
    }
}
