//! One connection, of whatever kind.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

#[cfg(feature = "link")]
use crate::link::LinkStream;
use crate::{Direction, Endpoint, Mode, sys};

/// One connection: a named pipe, a Unix socket or a TCP connection, here or at the other side of a
/// link.
///
/// Reading and writing are cancel safe as far as [`AsyncRead`] and [`AsyncWrite`] are: a pending
/// `poll` that is not repeated has taken and given nothing.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Local(sys::LocalStream),
    Tcp(sys::Tcp),
    /// Boxed: few streams go through a link, and each is as large as the largest.
    #[cfg(feature = "link")]
    Link(Box<LinkStream>),
}

/// What an idle connection's other end has done; see [`Stream::probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Nothing: the connection is open and quiet.
    Quiet,
    /// It sent something.
    Data,
    /// It closed the connection, or its sending half.
    Closed,
}

impl Stream {
    pub(crate) fn local(stream: sys::LocalStream) -> Self {
        Stream { inner: Inner::Local(stream) }
    }

    pub(crate) fn tcp(stream: sys::Tcp) -> Self {
        Stream { inner: Inner::Tcp(stream) }
    }

    #[cfg(feature = "link")]
    pub(crate) fn link(stream: LinkStream) -> Self {
        Stream { inner: Inner::Link(Box::new(stream)) }
    }

    /// Whether it goes through a link.
    #[cfg(feature = "link")]
    pub(crate) fn is_link(&self) -> bool {
        matches!(self.inner, Inner::Link(_))
    }

    /// The way through the link, if it goes through one.
    #[cfg(feature = "link")]
    pub(crate) fn as_link(&mut self) -> Option<&mut LinkStream> {
        match &mut self.inner {
            Inner::Link(stream) => Some(stream),
            _ => None,
        }
    }

    /// The socket, if it is one.
    pub(crate) fn socket(&self) -> Option<sys::Socket<'_>> {
        match &self.inner {
            Inner::Local(stream) => stream.socket(),
            Inner::Tcp(stream) => Some(sys::tcp_socket(stream)),
            #[cfg(feature = "link")]
            Inner::Link(_) => None,
        }
    }

    /// The kind of transport; through a link, that of the connection at the other side.
    pub fn mode(&self) -> Mode {
        match &self.inner {
            Inner::Local(_) => sys::LOCAL_MODE,
            Inner::Tcp(_) => Mode::Tcp,
            #[cfg(feature = "link")]
            Inner::Link(stream) => stream.mode(),
        }
    }

    /// Whether [`shutdown`](tokio::io::AsyncWriteExt::shutdown) ends the sending half and leaves
    /// the receiving half open. A byte-type named pipe can't: there, shutting down only waits
    /// until what was written has been taken over by the system. A stream through a link can; what
    /// becomes of it at the other side depends on the connection there.
    pub fn can_half_close(&self) -> bool {
        match &self.inner {
            Inner::Local(stream) => stream.can_half_close(),
            Inner::Tcp(_) => true,
            #[cfg(feature = "link")]
            Inner::Link(_) => true,
        }
    }

    /// Whether what was written, and the end behind it, gets to the other end though the stream is
    /// dropped at once: through a link, which goes on. Elsewhere the system may still have to take
    /// some of it over.
    pub fn goes_on_by_itself(&self) -> bool {
        match &self.inner {
            Inner::Local(_) | Inner::Tcp(_) => false,
            #[cfg(feature = "link")]
            Inner::Link(_) => true,
        }
    }

    /// The endpoint of the server's end, as observed by the client's end; `None` where the
    /// system does not tell.
    pub fn server_endpoint(&self) -> Option<Endpoint> {
        match &self.inner {
            Inner::Local(_) => None,
            Inner::Tcp(stream) => stream.peer_addr().ok().map(Endpoint::Tcp),
            #[cfg(feature = "link")]
            Inner::Link(stream) => Some(stream.endpoint().clone()),
        }
    }

    /// Looks at an idle connection without taking anything from it and without waiting: one
    /// system call.
    pub fn probe(&self) -> Probe {
        match &self.inner {
            Inner::Local(stream) => stream.probe(),
            Inner::Tcp(stream) => sys::probe_tcp(stream),
            #[cfg(feature = "link")]
            Inner::Link(stream) => stream.probe(),
        }
    }

    /// Waits until there may be something to read, or the end; without a buffer to read it into,
    /// and for less than a read in vain. Where the system can't tell (a named pipe, a link) it is
    /// ready at once. Cancel safe.
    ///
    /// # Errors
    ///
    /// If the runtime is shutting down.
    #[inline]
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Local(stream) => stream.poll_read_ready(cx),
            Inner::Tcp(stream) => stream.poll_read_ready(cx),
            #[cfg(feature = "link")]
            Inner::Link(_) => Poll::Ready(Ok(())),
        }
    }

    /// After the end of the stream was read: whether the other end is gone altogether, rather
    /// than having closed its sending half only. TCP can't tell the two apart before a write
    /// fails, so there it is `false` unless the connection was reset.
    pub fn is_hung_up(&self) -> bool {
        match &self.inner {
            Inner::Local(stream) => stream.is_hung_up(),
            Inner::Tcp(stream) => sys::is_socket_hung_up(stream),
            #[cfg(feature = "link")]
            Inner::Link(stream) => stream.is_hung_up(),
        }
    }

    /// Waits until the other end is gone altogether, after the end of the stream was read: on a
    /// Unix socket the end of one direction says nothing about the other. Where only a write could
    /// tell (TCP, a link), it stays pending. Cancel safe.
    ///
    /// # Errors
    ///
    /// If the system has no descriptor left for the watch.
    pub fn poll_hung_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Inner::Local(stream) = &mut self.inner {
            return stream.poll_hung_up(cx);
        }
        if self.is_hung_up() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// What it was opened for; see [`ConnectOptions::direction`](crate::ConnectOptions::direction).
    pub fn direction(&self) -> Direction {
        match &self.inner {
            Inner::Local(stream) => stream.direction(),
            _ => Direction::Both,
        }
    }

    /// Bounds what waits in the system for the other end to read it to about so many bytes, at least
    /// to a few thousand, where that can be set: for a socket of this system. The buffer of a pipe
    /// is its listener's.
    ///
    /// Tells how many bytes of one write the other end then reads all or none of, if its read has
    /// room for them: 0 where the system does not promise that. A Unix socket of Linux does.
    pub fn bound_unread(&self, bytes: usize) -> usize {
        // Best effort: the system's own bound is a bound too.
        self.socket().and_then(|socket| socket.bound_unread(bytes).ok()).unwrap_or(0)
    }

    /// How much may wait in the system for the other end to read it, in bytes, such that
    /// [`bound_unread`](Self::bound_unread) with it sets that again. `None` where that can't be told.
    pub fn unread_bound(&self) -> Option<usize> {
        self.socket().and_then(|socket| socket.unread_bound().ok())
    }

    /// Makes the coming close an abort where the transport has one (TCP: a reset; through a link
    /// the channel is ended with an error at once), so that the other end can't take it for an
    /// orderly end.
    pub fn abort_on_close(&self) {
        match &self.inner {
            Inner::Local(_) => {}
            Inner::Tcp(stream) => sys::abort_tcp_on_close(stream),
            #[cfg(feature = "link")]
            Inner::Link(stream) => stream.abort(),
        }
    }
}

/// [`Stream::probe`] for a socket.
pub(crate) fn probe_socket(socket: socket2::SockRef<'_>) -> Probe {
    let mut byte = [std::mem::MaybeUninit::uninit(); 1];
    match socket.peek(&mut byte) {
        Ok(0) => Probe::Closed,
        Ok(_) => Probe::Data,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
        {
            Probe::Quiet
        }
        Err(_) => Probe::Closed,
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Local(stream) => Pin::new(stream).poll_read(cx, buf),
            Inner::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(feature = "link")]
            Inner::Link(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Local(stream) => Pin::new(stream).poll_write(cx, buf),
            Inner::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(feature = "link")]
            Inner::Link(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().inner {
            Inner::Local(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Inner::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            #[cfg(feature = "link")]
            Inner::Link(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Local(stream) => stream.is_write_vectored(),
            Inner::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(feature = "link")]
            Inner::Link(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Local(stream) => Pin::new(stream).poll_flush(cx),
            Inner::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "link")]
            Inner::Link(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Local(stream) => Pin::new(stream).poll_shutdown(cx),
            Inner::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "link")]
            Inner::Link(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
