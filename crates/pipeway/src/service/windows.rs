//! Windows: console events, `%APPDATA%`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pipeway_transport::child::{Signal, TerminalSize};
use pipeway_transport::{Endpoint, console};
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close,
    ctrl_logoff, ctrl_shutdown,
};

/// The console events that mean: stop. After a close, a logoff or a shutdown the system waits
/// about five seconds for the process to end, whatever the drain deadline says.
#[derive(Debug)]
pub(crate) struct StopSignals {
    c: CtrlC,
    r#break: CtrlBreak,
    close: CtrlClose,
    logoff: CtrlLogoff,
    shutdown: CtrlShutdown,
}

impl StopSignals {
    /// Takes the events over. Must be called inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(StopSignals {
            c: ctrl_c()?,
            r#break: ctrl_break()?,
            close: ctrl_close()?,
            logoff: ctrl_logoff()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    /// The next one, by its name. Cancel safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.c.recv() => "Ctrl-C",
            _ = self.r#break.recv() => "Ctrl-Break",
            _ = self.close.recv() => "closing of the console",
            _ = self.logoff.recv() => "logoff",
            _ = self.shutdown.recv() => "shutdown",
        }
    }
}

/// The events that a user's program passes on to the other side, as the signals they come
/// closest to.
#[derive(Debug)]
pub(crate) struct UserSignals(StopSignals);

impl UserSignals {
    /// Takes the events over. Must be called inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        StopSignals::new().map(UserSignals)
    }

    /// The next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Signal {
        let StopSignals { c, r#break, close, logoff, shutdown } = &mut self.0;
        tokio::select! {
            _ = c.recv() => Signal::Interrupt,
            _ = r#break.recv() => Signal::Quit,
            _ = close.recv() => Signal::Hangup,
            _ = logoff.recv() => Signal::Hangup,
            _ = shutdown.recv() => Signal::Terminate,
        }
    }
}

/// How often the window is looked at: a console tells of its size only among its keys, in a form
/// that leaves no keys of a VT terminal.
const LOOK: Duration = Duration::from_millis(250);

/// Tells that the console's window has another size.
#[derive(Debug)]
pub(crate) struct Resizes {
    known: Option<TerminalSize>,
    looks: tokio::time::Interval,
}

impl Resizes {
    /// Begins to look. Must be called inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Resizes { known: console::size(), looks: tokio::time::interval(LOOK) })
    }

    /// Waits for the next change. Cancel safe.
    pub(crate) async fn next(&mut self) {
        if self.known.is_none() {
            // There is no window.
            std::future::pending::<()>().await;
        }
        loop {
            self.looks.tick().await;
            let size = console::size();
            if size != self.known {
                self.known = size;
                return;
            }
        }
    }
}

/// What job control does to a job elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(dead_code, reason = "there is no job control here")]
pub(crate) enum JobEvent {
    Suspend,
    Continued,
}

/// There is no job control here.
#[derive(Debug)]
pub(crate) struct JobControl;

impl JobControl {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(JobControl)
    }

    /// Waits for ever.
    pub(crate) async fn next(&mut self) -> JobEvent {
        std::future::pending().await
    }
}

/// Ends the process with a command's exit code, which may be any here.
pub(crate) fn exit_with(code: i32) -> std::process::ExitCode {
    std::process::exit(code)
}

/// There is no service manager here that waits for a word.
pub(crate) fn notify(_state: &str) {}

/// The folder of a user's configurations: `%APPDATA%`.
pub(crate) fn config_folder() -> Option<PathBuf> {
    std::env::var_os("APPDATA").map(PathBuf::from).filter(|path| path.is_absolute())
}

/// How a secret's file is open to other users: not told here, where a file inherits its
/// folder's access list and a user's profile is the user's own.
pub(crate) fn exposed_to_others(_path: &Path) -> Option<String> {
    None
}

/// Where the demonstration's service listens: a free loopback port.
pub(crate) fn demo_service_endpoint(_folder: &Path) -> Result<Endpoint, String> {
    Ok(Endpoint::Tcp((std::net::Ipv4Addr::LOCALHOST, 0).into()))
}

/// Where the demonstration's agent listens: a pipe.
pub(crate) fn demo_agent_endpoint(_folder: &Path) -> Result<Endpoint, String> {
    "npipe:pipeway-demo-inside"
        .parse()
        .map_err(|error: pipeway_transport::EndpointParseError| error.to_string())
}
