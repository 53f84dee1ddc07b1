//! TCP connections: the runtime's, or on a [worker](super::engine::Worker) as pipes are.

// What the system says of a socket, it says by its own interface alone.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::windows::io::{AsRawSocket, AsSocket, BorrowedSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use windows_sys::Win32::Foundation::{
    ERROR_CONNECTION_ABORTED, ERROR_NETNAME_DELETED, ERROR_SEM_TIMEOUT,
};
use windows_sys::Win32::Networking::WinSock::{
    POLLRDNORM, SO_PROTOCOL_INFOW, SOCKET, SOL_SOCKET, WSAECONNABORTED, WSAECONNRESET,
    WSAETIMEDOUT, WSAPOLLFD, WSAPROTOCOL_INFOW, WSAPoll, XP1_IFS_HANDLES, getsockopt,
};

use super::engine::{Handle, Read, Reader, Worker, Writer, poll_proceed, take_what_has_ended};
use crate::stream::{Probe, probe_socket};

/// A TCP connection.
#[derive(Debug)]
pub(crate) enum Tcp {
    Runtime(TcpStream),
    Own(Own),
}

impl Tcp {
    /// Only a read tells.
    pub(crate) fn poll_read_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Tcp::Runtime(stream) => stream.peer_addr(),
            Tcp::Own(own) => SockRef::from(own).peer_addr()?.as_socket().ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "no address of a TCP connection")
            }),
        }
    }
}

impl Tcp {
    /// A connection whose bytes are the worker's to move, if there is one and the system promises
    /// what that takes.
    pub(crate) fn of(stream: TcpStream, worker: Option<Arc<Worker>>) -> io::Result<Tcp> {
        // Without it an answer written in two parts waits for the first one's receipt.
        stream.set_nodelay(true)?;
        match worker {
            Some(worker) if is_plain(stream.as_socket()) => {
                Own::new(stream.into_std()?, worker).map(Tcp::Own)
            }
            _ => Ok(Tcp::Runtime(stream)),
        }
    }
}

/// Connects to a TCP port. On a worker's thread the connection is the worker's.
pub(crate) async fn connect_tcp(address: SocketAddr) -> io::Result<Tcp> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    Tcp::of(socket.connect(address).await?, Worker::current())
}

/// What the other end of an idle one has done.
pub(crate) fn probe_tcp(stream: &Tcp) -> Probe {
    match stream {
        Tcp::Runtime(stream) => probe_socket(SockRef::from(stream)),
        Tcp::Own(own) => own.probe(),
    }
}

/// Makes its close a reset.
pub(crate) fn abort_tcp_on_close(stream: &Tcp) {
    // Best effort: without it the close is an orderly one, which framing reveals.
    let _ = SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
    if let Tcp::Own(own) = stream {
        own.aborts.store(true, Ordering::Relaxed);
    }
}

impl AsSocket for Tcp {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        match self {
            Tcp::Runtime(stream) => stream.as_socket(),
            Tcp::Own(own) => own.as_socket(),
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Tcp::Runtime(stream) => Pin::new(stream).poll_read(cx, buf),
            Tcp::Own(own) => own.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Tcp::Runtime(stream) => Pin::new(stream).poll_write(cx, buf),
            Tcp::Own(own) => own.poll_write(cx, &[IoSlice::new(buf)]),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Tcp::Runtime(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Tcp::Own(own) => own.poll_write(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Tcp::Runtime(stream) => Pin::new(stream).poll_shutdown(cx),
            Tcp::Own(own) => own.poll_shutdown(cx),
        }
    }
}

/// One that is read and written by the engine.
#[derive(Debug)]
pub(crate) struct Own {
    reader: Reader,
    writer: Writer,
    handle: Arc<Handle>,
    /// The end of the stream was read.
    ended: bool,
    /// It is to be closed without waiting for anything.
    aborts: AtomicBool,
}

impl Own {
    fn new(stream: std::net::TcpStream, worker: Arc<Worker>) -> io::Result<Own> {
        let handle = Handle::of_socket(stream.into(), worker)?;
        let reader = Reader::new(Arc::clone(&handle));
        let writer = Writer::new(Arc::clone(&handle));
        Ok(Own { reader, writer, handle, ended: false, aborts: AtomicBool::new(false) })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ended || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(poll_proceed(cx));
        match ready!(self.reader.poll_read(cx, buf)) {
            Ok(Read::Bytes) => {}
            Ok(Read::Nothing) => self.ended = true,
            Err(error) => return Poll::Ready(Err(of_socket(error))),
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if parts.iter().all(|part| part.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        ready!(poll_proceed(cx));
        self.writer.poll_write(cx, parts).map_err(of_socket)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.writer.poll_taken_over(cx)).map_err(of_socket)?;
        match SockRef::from(&*self).shutdown(Shutdown::Write) {
            // The other end is gone altogether.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            ended => Poll::Ready(ended),
        }
    }

    fn probe(&self) -> Probe {
        match self.reader.held() {
            _ if self.ended => Probe::Closed,
            Some(Err(_) | Ok(0)) => Probe::Closed,
            Some(Ok(_)) => Probe::Data,
            None if self.reader.is_in_flight() => self.probe_beside_read(),
            None => probe_socket(SockRef::from(self)),
        }
    }

    /// While a read is under way: what comes is that one's, and whoever looks at it in the system's
    /// buffer would have to wait until that is over. But the system tells whether there is anything,
    /// and what the read has got already lies at the port.
    fn probe_beside_read(&self) -> Probe {
        let readable = is_readable(self.as_socket());
        take_what_has_ended();
        match self.reader.held() {
            Some(Err(_) | Ok(0)) => Probe::Closed,
            Some(Ok(_)) => Probe::Data,
            None if readable => Probe::Data,
            None => Probe::Quiet,
        }
    }
}

impl AsSocket for Own {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        self.handle.socket().expect("it was made of one")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.aborts.load(Ordering::Relaxed) {
            self.reader.place().abandon(&self.handle);
            self.writer.abandon();
        } else {
            self.writer.leave(&self.reader);
        }
    }
}

/// Whether there are bytes to be read, or the end, in the system's buffer.
fn is_readable(socket: BorrowedSocket<'_>) -> bool {
    let mut one =
        WSAPOLLFD { fd: socket.as_raw_socket() as SOCKET, events: POLLRDNORM, revents: 0 };
    // SAFETY: the socket is open as long as the borrow; this is a list of one.
    unsafe { WSAPoll(&raw mut one, 1, 0) != 0 }
}

/// Whether the socket is the system's own, rather than one of a program that has put itself between
/// (a layered service provider): only of its own the system promises to tell nobody of what ends at
/// once, where it is asked not to.
fn is_plain(socket: BorrowedSocket<'_>) -> bool {
    let mut told = WSAPROTOCOL_INFOW::default();
    let mut bytes = size_of_val(&told) as i32;
    // SAFETY: the socket is open as long as the borrow; both are valid places to write to, and
    // `bytes` says how large the first one is.
    let failed = unsafe {
        getsockopt(
            socket.as_raw_socket() as SOCKET,
            SOL_SOCKET,
            SO_PROTOCOL_INFOW,
            (&raw mut told).cast(),
            &raw mut bytes,
        )
    };
    failed == 0 && told.dwServiceFlags1 & XP1_IFS_HANDLES != 0
}

/// An operation's end has the system's number for files, which is not that of sockets.
fn of_socket(error: io::Error) -> io::Error {
    let code = match error.raw_os_error().map(|code| code as u32) {
        Some(ERROR_NETNAME_DELETED) => WSAECONNRESET,
        Some(ERROR_CONNECTION_ABORTED) => WSAECONNABORTED,
        Some(ERROR_SEM_TIMEOUT) => WSAETIMEDOUT,
        _ => return error,
    };
    io::Error::from_raw_os_error(code)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream as Peer};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::super::engine::live;
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// A connection of a worker's, and its other end.
    async fn pair() -> (Tcp, Peer) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let worker = Worker::start().unwrap();
        let (tell, told) = oneshot::channel();
        worker.spawn(Box::pin(async move {
            let _ = tell.send(connect_tcp(address).await.unwrap());
        }));
        let stream = timeout(LIMIT, told).await.unwrap().unwrap();
        assert!(matches!(stream, Tcp::Own(_)));
        assert_eq!(stream.peer_addr().unwrap(), address);
        (stream, listener.accept().unwrap().0)
    }

    /// Writes until the system takes no more. How many bytes.
    async fn fill(stream: &mut Tcp) -> usize {
        let content = vec![1; 1 << 20];
        let mut count = 0;
        while let Poll::Ready(written) =
            std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *stream).poll_write(cx, &content)))
                .await
        {
            count += written.unwrap();
        }
        count
    }

    #[tokio::test]
    async fn bytes_go_both_ways_in_any_sizes() {
        const BYTES: usize = 8 << 20;
        let (stream, mut peer) = pair().await;
        let echo = std::thread::spawn(move || {
            let mut buffer = vec![0; 100_000];
            loop {
                match peer.read(&mut buffer).unwrap() {
                    0 => break,
                    count => peer.write_all(&buffer[..count]).unwrap(),
                }
            }
        });
        let (mut reading, mut writing) = tokio::io::split(stream);
        let content: Vec<u8> = (0..BYTES).map(|at| (at % 251) as u8).collect();
        let sender = async {
            let (bytes, rest) = content.split_at(300);
            for byte in bytes {
                writing.write_all(&[*byte]).await.unwrap();
            }
            let (parts, rest) = rest.split_at(300);
            let parts = parts.chunks(100).map(IoSlice::new).collect::<Vec<_>>();
            assert_eq!(writing.write_vectored(&parts).await.unwrap(), 300);
            writing.write_all(rest).await.unwrap();
            writing.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (_, read) =
            timeout(LIMIT, async { tokio::join!(sender, reading.read_to_end(&mut received)) })
                .await
                .expect("it hangs");
        assert_eq!(read.unwrap(), BYTES);
        assert!(received == content);
        echo.join().unwrap();
        drop((reading, writing));
        live(0).await;
    }

    #[tokio::test]
    async fn each_direction_has_an_end_of_its_own() {
        let (mut stream, mut peer) = pair().await;
        peer.shutdown(Shutdown::Write).unwrap();
        for _ in 0..2 {
            assert_eq!(timeout(LIMIT, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
        }
        assert_eq!(probe_tcp(&stream), Probe::Closed);
        stream.write_all(b"still").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut received = String::new();
        peer.read_to_string(&mut received).unwrap();
        assert_eq!(received, "still");
        drop(stream);
        live(0).await;
    }

    /// Under Wine a socket that is closed is shut down first, so that no other end sees a reset.
    #[test]
    fn an_operations_end_is_told_by_the_numbers_of_sockets() {
        for (of_files, kind) in [
            (ERROR_NETNAME_DELETED, io::ErrorKind::ConnectionReset),
            (ERROR_CONNECTION_ABORTED, io::ErrorKind::ConnectionAborted),
            (ERROR_SEM_TIMEOUT, io::ErrorKind::TimedOut),
        ] {
            let error = of_socket(io::Error::from_raw_os_error(of_files as i32));
            assert_eq!(error.kind(), kind, "{error}");
        }
        let other = of_socket(io::Error::from_raw_os_error(WSAECONNRESET));
        assert_eq!(other.kind(), io::ErrorKind::ConnectionReset);
    }

    /// Once, waking nobody.
    fn futures_poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(std::task::Waker::noop()))
    }

    #[tokio::test]
    async fn an_idle_one_tells_what_its_other_end_has_done() {
        // Asked of the system, and of a read that is under way.
        for reads in [false, true] {
            let (mut stream, mut peer) = pair().await;
            let mut byte = [0; 1];
            if reads {
                assert!(futures_poll(Box::pin(stream.read(&mut byte)).as_mut()).is_pending());
            }
            assert_eq!(probe_tcp(&stream), Probe::Quiet);
            peer.write_all(b"x").unwrap();
            until(&stream, Probe::Data).await;
            assert_eq!(timeout(LIMIT, stream.read_u8()).await.unwrap().unwrap(), b'x');
            assert_eq!(probe_tcp(&stream), Probe::Quiet);
            if reads {
                assert!(futures_poll(Box::pin(stream.read(&mut byte)).as_mut()).is_pending());
            }
            drop(peer);
            until(&stream, Probe::Closed).await;
        }
        live(0).await;
    }

    async fn until(stream: &Tcp, what: Probe) {
        let told = async {
            while probe_tcp(stream) != what {
                yield_now().await;
            }
        };
        timeout(LIMIT, told).await.unwrap_or_else(|_| panic!("it never was {what:?}"));
    }

    #[tokio::test]
    async fn what_was_written_before_a_drop_arrives() {
        let (mut stream, mut peer) = pair().await;
        let written = fill(&mut stream).await;
        assert!(written > 0);
        drop(stream);
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        assert_eq!(received.len(), written);
        live(0).await;
    }

    #[tokio::test]
    async fn one_that_is_aborted_waits_for_nobody() {
        let (mut stream, mut peer) = pair().await;
        let written = fill(&mut stream).await;
        abort_tcp_on_close(&stream);
        drop(stream);
        // A write is under way, and nobody reads.
        live(0).await;
        let mut received = Vec::new();
        // An end or a reset, as the system has it.
        let _ = peer.read_to_end(&mut received);
        assert!(received.len() < written);
    }
}
