//! A stream inside a stream, for content whose length is not known beforehand (`WriteSubstream` and
//! `ReadSubstream` in Nerdbank.Streams).
//!
//! A substream is a sequence of chunks. A chunk of length 0 is its end, and the underlying stream
//! goes on right after it.
//!
//! | offset | length | value |
//! |---|---|---|
//! | 0 | 4 | length of the chunk, big-endian, at most 2³¹ - 1 |
//! | 4 | n | the chunk |

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

/// How much a chunk gathers unless another bound was set.
const CHUNK_BYTES: usize = 4096;

/// The longest chunk: others read the length as a signed number.
const CHUNK_BYTES_MAX: usize = i32::MAX as usize;

const LENGTH_BYTES: usize = 4;

/// The writing end of a substream of `W`.
///
/// What is written is gathered until a chunk is full or
/// [`flush`](tokio::io::AsyncWriteExt::flush) is called; a flush with nothing gathered writes
/// nothing. [`shutdown`](tokio::io::AsyncWriteExt::shutdown) writes what is gathered and the mark of
/// the end, flushes, and leaves the underlying stream open. Writing afterwards is a
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe).
///
/// A writer that is dropped without a shutdown leaves a substream without an end, and what was
/// gathered is lost.
///
/// # Cancel safety
///
/// As for any stream: a write that is dropped while pending has taken nothing.
#[derive(Debug)]
pub struct SubstreamWriter<W> {
    inner: W,
    /// Room for the length, and what is gathered; empty as long as nothing is.
    chunk: Vec<u8>,
    chunk_bytes: usize,
    /// `Some` once the chunk is on its way: how much of it was taken.
    sent: Option<usize>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Open,
    /// The mark of the end is to be written.
    Asked,
    /// It stands in the chunk, or was written.
    Marked,
}

impl<W: AsyncWrite + Unpin> SubstreamWriter<W> {
    /// Begins a substream in `inner`. Nothing is written yet.
    pub fn new(inner: W) -> Self {
        SubstreamWriter {
            inner,
            chunk: Vec::new(),
            chunk_bytes: CHUNK_BYTES,
            sent: None,
            ending: Ending::Open,
        }
    }

    /// The same, with chunks of at most so many bytes, from 1 to 2³¹ - 1. Default: 4096. So much
    /// memory is held while something is gathered.
    #[must_use]
    pub fn with_chunk_bytes(mut self, most: usize) -> Self {
        self.chunk_bytes = most.clamp(1, CHUNK_BYTES_MAX);
        self
    }

    /// The underlying stream, to go on with after a shutdown.
    pub fn into_inner(self) -> W {
        self.inner
    }

    /// Writes the chunk, if there is one.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = match &mut self.sent {
            Some(sent) => sent,
            None if self.chunk.is_empty() => return Poll::Ready(Ok(())),
            None => {
                let length = u32::try_from(self.chunk.len() - LENGTH_BYTES).expect("it is bounded");
                self.chunk[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
                self.sent.insert(0)
            }
        };
        while *sent < self.chunk.len() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &self.chunk[*sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *sent += count,
            }
        }
        self.chunk.clear();
        self.sent = None;
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for SubstreamWriter<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.ending != Ending::Open {
            let why = "the substream was shut down";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, why)));
        }
        // An empty chunk would be the end.
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let full = LENGTH_BYTES + self.chunk_bytes;
        if self.sent.is_some() || self.chunk.len() >= full {
            ready!(self.poll_send(cx))?;
        }
        if self.chunk.is_empty() {
            self.chunk.extend_from_slice(&[0; LENGTH_BYTES]);
        }
        let count = buf.len().min(full - self.chunk.len());
        self.chunk.extend_from_slice(&buf[..count]);
        if self.chunk.len() == full
            && let Poll::Ready(sent) = self.poll_send(cx)
        {
            sent?;
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ending == Ending::Open {
            self.ending = Ending::Asked;
        }
        if self.ending == Ending::Asked {
            ready!(self.poll_send(cx))?;
            // A chunk of no bytes.
            self.chunk.extend_from_slice(&[0; LENGTH_BYTES]);
            self.ending = Ending::Marked;
        }
        self.poll_flush(cx)
    }
}

/// The reading end of a substream of `R`.
///
/// It hands out what has come of a chunk without waiting for the rest. After the end of the
/// substream every read is an end of stream, and nothing is taken from the underlying stream: not
/// one byte past the mark of the end is ever read, so that [`into_inner`](Self::into_inner) goes on
/// right behind it.
///
/// # Errors
///
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) where the underlying stream ends before the
/// substream does, and [`InvalidData`](io::ErrorKind::InvalidData) for a length above 2³¹ - 1. The
/// same error comes again from every further read.
///
/// # Cancel safety
///
/// A read that is dropped while pending has lost nothing.
#[derive(Debug)]
pub struct SubstreamReader<R> {
    /// Its limit is what may be read for `reading`.
    inner: Take<R>,
    reading: Reading,
}

#[derive(Debug)]
enum Reading {
    /// The first bytes of a length.
    Length([u8; LENGTH_BYTES], usize),
    Chunk,
    Ended,
    Invalid(u32),
}

impl<R: AsyncRead + Unpin> SubstreamReader<R> {
    /// Reads the substream that begins with the next byte of `inner`.
    pub fn new(inner: R) -> Self {
        SubstreamReader { inner: inner.take(0), reading: Reading::Length([0; LENGTH_BYTES], 0) }
    }

    /// Whether the mark of the end was read.
    pub fn is_ended(&self) -> bool {
        matches!(self.reading, Reading::Ended)
    }

    /// The underlying stream, to go on with after the end.
    pub fn into_inner(self) -> R {
        self.inner.into_inner()
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for SubstreamReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let SubstreamReader { inner, reading } = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            match reading {
                Reading::Length(bytes, have) if *have < LENGTH_BYTES => {
                    let mut rest = ReadBuf::new(&mut bytes[*have..]);
                    inner.set_limit(rest.remaining() as u64);
                    ready!(Pin::new(&mut *inner).poll_read(cx, &mut rest))?;
                    if rest.filled().is_empty() {
                        return Poll::Ready(Err(cut("the length of a chunk")));
                    }
                    *have += rest.filled().len();
                }
                Reading::Length(bytes, _) => match u32::from_be_bytes(*bytes) {
                    0 => *reading = Reading::Ended,
                    length if length as usize > CHUNK_BYTES_MAX => {
                        *reading = Reading::Invalid(length);
                    }
                    length => {
                        inner.set_limit(length.into());
                        *reading = Reading::Chunk;
                    }
                },
                Reading::Chunk if inner.limit() == 0 => {
                    *reading = Reading::Length([0; LENGTH_BYTES], 0);
                }
                Reading::Chunk => {
                    let before = buf.filled().len();
                    ready!(Pin::new(&mut *inner).poll_read(cx, buf))?;
                    return Poll::Ready(if buf.filled().len() == before {
                        Err(cut("a chunk"))
                    } else {
                        Ok(())
                    });
                }
                Reading::Ended => return Poll::Ready(Ok(())),
                Reading::Invalid(length) => {
                    let why = format!("a substream has a chunk of {length} bytes, 2³¹ or more");
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
                }
            }
        }
    }
}

fn cut(place: &str) -> io::Error {
    let why = format!("the stream ended in {place} of a substream: its end is missing");
    io::Error::new(io::ErrorKind::UnexpectedEof, why)
}
