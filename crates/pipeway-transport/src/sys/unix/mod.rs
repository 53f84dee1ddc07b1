//! Unix: local endpoints are Unix sockets.

mod accept;
mod activation;
#[cfg(feature = "child")]
pub(crate) mod child;
#[cfg(feature = "console")]
pub(crate) mod console;
#[cfg(feature = "child")]
pub(crate) mod fifo;
mod folder;
mod group;
mod hang_up;
mod limit;
mod lock;
#[cfg(any(feature = "stdio", feature = "link"))]
mod one_way;
mod pages;
mod prompt;
mod socket;
mod splice;
#[cfg(feature = "stdio")]
pub(crate) mod stdio;

pub(crate) use accept::TcpListener;
pub(crate) use activation::{activated_tcp, activated_unix};
pub(crate) use limit::raise_file_limit;
pub(crate) use pages::prefer_large_pages;
pub(crate) use socket::{
    LOCAL_MODE, LocalListener, LocalStream, check_local, connect_local, is_socket_hung_up,
    local_folder, resolve_local, share_port_rules,
};
pub(crate) use splice::{Socket, Splice};

/// A TCP connection.
pub(crate) type Tcp = prompt::Prompt<tokio::net::TcpStream>;

/// As measured on Linux.
pub(crate) const BUSY_POLL_PAYS: bool = true;

/// One that was just connected.
pub(crate) fn connected_tcp(stream: tokio::net::TcpStream) -> std::io::Result<Tcp> {
    Ok(stream.into())
}

/// What the other end of an idle one has done.
pub(crate) fn probe_tcp(stream: &Tcp) -> crate::stream::Probe {
    crate::stream::probe_socket(socket2::SockRef::from(&**stream))
}

/// Makes its close a reset.
pub(crate) fn abort_tcp_on_close(stream: &Tcp) {
    // Best effort: without it the close is an orderly one, which framing reveals.
    let _ = socket2::SockRef::from(&**stream).set_linger(Some(std::time::Duration::ZERO));
}
