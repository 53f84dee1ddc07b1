//! This process's standard input and output, as one stream.

pub(crate) mod thread;

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{Error, ErrorKind, Mode, sys};

/// This process's standard input and output, as one stream: what others write is read, what is
/// written others read.
///
/// ```no_run
/// use pipeway_transport::stdio::Stdio;
/// use tokio::io::{AsyncWriteExt, copy, split};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut input, mut output) = split(Stdio::open()?);
/// copy(&mut input, &mut output).await?;
/// output.shutdown().await?;
/// # Ok(())
/// # }
/// ```
///
/// Opening takes them from the process. Where `print!` or a child process would still use them,
/// it finds nothing there (`/dev/null`, no handle): what is written here arrives alone and whole.
/// A console of Windows stays where it is.
///
/// [`shutdown`](tokio::io::AsyncWriteExt::shutdown) writes all that is still to be written and
/// closes standard output, so that its reader sees the end; reading goes on. To write after that
/// is a [`BrokenPipe`](io::ErrorKind::BrokenPipe), as where nobody reads any more. The end of
/// standard input is an end of the stream.
///
/// On Linux pipes and sockets are waited for without a thread, and no flag is changed that other
/// processes share. Terminals, files and everything else, and all of it on Windows, go by a thread
/// for each direction with two pieces of 64 KiB at most; a read that nobody answers does not keep
/// the process from ending. There, what was written is on its way only after a flush or a
/// shutdown, and what was read ahead is lost when this is dropped.
#[derive(Debug)]
pub struct Stdio {
    input: sys::stdio::Input,
    output: sys::stdio::Output,
}

impl Stdio {
    /// Takes standard input and output, which can be done once in a process. Must be called
    /// inside a tokio runtime with I/O enabled.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InUse`] if they were taken before; [`ErrorKind::Io`] where the system fails.
    pub fn open() -> Result<Self, Error> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        if TAKEN.swap(true, Ordering::Relaxed) {
            let message = "standard input and output are in use by this process already";
            return Err(Error::new(ErrorKind::InUse, message));
        }
        let (input, output) = sys::stdio::take().map_err(|error| {
            Error::new(ErrorKind::Io, "standard input and output can't be used").source(error)
        })?;
        Ok(Stdio { input, output })
    }

    /// The kind of transport: [`Mode::Stdio`].
    pub const fn mode(&self) -> Mode {
        Mode::Stdio
    }
}

impl AsyncRead for Stdio {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().input).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().output).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().output).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().output).poll_shutdown(cx)
    }
}
