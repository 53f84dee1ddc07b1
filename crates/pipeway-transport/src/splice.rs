//! Moving bytes from one stream to another without copying them into a buffer between.

use std::io;
use std::task::{Context, Poll};

#[cfg(feature = "link")]
use crate::link::Pieces;
use crate::{Stream, sys};

/// What is on its way from one stream to another and is not copied into a buffer between: in a pipe
/// of the system's (Linux: `splice`), or, from a link, where the link has received it.
///
/// It is for a direction that is busy: each step costs two system calls whatever it moves. A
/// process has a bounded number of pipes at once. They are kept for the next when dropped, if they
/// are empty then.
#[derive(Debug)]
pub struct Splice {
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Pipe(sys::Splice),
    #[cfg(feature = "link")]
    Pieces(Pieces),
}

impl Splice {
    /// One for moving bytes from `from` to `to`. `None` where there is no such thing: from what is
    /// neither a link nor a socket, from a socket where the system has none or into anything but a
    /// socket whose other end is on this system (elsewhere TCP takes copies for less), and when
    /// enough are in use.
    pub fn between(from: &Stream, to: &Stream) -> Option<Splice> {
        #[cfg(feature = "link")]
        if from.is_link() {
            return Some(Splice { inner: Inner::Pieces(Pieces::default()) });
        }
        let worth = from.socket().is_some() && to.socket().is_some_and(sys::Socket::takes_pages);
        if !worth {
            return None;
        }
        sys::Splice::take().map(|pipe| Splice { inner: Inner::Pipe(pipe) })
    }

    /// How many bytes are in it.
    pub fn len(&self) -> usize {
        match &self.inner {
            Inner::Pipe(pipe) => pipe.len(),
            #[cfg(feature = "link")]
            Inner::Pieces(pieces) => pieces.len(),
        }
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
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it can't be done with this stream: nothing
    /// was taken, and reading goes on as before. Anything else is the stream's failure.
    ///
    /// # Panics
    ///
    /// If it is not empty: whether it is full then, or the stream has nothing, can't be told. If
    /// `most` is 0.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        assert!(self.is_empty(), "filled before it was drained");
        assert!(most > 0, "asked for nothing");
        match &mut self.inner {
            Inner::Pipe(pipe) => match from.socket() {
                Some(socket) => pipe.poll_fill(cx, socket, most),
                None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
            },
            #[cfg(feature = "link")]
            Inner::Pieces(pieces) => match from.as_link() {
                Some(link) => pieces.poll_fill(cx, link, most),
                None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
            },
        }
    }

    /// Gives `to` what it takes of what is in it; how much that was.
    ///
    /// # Errors
    ///
    /// The stream's failure; what is left is lost.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<io::Result<usize>> {
        match &mut self.inner {
            Inner::Pipe(pipe) => match to.socket() {
                Some(socket) => pipe.poll_drain(cx, socket),
                None => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
            },
            #[cfg(feature = "link")]
            Inner::Pieces(pieces) => pieces.poll_drain(cx, to),
        }
    }
}
