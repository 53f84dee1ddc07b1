//! Unix: signals, `sd_notify`, `XDG_CONFIG_HOME`, modes.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use pipeway_transport::{Endpoint, child, console};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The permissions of a file's group and of others (inode(7)).
const OTHERS: u32 = 0o077;

/// The signals that mean: stop.
#[derive(Debug)]
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal was closed. Not taken over where whoever started the program said that it
    /// is to outlive its terminal, as nohup(1) does.
    hangup: Option<Signal>,
}

impl StopSignals {
    /// Takes the signals over. Must be called inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: unless_ignored(SignalKind::hangup())?,
        })
    }

    /// The next one, by its name. Cancel safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            () = received(&mut self.hangup) => "SIGHUP",
        }
    }
}

/// The signals that a user's program passes on to the other side.
#[derive(Debug)]
pub(crate) struct UserSignals {
    stop: StopSignals,
    quit: Signal,
}

impl UserSignals {
    /// Takes the signals over. Must be called inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(UserSignals { stop: StopSignals::new()?, quit: signal(SignalKind::quit())? })
    }

    /// The next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> child::Signal {
        let StopSignals { interrupt, terminate, hangup } = &mut self.stop;
        tokio::select! {
            _ = interrupt.recv() => child::Signal::Interrupt,
            _ = terminate.recv() => child::Signal::Terminate,
            () = received(hangup) => child::Signal::Hangup,
            _ = self.quit.recv() => child::Signal::Quit,
        }
    }
}

/// Tells that the terminal's window has another size.
#[derive(Debug)]
pub(crate) struct Resizes(Signal);

impl Resizes {
    /// Takes the signal over. Must be called inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Resizes(signal(SignalKind::window_change())?))
    }

    /// Waits for the next change. Cancel safe.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

/// What a shell's job control does to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobEvent {
    /// It is to stop for a while.
    Suspend,
    /// It was stopped, and goes on.
    Continued,
}

/// Tells what a shell's job control wants.
#[derive(Debug)]
pub(crate) struct JobControl {
    /// Not taken over where nobody could continue what was stopped.
    suspend: Option<Signal>,
    continued: Option<Signal>,
}

impl JobControl {
    /// Takes the signals over. Must be called inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        let taken = |number: Option<i32>| match number {
            Some(number) => unless_ignored(SignalKind::from_raw(number)),
            None => Ok(None),
        };
        Ok(JobControl {
            suspend: taken(console::suspend_signal())?,
            continued: taken(console::continue_signal())?,
        })
    }

    /// The next event. Cancel safe.
    pub(crate) async fn next(&mut self) -> JobEvent {
        tokio::select! {
            () = received(&mut self.suspend) => JobEvent::Suspend,
            () = received(&mut self.continued) => JobEvent::Continued,
        }
    }
}

/// A signal, unless whoever started the program wanted it to be ignored.
fn unless_ignored(kind: SignalKind) -> io::Result<Option<Signal>> {
    if is_ignored(kind.as_raw_value()) { Ok(None) } else { signal(kind).map(Some) }
}

/// Waits for a signal; for ever, for one that is not taken over.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether a signal was ignored when the program was started: its bit of `SigIgn`, the first of
/// which is signal 1 (proc_pid_status(5)). Where there is no such file it is taken for not
/// ignored.
fn is_ignored(number: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask >> (number - 1) & 1 != 0)
}

/// What a command's exit code is shown as where the system has no room for it.
const UNSHOWN: u8 = 254;

/// What the system sees of a command's exit code. One that it has no room for, as programs of
/// Windows have them, is [`UNSHOWN`].
pub(crate) fn exit_with(code: i32) -> std::process::ExitCode {
    match u8::try_from(code) {
        Ok(code) => code.into(),
        Err(_) => {
            crate::output::talk(&format!("the command ended with {code}, which is {UNSHOWN} here"));
            UNSHOWN.into()
        }
    }
}

/// Tells the service manager, where there is one, `READY=1` or `STOPPING=1` (sd_notify(3)).
pub(crate) fn notify(state: &str) {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return;
    };
    // Best effort: a manager that does not listen does not wait for the word either.
    if let Ok(socket) = UnixDatagram::unbound() {
        let _ = send(&socket, state, &address);
    }
}

fn send(socket: &UnixDatagram, state: &str, address: &OsStr) -> io::Result<usize> {
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        // A leading @ stands for the NUL byte of an abstract address.
        if let Some(name) = address.as_bytes().strip_prefix(b"@") {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            return socket.send_to_addr(state.as_bytes(), &address);
        }
    }
    socket.send_to(state.as_bytes(), Path::new(address))
}

/// The folder of a user's configurations: `$XDG_CONFIG_HOME`, else `~/.config`.
pub(crate) fn config_folder() -> Option<PathBuf> {
    let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")))
}

/// How a secret's file is open to other users, if it is.
pub(crate) fn exposed_to_others(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & OTHERS != 0).then(|| format!("can be used by other users (mode {:04o})", mode & 0o7777))
}

/// Where the demonstration's service listens: a socket below `folder`, in one of its own that
/// the listener makes for its owner alone.
pub(crate) fn demo_service_endpoint(folder: &Path) -> Result<Endpoint, String> {
    demo_endpoint(folder, "service.sock")
}

/// Where the demonstration's agent listens, beside its service.
pub(crate) fn demo_agent_endpoint(folder: &Path) -> Result<Endpoint, String> {
    demo_endpoint(folder, "agent.sock")
}

fn demo_endpoint(folder: &Path, name: &str) -> Result<Endpoint, String> {
    format!("unix:{}", folder.join("run").join(name).display())
        .parse()
        .map_err(|error: pipeway_transport::EndpointParseError| error.to_string())
}
