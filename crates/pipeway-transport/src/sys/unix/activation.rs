//! Listening sockets handed over by a service manager (`LISTEN_PID`, `LISTEN_FDS`; the protocol
//! is that of sd_listen_fds(3)).
//!
//! A socket is taken by the listener whose address it has, so a configuration is the same with
//! and without activation.

// Descriptors arrive as bare numbers: making them owned is the one unsafe step.
#![allow(unsafe_code)]

use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use socket2::Socket;

/// The first descriptor that is handed over (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;

/// The handed-over listening socket whose path is `path`, once.
pub(crate) fn activated_unix(path: &Path) -> Option<std::os::unix::net::UnixListener> {
    take(|socket| socket.local_addr().is_ok_and(|address| address.as_pathname() == Some(path)))
        .map(Into::into)
}

/// The handed-over listening socket whose address is `address`, once.
pub(crate) fn activated_tcp(address: SocketAddr) -> Option<std::net::TcpListener> {
    take(|socket| socket.local_addr().is_ok_and(|local| local.as_socket() == Some(address)))
        .map(Into::into)
}

fn take(mut wanted: impl FnMut(&Socket) -> bool) -> Option<Socket> {
    static SOCKETS: OnceLock<Mutex<Vec<Socket>>> = OnceLock::new();
    let mut sockets = SOCKETS
        .get_or_init(|| Mutex::new(inherit()))
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let index = sockets.iter().position(&mut wanted)?;
    let socket = sockets.swap_remove(index);
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// All handed-over descriptors that are listening stream sockets. Called once in a process.
fn inherit() -> Vec<Socket> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).min(1024);
    (FIRST..FIRST + count as RawFd)
        .filter_map(|fd| {
            // SAFETY: the borrow lasts for this call only, and the call does nothing with a
            // descriptor that is not open but fail.
            let open = rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) }).ok()?;
            // SAFETY: the descriptor is open (checked above). LISTEN_PID names this process, by
            // which the service manager says that these numbers are ours alone; nothing else in
            // the process knows them, and this function runs once.
            let owned = unsafe { OwnedFd::from_raw_fd(fd) };
            // Best effort: an inherited listener in a child would hold the address.
            let _ = rustix::io::fcntl_setfd(&owned, open | rustix::io::FdFlags::CLOEXEC);
            Some(Socket::from(owned))
        })
        .filter(|socket| {
            // One that is connected is a client's, which `Accept=yes` hands over.
            socket.peer_addr().is_err()
                && socket.r#type().is_ok_and(|kind| kind == socket2::Type::STREAM)
        })
        .collect()
}
