//! Connecting a socket.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::Tcp;
use super::loopback::spare_pacing;
use super::prompt::Prompt;
use super::source::Teller;

/// A connection that is being made: TCP's, and on some systems a Unix socket's.
const IN_PROGRESS: i32 = Errno::INPROGRESS.raw_os_error();

/// Connects `socket`. Where the system connects at once, as Linux does to Unix sockets, nothing is
/// waited for.
pub(super) async fn connect_socket(socket: Socket, to: &SockAddr) -> io::Result<Prompt> {
    let is_under_way = match socket.connect(to) {
        Ok(()) => false,
        Err(error) if error.raw_os_error() == Some(IN_PROGRESS) => true,
        Err(error) => return Err(error),
    };
    let connected = Prompt::new(socket.into(), Teller::current())?;
    if is_under_way {
        connected.until_connected().await?;
    }
    Ok(connected)
}

/// Connects to a TCP port.
pub(crate) async fn connect_tcp(address: SocketAddr) -> io::Result<Tcp> {
    let socket = new_socket(Domain::for_address(address))?;
    socket.set_tcp_nodelay(true)?;
    spare_pacing(&socket, address);
    connect_socket(socket, &address.into()).await
}

/// A socket whose calls do not wait.
#[cfg(target_os = "linux")]
pub(super) fn new_socket(domain: Domain) -> io::Result<Socket> {
    // One call instead of three.
    Socket::new(domain, Type::STREAM.nonblocking(), None)
}

/// A socket whose calls do not wait.
#[cfg(not(target_os = "linux"))]
pub(super) fn new_socket(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
