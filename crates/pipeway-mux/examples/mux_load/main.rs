//! The load of `cargo xtask bench mux`: one multiplexer at each end of a Unix socket, or both ends
//! in one process over a stream in memory. `interop/mux/load.mjs` does the same on the npm package.
//!
//! ```text
//! mux_load serve SOCKET MUX
//! mux_load one|many SOCKET MUX BYTES CHANNELS
//! mux_load opens|calls|echo SOCKET MUX SECONDS IN_FLIGHT
//! ```
//!
//! `MUX` is 1, 2 or 3, a version of pipeway-mux, or `yamux`; `SOCKET` is a path, or `memory`.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod ours;
mod work;
mod yamux;

use std::error::Error;

#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};
use work::{Multiplexer, Work, serve};

/// What the stream in memory holds for each direction.
const MEMORY_BYTES: usize = 256 * 1024;

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [_, _, "yamux", ..] => run::<yamux::Yamux>(&arguments).await,
        [_, _, "1" | "2" | "3", ..] => run::<ours::Ours>(&arguments).await,
        _ => Err("mux_load serve|one|many|opens|calls|echo SOCKET|memory 1|2|3|yamux [N N]".into()),
    }
}

async fn run<M: Multiplexer>(arguments: &[&str]) -> Result<(), Failed> {
    let [what, socket, version, numbers @ ..] = arguments else {
        return Err("too few arguments".into());
    };
    if *what == "serve" {
        return listen::<M>(socket, version).await;
    }
    let work = Work::parse(what, numbers)?;
    if *socket == "memory" {
        let (near, far) = tokio::io::duplex(MEMORY_BYTES);
        let (near, far) = tokio::join!(M::client(near, version), M::server(far, version));
        tokio::spawn(serve(far?));
        return work.run(near?).await;
    }
    connect::<M>(socket, version, work).await
}

#[cfg(unix)]
async fn listen<M: Multiplexer>(socket: &str, version: &str) -> Result<(), Failed> {
    let listener = UnixListener::bind(socket)?;
    loop {
        let (stream, _) = listener.accept().await?;
        match M::server(stream, version).await {
            Ok(mux) => drop(tokio::spawn(serve(mux))),
            // Somebody looked whether the socket is there.
            Err(error) => eprintln!("{error}"),
        }
    }
}

#[cfg(unix)]
async fn connect<M: Multiplexer>(socket: &str, version: &str, work: Work) -> Result<(), Failed> {
    work.run(M::client(UnixStream::connect(socket).await?, version).await?).await
}

#[cfg(not(unix))]
async fn listen<M: Multiplexer>(_: &str, _: &str) -> Result<(), Failed> {
    Err("there are no Unix sockets here; use `memory`".into())
}

#[cfg(not(unix))]
async fn connect<M: Multiplexer>(_: &str, _: &str, _: Work) -> Result<(), Failed> {
    Err("there are no Unix sockets here; use `memory`".into())
}
