//! The moment when both halves of a connection are down.
//!
//! `unsafe` is here for the registration of a descriptor with the runtime.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::is_socket_hung_up;

/// A watch for the moment when both halves of a socket's connection are down.
///
/// It has a descriptor of its own: the readiness that the runtime keeps for a stream can't be told to
/// forget that there is room without losing a writer's wake-up. It is registered for writing: the
/// end of the one half, which was seen already, would be reported for reading at once and for ever.
#[derive(Debug)]
pub(super) struct HangUp(AsyncFd<OwnedFd>);

impl HangUp {
    pub(super) fn of(socket: &impl AsFd) -> io::Result<HangUp> {
        let own = socket.as_fd().try_clone_to_owned()?;
        // SAFETY: the descriptor is open, belongs to this value alone until it is dropped, and an
        // `OwnedFd` always tells the same one.
        Ok(HangUp(unsafe { AsyncFd::register_with_interest(own, Interest::WRITABLE) }?))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            if guard.ready().is_write_closed() || is_socket_hung_up(guard.get_inner()) {
                return Poll::Ready(Ok(()));
            }
            // The next change wakes: the other end has read something, or is gone.
            guard.clear_ready();
        }
    }
}
