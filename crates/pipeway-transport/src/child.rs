//! Child processes whose standard streams are ours: by pipes, or in a terminal.
//!
//! Each child leads a session and a process group of its own (a job object on Windows), so that a
//! signal reaches everything that it started and nothing else, and so that all of it can be ended
//! together. A [`Child`] that is dropped is killed with its group.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use crate::fifo::{FifoReader, FifoWriter, HAS_FIFOS, forget_typed};
use crate::{Error, ErrorKind, sys};

/// A program to start, with its arguments, folder and environment.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) line: Line,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) variables: Vec<(OsString, OsString)>,
}

/// What is run.
#[derive(Clone, Debug)]
pub(crate) enum Line {
    /// A script for the system's shell: `/bin/sh -c SCRIPT`, or `cmd.exe /d /s /c "SCRIPT"`.
    Script(String),
    /// A program, looked up in `PATH`, and its arguments.
    Program(OsString, Vec<OsString>),
}

impl Program {
    /// A program, looked up in `PATH` if it names no folder.
    pub fn new(program: impl Into<OsString>) -> Self {
        Program::of(Line::Program(program.into(), Vec::new()))
    }

    /// A script for the system's shell: `/bin/sh -c SCRIPT`, and on Windows
    /// `cmd.exe /d /s /c "SCRIPT"`.
    pub fn script(script: impl Into<String>) -> Self {
        Program::of(Line::Script(script.into()))
    }

    fn of(line: Line) -> Self {
        Program { line, folder: None, variables: Vec::new() }
    }

    /// One more argument. A script has none; there it is left out.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        if let Line::Program(_, args) = &mut self.line {
            args.push(arg.into());
        }
        self
    }

    /// The folder that the program starts in; else this process's own.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// A variable of its environment, besides this process's own.
    #[must_use]
    pub fn variable(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// What can be said to be wrong before anything is started.
    fn check(&self) -> Result<(), Error> {
        let refused = |what: String| Err(Error::new(ErrorKind::Unsupported, what));
        let has_nul = |text: &OsStr| text.as_encoded_bytes().contains(&0);
        match &self.line {
            Line::Script(script) if script.contains('\0') => {
                return refused("the command has a NUL byte in it".into());
            }
            Line::Program(program, args) => {
                if program.is_empty() {
                    return refused("the program's name is empty".into());
                }
                if has_nul(program) || args.iter().any(|arg| has_nul(arg)) {
                    return refused(
                        "the program's name or an argument has a NUL byte in it".into(),
                    );
                }
            }
            Line::Script(_) => {}
        }
        for (name, value) in &self.variables {
            let bytes = name.as_encoded_bytes();
            if bytes.is_empty() || bytes.contains(&b'=') || has_nul(name) || has_nul(value) {
                return refused(format!(
                    "{name:?} can't be a variable's name, or its value has a NUL byte in it"
                ));
            }
        }
        if let Some(folder) = &self.folder {
            check_folder(folder)?;
        }
        Ok(())
    }
}

/// Without this a missing folder looks like a missing program.
fn check_folder(folder: &Path) -> Result<(), Error> {
    let told =
        |kind, what: &str| Error::new(kind, format!("the folder {} {what}", folder.display()));
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(told(ErrorKind::NotFound, "is no folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(told(ErrorKind::NotFound, "does not exist"))
        }
        Err(error) => Err(told(ErrorKind::Permission, "can't be entered").source(error)),
    }
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// The width.
    pub columns: u16,
    /// The height.
    pub rows: u16,
}

impl Default for TerminalSize {
    /// 80 by 24, as the terminals of old.
    fn default() -> Self {
        TerminalSize { columns: 80, rows: 24 }
    }
}

/// What may be sent to a child.
///
/// On Windows, which has no signals, `Interrupt` in a terminal is a typed Ctrl-C; everything else
/// ends the child's whole job with the exit code that the signal has elsewhere (128 and its
/// number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// SIGHUP: the terminal or the client is gone.
    Hangup,
    /// SIGINT: what Ctrl-C means.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGTERM.
    Terminate,
    /// SIGKILL, which can't be refused.
    Kill,
}

impl Signal {
    /// The number, the same on every Unix.
    pub const fn number(self) -> i32 {
        match self {
            Signal::Hangup => 1,
            Signal::Interrupt => 2,
            Signal::Quit => 3,
            Signal::Kill => 9,
            Signal::Terminate => 15,
        }
    }

    /// The exit code of what a signal ended: 128 and its number, as shells have it.
    pub const fn exit_code(self) -> i32 {
        128 + self.number()
    }

    /// The name without `SIG`.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Hangup => "HUP",
            Signal::Interrupt => "INT",
            Signal::Quit => "QUIT",
            Signal::Terminate => "TERM",
            Signal::Kill => "KILL",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Signal {
    type Err = SignalParseError;

    /// `INT`, `TERM`, `QUIT`, `HUP` or `KILL`, with or without `SIG`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("SIG").unwrap_or(text) {
            "HUP" => Ok(Signal::Hangup),
            "INT" => Ok(Signal::Interrupt),
            "QUIT" => Ok(Signal::Quit),
            "TERM" => Ok(Signal::Terminate),
            "KILL" => Ok(Signal::Kill),
            _ => Err(SignalParseError(text.chars().take(32).collect())),
        }
    }
}

/// A text that is no signal's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalParseError(String);

impl fmt::Display for SignalParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a signal that can be sent; write INT, TERM, QUIT, HUP or KILL",
            self.0.escape_debug()
        )
    }
}

impl std::error::Error for SignalParseError {}

/// A child process and everything that it started in its group.
///
/// Dropped before its end was seen, it is killed with its group at once; to let it end in order,
/// call [`end`](Child::end).
///
/// On Windows its job ends with this, whether its end was seen or not.
#[derive(Debug)]
pub struct Child {
    inner: sys::child::Child,
}

/// The standard streams of a child that was started with [`Child::piped`].
#[derive(Debug)]
pub struct Pipes {
    /// Its standard input; dropping it is the input's end.
    pub stdin: ChildInput,
    /// Its standard output.
    pub stdout: ChildOutput,
    /// Its standard error.
    pub stderr: ChildOutput,
}

impl Child {
    /// Starts `program` with pipes for its standard streams. Must be called inside a tokio
    /// runtime with I/O enabled.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] for a program or folder that does not exist,
    /// [`Permission`](ErrorKind::Permission) for one that may not be used,
    /// [`Unsupported`](ErrorKind::Unsupported) for a name or variable that can't be one, and
    /// [`Io`](ErrorKind::Io) where the system can't start another process.
    pub fn piped(program: &Program) -> Result<(Child, Pipes), Error> {
        program.check()?;
        let started = sys::child::piped(program);
        Ok(Child::with(started.map_err(|error| not_started(program, error))?))
    }

    fn with(started: sys::child::Started) -> (Child, Pipes) {
        let (inner, stdin, stdout, stderr) = started;
        let pipes = Pipes {
            stdin: ChildInput { inner: stdin },
            stdout: ChildOutput { inner: stdout },
            stderr: ChildOutput { inner: stderr },
        };
        (Child { inner }, pipes)
    }

    /// As [`piped`](Child::piped), over what carries most: sockets where programs can have those
    /// as standard input and output.
    #[cfg(feature = "link")]
    pub(crate) fn over_sockets(program: &Program) -> Result<(Child, Pipes), Error> {
        program.check()?;
        let started = sys::child::over_sockets(program);
        Ok(Child::with(started.map_err(|error| not_started(program, error))?))
    }

    /// Starts `program` in a new terminal of `size` (a pseudo-terminal, or ConPTY), which is its
    /// standard input, output and error. `TERM` is `xterm-256color` unless `program` says
    /// otherwise. Must be called inside a tokio runtime with I/O enabled.
    ///
    /// # Errors
    ///
    /// As [`piped`](Child::piped); [`Unsupported`](ErrorKind::Unsupported) also where the system
    /// has no such terminals (Windows before 10, version 1809).
    pub fn in_terminal(program: &Program, size: TerminalSize) -> Result<(Child, Terminal), Error> {
        program.check()?;
        let (inner, terminal) =
            sys::child::in_terminal(program, size).map_err(|error| not_started(program, error))?;
        Ok((Child { inner }, Terminal { inner: terminal }))
    }

    /// The process id, also after its end.
    pub fn pid(&self) -> u32 {
        self.inner.pid()
    }

    /// Waits for the child's own end; what it started may go on. The exit code is the child's,
    /// or 128 and the signal's number for one that a signal ended, as a typed Ctrl-C does on
    /// Windows too. On macOS a child in a terminal may not end before its output is read. Cancel
    /// safe; may be called again after the end.
    ///
    /// # Errors
    ///
    /// Where the system does not tell, which leaves the child in an unknown state.
    pub async fn wait(&mut self) -> io::Result<i32> {
        self.inner.wait().await
    }

    /// Sends `signal` to the child's process group. Whether there was anybody to get it: `false`
    /// once the end was seen by [`wait`](Child::wait).
    pub fn signal(&self, signal: Signal) -> bool {
        self.inner.signal(signal)
    }

    /// Sends `signal` to the foreground process group of the child's terminal, as a key would;
    /// without a terminal, as [`signal`](Child::signal).
    pub fn signal_foreground(&self, signal: Signal) -> bool {
        self.inner.signal_foreground(signal)
    }

    /// Ends the child and its group, the terminal's foreground group too: SIGHUP, and SIGKILL for
    /// what is left after `grace`. On Windows a terminal is closed, which its programs are told,
    /// and what has pipes is ended without a grace. Returns when they are gone (or a few seconds
    /// later, where the system can't end what was killed); once [`wait`](Child::wait) has seen the
    /// end, at once. Not cancel safe: a dropped future may leave the group hung up and not yet
    /// killed, which dropping the child then does.
    pub async fn end(&mut self, grace: Duration) {
        self.inner.end(grace).await;
    }
}

fn not_started(program: &Program, error: io::Error) -> Error {
    let name = match &program.line {
        Line::Script(_) => sys::child::SHELL.to_owned(),
        Line::Program(name, _) => name.to_string_lossy().into_owned(),
    };
    let (kind, hint) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "see whether it is installed and in PATH"),
        io::ErrorKind::PermissionDenied => {
            (ErrorKind::Permission, "see whether it may be executed by this user")
        }
        io::ErrorKind::Unsupported => (ErrorKind::Unsupported, "see the system's message"),
        io::ErrorKind::ArgumentListTooLong => {
            (ErrorKind::Unsupported, "write a command or variables that long into a file")
        }
        _ => (ErrorKind::Io, "the system may be out of processes, files or memory"),
    };
    Error::new(kind, format!("can't start {name}")).hint(hint).source(error)
}

/// A terminal with a child in it: reading gives what the child writes, writing is typing.
///
/// The end of reading is the moment at which nothing holds the terminal's other side any more; on
/// Windows it is the child's own end, and what it started in the terminal is told to end then.
/// Reading that has to wait has given everything that was written before it began to wait.
/// Shutting down does nothing: a terminal's input has no end but a typed Ctrl-D (0x04).
#[derive(Debug)]
pub struct Terminal {
    inner: sys::child::Terminal,
}

impl Terminal {
    /// Tells the terminal its new size; the foreground group gets SIGWINCH if it differs.
    ///
    /// # Errors
    ///
    /// Where the system refuses, as after the terminal's end.
    pub fn resize(&self, size: TerminalSize) -> io::Result<()> {
        self.inner.resize(size)
    }
}

impl AsyncRead for Terminal {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().inner.poll_read(cx, buf)
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().inner.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A child's standard input.
#[derive(Debug)]
pub struct ChildInput {
    inner: sys::child::Input,
}

impl ChildInput {
    /// Lets more wait in the pipe than the system's usual, where it can: the two ends then take
    /// fewer turns.
    #[cfg(feature = "link")]
    pub(crate) fn enlarge(&self) {
        sys::child::enlarge_input(&self.inner);
    }
}

impl AsyncWrite for ChildInput {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// A child's standard output or standard error.
#[derive(Debug)]
pub struct ChildOutput {
    inner: sys::child::Output,
}

impl ChildOutput {
    /// As [`ChildInput::enlarge`].
    #[cfg(feature = "link")]
    pub(crate) fn enlarge(&self) {
        sys::child::enlarge_output(&self.inner);
    }
}

impl AsyncRead for ChildOutput {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signals_name_is_read_with_and_without_sig() {
        for signal in
            [Signal::Hangup, Signal::Interrupt, Signal::Quit, Signal::Terminate, Signal::Kill]
        {
            assert_eq!(signal.to_string().parse(), Ok(signal));
            assert_eq!(format!("SIG{signal}").parse(), Ok(signal));
        }
        let error = "USR1".parse::<Signal>().unwrap_err().to_string();
        assert!(error.contains("INT, TERM, QUIT, HUP"), "{error}");
        "SIGSIGINT".parse::<Signal>().unwrap_err();
    }
}
