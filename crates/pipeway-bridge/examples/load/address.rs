//! Where upstream and proxies are: the path of a Unix socket, or `127.0.0.1:PORT`.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

fn is_port(address: &str) -> bool {
    address.starts_with("127.0.0.1:")
}

pub fn connect(address: &str) -> io::Result<UnixStream> {
    if is_port(address) {
        of_tcp(TcpStream::connect(address)?)
    } else {
        UnixStream::connect(address)
    }
}

/// Everything that is done with a stream from here on is done alike with any socket, so one type
/// will do.
fn of_tcp(stream: TcpStream) -> io::Result<UnixStream> {
    stream.set_nodelay(true)?;
    Ok(UnixStream::from(OwnedFd::from(stream)))
}

pub enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Does not block from here on.
    pub fn bind(address: &str) -> io::Result<Self> {
        if is_port(address) {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            return Ok(Listener::Tcp(listener));
        }
        let listener = UnixListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Listener::Unix(listener))
    }

    pub fn accept(&self) -> io::Result<UnixStream> {
        match self {
            Listener::Unix(listener) => Ok(listener.accept()?.0),
            Listener::Tcp(listener) => of_tcp(listener.accept()?.0),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Listener::Unix(listener) => listener.as_fd(),
            Listener::Tcp(listener) => listener.as_fd(),
        }
    }
}
