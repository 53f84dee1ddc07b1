//! One stream of two.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Joins a reader and a writer into one stream.
///
/// ```
/// use pipeway_transport::join;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let mut stream = join(&b"what comes in"[..], Vec::new());
/// let mut text = String::new();
/// stream.read_to_string(&mut text).await?;
/// stream.write_all(b"what goes out").await?;
/// let (_, written) = stream.into_inner();
/// assert_eq!((text.as_str(), written.as_deref()), ("what comes in", Some(&b"what goes out"[..])));
/// # Ok(())
/// # }
/// ```
pub fn join<R, W>(reader: R, writer: W) -> Joined<R, W> {
    Joined { reader, writer: Some(writer) }
}

/// A stream joined of a reader and a writer, such as the two pipes of a child process; made by
/// [`join`].
///
/// [`shutdown`](tokio::io::AsyncWriteExt::shutdown) shuts the writer down and then drops it: a
/// pipe has no other way to tell its reader of the end. (`tokio::io::join` keeps it.) Reading goes
/// on. To write after that is a [`BrokenPipe`](io::ErrorKind::BrokenPipe).
///
/// Cancel safety is that of the two halves: nothing is kept here.
#[derive(Debug)]
pub struct Joined<R, W> {
    reader: R,
    /// Until it was shut down.
    writer: Option<W>,
}

impl<R, W> Joined<R, W> {
    /// The reader.
    pub fn reader(&self) -> &R {
        &self.reader
    }

    /// The writer; `None` once it was shut down.
    pub fn writer(&self) -> Option<&W> {
        self.writer.as_ref()
    }

    /// The reader, and the writer unless it was shut down.
    pub fn into_inner(self) -> (R, Option<W>) {
        (self.reader, self.writer)
    }

    fn open(&mut self) -> io::Result<&mut W> {
        self.writer.as_mut().ok_or_else(|| {
            io::Error::new(io::ErrorKind::BrokenPipe, "the joined stream was shut down")
        })
    }
}

impl<R: AsyncRead + Unpin, W: Unpin> AsyncRead for Joined<R, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl<R: Unpin, W: AsyncWrite + Unpin> AsyncWrite for Joined<R, W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.open()?).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.open()?).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.writer {
            Some(writer) => Pin::new(writer).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(writer) = &mut self.writer {
            ready!(Pin::new(writer).poll_shutdown(cx))?;
            self.writer = None;
        }
        Poll::Ready(Ok(()))
    }
}
