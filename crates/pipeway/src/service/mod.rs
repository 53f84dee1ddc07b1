//! What the program asks of the operating system as a service and as a user's program: signals,
//! the word that it is ready, folders, a file's permissions. The same names on every system.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;
