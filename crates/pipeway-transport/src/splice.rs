//! Moving bytes from one stream to another inside the system.

use std::io;
use std::task::{Context, Poll};

use crate::{Stream, sys};

/// A pipe of the system's, through which bytes go from one stream to another and are not copied
/// into this process and back (Linux: `splice`).
///
/// It is for a direction that is busy: each step costs two system calls whatever it moves. A
/// process has a bounded number of them at once. They are kept for the next when dropped, if they
/// are empty then.
#[derive(Debug)]
pub struct Splice {
    inner: sys::Splice,
}

impl Splice {
    /// One for moving bytes from `from` to `to`. `None` where the system has no such thing, for
    /// other streams than sockets, into a TCP connection (which takes copies for less), and when
    /// enough are in use.
    pub fn between(from: &Stream, to: &Stream) -> Option<Splice> {
        let worth = from.socket().is_some() && to.socket().is_some_and(sys::Socket::takes_pages);
        if !worth {
            return None;
        }
        sys::Splice::take().map(|inner| Splice { inner })
    }

    /// How many bytes are in it.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes what `from` has, up to `most` bytes and as much as there is room for; 0 is the end of
    /// the stream. What comes behind those bytes stays in the stream. `most` must not be 0, which
    /// would look like the end.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) if the system can't do it with this stream:
    /// nothing was taken, and reading goes on as before. Anything else is the stream's failure.
    ///
    /// # Panics
    ///
    /// If it is not empty: whether it is full then, or the stream has nothing, can't be told. If
    /// `most` is 0.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        assert!(self.is_empty(), "filled before it was drained");
        assert!(most > 0, "asked for nothing");
        match from.socket() {
            Some(socket) => self.inner.poll_fill(cx, socket, most),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }

    /// Gives `to` what it takes of what is in it; how much that was.
    ///
    /// # Errors
    ///
    /// The stream's failure; what is left is lost.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: &Stream) -> Poll<io::Result<usize>> {
        match to.socket() {
            Some(socket) => self.inner.poll_drain(cx, socket),
            None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }
}
