//! FIFOs, which Windows has not: a named pipe is no file that a shell's redirection could open
//! for reading and writing.

use std::io;
use std::path::Path;

pub(crate) const HAS_FIFOS: bool = false;

/// Never made.
pub(crate) type Reader = tokio::io::Empty;
pub(crate) type Writer = tokio::io::Sink;

pub(crate) fn make_reader(_: &Path) -> io::Result<Reader> {
    Err(unsupported())
}

pub(crate) fn make_writer(_: &Path) -> io::Result<Writer> {
    Err(unsupported())
}

pub(crate) fn forget_typed(_: &Path) -> io::Result<()> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "Windows has no FIFOs")
}
