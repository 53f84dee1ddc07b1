//! Overlapped input and output on named pipes, and on TCP connections of a worker's.
//!
//! The system's thread pool calls us for what has ended, on any of its threads, and we wake the
//! tasks; or a [worker](crate::sys::worker) takes it, whose thread runs the tasks too. An [operation](operation)
//! owns its memory until the system has given it back, so whoever waits for one may stop waiting at
//! any time. docs/decisions/0011-pipe-engine.md and 0014-sessions-on-windows.md say why it is made
//! so.

mod buffer;
mod drain;
mod handle;
mod left;
mod look;
mod operation;
pub(in crate::sys) mod port;
mod read;
#[cfg(test)]
mod stress;
mod write;

pub(super) use handle::Handle;
pub(super) use operation::{Operation, Phase};
pub(super) use port::take_what_has_ended;
pub(super) use read::{Read, Reader};
#[cfg(test)]
pub(super) use stress::live;
pub(super) use write::Writer;

pub(super) use crate::sys::worker::{Worker, poll_proceed};
