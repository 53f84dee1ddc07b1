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
mod handles;
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

pub(crate) use connect::{check_local, connect_local};
pub(crate) use listen::LocalListener;
pub(crate) use socket::{Tcp, abort_tcp_on_close, connected_tcp, probe_tcp};
pub(crate) use splice::{Socket, Splice};
pub(crate) use stream::LocalStream;
pub(crate) use tcp::{activated_tcp, is_socket_hung_up, share_port_rules};

/// A TCP port that is listened on.
pub(crate) type TcpListener = tokio::net::TcpListener;

/// What a local endpoint is here.
pub(crate) const LOCAL_MODE: Mode = Mode::NamedPipe;

/// Each look for what has ended is a call of the system's.
pub(crate) const BUSY_POLL_PAYS: bool = false;

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
