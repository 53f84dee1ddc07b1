//! Child processes in jobs of their own, and pseudo-consoles.

mod command;
mod console;
mod job;
mod pipes;
mod process;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep_until, timeout};

use self::command::Command;
use self::console::Console;
use self::job::Job;
use self::process::Process;
use super::pipe::Pipe;
use crate::child::{Program, Signal, TerminalSize};

/// The system's shell.
pub(crate) const SHELL: &str = "cmd.exe";

/// How often a job that is ending is looked at, until it is empty or its time is over.
const LOOK: Duration = Duration::from_millis(20);

/// How long what was killed may take to be gone.
const KILLED: Duration = Duration::from_secs(5);

/// What a console takes for a typed Ctrl-C.
const CTRL_C: u8 = 0x03;

pub(crate) type Input = Pipe;

pub(crate) type Output = Pipe;

/// A child, and its standard input, output and error.
pub(crate) type Started = (Child, Input, Output, Output);

/// The first process of a job. The job is ended with this.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    job: Job,
    terminal: Option<InTerminal>,
    status: Option<i32>,
}

/// What is needed to reach the terminal of a child.
#[derive(Debug)]
struct InTerminal {
    console: Arc<Console>,
    input: Arc<Pipe>,
}

pub(crate) fn piped(program: &Program) -> io::Result<Started> {
    let command = Command::new(program, &[])?;
    let (stdin, childs_stdin) = pipes::to_child()?;
    let (stdout, childs_stdout) = pipes::from_child()?;
    let (stderr, childs_stderr) = pipes::from_child()?;
    let job = Job::new()?;
    let streams = [childs_stdin, childs_stdout, childs_stderr];
    let process = process::start_piped(&command, &job, streams)?;
    Ok((Child { process, job, terminal: None, status: None }, stdin, stdout, stderr))
}

/// A pipe has the size here that it was made with.
#[cfg(feature = "link")]
pub(crate) fn enlarge_input(_input: &Input) {}

/// As [`piped`]: no socket can be a program's standard input here.
#[cfg(feature = "link")]
pub(crate) fn over_sockets(program: &Program) -> io::Result<Started> {
    piped(program)
}

/// As [`enlarge_input`].
#[cfg(feature = "link")]
pub(crate) fn enlarge_output(_output: &Output) {}

pub(crate) fn in_terminal(program: &Program, size: TerminalSize) -> io::Result<(Child, Terminal)> {
    let command = Command::new(program, &[("TERM", "xterm-256color")])?;
    let (input, consoles_input) = pipes::to_child()?;
    let (output, consoles_output) = pipes::from_child()?;
    let console = Arc::new(Console::new(size, consoles_input, consoles_output)?);
    let job = Job::new()?;
    let process = process::start_in_console(&command, &job, &console)?;
    let input = Arc::new(input);
    let terminal = InTerminal { console: console.clone(), input: input.clone() };
    let child = Child { process, job, terminal: Some(terminal), status: None };
    Ok((child, Terminal { console, input, output }))
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) async fn wait(&mut self) -> io::Result<i32> {
        if let Some(code) = self.status {
            return Ok(code);
        }
        let code = self.process.wait().await?;
        self.status = Some(code);
        Ok(code)
    }

    pub(crate) fn signal(&self, signal: Signal) -> bool {
        if self.status.is_some() {
            return false;
        }
        match &self.terminal {
            Some(terminal) if signal == Signal::Interrupt => terminal.interrupt(),
            _ => self.job.terminate(signal.exit_code()),
        }
    }

    /// The console knows which of its programs is in the foreground.
    pub(crate) fn signal_foreground(&self, signal: Signal) -> bool {
        self.signal(signal)
    }

    pub(crate) async fn end(&mut self, grace: Duration) {
        if self.status.is_some() {
            return;
        }
        match &self.terminal {
            // Its programs are told (CTRL_CLOSE_EVENT) and may end in order.
            Some(terminal) => terminal.console.close(),
            // Nothing that could be told.
            None => {
                self.job.terminate(Signal::Hangup.exit_code());
            }
        }
        let deadline = Instant::now() + grace;
        while !self.job.is_empty() && Instant::now() < deadline {
            sleep_until((Instant::now() + LOOK).min(deadline)).await;
        }
        self.job.terminate(Signal::Kill.exit_code());
        let _ = timeout(KILLED, self.wait()).await;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The job ends with its handle. Its terminal would live on with nobody in it.
        if let Some(terminal) = &self.terminal {
            terminal.console.close();
        }
    }
}

impl InTerminal {
    /// Types Ctrl-C. Whether it was typed, or will be by the runtime as soon as there is room.
    fn interrupt(&self) -> bool {
        match self.input.try_write(&[CTRL_C]) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let Ok(runtime) = tokio::runtime::Handle::try_current() else { return false };
                let input = self.input.clone();
                runtime.spawn(async move { input.write_beside(&[CTRL_C]).await });
                true
            }
            Err(_) => false,
        }
    }
}

/// The side of a pseudo-console that is ours.
#[derive(Debug)]
pub(crate) struct Terminal {
    console: Arc<Console>,
    input: Arc<Pipe>,
    output: Pipe,
}

impl Terminal {
    pub(crate) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        self.console.resize(size)
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.output).poll_read(cx, buf)
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.input.poll_write_shared(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::{Child, Program};
    use crate::sys::windows::handles;

    #[test]
    fn no_handle_is_left_of_many_children() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut after_the_first = 0;
            for round in 0..15 {
                let (mut waited, _pipes) = Child::piped(&Program::script("exit 3")).unwrap();
                assert_eq!(waited.wait().await.unwrap(), 3);
                let (mut ended, _pipes) = Child::piped(&Program::script("pause")).unwrap();
                ended.end(KILLED).await;
                drop(Child::piped(&Program::script("pause")).unwrap());
                Child::piped(&Program::new("pipeway-no-such-program")).unwrap_err();
                let (mut seen, mut terminal) =
                    Child::in_terminal(&Program::script("exit 3"), TerminalSize::default())
                        .unwrap();
                tokio::io::copy(&mut terminal, &mut tokio::io::sink()).await.unwrap();
                assert_eq!(seen.wait().await.unwrap(), 3);
                if round == 4 {
                    after_the_first = handles::count();
                }
            }
            // Forty children, and some that the runtime has not let go of yet.
            let after = handles::count();
            assert!(after < after_the_first + 20, "{after_the_first} were open, now {after}");
        });
    }
}
