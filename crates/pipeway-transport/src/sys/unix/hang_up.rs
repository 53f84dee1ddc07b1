//! The moment when both halves of a connection are down.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use tokio::io::Interest;

use super::is_socket_hung_up;
use super::source::{For, Share, Source, Teller};

/// A watch for the moment when both halves of a socket's connection are down.
///
/// It has a descriptor of its own: the readiness that is kept for a stream can't be told to forget
/// that there is room without losing a writer's wake-up. It is watched for writing: the end of the
/// one half, which was seen already, would be reported for reading at once and for ever.
#[derive(Debug)]
pub(super) struct HangUp(Source<Share>);

impl HangUp {
    pub(super) fn of(socket: &impl AsFd) -> io::Result<HangUp> {
        let own = Share::from(socket.as_fd().try_clone_to_owned()?);
        Source::new(own, Interest::WRITABLE, Teller::current()).map(HangUp)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_io(cx, For::Write, |socket| {
            match is_socket_hung_up(socket) {
                true => Ok(()),
                // The next change wakes: the other end has read something, or is gone.
                false => Err(io::ErrorKind::WouldBlock.into()),
            }
        })
    }
}
