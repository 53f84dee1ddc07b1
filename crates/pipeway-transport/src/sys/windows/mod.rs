//! Windows: local endpoints are named pipes.

#[cfg(feature = "child")]
pub(crate) mod child;
mod connect;
#[cfg(feature = "console")]
pub(crate) mod console;
mod descriptor;
mod ending;
mod engine;
#[cfg(feature = "child")]
pub(crate) mod fifo;
#[cfg(test)]
pub(in crate::sys) mod handles;
mod listen;
mod peer;
mod pipe;
mod security;
mod socket;
mod splice;
#[cfg(feature = "stdio")]
pub(crate) mod stdio;
mod stream;
mod tcp;

use crate::{Endpoint, Error, LocalName, Mode, PipeName};

pub(in crate::sys) use engine::port;

pub(crate) use connect::{check_local, connect_local};
pub(crate) use listen::LocalListener;
pub(crate) use socket::{Tcp, abort_tcp_on_close, connect_tcp, probe_tcp};
pub(crate) use splice::{Socket, Splice};
pub(crate) use stream::LocalStream;
pub(crate) use tcp::{TcpListener, activated_tcp, is_socket_hung_up, share_port_rules};

/// What a local endpoint is here.
pub(crate) const LOCAL_MODE: Mode = Mode::NamedPipe;

/// Each look for what has ended is a call of the system's.
pub(crate) const BUSY_POLL_PAYS: bool = false;

/// The socket of a TCP connection, for [`Splice`].
pub(crate) fn tcp_socket(stream: &Tcp) -> Socket<'_> {
    Socket::Tcp(stream)
}

/// Handles have no limit that a process could raise.
pub(crate) fn raise_file_limit() -> Option<u64> {
    None
}

/// Large pages are for those who may lock memory.
pub(crate) fn prefer_large_pages(_: &mut [std::mem::MaybeUninit<u8>]) {}

/// Local endpoints are no files.
pub(crate) fn local_folder() -> Option<std::path::PathBuf> {
    None
}

/// The endpoint that `local:NAME` stands for.
pub(crate) fn resolve_local(name: &LocalName) -> Result<Endpoint, Error> {
    let pipe: PipeName = name.as_str().parse().expect("every local name is a pipe's name");
    Ok(Endpoint::Pipe(pipe))
}
