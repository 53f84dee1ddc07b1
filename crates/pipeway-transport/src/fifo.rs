//! FIFOs: files through which two processes talk, the way to a shell that must not see a
//! descriptor of ours.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::sys;

/// Whether this system has FIFOs. Windows has none.
pub const HAS_FIFOS: bool = sys::fifo::HAS_FIFOS;

/// The end of a FIFO that is read. It never comes to an end: more may be written at any time.
#[derive(Debug)]
pub struct FifoReader {
    inner: sys::fifo::Reader,
}

impl FifoReader {
    /// Makes a FIFO at `path`, for this user alone, and opens it. Whoever opens the path to write
    /// does not wait. The file stays until somebody removes it. Must be called inside a tokio
    /// runtime with I/O enabled.
    ///
    /// # Errors
    ///
    /// Where something is at `path` already, and where the system can't make a FIFO there;
    /// [`Unsupported`](io::ErrorKind::Unsupported) where [`HAS_FIFOS`] is false.
    pub fn make(path: &Path) -> io::Result<Self> {
        Ok(FifoReader { inner: sys::fifo::make_reader(path)? })
    }
}

impl AsyncRead for FifoReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

/// The end of a FIFO that is written. Dropping it is the end of what the reader reads. At most
/// what a pipe holds (64 KiB on Linux) waits for the reader; then writing waits.
#[derive(Debug)]
pub struct FifoWriter {
    inner: sys::fifo::Writer,
}

impl FifoWriter {
    /// As [`FifoReader::make`], with the ends changed: whoever opens the path to read does not
    /// wait.
    ///
    /// # Errors
    ///
    /// As [`FifoReader::make`].
    pub fn make(path: &Path) -> io::Result<Self> {
        Ok(FifoWriter { inner: sys::fifo::make_writer(path)? })
    }
}

impl AsyncWrite for FifoWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// Forgets what was typed at the terminal with this path (`/dev/pts/N`) and not read yet.
///
/// # Errors
///
/// Where the terminal is gone; [`Unsupported`](io::ErrorKind::Unsupported) where [`HAS_FIFOS`] is
/// false, which is where terminals have no paths.
pub fn forget_typed(terminal: &Path) -> io::Result<()> {
    sys::fifo::forget_typed(terminal)
}
