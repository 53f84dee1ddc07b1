//! Overlapped input and output on named pipes, of our own.
//!
//! One completion port serves all pipes of the process; a thread takes what has ended from it and
//! wakes the tasks. An [operation](operation) owns its memory until the system has given it back,
//! so whoever waits for one may stop waiting at any time. docs/decisions/0011-pipe-engine.md says
//! why it is made so.

mod buffer;
mod drain;
mod left;
mod operation;
mod port;
mod read;
#[cfg(test)]
mod stress;
mod write;

pub(super) use operation::{Operation, Phase};
pub(super) use port::associate;
pub(super) use read::{Read, Reader};
pub(super) use write::Writer;
