//! One connection through a link.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use pipeway_mux::Channel;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Probe;
use crate::{Endpoint, Mode};

/// A channel of a link, joined at the other end to a connection of `endpoint`.
#[derive(Debug)]
pub(crate) struct LinkStream {
    channel: Channel,
    /// The connection's other end, as the guest observed it.
    endpoint: Endpoint,
    mode: Mode,
}

impl LinkStream {
    pub(super) fn new(channel: Channel, endpoint: Endpoint, mode: Mode) -> Self {
        LinkStream { channel, endpoint, mode }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Nothing is asked of the other side: what has come from there is known here, and who reads
    /// has been told.
    pub(crate) fn probe(&self) -> Probe {
        if self.is_hung_up() { Probe::Closed } else { Probe::Quiet }
    }

    /// Whether the channel has ended.
    pub(crate) fn is_hung_up(&self) -> bool {
        pin!(self.channel.completion()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Takes what was received where it lies, up to `bytes_max` bytes; how much that was. 0 is the
    /// end.
    pub(super) fn poll_read_pieces(
        &mut self,
        cx: &mut Context<'_>,
        pieces: &mut VecDeque<Bytes>,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        self.channel.poll_read_pieces(cx, pieces, bytes_max)
    }

    /// Ends both directions so that it can't be taken for an orderly end.
    pub(crate) fn abort(&self) {
        self.channel.terminate(Some("Aborted: the other side has cut the connection"));
    }
}

impl AsyncRead for LinkStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().channel).poll_read(cx, buf)
    }
}

impl AsyncWrite for LinkStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().channel).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().channel).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().channel).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().channel).poll_shutdown(cx)
    }
}
