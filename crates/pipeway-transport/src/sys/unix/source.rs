//! A descriptor and what it is ready for: told by the runtime, or by the port of a
//! [worker](crate::sys::worker).

// A descriptor is handed to the runtime, which has to be promised that it stays open; and space is
// filled that need not be cleared before.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::net::RecvFlags;
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};
use tokio::task::coop;

#[cfg(target_os = "linux")]
use super::port::Watched;
use crate::sys::worker::Worker;
#[cfg(target_os = "linux")]
use crate::sys::worker::poll_proceed;

/// What may be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    Read,
    Write,
}

impl For {
    fn interest(self) -> Interest {
        match self {
            For::Read => Interest::READABLE,
            For::Write => Interest::WRITABLE,
        }
    }
}

/// Who tells what a descriptor is ready for.
#[derive(Clone, Debug)]
pub(crate) enum Teller {
    Runtime,
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "there is none"))]
    Worker(Arc<Worker>),
}

impl Teller {
    /// `worker`, or else the runtime.
    pub(crate) fn of(worker: Option<Arc<Worker>>) -> Teller {
        worker.map_or(Teller::Runtime, Teller::Worker)
    }

    /// The worker whose thread this is, or else the runtime.
    pub(crate) fn current() -> Teller {
        Teller::of(Worker::current())
    }
}

/// Keeps its descriptor open, and the same, for as long as it lives.
pub(crate) trait Lasting: AsFd + AsRawFd {
    /// Whether others may have the same file open.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "a worker asks"))]
    const IS_SHARED: bool;
}

impl Lasting for OwnedFd {
    const IS_SHARED: bool = false;
}

/// One of several descriptors of a file, or a share of one.
#[derive(Clone, Debug)]
pub(crate) struct Share(Arc<OwnedFd>);

impl From<OwnedFd> for Share {
    fn from(fd: OwnedFd) -> Share {
        Share(Arc::new(fd))
    }
}

impl Lasting for Share {
    const IS_SHARED: bool = true;
}

impl AsFd for Share {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Share {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.as_raw_fd()
    }
}

/// See the module's page. Calls of its file must not wait.
#[derive(Debug)]
pub(crate) enum Source<F: Lasting = OwnedFd> {
    Runtime(AsyncFd<F>),
    #[cfg(target_os = "linux")]
    Worker(Watched<F>),
}

impl<F: Lasting> Source<F> {
    /// `interest` is what may be waited for.
    ///
    /// # Errors
    ///
    /// The system's: it has no memory, or does not tell of files of this kind.
    pub(crate) fn new(fd: F, interest: Interest, teller: Teller) -> io::Result<Self> {
        match teller {
            #[cfg(target_os = "linux")]
            Teller::Worker(worker) => {
                Watched::new(fd, interest, worker, F::IS_SHARED).map(Source::Worker)
            }
            _ => {
                // SAFETY: a `Lasting` keeps its descriptor open, and the same, which the AsyncFd that
                // has it sees to; nothing here closes or replaces it by number.
                let fd = unsafe { AsyncFd::register_with_interest(fd, interest) }?;
                Ok(Source::Runtime(fd))
            }
        }
    }

    pub(crate) fn file(&self) -> &F {
        match self {
            Source::Runtime(fd) => fd.get_ref(),
            #[cfg(target_os = "linux")]
            Source::Worker(fd) => fd.file(),
        }
    }

    /// Waits until it may be ready.
    #[inline]
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>, what: For) -> Poll<io::Result<()>> {
        match self {
            Source::Runtime(fd) => match what {
                For::Read => fd.poll_read_ready(cx).map_ok(drop),
                For::Write => fd.poll_write_ready(cx).map_ok(drop),
            },
            #[cfg(target_os = "linux")]
            Source::Worker(fd) => fd.poll_ready(cx, what),
        }
    }

    /// Does what it may be ready for; [`WouldBlock`](io::ErrorKind::WouldBlock) where it is not
    /// known to be, also from `action`, after which it is not until it has changed.
    #[inline]
    pub(crate) fn try_io<T>(
        &self,
        what: For,
        action: impl FnOnce(&F) -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Source::Runtime(fd) => fd.try_io(what.interest(), action),
            #[cfg(target_os = "linux")]
            Source::Worker(fd) => fd.try_io(what, action),
        }
    }

    /// Does `action` once it is ready, and again after each time that it was not.
    pub(crate) fn poll_io<T>(
        &self,
        cx: &mut Context<'_>,
        what: For,
        mut action: impl FnMut(&F) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.poll_ready(cx, what))?;
            match self.try_io(what, &mut action) {
                Err(error) if is_in_vain(&error) => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Receives what there is from a socket, once there is something.
    #[cfg(any(feature = "stdio", feature = "link"))]
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_ready(cx, For::Read))?;
            match self.receive(buf) {
                Err(error) if is_in_vain(&error) => {}
                received => return Poll::Ready(received),
            }
        }
    }

    /// Receives what there is from a socket; [`WouldBlock`](io::ErrorKind::WouldBlock) if it is not
    /// known to have anything.
    pub(crate) fn receive(&self, buf: &mut ReadBuf<'_>) -> io::Result<()> {
        let runtime = match self {
            Source::Runtime(runtime) => runtime,
            #[cfg(target_os = "linux")]
            Source::Worker(fd) => return fd.receive(buf),
        };
        let mut is_all = false;
        let received = runtime.try_io(Interest::READABLE, |socket| {
            is_all = receive(socket, buf)?;
            if is_all { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        if is_all { Ok(()) } else { received }
    }

    /// Whether the task may go on in this turn with what it has not waited for. If not, it is woken
    /// for the next one.
    pub(crate) fn poll_proceed(&self, cx: &mut Context<'_>) -> Poll<Proceeding> {
        match self {
            Source::Runtime(_) => coop::poll_proceed(cx).map(|turn| Proceeding(Some(turn))),
            #[cfg(target_os = "linux")]
            Source::Worker(_) => poll_proceed(cx).map(|()| Proceeding(None)),
        }
    }
}

/// Receives what there is from a socket. Whether that was all, and what comes next is told anew, so
/// that it need not be asked for in vain. The end has no such limit.
pub(crate) fn receive(socket: &impl AsFd, buf: &mut ReadBuf<'_>) -> io::Result<bool> {
    let space = buf.remaining();
    // SAFETY: it goes to the system alone, which writes content into it.
    let room = unsafe { buf.unfilled_mut() };
    let ((read, _), _) = rustix::net::recv(socket, room, RecvFlags::DONTWAIT)?;
    let count = read.len();
    // SAFETY: the system has written so many bytes into it.
    unsafe { buf.assume_init(count) };
    buf.advance(count);
    Ok((1..space).contains(&count))
}

fn is_in_vain(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl<F: Lasting> AsFd for Source<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file().as_fd()
    }
}

/// What counts against a task's turn only if it has got on.
#[derive(Debug)]
pub(crate) struct Proceeding(Option<coop::RestoreOnPending>);

impl Proceeding {
    pub(crate) fn made_progress(&self) {
        if let Some(turn) = &self.0 {
            turn.made_progress();
        }
    }
}
