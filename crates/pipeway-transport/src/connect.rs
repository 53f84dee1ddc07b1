//! The client's end.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{Direction, Endpoint, Error, ErrorKind, HalfClose, Stream, sys};

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How long connecting may take in all, waiting for a busy pipe or a full queue included.
    /// Default: 5 seconds.
    pub timeout: Duration,
    /// Whether the server must be this user's own (or the system's) before the first byte is
    /// sent. Has no meaning for TCP. Default: only for `local:NAME`.
    pub verify_server: Option<bool>,
    /// Whether a TCP address other than loopback may be connected to. Default: no.
    pub allow_remote: bool,
    /// How a message-type pipe tells the end of one direction. Default: by messages of no bytes.
    pub half_close: HalfClose,
    /// What a named pipe is opened for. Has no meaning for anything else. Default: both ways.
    pub direction: Direction,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            timeout: Duration::from_secs(5),
            verify_server: None,
            allow_remote: false,
            half_close: HalfClose::Auto,
            direction: Direction::Both,
        }
    }
}

impl ConnectOptions {
    /// The endpoint that [`connect`] would connect to, [resolved](Endpoint::resolve), if it can
    /// be reached on this system with these options at all. Connects to nothing: whether anybody
    /// listens there is another matter.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] for a kind of endpoint that this system lacks or a path that is
    /// too long for it, and [`ErrorKind::Insecure`] for a remote address that was not allowed.
    pub fn check(&self, endpoint: &Endpoint) -> Result<Endpoint, Error> {
        let resolved = endpoint.resolve()?;
        match &resolved {
            Endpoint::Tcp(address) => {
                if !self.allow_remote && !address.ip().to_canonical().is_loopback() {
                    return Err(remote_refused(endpoint));
                }
            }
            Endpoint::Stdio => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    "stdio can't be connected to: it is this process's own input and output",
                ));
            }
            local => sys::check_local(local)?,
        }
        Ok(resolved)
    }
}

/// Connects to `endpoint`.
///
/// A pipe whose instances are all taken and a socket whose queue is full are waited for, with
/// jitter, inside the deadline. Cancel safe: a dropped future leaves no connection behind.
///
/// # Errors
///
/// [`ErrorKind::NotFound`], [`Refused`](ErrorKind::Refused), [`Busy`](ErrorKind::Busy),
/// [`Permission`](ErrorKind::Permission), [`TimedOut`](ErrorKind::TimedOut),
/// [`PeerRejected`](ErrorKind::PeerRejected) where the server is not the expected user's,
/// [`Unsupported`](ErrorKind::Unsupported) for a kind of endpoint that this system lacks, and
/// [`Insecure`](ErrorKind::Insecure) for a remote address that was not allowed.
pub async fn connect(endpoint: &Endpoint, options: &ConnectOptions) -> Result<Stream, Error> {
    let deadline = Instant::now() + options.timeout;
    let verify = options.verify_server.unwrap_or(matches!(endpoint, Endpoint::Local(_)));
    match options.check(endpoint)? {
        Endpoint::Tcp(address) => match timeout_at(deadline, sys::connect_tcp(address)).await {
            Ok(Ok(stream)) => Ok(Stream::tcp(stream)),
            Ok(Err(error)) => Err(tcp_error(endpoint, error)),
            Err(_) => Err(timed_out(endpoint, options.timeout)),
        },
        local => sys::connect_local(&local, deadline, options, verify).await.map(Stream::local),
    }
}

pub(crate) fn timed_out(endpoint: &Endpoint, timeout: Duration) -> Error {
    Error::new(
        ErrorKind::TimedOut,
        format!("{endpoint} did not take the connection within {timeout:?}"),
    )
    .hint("see whether the service is alive and accepts connections, or allow more time")
}

pub(crate) fn remote_refused(endpoint: &Endpoint) -> Error {
    Error::new(ErrorKind::Insecure, format!("{endpoint} is not a loopback address"))
        .hint("use 127.0.0.1 or [::1], or say allow_remote = true if other machines are meant")
}

fn tcp_error(endpoint: &Endpoint, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let (kind, what, hint) = match error.kind() {
        Io::ConnectionRefused => (
            ErrorKind::Refused,
            "nothing listens on",
            "start the service, or see whether it listens on this port",
        ),
        Io::PermissionDenied => (
            ErrorKind::Permission,
            "the system does not allow a connection to",
            "see the firewall's rules",
        ),
        Io::TimedOut => (ErrorKind::TimedOut, "no answer from", "see whether the service is alive"),
        _ => (ErrorKind::Io, "could not connect to", "see the system's message"),
    };
    Error::new(kind, format!("{what} {endpoint}")).hint(hint).source(error)
}
