//! Windows: console events, `%APPDATA%`.

use std::io;
use std::path::{Path, PathBuf};

use pipeway_transport::Endpoint;
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
