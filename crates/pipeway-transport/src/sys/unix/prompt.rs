//! Reading and writing a socket without asking more than is needed what it is ready for.
//!
//! A write does not ask whether there is room: there nearly always is, and the system says so by
//! taking what is written. Besides, it is told that a new socket can be written to only with the next
//! look at all of them. A read asks once, also where whoever reads had to know the answer before there
//! was anything to read into.
//!
//! The system is called without the C library, whose calls cost more once there is a second thread.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::source::{For, Source, Teller, receive};

/// A write to a closed socket is an error, not a signal that ends the process. On Apple's that is
/// a property of the socket, which whoever makes one sets.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// How many parts a write may have at the most: IOV_MAX of the systems that this is built for.
const PARTS_MAX: usize = 1024;

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Prompt {
    source: Source,
    /// The last write found no room, or not for all: the next one asks.
    asks: bool,
    reading: Reading,
}

/// What is known before a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Nothing.
    Asks,
    /// It was asked, and there may be something.
    MayRead,
    /// It was just accepted, and who connected may have written already. That is told with the next
    /// look at all sockets, so the first read is made without it.
    IsFresh,
}

impl Prompt {
    /// A connected socket, whose calls do not wait.
    pub(crate) fn new(socket: OwnedFd, teller: Teller) -> io::Result<Self> {
        let source = Source::new(socket, Interest::READABLE | Interest::WRITABLE, teller)?;
        Ok(Prompt { source, asks: false, reading: Reading::Asks })
    }

    /// One that was just accepted.
    pub(crate) fn accepted(socket: OwnedFd, teller: Teller) -> io::Result<Self> {
        Ok(Prompt { reading: Reading::IsFresh, ..Prompt::new(socket, teller)? })
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Whose a TCP connection's other end is.
    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        let address = rustix::net::getpeername(self)?.ok_or(Errno::NOTCONN)?;
        Ok(address.try_into()?)
    }

    /// Waits until there may be something to read.
    #[inline]
    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reading == Reading::Asks {
            ready!(self.source.poll_ready(cx, For::Read))?;
            self.reading = Reading::MayRead;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until a connection that is being made is there.
    pub(crate) async fn until_connected(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.source.poll_ready(cx, For::Write)).await?;
        Ok(rustix::net::sockopt::socket_error(&self.source)??)
    }

    /// Has `send` write what it has to the socket, so many bytes.
    #[inline]
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        length: usize,
        send: impl Fn(&OwnedFd) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if !self.asks {
            let turn = ready!(self.source.poll_proceed(cx));
            match send(self.source.file()) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                sent => {
                    turn.made_progress();
                    self.asks = sent.is_ok_and(|count| count < length);
                    return Poll::Ready(sent.map_err(Into::into));
                }
            }
        }
        self.asks = true;
        let sent = self.source.poll_io(cx, For::Write, |socket| Ok(send(socket)?));
        let count = ready!(sent)?;
        self.asks = count < length;
        Poll::Ready(Ok(count))
    }
}

/// How anything is sent.
const SEND: SendFlags = SendFlags::DONTWAIT.union(NO_SIGNAL);

impl AsFd for Prompt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_read_ready(cx))?;
            let received = match std::mem::replace(&mut this.reading, Reading::Asks) {
                Reading::IsFresh => receive(&this.source, buf).map(drop),
                _ => this.source.receive(buf),
            };
            match received {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                received => return Poll::Ready(received),
            }
        }
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_send(cx, buf.len(), |socket| rustix::net::send(socket, buf, SEND))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [buf] = bufs {
            return self.poll_write(cx, buf);
        }
        let length = bufs.iter().map(|buf| buf.len()).sum();
        let bufs = &bufs[..bufs.len().min(PARTS_MAX)];
        self.get_mut().poll_send(cx, length, |socket| {
            rustix::net::sendmsg(socket, bufs, &mut SendAncillaryBuffer::default(), SEND)
        })
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match rustix::net::shutdown(&self.source, Shutdown::Write) {
            // The other end is gone altogether.
            Ok(()) | Err(Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read;
    use std::time::Duration;

    use rustix::net::RecvFlags;

    use super::*;

    const WATCHDOG: Duration = Duration::from_secs(60);

    fn pair() -> (Prompt, std::os::unix::net::UnixStream) {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        (Prompt::new(ours.into(), Teller::current()).unwrap(), theirs)
    }

    /// Everything that is there.
    fn drain(socket: &mut std::os::unix::net::UnixStream, into: &mut Vec<u8>) {
        let error = socket.read_to_end(into).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn a_writer_without_room_waits_for_it_and_goes_on() {
        let (mut ours, mut theirs) = pair();
        let sent: Vec<u8> = (0..4_000_000_u32).map(|number| (number / 7) as u8).collect();
        let mut received = Vec::new();
        let mut at = 0;
        let mut waits = 0;
        let write = poll_fn(|cx| {
            while at < sent.len() {
                // In one part and in two, in turns.
                let rest = &sent[at..];
                let parts = rest.split_at(rest.len().min(10_000));
                let parts = [IoSlice::new(parts.0), IoSlice::new(parts.1)];
                let parts = if waits % 2 == 0 { &parts[..1] } else { &parts[..] };
                match Pin::new(&mut ours).poll_write_vectored(cx, parts) {
                    Poll::Ready(count) => at += count.unwrap(),
                    Poll::Pending => {
                        waits += 1;
                        drain(&mut theirs, &mut received);
                        return Poll::Pending;
                    }
                }
            }
            Poll::Ready(())
        });
        tokio::time::timeout(WATCHDOG, write).await.unwrap();
        drain(&mut theirs, &mut received);
        assert!(waits > 1);
        assert!(received == sent);
    }

    #[tokio::test]
    async fn a_reader_gets_all_whether_it_asked_before_or_not() {
        let (mut ours, mut theirs) = pair();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|number| (number / 7) as u8).collect();
        let mut at = 0;
        let mut received = Vec::new();
        let mut space = vec![0; 5000];
        let mut asks = 0;
        let read = poll_fn(|cx| {
            loop {
                asks += 1;
                if asks % 3 == 0 && ours.poll_read_ready(cx)?.is_pending() {
                    // The next time it is woken for something.
                    let room = 1 + asks % 20_000;
                    let end = sent.len().min(at + room);
                    at += io::Write::write(&mut theirs, &sent[at..end])?;
                    if at == sent.len() {
                        theirs.shutdown(std::net::Shutdown::Write)?;
                    }
                    return Poll::Pending;
                }
                let mut buf = ReadBuf::new(&mut space);
                match Pin::new(&mut ours).poll_read(cx, &mut buf)? {
                    Poll::Pending => assert!(buf.filled().is_empty()),
                    Poll::Ready(()) if buf.filled().is_empty() => {
                        return Poll::Ready(io::Result::Ok(()));
                    }
                    Poll::Ready(()) => received.extend_from_slice(buf.filled()),
                }
            }
        });
        tokio::time::timeout(WATCHDOG, read).await.unwrap().unwrap();
        assert!(received == sent);
    }

    #[tokio::test]
    async fn a_reader_that_asked_and_found_nothing_waits() {
        let (mut ours, mut theirs) = pair();
        io::Write::write_all(&mut theirs, b"x").unwrap();
        poll_fn(|cx| ours.poll_read_ready(cx)).await.unwrap();
        // Somebody else took it.
        let taken = rustix::net::recv(&ours, &mut [0; 1][..], RecvFlags::DONTWAIT).unwrap();
        assert_eq!(taken.0, 1);
        let mut space = [0; 8];
        let mut buf = ReadBuf::new(&mut space);
        let mut first = true;
        poll_fn(|cx| {
            let polled = Pin::new(&mut ours).poll_read(cx, &mut buf);
            if std::mem::take(&mut first) {
                assert!(polled.is_pending());
                io::Write::write_all(&mut theirs, b"yz").unwrap();
            }
            polled
        })
        .await
        .unwrap();
        assert_eq!(buf.filled(), b"yz");
    }

    #[tokio::test]
    async fn the_first_read_of_one_that_was_accepted_does_not_wait_for_the_runtime() {
        for written in [&b"first"[..], b""] {
            let (mut ours, mut theirs) = pair();
            ours.reading = Reading::IsFresh;
            io::Write::write_all(&mut theirs, written).unwrap();
            let mut space = [0; 8];
            let mut buf = ReadBuf::new(&mut space);
            let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut ours).poll_read(cx, &mut buf)));
            assert_eq!(first.await.is_ready(), !written.is_empty());
            assert_eq!(buf.filled(), written);
            // From then on it is as any other.
            let mut asked = false;
            poll_fn(|cx| {
                let polled = Pin::new(&mut ours).poll_read(cx, &mut buf);
                if !std::mem::replace(&mut asked, true) {
                    assert!(polled.is_pending());
                    io::Write::write_all(&mut theirs, b"xy").unwrap();
                }
                polled
            })
            .await
            .unwrap();
            assert_eq!(&buf.filled()[written.len()..], b"xy");
        }
    }

    #[tokio::test]
    async fn a_writer_that_always_finds_room_lets_others_run() {
        let (mut ours, mut theirs) = pair();
        let mut writes = 0;
        let mut received = Vec::new();
        poll_fn(|cx| {
            while Pin::new(&mut ours).poll_write(cx, b"x").is_ready() {
                writes += 1;
                drain(&mut theirs, &mut received);
                assert!(writes < 10_000);
            }
            Poll::Ready(())
        })
        .await;
        assert_eq!(received.len(), writes);
    }

    #[tokio::test]
    async fn a_write_to_a_closed_socket_is_an_error() {
        let (mut ours, theirs) = pair();
        drop(theirs);
        let written = poll_fn(|cx| Pin::new(&mut ours).poll_write(cx, b"x")).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
