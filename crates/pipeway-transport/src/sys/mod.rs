//! What differs between operating systems, under the same names on each: the local transport
//! (Unix sockets or named pipes) and a few rules of TCP.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;
