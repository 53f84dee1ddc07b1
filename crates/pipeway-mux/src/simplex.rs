//! A queue of bytes with one writer and one reader (`SimplexStream` in Nerdbank.Streams).
//!
//! Its relative with two directions (`FullDuplexStream.CreatePair`) is [`tokio::io::duplex`], which
//! keeps all that is promised there.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// How the writer ended; nothing while it goes on, and for ever where it was dropped.
type Outcome = Arc<OnceLock<Result<(), (io::ErrorKind, String)>>>;

/// Makes a queue that holds at most `buffer_bytes`, at least 1; a writer waits while it is full.
/// Nerdbank.Streams holds 32 KiB.
///
/// ```
/// use std::io::ErrorKind;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (mut writer, mut reader) = pipeway_mux::simplex(32 * 1024);
/// writer.write_all(b"half of it").await?;
/// writer.fail(&std::io::Error::other("the source is gone"));
/// let mut read = Vec::new();
/// let error = reader.read_to_end(&mut read).await.unwrap_err();
/// assert_eq!(read, b"half of it");
/// assert_eq!(error.to_string(), "the source is gone");
/// # Ok::<(), std::io::Error>(()) }).unwrap();
/// ```
pub fn simplex(buffer_bytes: usize) -> (SimplexWriter, SimplexReader) {
    // Of the two directions one is used: dropping an end is seen at the other.
    let (near, far) = tokio::io::duplex(buffer_bytes.max(1));
    let outcome = Outcome::default();
    let writer = SimplexWriter { inner: Some(near), outcome: Arc::clone(&outcome) };
    (writer, SimplexReader { inner: far, outcome })
}

/// The writing end of a [`simplex`] queue.
///
/// [`shutdown`](tokio::io::AsyncWriteExt::shutdown) is the end of the stream, and
/// [`fail`](SimplexWriter::fail) an error behind its last byte. A writer that is dropped without
/// either has not written all it had: the reader gets an
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) behind the last byte.
///
/// What is written can be read at once; there is nothing to flush. Writing after the end, or after
/// the reader was dropped, is a [`BrokenPipe`](io::ErrorKind::BrokenPipe).
#[derive(Debug)]
pub struct SimplexWriter {
    /// Nothing after the end.
    inner: Option<DuplexStream>,
    outcome: Outcome,
}

impl SimplexWriter {
    /// Ends the stream with `error`, which the reader meets behind the last byte, by its kind and
    /// its text. After an end of either kind it does nothing: the first one counts.
    pub fn fail(&mut self, error: &io::Error) {
        self.end(Err((error.kind(), error.to_string())));
    }

    fn end(&mut self, outcome: Result<(), (io::ErrorKind, String)>) {
        // Told before the reader is woken. It was told already where this is the second end.
        let _ = self.outcome.set(outcome);
        self.inner = None;
    }
}

impl AsyncWrite for SimplexWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_write(cx, buf),
            None => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the stream was ended already",
            ))),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.end(Ok(()));
        Poll::Ready(Ok(()))
    }
}

/// The reading end of a [`simplex`] queue. Dropping it makes writing fail.
///
/// # Errors
///
/// Behind the last byte, the error that the writer ended with, again and again; see
/// [`SimplexWriter`].
#[derive(Debug)]
pub struct SimplexReader {
    inner: DuplexStream,
    outcome: Outcome,
}

impl AsyncRead for SimplexReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if room == 0 || buf.filled().len() > before {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(match self.outcome.get() {
            Some(Ok(())) => Ok(()),
            Some(Err((kind, text))) => Err(io::Error::new(*kind, text.clone())),
            None => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the writer was dropped before it ended the stream: something may be missing",
            )),
        })
    }
}
