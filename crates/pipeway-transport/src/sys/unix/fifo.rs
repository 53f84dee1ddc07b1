//! FIFOs, and the path of a terminal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::sys::stat::Mode;
use rustix::fs::OFlags;
use rustix::termios::QueueSelector;
use tokio::net::unix::pipe;

pub(crate) const HAS_FIFOS: bool = true;

pub(crate) type Reader = pipe::Receiver;
pub(crate) type Writer = pipe::Sender;

pub(crate) fn make_reader(path: &Path) -> io::Result<Reader> {
    pipe::Receiver::from_file(make(path)?)
}

pub(crate) fn make_writer(path: &Path) -> io::Result<Writer> {
    pipe::Sender::from_file(make(path)?)
}

/// Opened for both, a FIFO has a reader and a writer from the start: nobody's opening waits, and
/// the end of one writer is not the end of all.
fn make(path: &Path) -> io::Result<File> {
    nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
}

pub(crate) fn forget_typed(terminal: &Path) -> io::Result<()> {
    let flags = (OFlags::NOCTTY | OFlags::NONBLOCK).bits().cast_signed();
    let terminal = OpenOptions::new().read(true).custom_flags(flags).open(terminal)?;
    Ok(rustix::termios::tcflush(terminal, QueueSelector::IFlush)?)
}
