//! The shell of a persistent session, and how it is told what to run.
//!
//! It is an interactive one, because only such a shell comes back to its next line when a program
//! is interrupted, however deep in functions and loops it was. But its lines come from a FIFO,
//! which no program of the session reads by accident, and its prompts are empty. It reports by
//! another FIFO. Both lie in a folder of this user's alone, with the scripts:
//!
//! | file | what it does |
//! |---|---|
//! | `control` | the FIFO that the shell reads its lines from |
//! | `report` | the FIFO that it reports to |
//! | `open` | a script: makes the shell ready, and reports the folder and the terminal's path |
//! | `program` | the program that is run |
//! | `done` | a script: reports the exit code and the folder |

use std::io;
use std::path::{Path, PathBuf};

use pipeway_transport::child::{FifoReader, FifoWriter, Program};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::report::{Reports, TooLong};
use crate::protocol::StdinMode;
use crate::span::random_hex;

/// Bash is an interactive shell with none of its comforts; any other is what POSIX demands. An
/// `ENV` would be a script that it runs.
const START: &str = "command -v bash >/dev/null && \
    exec bash --norc --noprofile --noediting -i <CONTROL; unset ENV; exec /bin/sh -i <CONTROL";

/// What an interactive shell would ignore, or end at, interrupts the program too, if there is one:
/// bash would not survive it while it reads a line. `$pipeway_report` is the secret that the report begins with.
const OPEN: &str = r#"set +m
if [ -n "${BASH_VERSION-}" ]; then
    set +H +o history
    export -n PS1 PS2 PROMPT_COMMAND
    unset -v HISTFILE MAILCHECK
fi
trap '[ -n "${BASH_VERSION-}" ] && [ -z "${BASH_SOURCE-}" ] || kill -INT $$' HUP QUIT TERM
{
    printf '%s\0' "$pipeway_report"
    pwd -P
    printf '\0'
    tty <&2
    printf '\0'
} 1<>REPORT
unset -v pipeway_report
"#;

/// Nothing here may depend on what a program has done to the shell's variables, functions, aliases
/// (a backslash keeps them away) and options. Opened for both, the FIFO makes nobody wait.
const DONE: &str = r#"{
    \command printf '%s\0%s\0' "$pipeway_report" "$?"
    \command pwd -P 2>/dev/null || \command printf '%s\n' "${PWD-}"
    \command printf '\0'
} 1<>REPORT
\unset -v pipeway_report
"#;

/// The two ways of the shell's lines, and the folder they lie in, which is removed on drop.
pub(crate) struct Shell {
    control: FifoWriter,
    report: FifoReader,
    reports: Reports,
    terminal: PathBuf,
    folder: TempDir,
}

impl Shell {
    /// Makes the folder with all that is in it. The shell, when it is started with
    /// [`program`](Shell::program), reports with `secret` that it is ready.
    ///
    /// # Errors
    ///
    /// Where the system can't make them.
    pub(crate) async fn prepare(secret: &str) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("pipeway-session-").tempdir()?;
        let path = |name| folder.path().join(name);
        let report_path = escaped(&path("report"))?;
        let script = |text: &str| replaced(text, "REPORT", &report_path);
        tokio::fs::write(path("open"), script(OPEN)).await?;
        tokio::fs::write(path("done"), script(DONE)).await?;
        let mut shell = Shell {
            control: FifoWriter::make(&path("control"))?,
            report: FifoReader::make(&path("report"))?,
            reports: Reports::default(),
            terminal: PathBuf::new(),
            folder,
        };
        shell.source("open", secret).await?;
        Ok(shell)
    }

    /// What starts the shell.
    ///
    /// # Errors
    ///
    /// Where the folder's path can't be written for a shell.
    pub(crate) fn program(&self) -> io::Result<Program> {
        let line = replaced(START, "CONTROL", &escaped(&self.folder.path().join("control"))?);
        let line = String::from_utf8(line).map_err(|_| unusual(self.folder.path()))?;
        Ok(Program::script(line))
    }

    /// Waits for the report that the shell is ready; gives the folder that it is in. Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`done`](Shell::done).
    pub(crate) async fn opened(&mut self, secret: &str) -> io::Result<String> {
        let [folder, terminal] = self.reported(secret).await?;
        self.terminal = PathBuf::from(text_line(&terminal));
        Ok(text_line(&folder))
    }

    /// The terminal that the shell is in.
    pub(crate) fn terminal(&self) -> &Path {
        &self.terminal
    }

    /// Has the shell run `program`; `exit` is what `$?` is then. It reports with `secret` that it
    /// begins, which is the time for [`finish`](Shell::finish).
    ///
    /// # Errors
    ///
    /// Where the program can't be written to its file.
    pub(crate) async fn begin(
        &mut self,
        secret: &str,
        program: &[u8],
        stdin_mode: StdinMode,
        exit: i32,
    ) -> io::Result<()> {
        let path = self.folder.path().join("program");
        tokio::fs::write(&path, program).await?;
        let report = escaped(&self.folder.path().join("report"))?;
        // A signal that came too late for the last program ends with the first line.
        let mut line = b":\n\\command printf ".to_vec();
        line.extend(secret.as_bytes());
        line.extend(b"\\\\0 1<>");
        line.extend(report);
        if exit != 0 {
            line.extend(format!("; case $- in *e*) ;; *) (exit {exit}) ;; esac").bytes());
        }
        line.extend(b"; \\. ");
        line.extend(escaped(&path)?);
        match stdin_mode {
            StdinMode::Eof => line.extend(b" </dev/null"),
            StdinMode::Passthrough => {
                line.extend(b" <>");
                line.extend(escaped(&self.terminal)?);
            }
        }
        line.push(b'\n');
        self.control.write_all(&line).await
    }

    /// Waits for the report that the program begins. Cancel safe.
    ///
    /// # Errors
    ///
    /// As [`done`](Shell::done).
    pub(crate) async fn begun(&mut self, secret: &str) -> io::Result<()> {
        let [] = self.reported(secret).await?;
        Ok(())
    }

    /// Has the shell report with `secret` when the program is done. Only now is it said: some
    /// shells forget the lines that they have read when a program is interrupted.
    ///
    /// # Errors
    ///
    /// Where it can't be written.
    pub(crate) async fn finish(&mut self, secret: &str) -> io::Result<()> {
        self.source("done", secret).await
    }

    /// Waits for the report that the program is done: its exit code, and the folder that the
    /// session is in now. Cancel safe.
    ///
    /// # Errors
    ///
    /// Where the report can't be read or understood.
    pub(crate) async fn done(&mut self, secret: &str) -> io::Result<(i32, String)> {
        let [exit, folder] = self.reported(secret).await?;
        let exit = std::str::from_utf8(&exit).ok().and_then(|exit| exit.parse().ok());
        let exit = exit.ok_or_else(|| io::Error::other("the shell reports no exit code"))?;
        Ok((exit, text_line(&folder)))
    }

    async fn source(&mut self, script: &str, secret: &str) -> io::Result<()> {
        // No quotes: of a line that an interrupt cuts in two, the rest must be harmless.
        let mut line = format!("pipeway_report={secret} \\. ").into_bytes();
        line.extend(escaped(&self.folder.path().join(script))?);
        line.push(b'\n');
        self.control.write_all(&line).await
    }

    async fn reported<const N: usize>(&mut self, secret: &str) -> io::Result<[Vec<u8>; N]> {
        loop {
            match self.reports.take(secret) {
                Ok(Some(fields)) => return Ok(fields),
                Ok(None) => {}
                Err(TooLong) => return Err(io::Error::other("the shell's report has no end")),
            }
            let mut bytes = [0; 4096];
            let count = self.report.read(&mut bytes).await?;
            self.reports.push(&bytes[..count]);
        }
    }
}

/// The shell's program with no prompts, which would stand in the output, and with none of the
/// user's history.
pub(crate) fn silenced(program: Program) -> Program {
    let empty = ["PS1", "PS2", "PROMPT_COMMAND", "HISTFILE"];
    empty.into_iter().fold(program, |program, name| program.variable(name, ""))
}

/// A secret that a report begins with.
///
/// # Errors
///
/// Where the system has no random numbers.
pub(crate) fn secret() -> io::Result<String> {
    random_hex::<16>().map_err(io::Error::other)
}

/// A path as a word of a shell's line, without quotes.
fn escaped(path: &Path) -> io::Result<Vec<u8>> {
    let mut word = Vec::new();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'\n' => return Err(unusual(path)),
            b'/' | b'.' | b'-' | b'_' => {}
            byte if byte.is_ascii_alphanumeric() || !byte.is_ascii() => {}
            _ => word.push(b'\\'),
        }
        word.push(*byte);
    }
    Ok(word)
}

fn unusual(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "the folder for temporary files, {}, has characters that can't be written for a \
             shell; set TMPDIR to another",
            path.parent().unwrap_or(path).display()
        ),
    )
}

fn replaced(text: &str, word: &str, by: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = text.split(word).map(str::as_bytes).collect();
    parts.join(by)
}

/// A line's text without its end.
fn text_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(b"\n").unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_without_quotes() {
        let word =
            |text: &str| escaped(Path::new(text)).map(|word| String::from_utf8(word).unwrap());
        assert_eq!(word("/tmp/a-b_c.D9").unwrap(), "/tmp/a-b_c.D9");
        assert_eq!(word("/a b/c'd\"$x;ä").unwrap(), r#"/a\ b/c\'d\"\$x\;ä"#);
        assert!(word("/a\nb").unwrap_err().to_string().contains("TMPDIR"));
    }

    #[test]
    fn only_the_line_end_that_was_printed_is_taken_off() {
        assert_eq!(text_line(b"/a\n\n"), "/a\n");
        assert_eq!(text_line(b"/\xff\n"), "/\u{fffd}");
    }
}
