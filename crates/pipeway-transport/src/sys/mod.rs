//! What differs between operating systems, under the same names on each: the local transport
//! (Unix sockets or named pipes) and a few rules of TCP.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;
#[cfg_attr(not(any(target_os = "linux", windows)), path = "no_worker.rs")]
mod worker;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;
pub(crate) use worker::{Running, Worker};
