//! Unix sockets.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::accept::UnixListener;
use super::connect::{connect_socket, new_socket};
use super::folder::prepare_folder;
use super::group::group_id;
use super::hang_up::HangUp;
use super::lock::{Lock, LockError};
use super::prompt::Prompt;
use super::source::Teller;
use crate::backoff::Backoff;
use crate::connect::timed_out;
use crate::listen::accept_error;
use crate::stream::{Probe, probe_socket};
use crate::sys::Worker;
use crate::{
    Access, ConnectOptions, Direction, Endpoint, Error, ErrorKind, ListenOptions, LocalName, Mode,
    Peer,
};

/// What a local endpoint is here.
pub(crate) const LOCAL_MODE: Mode = Mode::Unix;

/// The longest path of a socket, in bytes (`sun_path` less its NUL; unix(7)).
const PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The folder that local endpoints lie in.
pub(crate) fn local_folder() -> Option<PathBuf> {
    Some(private_folder())
}

fn private_folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(folder) if folder.is_absolute() => folder,
        _ => std::env::temp_dir().join(format!("pipeway-{}", rustix::process::geteuid().as_raw())),
    }
}

/// The endpoint that `local:NAME` stands for.
pub(crate) fn resolve_local(name: &LocalName) -> Result<Endpoint, Error> {
    let path = private_folder().join(format!("{}.sock", name.as_str()));
    let path = path.as_path().try_into().map_err(|error| {
        Error::new(
            ErrorKind::Unsupported,
            format!("local:{} has no path here: {error}", name.as_str()),
        )
        .hint("set XDG_RUNTIME_DIR to a folder of your own, or name a path with unix:/path")
    })?;
    Ok(Endpoint::Unix(path))
}

/// Whether `endpoint` can be one of this system's at all.
pub(crate) fn check_local(endpoint: &Endpoint) -> Result<(), Error> {
    socket_path(endpoint).map(|_| ())
}

/// A listening Unix socket that holds its path.
#[derive(Debug)]
pub(crate) struct LocalListener {
    listener: UnixListener,
    endpoint: Endpoint,
    access: Access,
    /// What to remove at the end; nothing where the service manager made the socket.
    file: Option<SocketFile>,
}

impl LocalListener {
    pub(crate) fn bind(
        endpoint: &Endpoint,
        options: &ListenOptions,
        private_folder: bool,
        worker: Option<Arc<Worker>>,
    ) -> Result<Self, Error> {
        let path = socket_path(endpoint)?;
        let teller = Teller::of(worker);
        let group = match &options.access {
            Access::Owner => None,
            Access::Group(name) => Some(group_id(name)?),
            other => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("access `{other}` is for named pipes on Windows"),
                )
                .hint("use owner or group:NAME"));
            }
        };
        let listening = |error| os_error(endpoint, "can't be listened on", error);
        if let Some(listener) = super::activated_unix(path) {
            let listener = UnixListener::from_std(listener, teller).map_err(listening)?;
            return Ok(LocalListener {
                listener,
                endpoint: endpoint.clone(),
                access: options.access.clone(),
                file: None,
            });
        }
        prepare_folder(endpoint, path, private_folder)?;
        let lock = Lock::acquire(path).map_err(|error| match error {
            LockError::Held(pid) => in_use(endpoint, pid),
            LockError::Io(error) => os_error(endpoint, "can't be locked", error),
        })?;
        remove_stale(endpoint, path)?;

        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(listening)?;
        socket.set_nonblocking(true).map_err(listening)?;
        let address = SockAddr::unix(path).map_err(listening)?;
        socket.bind(&address).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => in_use(endpoint, None),
            _ => os_error(endpoint, "can't be made", error),
        })?;
        // From here on the file is ours, and goes when this is dropped.
        let file = SocketFile::made(path, lock).map_err(listening)?;
        // Nobody can connect before `listen`, so there is no moment of wider access.
        apply_access(endpoint, path, group)?;
        let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
        socket.listen(backlog).map_err(listening)?;
        let listener = UnixListener::from_std(socket.into(), teller).map_err(listening)?;
        Ok(LocalListener {
            listener,
            endpoint: endpoint.clone(),
            access: options.access.clone(),
            file: Some(file),
        })
    }

    pub(crate) fn is_activated(&self) -> bool {
        self.file.is_none()
    }

    /// Nothing to warn of: what would be is refused.
    pub(crate) fn warnings(&self) -> &[String] {
        &[]
    }

    pub(crate) fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(LocalStream, Peer), Error>> {
        let accepted = ready!(self.listener.poll_accept(cx));
        let stream = accepted.map_err(|error| accept_error(&self.endpoint, error))?;
        let peer = identify(&stream);
        if self.access == Access::Owner && !peer.uid.is_some_and(is_me_or_root) {
            return Poll::Ready(Err(Error::new(
                ErrorKind::PeerRejected,
                format!(
                    "a process of user {} connected to {}, which is its owner's alone",
                    peer.uid.map_or("unknown".into(), |uid| uid.to_string()),
                    self.endpoint
                ),
            )
            .hint("to let others in, set access to group:NAME")
            .holder(peer.pid)));
        }
        Poll::Ready(Ok((LocalStream::new(stream), peer)))
    }
}

/// Connects to a Unix socket.
pub(crate) async fn connect_local(
    endpoint: &Endpoint,
    deadline: Instant,
    options: &ConnectOptions,
    verify: bool,
) -> Result<LocalStream, Error> {
    let path = socket_path(endpoint)?;
    let timeout = options.timeout;
    let mut pause = Backoff::new();
    let stream = loop {
        match timeout_at(deadline, connect_once(path)).await {
            Ok(Ok(stream)) => break stream,
            // The listener's queue is full, and a socket that does not block is not queued.
            Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if !pause.wait(deadline).await {
                    return Err(Error::new(
                        ErrorKind::Busy,
                        format!("{endpoint} had no place in its queue for {timeout:?}"),
                    )
                    .hint("the service does not accept connections fast enough; see whether it is alive")
                    .source(error));
                }
            }
            Ok(Err(error)) => return Err(connect_error(endpoint, error)),
            Err(_) => return Err(timed_out(endpoint, timeout)),
        }
    };
    if verify {
        let server = identify(&stream);
        if !server.uid.is_some_and(is_me_or_root) {
            return Err(Error::new(
                ErrorKind::PeerRejected,
                format!(
                    "{endpoint} is served by user {}, not by you",
                    server.uid.map_or("unknown".into(), |uid| uid.to_string())
                ),
            )
            .hint("another user may have taken the name; if that server is meant, turn verify_server off")
            .holder(server.pid));
        }
    }
    Ok(LocalStream::new(stream))
}

/// One attempt. Where the system connects at once, as Linux does, nothing is waited for.
async fn connect_once(path: &Path) -> io::Result<Prompt> {
    connect_socket(new_socket(Domain::UNIX)?, &SockAddr::unix(path)?).await
}

/// A Unix socket's connection.
#[derive(Debug)]
pub(crate) struct LocalStream {
    stream: Prompt,
    /// Made when it is first waited for.
    hang_up: Option<Box<HangUp>>,
}

impl LocalStream {
    fn new(stream: Prompt) -> Self {
        LocalStream { stream, hang_up: None }
    }

    /// The socket, for [`Splice`](super::Splice).
    pub(crate) fn socket(&self) -> Option<super::Socket<'_>> {
        Some(super::Socket::Unix(self.stream.source()))
    }

    pub(crate) fn can_half_close(&self) -> bool {
        true
    }

    pub(crate) fn direction(&self) -> Direction {
        Direction::Both
    }

    #[inline]
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_read_ready(cx)
    }

    pub(crate) fn probe(&self) -> Probe {
        probe_socket(socket2::SockRef::from(&self.stream))
    }

    pub(crate) fn is_hung_up(&self) -> bool {
        is_socket_hung_up(&self.stream)
    }

    pub(crate) fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hang_up.is_none() {
            self.hang_up = Some(Box::new(HangUp::of(&self.stream)?));
        }
        self.hang_up.as_mut().expect("it was made above").poll(cx)
    }
}

impl AsyncRead for LocalStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Whether both halves of the connection are down (POLLHUP), or it failed (POLLERR).
pub(crate) fn is_socket_hung_up(socket: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::empty())];
    let polled = rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default()));
    polled.is_ok() && fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// Lets a port be listened on again at once after its last listener ended; a live listener still
/// holds it.
pub(crate) fn share_port_rules(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// The socket's file and the lock beside it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    _lock: Lock,
}

impl SocketFile {
    fn made(path: &Path, lock: Lock) -> io::Result<Self> {
        let metadata = std::fs::symlink_metadata(path)?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(SocketFile { path: path.to_owned(), identity, _lock: lock })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == self.identity);
        if ours {
            // Left behind, it is a stale file, which the next listener removes.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn socket_path(endpoint: &Endpoint) -> Result<&Path, Error> {
    let Endpoint::Unix(path) = endpoint else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("{endpoint}: this system has no named pipes"),
        )
        .hint("use unix:/path, or local:NAME, which works on every system"));
    };
    let length = path.as_path().as_os_str().len();
    if length > PATH_MAX {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("{endpoint}: the path is {length} bytes long, and a socket's path may have {PATH_MAX}"),
        )
        .hint("choose a shorter path"));
    }
    Ok(path.as_path())
}

/// Removes a socket's file whose listener is gone. Called with the lock held.
fn remove_stale(endpoint: &Endpoint, path: &Path) -> Result<(), Error> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(os_error(endpoint, "can't be looked at", error)),
        Ok(metadata) => metadata,
    };
    if !metadata.file_type().is_socket() {
        let what =
            if metadata.is_symlink() { "a symbolic link" } else { "a file that is no socket" };
        return Err(Error::new(
            ErrorKind::InUse,
            format!("{endpoint}: there is {what} at this path"),
        )
        .hint("it is left as it is; remove it yourself, or choose another path"));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)
        .map_err(|error| os_error(endpoint, "can't be looked at", error))?;
    socket
        .set_nonblocking(true)
        .map_err(|error| os_error(endpoint, "can't be looked at", error))?;
    let address =
        SockAddr::unix(path).map_err(|error| os_error(endpoint, "can't be looked at", error))?;
    match socket.connect(&address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| {
                os_error(endpoint, "is left from a dead program and can't be removed", error)
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(os_error(endpoint, "belongs to somebody else", error))
        }
        // Connected, or its queue is full: somebody listens.
        Ok(()) => Err(in_use(endpoint, identify(&socket).pid)),
        Err(_) => Err(in_use(endpoint, None)),
    }
}

fn apply_access(endpoint: &Endpoint, path: &Path, group: Option<u32>) -> Result<(), Error> {
    let failed = |error| os_error(endpoint, "can't be given its permissions", error);
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    if let Some(gid) = group {
        std::os::unix::fs::chown(path, None, Some(gid)).map_err(|error| {
            let error = failed(error);
            if error.kind() == ErrorKind::Permission {
                error.hint("you must be a member of the group")
            } else {
                error
            }
        })?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    let applied = std::fs::symlink_metadata(path).map_err(failed)?;
    let me = rustix::process::geteuid().as_raw();
    let right = applied.mode() & 0o7777 == mode
        && applied.uid() == me
        && group.is_none_or(|gid| applied.gid() == gid);
    if right {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Insecure,
        format!(
            "{endpoint}: asked for mode {mode:04o} and user {me}, the file system gave mode {:04o} and user {}",
            applied.mode() & 0o7777,
            applied.uid()
        ),
    )
    .hint("choose a path on a file system that keeps Unix permissions"))
}

#[cfg(target_os = "linux")]
fn identify(socket: &impl AsFd) -> Peer {
    match rustix::net::sockopt::socket_peercred(socket) {
        Ok(credentials) => Peer {
            // A process of another namespace has the number 0, which is nobody's.
            pid: u32::try_from(credentials.pid.as_raw_pid()).ok().filter(|pid| *pid != 0),
            uid: Some(credentials.uid.as_raw()),
            ..Peer::default()
        },
        Err(_) => Peer::default(),
    }
}

#[cfg(not(target_os = "linux"))]
fn identify(socket: &impl AsFd) -> Peer {
    // The runtime knows how each system tells it, of a socket of its own.
    let known = socket
        .as_fd()
        .try_clone_to_owned()
        .and_then(|own| tokio::net::UnixStream::from_std(own.into())?.peer_cred());
    match known {
        Ok(credentials) => Peer {
            pid: credentials.pid().and_then(|pid| u32::try_from(pid).ok()),
            uid: Some(credentials.uid()),
            ..Peer::default()
        },
        Err(_) => Peer::default(),
    }
}

fn is_me_or_root(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

fn in_use(endpoint: &Endpoint, pid: Option<u32>) -> Error {
    let by = pid.map_or("another program".into(), |pid| format!("process {pid}"));
    Error::new(ErrorKind::InUse, format!("{endpoint} is taken by {by}"))
        .hint("stop that program, or choose another name")
        .holder(pid)
}

fn connect_error(endpoint: &Endpoint, error: io::Error) -> Error {
    use io::ErrorKind as Io;
    let (kind, what, hint) = match error.kind() {
        Io::NotFound => (
            ErrorKind::NotFound,
            "does not exist",
            "start the service, or see whether it uses this path",
        ),
        Io::ConnectionRefused => (
            ErrorKind::Refused,
            "exists, but nobody listens on it",
            "start the service; the socket's file is left from an earlier run, or is no socket",
        ),
        Io::PermissionDenied => (
            ErrorKind::Permission,
            "may not be used by this user",
            "see the permissions of the socket and of its folder (ls -la), and who owns them",
        ),
        _ => (ErrorKind::Io, "can't be connected to", "see the system's message"),
    };
    Error::new(kind, format!("{endpoint} {what}")).hint(hint).source(error)
}

fn os_error(endpoint: &Endpoint, what: &str, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ErrorKind::Permission
        }
        _ => ErrorKind::Io,
    };
    let text = Error::new(kind, format!("{endpoint} {what}: {error}"));
    let text = if kind == ErrorKind::Permission {
        text.hint("choose a path in a folder of your own, or run as the user that owns this one")
    } else {
        text
    };
    text.source(error)
}
