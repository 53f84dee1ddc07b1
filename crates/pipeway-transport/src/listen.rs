//! The server's end.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, Socket, Type};

use crate::connect::remote_refused;
use crate::{Access, Endpoint, Error, ErrorKind, HalfClose, IoLoop, Mode, Peer, Stream, sys};

/// How to listen.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Who may connect. Default: the owner alone.
    pub access: Access,
    /// Whether a TCP address other than loopback may be listened on. Default: no.
    pub allow_remote: bool,
    /// How many connections may wait to be accepted (sockets). The system may allow fewer.
    /// Default: 4096.
    pub backlog: u32,
    /// How many instances a pipe may have in all, one of which waits for the next client; at the
    /// bound, established connections are kept and new clients wait in the system's queue.
    /// Default: 10,000; at least 2.
    pub max_instances: u32,
    /// How a pipe tells the end of one direction. Default: not at all.
    pub half_close: HalfClose,
    /// Whether a Unix socket's folder must be this user's own and closed to others (mode 0700), as
    /// that of `local:NAME` always must. Otherwise it is enough that nobody else can replace the
    /// socket in it. Default: no.
    pub private_folder: bool,
    /// The loop that reads and writes the connections, and runs what is
    /// [spawned](Listener::spawn). Default: tokio does.
    pub io_loop: Option<IoLoop>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions {
            access: Access::Owner,
            allow_remote: false,
            backlog: 4096,
            max_instances: 10_000,
            half_close: HalfClose::Auto,
            private_folder: false,
            io_loop: None,
        }
    }
}

/// The server's end of an endpoint.
///
/// While it lives the name is held: a second listener on it fails. When it is dropped a Unix
/// socket's file is removed, unless the service manager made it; a pipe's name becomes free when
/// the system has closed the waiting instances, a moment later.
#[derive(Debug)]
pub struct Listener {
    inner: Inner,
    endpoint: Endpoint,
    activated: bool,
    io_loop: Option<IoLoop>,
}

#[derive(Debug)]
enum Inner {
    Local(Box<sys::LocalListener>),
    Tcp(sys::TcpListener),
}

impl Listener {
    /// Listens on `endpoint`. Must be called inside a tokio runtime with I/O enabled.
    ///
    /// The access that was applied is read back and compared before this returns. On Linux a
    /// listening socket of the same address that a service manager handed over (`LISTEN_FDS`) is
    /// taken in place of a new one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InUse`] where another listener holds the name (with its process id where
    /// that is known), [`Permission`](ErrorKind::Permission),
    /// [`Unsupported`](ErrorKind::Unsupported) for a kind of endpoint or access that this system
    /// lacks, and [`Insecure`](ErrorKind::Insecure) for what can't be made private.
    pub fn bind(endpoint: &Endpoint, options: &ListenOptions) -> Result<Listener, Error> {
        let resolved = endpoint.resolve()?;
        let io_loop = options.io_loop.clone();
        let worker = io_loop.as_ref().map(|io_loop| Arc::clone(io_loop.worker()));
        match resolved {
            Endpoint::Tcp(address) => {
                if !options.allow_remote && !address.ip().to_canonical().is_loopback() {
                    return Err(remote_refused(endpoint));
                }
                if options.access != Access::Owner {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        format!(
                            "{endpoint} can't have access `{}`: a port has no owner",
                            options.access
                        ),
                    )
                    .hint("use a Unix socket or a named pipe, or leave access at `owner`"));
                }
                let activated = sys::activated_tcp(address);
                let is_activated = activated.is_some();
                let listener = match activated {
                    Some(listener) => Ok(listener),
                    None => bind_tcp(address, options.backlog),
                }
                .and_then(|listener| sys::TcpListener::from_std(listener, worker))
                .map_err(|error| tcp_error(endpoint, error))?;
                let address = listener.local_addr().map_err(|error| tcp_error(endpoint, error))?;
                Ok(Listener {
                    inner: Inner::Tcp(listener),
                    endpoint: Endpoint::Tcp(address),
                    activated: is_activated,
                    io_loop,
                })
            }
            Endpoint::Stdio => Err(Error::new(
                ErrorKind::Unsupported,
                "stdio can't be listened on: it is one connection, and already made",
            )),
            local => {
                let private_folder =
                    options.private_folder || matches!(endpoint, Endpoint::Local(_));
                let listener = sys::LocalListener::bind(&local, options, private_folder, worker)?;
                let activated = listener.is_activated();
                let inner = Inner::Local(Box::new(listener));
                Ok(Listener { inner, endpoint: local, activated, io_loop })
            }
        }
    }

    /// The endpoint that clients connect to, as observed: `local:NAME` resolved, port 0 replaced
    /// by the system's choice.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The kind of transport.
    pub fn mode(&self) -> Mode {
        match &self.inner {
            Inner::Local(_) => sys::LOCAL_MODE,
            Inner::Tcp(_) => Mode::Tcp,
        }
    }

    /// Whether the listening socket was handed over by the service manager.
    pub fn is_activated(&self) -> bool {
        self.activated
    }

    /// What the user should know about the access that was asked for, such as a custom security
    /// descriptor that lets in everyone. One sentence each, without a full stop.
    pub fn warnings(&self) -> &[String] {
        match &self.inner {
            Inner::Local(listener) => listener.warnings(),
            Inner::Tcp(_) => &[],
        }
    }

    /// Runs a session, on a task of its own: on the listener's [loop](ListenOptions::io_loop), if it
    /// has one; else by tokio, whose runtime this must be called in. On the loop, a session whose `poll`
    /// panics ends.
    pub fn spawn(&self, session: impl Future<Output = ()> + Send + 'static) {
        match &self.io_loop {
            Some(io_loop) => io_loop.spawn(session),
            // Boxed: the runtime moves what it is given more than once.
            None => drop(tokio::spawn(Box::pin(session))),
        }
    }

    /// The next client. Cancel safe: a connection is either returned or left in the queue.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::PeerRejected`] for one client that may not connect (it is closed; the next
    /// call goes on), anything else for a failure of the listener, such as too many open files:
    /// wait a moment and call again.
    pub async fn accept(&mut self) -> Result<(Stream, Peer), Error> {
        std::future::poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// As [`accept`](Listener::accept), for a hand-written future.
    ///
    /// # Errors
    ///
    /// As [`accept`](Listener::accept).
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<(Stream, Peer), Error>> {
        match &mut self.inner {
            Inner::Local(listener) => listener
                .poll_accept(cx)
                .map(|accepted| accepted.map(|(stream, peer)| (Stream::local(stream), peer))),
            Inner::Tcp(listener) => listener.poll_accept(cx).map(|accepted| {
                let (stream, address) =
                    accepted.map_err(|error| accept_error(&self.endpoint, error))?;
                Ok((Stream::tcp(stream), Peer { address: Some(address), ..Peer::default() }))
            }),
        }
    }
}

pub(crate) fn accept_error(endpoint: &Endpoint, error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("could not accept a connection on {endpoint}")).source(error)
}

fn bind_tcp(address: SocketAddr, backlog: u32) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    sys::share_port_rules(&socket)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn tcp_error(endpoint: &Endpoint, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let (kind, what, hint) = match error.kind() {
        Io::AddrInUse => (
            ErrorKind::InUse,
            "is taken by another program",
            "stop that program, or choose another port",
        ),
        Io::PermissionDenied => (
            ErrorKind::Permission,
            "may not be listened on",
            "choose another port above 1023: this one is reserved, or another program holds it alone",
        ),
        Io::AddrNotAvailable => {
            (ErrorKind::NotFound, "is not an address of this system", "use 127.0.0.1 or [::1]")
        }
        _ => (ErrorKind::Io, "can't be listened on", "see the system's message"),
    };
    Error::new(kind, format!("{endpoint} {what}")).hint(hint).source(error)
}
