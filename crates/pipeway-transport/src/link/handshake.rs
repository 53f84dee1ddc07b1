//! The exchange of prefaces over a stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::preface::{Answer, Hello, Unfit};

/// How much is read at once.
const PIECE: usize = 4096;

/// Why no handshake came about.
#[derive(Debug)]
pub(super) enum Failed {
    /// What came is no preface.
    Unfit(Unfit),
    /// The stream ended first.
    Ended,
    /// The stream failed.
    Io(io::Error),
}

/// Asks, and waits for the answer. `noise` gets what came before it, or in its place; it is right
/// also where the future was dropped.
pub(super) async fn ask<S>(
    io: &mut S,
    hello: &Hello,
    noise: &mut Vec<u8>,
) -> Result<(Answer, Vec<u8>), Failed>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A guest that does not read has not answered either: its own words say why.
    let written = async {
        io.write_all(&hello.write()).await?;
        io.flush().await
    };
    let unwritten = written.await.err();
    loop {
        if let Some((answer, end)) =
            Answer::read(noise, hello.nonce, &hello.versions).map_err(Failed::Unfit)?
        {
            let rest = noise.split_off(end);
            return Ok((answer, rest));
        }
        match read_more(io, noise).await {
            Ok(()) => {}
            Err(Failed::Ended) => {
                return Err(unwritten.map_or(Failed::Ended, |error| match error.kind() {
                    io::ErrorKind::BrokenPipe => Failed::Ended,
                    _ => Failed::Io(error),
                }));
            }
            Err(failed) => return Err(failed),
        }
    }
}

/// Waits for the question. What came behind it is given, too.
pub(super) async fn hear<S>(io: &mut S) -> Result<(Hello, Vec<u8>), Failed>
where
    S: AsyncRead + Unpin,
{
    let mut input = Vec::new();
    loop {
        if let Some((hello, end)) = Hello::read(&input).map_err(Failed::Unfit)? {
            return Ok((hello, input.split_off(end)));
        }
        read_more(io, &mut input).await?;
    }
}

async fn read_more<S: AsyncRead + Unpin>(io: &mut S, input: &mut Vec<u8>) -> Result<(), Failed> {
    let mut piece = [0; PIECE];
    match io.read(&mut piece).await {
        Ok(0) => Err(Failed::Ended),
        Ok(length) => {
            input.extend_from_slice(&piece[..length]);
            Ok(())
        }
        Err(error) => Err(Failed::Io(error)),
    }
}

/// A stream of which some was read too far: that is read first.
#[derive(Debug)]
pub(super) struct Rewound<S> {
    first: Vec<u8>,
    io: S,
}

impl<S> Rewound<S> {
    pub(super) fn new(first: Vec<u8>, io: S) -> Self {
        Rewound { first, io }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = self.first.len().min(buf.remaining());
        buf.put_slice(&self.first[..length]);
        self.first.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
