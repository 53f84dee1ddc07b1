//! Unix: signals, `sd_notify`, `XDG_CONFIG_HOME`, modes.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use pipeway_transport::Endpoint;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The permissions of a file's group and of others (inode(7)).
const OTHERS: u32 = 0o077;

/// The signals that mean: stop.
#[derive(Debug)]
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl StopSignals {
    /// Takes the signals over. Must be called inside a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(StopSignals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one, by its name. Cancel safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
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

/// Where the demonstration's service listens: a socket in `folder`.
pub(crate) fn demo_service_endpoint(folder: &Path) -> Result<Endpoint, String> {
    format!("unix:{}", folder.join("service.sock").display())
        .parse()
        .map_err(|error: pipeway_transport::EndpointParseError| error.to_string())
}
