//! Unix: local endpoints are Unix sockets.

mod accept;
mod activation;
#[cfg(feature = "child")]
pub(crate) mod child;
mod connect;
#[cfg(feature = "console")]
pub(crate) mod console;
#[cfg(feature = "child")]
pub(crate) mod fifo;
mod folder;
mod group;
#[cfg(all(test, target_os = "linux"))]
pub(in crate::sys) mod handles;
mod hang_up;
mod limit;
mod lock;
mod loopback;
#[cfg(any(feature = "stdio", feature = "link"))]
mod one_way;
mod pages;
#[cfg(target_os = "linux")]
pub(in crate::sys) mod port;
mod prompt;
mod socket;
mod source;
mod splice;
#[cfg(feature = "stdio")]
pub(crate) mod stdio;

pub(crate) use accept::TcpListener;
pub(crate) use activation::{activated_tcp, activated_unix};
pub(crate) use connect::connect_tcp;
pub(crate) use limit::raise_file_limit;
pub(crate) use pages::prefer_large_pages;
pub(crate) use socket::{
    LOCAL_MODE, LocalListener, LocalStream, check_local, connect_local, is_socket_hung_up,
    local_folder, resolve_local, share_port_rules,
};
pub(crate) use splice::{Socket, Splice};

/// A TCP connection.
pub(crate) type Tcp = prompt::Prompt;

/// As measured on Linux.
pub(crate) const BUSY_POLL_PAYS: bool = true;

/// The socket of a TCP connection, for [`Splice`].
pub(crate) fn tcp_socket(stream: &Tcp) -> Socket<'_> {
    Socket::Tcp(stream.source())
}

/// What the other end of an idle one has done.
pub(crate) fn probe_tcp(stream: &Tcp) -> crate::stream::Probe {
    crate::stream::probe_socket(socket2::SockRef::from(stream))
}

/// Makes its close a reset.
pub(crate) fn abort_tcp_on_close(stream: &Tcp) {
    // Best effort: without it the close is an orderly one, which framing reveals.
    let _ = socket2::SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}
