//! Moving bytes between sockets inside the system, where it can: on Linux.

use super::loopback::has_loopback_peer;
use super::source::Source;

/// What a Unix socket is told to hold for its reader while much goes through it. Measured on Linux with
/// a reader and a writer on one processor and this program on another, in place of its own 104 KiB: 512
/// KiB gave 1.8 times the throughput down and 1.4 up, this 1.9 and 1.5, and 2 and 4 MiB no more.
const WIDE: usize = 1024 * 1024;

/// A socket of either kind.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux moves bytes by them"))]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Socket<'a> {
    Unix(&'a Source),
    Tcp(&'a Source),
}

impl<'a> Socket<'a> {
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "as above"))]
    fn source(self) -> &'a Source {
        match self {
            Socket::Unix(source) | Socket::Tcp(source) => source,
        }
    }

    /// Whether writing to it is cheaper without copies. TCP makes small segments of the pages that
    /// it is given, which costs more than copying them where it [paces](super::loopback) them:
    /// measured, 290 ms of processor time for a gibibyte where copying took 170. Where it does not,
    /// 210 where copying took 320; into a Unix socket 90 where copying took 160 to 310.
    pub(crate) fn takes_pages(self) -> bool {
        match self {
            Socket::Unix(_) => true,
            Socket::Tcp(source) => has_loopback_peer(source),
        }
    }

    /// Sets the size of the buffer that is written to. How many bytes of one write the other end
    /// reads all or none of: 0 where there is no such promise.
    ///
    /// Linux makes one message of at most half the buffer, less 64 bytes, of what is written to a
    /// Unix socket (`unix_stream_sendmsg`), takes it whole or not at all, and shows it to the reader
    /// when it has it.
    pub(crate) fn bound_unread(self, bytes: usize) -> std::io::Result<usize> {
        match self {
            Socket::Unix(source) => {
                let socket = socket2::SockRef::from(source);
                socket.set_send_buffer_size(bytes)?;
                let half = socket.send_buffer_size()? / 2;
                Ok(if cfg!(target_os = "linux") { half.saturating_sub(64) } else { 0 })
            }
            Socket::Tcp(source) => {
                socket2::SockRef::from(source).set_send_buffer_size(bytes).map(|()| 0)
            }
        }
    }

    /// Has a Unix socket hold [`WIDE`] bytes, which Linux makes twice as many, or as many as it lets be.
    /// What [`narrow`](Self::narrow) takes that back with; `None` where it holds as much already, or
    /// other things decide (TCP's buffers grow by themselves), and where that was not tried.
    pub(crate) fn widen(self) -> Option<usize> {
        if !cfg!(target_os = "linux") || matches!(self, Socket::Tcp(_)) {
            return None;
        }
        let before = self.unread_bound().ok().filter(|before| *before < WIDE)?;
        socket2::SockRef::from(self.source()).set_send_buffer_size(WIDE).ok()?;
        Some(before)
    }

    /// Takes back that it was widened. What waits in it stays there.
    pub(crate) fn narrow(self, before: usize) {
        // It can't be told to hold more than is allowed, and this is less.
        let _ = socket2::SockRef::from(self.source()).set_send_buffer_size(before);
    }

    /// The size of the buffer that is written to, as [`bound_unread`](Self::bound_unread) takes it:
    /// Linux makes it twice as large as it is told to.
    pub(crate) fn unread_bound(self) -> std::io::Result<usize> {
        let size = socket2::SockRef::from(self.source()).send_buffer_size()?;
        Ok(if cfg!(target_os = "linux") { size / 2 } else { size })
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) use absent::Splice;
#[cfg(target_os = "linux")]
pub(crate) use linux::Splice;

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::RefCell;
    use std::io;
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::task::{Context, Poll, ready};

    use super::super::source::For;
    use super::Socket;
    use crate::count::{Count, Counted};
    use rustix::io::Errno;
    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
    use rustix::process::{Resource, getrlimit};

    /// How much a pipe is asked to hold, in bytes.
    const SIZE: usize = 512 * 1024;

    /// One that the system lets hold less than this moves less with a step than a buffer does.
    const SIZE_MIN: usize = 128 * 1024;

    /// The most pipes of this process at once; each is two files.
    const PIPES_MAX: usize = 32;

    /// A process that may open fewer files than this has one pipe for each [`FILES_EACH`] of them:
    /// its sessions need the rest.
    const FILES_FEW: u64 = 1024;

    /// See [`FILES_FEW`].
    const FILES_EACH: u64 = 64;

    /// The most free ones that a thread keeps.
    const KEPT_MAX: usize = 8;

    static PIPES: Count = Count::new();

    thread_local! {
        static FREE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    }

    #[derive(Debug)]
    struct Pipe {
        reads: OwnedFd,
        writes: OwnedFd,
        _counted: Counted,
    }

    fn pipes_max() -> usize {
        match getrlimit(Resource::Nofile).current {
            Some(files) if files < FILES_FEW => (files / FILES_EACH) as usize,
            _ => PIPES_MAX,
        }
    }

    impl Pipe {
        fn new() -> Option<Pipe> {
            let counted = PIPES.take(pipes_max())?;
            let (reads, writes) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
            // A user who has many pipes gets small ones, or may make none larger.
            let size = fcntl_setpipe_size(&writes, SIZE).ok()?;
            (size >= SIZE_MIN).then_some(Pipe { reads, writes, _counted: counted })
        }
    }

    /// A pipe with what is in it.
    #[derive(Debug)]
    pub(crate) struct Splice {
        /// There until it is dropped.
        pipe: Option<Pipe>,
        len: usize,
    }

    impl Splice {
        pub(crate) fn take() -> Option<Splice> {
            let free = FREE.try_with(|free| free.borrow_mut().pop()).ok().flatten();
            let pipe = free.or_else(Pipe::new)?;
            Some(Splice { pipe: Some(pipe), len: 0 })
        }

        pub(crate) fn len(&self) -> usize {
            self.len
        }

        pub(crate) fn poll_fill(
            &mut self,
            cx: &mut Context<'_>,
            from: Socket<'_>,
            most: usize,
        ) -> Poll<io::Result<usize>> {
            let pipe = self.pipe.as_ref().expect("there until it is dropped");
            let moved = ready!(from.source().poll_io(cx, For::Read, |socket| {
                step(socket.as_fd(), pipe.writes.as_fd(), most.min(SIZE))
            }))?;
            self.len += moved;
            Poll::Ready(Ok(moved))
        }

        pub(crate) fn poll_drain(
            &mut self,
            cx: &mut Context<'_>,
            to: Socket<'_>,
        ) -> Poll<io::Result<usize>> {
            let pipe = self.pipe.as_ref().expect("there until it is dropped");
            let moved = ready!(to.source().poll_io(cx, For::Write, |socket| {
                step(pipe.reads.as_fd(), socket.as_fd(), self.len)
            }))?;
            self.len -= moved;
            Poll::Ready(Ok(moved))
        }
    }

    impl Drop for Splice {
        fn drop(&mut self) {
            if let Some(pipe) = self.pipe.take().filter(|_| self.len == 0) {
                // While the thread ends there is no list any more, and the pipe is simply closed.
                let _ = FREE.try_with(|free| {
                    let mut free = free.borrow_mut();
                    if free.len() < KEPT_MAX {
                        free.push(pipe);
                    }
                });
            }
        }
    }

    /// Moves up to `most` bytes from one to the other, if that can be done at once.
    fn step(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        loop {
            return match splice(from, None, to, None, most, flags) {
                Ok(moved) => Ok(moved),
                Err(Errno::INTR) => continue,
                Err(Errno::INVAL) => Err(io::ErrorKind::Unsupported.into()),
                Err(error) => Err(error.into()),
            };
        }
    }

    #[cfg(test)]
    mod tests {
        /// Another descriptor of the same socket.
        fn source(socket: &tokio::net::UnixStream) -> Source {
            let socket = socket.as_fd().try_clone_to_owned().unwrap();
            Source::new(socket, Interest::READABLE, Teller::current()).unwrap()
        }

        #[tokio::test]
        async fn of_a_write_within_the_promise_a_read_gets_all_or_nothing() {
            for less in [0, 1, 4000, 15_000] {
                let (from, to) = tokio::net::UnixStream::pair().unwrap();
                let whole = Socket::Unix(&source(&from)).bound_unread(16 * 1024).unwrap();
                assert!((16_000..64 * 1024).contains(&whole), "{whole}");
                let size = whole - less;
                let (data, mut space) = (vec![1; size], vec![0; 64 * 1024]);
                let writing = async {
                    for _ in 0..200 {
                        from.writable().await.unwrap();
                        match from.try_write(&data) {
                            Ok(written) => assert_eq!(written, size),
                            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                        }
                    }
                };
                let reading = async {
                    loop {
                        to.readable().await.unwrap();
                        match to.try_read(&mut space) {
                            // As many as are there fit into a read.
                            Ok(read) => assert!(read % size == 0 && read < 64 * 1024, "{read}"),
                            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                        }
                    }
                };
                tokio::select! {
                    () = writing => {}
                    () = reading => {}
                }
            }
        }

        #[tokio::test]
        async fn a_socket_that_was_widened_takes_more_until_it_is_narrowed() {
            let (from, _to) = tokio::net::UnixStream::pair().unwrap();
            let source = source(&from);
            let socket = Socket::Unix(&source);
            let own = socket.unread_bound().unwrap();
            let piece = [0; 4096];
            while from.try_write(&piece).is_ok() {}
            assert_eq!(socket.widen(), Some(own));
            assert!(socket.unread_bound().unwrap() > own);
            from.writable().await.unwrap();
            assert_eq!(from.try_write(&piece).unwrap(), piece.len());
            socket.narrow(own);
            assert_eq!(socket.unread_bound().unwrap(), own);
        }

        #[tokio::test]
        async fn a_bound_of_what_is_unread_is_taken_back() {
            let (from, _to) = tokio::net::UnixStream::pair().unwrap();
            let source = source(&from);
            let socket = Socket::Unix(&source);
            let before = socket.unread_bound().unwrap();
            socket.bound_unread(16 * 1024).unwrap();
            let bounded = socket.unread_bound().unwrap();
            assert!(bounded < before, "{bounded}, and {before} before");
            socket.bound_unread(before).unwrap();
            assert_eq!(socket.unread_bound().unwrap(), before);
        }

        use tokio::io::Interest;

        use super::super::super::source::Teller;
        use super::super::Source;
        use super::*;

        #[test]
        fn a_pipe_is_kept_for_the_next_only_if_it_is_empty() {
            let free = || FREE.with(|free| free.borrow().len());
            let first = Splice::take().unwrap();
            assert_eq!(free(), 0);
            drop(first);
            assert_eq!(free(), 1);
            let mut second = Splice::take().unwrap();
            assert_eq!(free(), 0);
            // As if something were in it.
            second.len = 1;
            drop(second);
            assert_eq!(free(), 0);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod absent {
    use std::io;
    use std::task::{Context, Poll};

    use super::Socket;

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
}
