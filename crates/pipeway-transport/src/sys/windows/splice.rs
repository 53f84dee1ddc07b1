//! Bytes are not moved inside the system here: named pipes have no such thing.

use std::io;
use std::task::{Context, Poll};

use super::Tcp;

/// A socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Socket<'a> {
    Tcp(&'a Tcp),
}

impl Socket<'_> {
    /// There is no way to give it any.
    pub(crate) fn takes_pages(self) -> bool {
        false
    }

    /// Sets the size of the buffer that is written to. How many bytes of one write the other end
    /// reads all or none of: that is not promised here.
    pub(crate) fn bound_unread(self, bytes: usize) -> std::io::Result<usize> {
        let Socket::Tcp(stream) = self;
        socket2::SockRef::from(stream).set_send_buffer_size(bytes).map(|()| 0)
    }

    /// TCP's buffers grow by themselves.
    pub(crate) fn widen(self) -> Option<usize> {
        None
    }

    /// Nothing was widened.
    pub(crate) fn narrow(self, _: usize) {}

    /// The size of the buffer that is written to.
    pub(crate) fn unread_bound(self) -> std::io::Result<usize> {
        let Socket::Tcp(stream) = self;
        socket2::SockRef::from(stream).send_buffer_size()
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) enum Splice {}

impl Splice {
    pub(crate) fn take() -> Option<Splice> {
        None
    }

    pub(crate) fn len(&self) -> usize {
        match *self {}
    }

    pub(crate) fn poll_fill(
        &mut self,
        _: &mut Context<'_>,
        _: Socket<'_>,
        _: usize,
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub(crate) fn poll_drain(
        &mut self,
        _: &mut Context<'_>,
        _: Socket<'_>,
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }
}
