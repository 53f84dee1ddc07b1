//! Child processes in sessions of their own, and pseudo-terminals.
//!
//! `unsafe` is here for [`CommandExt::pre_exec`] (between fork and exec nothing else can make the
//! child the leader of a session with its terminal) and for the registration of the terminal's
//! descriptor.
#![allow(unsafe_code)]

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::process::{Pid, kill_process_group, test_kill_process_group};
use rustix::termios::Winsize;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

#[cfg(feature = "link")]
use super::one_way::{SocketReader, SocketWriter};
use crate::child::{Line, Program, Signal, TerminalSize};

/// The system's shell.
pub(crate) const SHELL: &str = "/bin/sh";

/// How long what was killed may take to be gone. The system ends it as soon as it gets to it, but for
/// a process that hangs in a device, and on macOS one whose terminal holds output that nobody reads.
const KILLED: Duration = Duration::from_secs(5);

/// How often a group that was hung up is looked at, until it is gone or its time is over. No
/// system call waits for a whole group.
const LOOK: Duration = Duration::from_millis(20);

/// What a service manager says to this process alone (sd_listen_fds(3), sd_notify(3)).
const FOR_THIS_PROCESS: [&str; 4] = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET"];

/// What the child reads.
#[derive(Debug)]
pub(crate) enum Input {
    Pipe(ChildStdin),
    #[cfg(feature = "link")]
    Socket(SocketWriter),
}

/// What the child writes.
#[derive(Debug)]
pub(crate) enum Output {
    Stdout(ChildStdout),
    Stderr(ChildStderr),
    #[cfg(feature = "link")]
    Socket(SocketReader),
}

/// A child, and its standard input, output and error.
pub(crate) type Started = (Child, Input, Output, Output);

/// The leader of a session, and what is needed to reach its groups.
#[derive(Debug)]
pub(crate) struct Child {
    process: tokio::process::Child,
    /// The leader's id, and that of its session and process group.
    leader: Pid,
    master: Option<Arc<AsyncFd<OwnedFd>>>,
    status: Option<i32>,
}

pub(crate) fn piped(program: &Program) -> io::Result<Started> {
    let mut command = command(program, false);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = start(command, None)?;
    let lost = || io::Error::other("a pipe to the child is missing");
    let stdin = child.process.stdin.take().ok_or_else(lost)?;
    let stdout = child.process.stdout.take().ok_or_else(lost)?;
    let stderr = child.process.stderr.take().ok_or_else(lost)?;
    Ok((child, Input::Pipe(stdin), Output::Stdout(stdout), Output::Stderr(stderr)))
}

/// As [`piped`], with a pair of sockets in place of the pipe for standard input and one for standard
/// output: they carry much more for the same processor time.
#[cfg(feature = "link")]
pub(crate) fn over_sockets(program: &Program) -> io::Result<Started> {
    let (to_child, stdin) = one_way()?;
    let (stdout, from_child) = one_way()?;
    let mut command = command(program, false);
    command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
    let mut child = start(command, None)?;
    let stderr = child.process.stderr.take();
    let stderr = stderr.ok_or_else(|| io::Error::other("a pipe to the child is missing"))?;
    let stdin = Input::Socket(SocketWriter::new(to_child));
    let stdout = Output::Socket(SocketReader::new(from_child)?);
    Ok((child, stdin, stdout, Output::Stderr(stderr)))
}

/// A pair of sockets that is written to at the first one and read at the second.
#[cfg(feature = "link")]
fn one_way() -> io::Result<(OwnedFd, OwnedFd)> {
    let (write, read) = std::os::unix::net::UnixStream::pair()?;
    write.shutdown(std::net::Shutdown::Read)?;
    let write = OwnedFd::from(write);
    // Best effort: a system that allows no more keeps its usual size.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&write, SOCKET_BYTES);
    Ok((write, read.into()))
}

/// What the sockets of a guest hold, in bytes.
#[cfg(feature = "link")]
const SOCKET_BYTES: usize = 512 * 1024;

/// What the pipes of a guest hold, in bytes: a MiB was no faster, and a user's pipes may hold only so
/// much together (pipe(7)).
#[cfg(all(feature = "link", target_os = "linux"))]
const PIPE_BYTES: usize = 256 * 1024;

/// Lets more wait in the child's input.
#[cfg(feature = "link")]
pub(crate) fn enlarge_input(input: &Input) {
    if let Input::Pipe(pipe) = input {
        enlarge(pipe.as_fd());
    }
}

/// Lets more wait in the child's output.
#[cfg(feature = "link")]
pub(crate) fn enlarge_output(output: &Output) {
    match output {
        Output::Stdout(stdout) => enlarge(stdout.as_fd()),
        Output::Stderr(stderr) => enlarge(stderr.as_fd()),
        Output::Socket(_) => {}
    }
}

#[cfg(feature = "link")]
fn enlarge(pipe: std::os::fd::BorrowedFd<'_>) {
    // Best effort: a user who has as many as may be keeps the usual size.
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_BYTES);
    #[cfg(not(target_os = "linux"))]
    let _ = pipe;
}

impl AsyncWrite for Input {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Input::Pipe(pipe) => Pin::new(pipe).poll_write(cx, buf),
            #[cfg(feature = "link")]
            Input::Socket(socket) => socket.poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Input::Pipe(pipe) => Pin::new(pipe).poll_flush(cx),
            #[cfg(feature = "link")]
            Input::Socket(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Input::Pipe(pipe) => Pin::new(pipe).poll_shutdown(cx),
            #[cfg(feature = "link")]
            Input::Socket(socket) => Poll::Ready(socket.shutdown()),
        }
    }
}

impl AsyncRead for Output {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Output::Stdout(stdout) => Pin::new(stdout).poll_read(cx, buf),
            Output::Stderr(stderr) => Pin::new(stderr).poll_read(cx, buf),
            #[cfg(feature = "link")]
            Output::Socket(socket) => socket.poll_read(cx, buf),
        }
    }
}

pub(crate) fn in_terminal(program: &Program, size: TerminalSize) -> io::Result<(Child, Terminal)> {
    let master = open_master()?;
    rustix::pty::grantpt(&master)?;
    rustix::pty::unlockpt(&master)?;
    let name = rustix::pty::ptsname(&master, Vec::new())?;
    let slave =
        std::fs::OpenOptions::new().read(true).write(true).open_as_terminal(name.to_bytes())?;
    let mut modes = rustix::termios::tcgetattr(&slave)?;
    // So that erasing takes a whole character of UTF-8.
    modes.input_modes |= rustix::termios::InputModes::IUTF8;
    rustix::termios::tcsetattr(&slave, rustix::termios::OptionalActions::Now, &modes)?;
    rustix::termios::tcsetwinsize(&slave, winsize(size))?;
    rustix::fs::fcntl_setfl(
        &master,
        rustix::fs::fcntl_getfl(&master)? | rustix::fs::OFlags::NONBLOCK,
    )?;

    let mut command = command(program, true);
    command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
    // SAFETY: an `OwnedFd` gives the same open descriptor from `as_fd` until it is dropped, and
    // the `AsyncFd` owns it.
    let master = Arc::new(unsafe { AsyncFd::register(master) }?);
    let child = start(command, Some(master.clone()))?;
    Ok((child, Terminal { master }))
}

/// A new pseudo-terminal's own side, which no child inherits.
fn open_master() -> io::Result<OwnedFd> {
    use rustix::pty::{OpenptFlags, openpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
    #[cfg(target_os = "linux")]
    let flags = flags | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    // macOS can't do it in one step: a process that another thread starts in between would hold it.
    #[cfg(not(target_os = "linux"))]
    rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC)?;
    Ok(master)
}

/// Opening a terminal so that it becomes nobody's controlling terminal.
trait OpenAsTerminal {
    fn open_as_terminal(&mut self, path: &[u8]) -> io::Result<OwnedFd>;
}

impl OpenAsTerminal for std::fs::OpenOptions {
    fn open_as_terminal(&mut self, path: &[u8]) -> io::Result<OwnedFd> {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOCTTY.bits().cast_signed();
        self.custom_flags(flags).open(OsStr::from_bytes(path)).map(OwnedFd::from)
    }
}

/// The command with its environment, as the leader of a new session with no signal ignored.
fn command(program: &Program, has_terminal: bool) -> std::process::Command {
    let mut command = match &program.line {
        Line::Script(script) => {
            let mut command = std::process::Command::new(SHELL);
            command.arg("-c").arg(script);
            command
        }
        Line::Program(name, args) => {
            let mut command = std::process::Command::new(name);
            command.args(args);
            command
        }
    };
    for name in FOR_THIS_PROCESS {
        command.env_remove(name);
    }
    if has_terminal {
        command.env("TERM", "xterm-256color");
    }
    command.envs(program.variables.iter().map(|(name, value)| (name, value)));
    if let Some(folder) = &program.folder {
        command.current_dir(folder);
    }
    let become_leader = move || {
        rustix::process::setsid()?;
        if has_terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        for signal in nix::sys::signal::Signal::iterator() {
            // What was ignored stays ignored through exec: a program that was started by `nohup`,
            // or in the background of a script, would give that to every command, and Ctrl-C
            // would not reach them. KILL and STOP, which can't be changed, fail, which is right.
            // SAFETY: no handler of ours is installed, only the default taken back, in a process
            // that has one thread and goes on to exec.
            let _ =
                unsafe { nix::sys::signal::signal(signal, nix::sys::signal::SigHandler::SigDfl) };
        }
        // What was blocked stays blocked through exec, too.
        nix::sys::signal::SigSet::empty().thread_set_mask()?;
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec, where only what is async-signal-safe may be
    // called: it makes the system calls setsid, ioctl, sigaction and sigprocmask, allocates nothing
    // (an error is a bare number) and takes no lock; what it captures is a bool.
    unsafe { command.pre_exec(become_leader) };
    command
}

fn start(
    command: std::process::Command,
    master: Option<Arc<AsyncFd<OwnedFd>>>,
) -> io::Result<Child> {
    let mut command = Command::from(command);
    let process = command.kill_on_drop(true).spawn()?;
    let id = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let leader = id.ok_or_else(|| io::Error::other("the child has no process id"))?;
    Ok(Child { process, leader, master, status: None })
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.leader.as_raw_nonzero().get().cast_unsigned()
    }

    pub(crate) async fn wait(&mut self) -> io::Result<i32> {
        if let Some(code) = self.status {
            return Ok(code);
        }
        let code = exit_code(self.process.wait().await?);
        self.status = Some(code);
        Ok(code)
    }

    /// Only while the leader is not reaped: its id is nobody else's until then.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        self.status.is_none() && send(self.leader, signal)
    }

    pub(crate) fn signal_foreground(&self, signal: Signal) -> bool {
        if self.status.is_some() {
            return false;
        }
        send(self.foreground().unwrap_or(self.leader), signal)
    }

    /// The terminal's foreground process group, if there is one in the child's session.
    fn foreground(&self) -> Option<Pid> {
        let master = self.master.as_ref()?;
        let group = rustix::termios::tcgetpgrp(master.get_ref()).ok()?;
        // A terminal keeps the number of a group that is gone until the shell names the next one,
        // and by then it may be a stranger's. No process of that number: a group that has lost its
        // leader, whose number nobody else is given.
        match rustix::process::getsid(Some(group)) {
            Ok(session) if session != self.leader => None,
            _ => Some(group),
        }
    }

    pub(crate) async fn end(&mut self, grace: Duration) {
        if self.status.is_some() {
            return;
        }
        let mut groups = vec![self.leader];
        groups.extend(self.foreground().filter(|group| *group != self.leader));
        for group in &groups {
            send(*group, Signal::Hangup);
            // What is stopped would not see it.
            let _ = kill_process_group(*group, rustix::process::Signal::CONT);
        }
        let deadline = Instant::now() + grace;
        loop {
            // The leader is reaped as soon as it has ended, else its group would seem to live.
            // A group's id is given to nobody else as long as the group has a member.
            let look = (Instant::now() + LOOK).min(deadline);
            let reaped = self.status.is_some()
                || matches!(tokio::time::timeout_at(look, self.wait()).await, Ok(Err(_)));
            // Also where nothing can be waited for, as in a process that ignores SIGCHLD.
            if reaped {
                tokio::time::sleep_until(look).await;
            }
            groups.retain(|group| test_kill_process_group(*group).is_ok());
            if groups.is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                for group in &groups {
                    send(*group, Signal::Kill);
                }
                break;
            }
        }
        let _ = tokio::time::timeout(KILLED, self.wait()).await;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_none() {
            if let Some(foreground) = self.foreground() {
                send(foreground, Signal::Kill);
            }
            send(self.leader, Signal::Kill);
        }
    }
}

fn send(group: Pid, signal: Signal) -> bool {
    use rustix::process::Signal as System;
    let signal = match signal {
        Signal::Hangup => System::HUP,
        Signal::Interrupt => System::INT,
        Signal::Quit => System::QUIT,
        Signal::Terminate => System::TERM,
        Signal::Kill => System::KILL,
    };
    kill_process_group(group, signal).is_ok()
}

fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn winsize(size: TerminalSize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// The side of a pseudo-terminal that is ours.
#[derive(Debug)]
pub(crate) struct Terminal {
    master: Arc<AsyncFd<OwnedFd>>,
}

impl Terminal {
    pub(crate) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        Ok(rustix::termios::tcsetwinsize(self.master.get_ref(), winsize(size))?)
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // The runtime hears of bytes only after the system has moved them here in the background.
        // The call itself makes the system do so (n_tty_read flushes the other side's buffer), so
        // that "nothing yet" is true of all that was written before.
        // Whatever else it says is looked at below, where the runtime is told too.
        let at_once = rustix::io::read(self.master.get_ref().as_fd(), buf.initialize_unfilled());
        if let Ok(count) = at_once {
            buf.advance(count);
            return Poll::Ready(Ok(()));
        }
        loop {
            let mut ready = ready!(self.master.poll_read_ready(cx))?;
            let hung_up = ready.ready().is_read_closed();
            let read = ready.try_io(|master| {
                Ok(rustix::io::read(master.get_ref().as_fd(), buf.initialize_unfilled())?)
            });
            match read {
                Ok(Ok(count)) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // Linux: nobody holds the other side any more, which is the end.
                Ok(Err(error)) if error.raw_os_error() == Some(EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                // The other side was closed by all and opened anew. The runtime keeps saying that
                // there is something to read, so to go on would be to spin.
                Err(_would_block) if hung_up => return Poll::Ready(Ok(())),
                Err(_would_block) => {}
            }
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.master.poll_write_ready(cx))?;
            let hung_up = ready.ready().is_write_closed();
            let written =
                ready.try_io(|master| Ok(rustix::io::write(master.get_ref().as_fd(), buf)?));
            match written {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) if error.raw_os_error() == Some(EIO) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, error)));
                }
                // As in reading.
                Err(_would_block) if hung_up => {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                Ok(written) => return Poll::Ready(written),
                Err(_would_block) => {}
            }
        }
    }
}

/// What reading and writing a pseudo-terminal give on Linux when its other side is closed (pty(7)).
const EIO: i32 = rustix::io::Errno::IO.raw_os_error();
