//! One connection over a named pipe.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::listen::Place;
use super::pipe::Pipe;
use crate::Direction;
use crate::stream::Probe;

/// A named pipe's connection.
#[derive(Debug)]
pub(crate) struct LocalStream {
    // Before the place, so that the instance is closed when its place becomes free.
    pipe: Pipe,
    /// For the server's end.
    _place: Option<Place>,
}

impl LocalStream {
    pub(super) fn accepted(pipe: Pipe, place: Place) -> Self {
        LocalStream { pipe, _place: Some(place) }
    }

    pub(super) fn connected(pipe: Pipe) -> Self {
        LocalStream { pipe, _place: None }
    }

    /// A pipe is no socket.
    pub(crate) fn socket(&self) -> Option<super::Socket<'_>> {
        None
    }

    pub(crate) fn can_half_close(&self) -> bool {
        self.pipe.can_half_close()
    }

    /// Only a read tells.
    pub(crate) fn poll_read_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    pub(crate) fn probe(&self) -> Probe {
        self.pipe.probe()
    }

    pub(crate) fn is_hung_up(&self) -> bool {
        self.pipe.is_hung_up()
    }

    /// Where there is no half-close the end that was read was that of both directions. Where there
    /// is, the system tells nobody that waits.
    pub(crate) fn poll_hung_up(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.pipe.is_hung_up() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    pub(crate) fn direction(&self) -> Direction {
        self.pipe.direction()
    }
}

impl AsyncRead for LocalStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().pipe).poll_read(cx, buf)
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().pipe).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().pipe).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.pipe.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().pipe).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().pipe).poll_shutdown(cx)
    }
}
