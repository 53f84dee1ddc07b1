//! A connected pair of pipes.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use pipeway_transport::{Direction, Peer, Probe, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// The most bytes that may come on the pipe that is only written to. Nothing of the protocol goes
/// there, but for the farewell of a few bytes that one peer writes to both pipes.
const UNASKED_BYTES_MAX: usize = 64 * 1024;

/// The most bytes of a pipe that are kept while its counterpart is missing.
const EARLY_BYTES_MAX: usize = 64 * 1024;

/// How much is read at once of what is only looked at.
const PIECE_BYTES: usize = 1024;

/// A connected pair of pipes, at either end: what can be read, what can be written, and the watch.
///
/// The pipe of a part closes when the part is dropped; the session is over, and a listener is free for
/// the next, when both the reader and the writer are.
#[derive(Debug)]
pub struct Pair {
    /// The pipe that the other end writes. Its end, or an error, is the session's end.
    pub reader: Reader,
    /// The pipe that the other end reads.
    pub writer: Writer,
    /// Tells that the pipe of `writer` is lost.
    pub watch: Watch,
    /// Who connected, for the agent's end, as the `.incoming` pipe tells it; nobody is known at the
    /// connector's end.
    pub peer: Peer,
}

impl Pair {
    pub(super) fn new(reader: Reader, writer: Stream, peer: Peer, session: SessionHold) -> Pair {
        let shared = Arc::new(Shared::new(writer));
        Pair {
            reader: Reader { session: Some(session.clone()), ..reader },
            writer: Writer { shared: Arc::clone(&shared), session: Some(session) },
            watch: Watch { shared, ended: false, unasked_bytes: 0 },
            peer,
        }
    }

    /// Whether the system says that one of the pipes is lost.
    pub(super) fn is_gone(&self) -> bool {
        let state = self.writer.shared.lock();
        self.reader.is_gone() || state.stream.as_ref().is_none_or(is_unused_gone)
    }
}

/// Held by a pair's reader and writer; the session is over when the last of them is dropped.
#[derive(Clone, Debug)]
pub(super) struct SessionHold(
    #[expect(dead_code, reason = "its drop tells")] Arc<oneshot::Sender<()>>,
);

impl SessionHold {
    /// A hold, and what ends with it.
    pub(super) fn new() -> (SessionHold, oneshot::Receiver<()>) {
        let (over_tx, over_rx) = oneshot::channel();
        (SessionHold(Arc::new(over_tx)), over_rx)
    }
}

/// The pipe that the other end writes.
///
/// Reading is cancel safe. The end of the stream and any error mean that the session is over.
#[derive(Debug)]
pub struct Reader {
    stream: Stream,
    /// What came while the other pipe was missing, and how far it was read since.
    early: Vec<u8>,
    early_read: usize,
    /// Behind the stream, so that the pipe is closed before the session counts as over.
    #[expect(dead_code, reason = "its drop tells")]
    session: Option<SessionHold>,
}

impl Reader {
    pub(super) fn new(stream: Stream) -> Reader {
        Reader { stream, early: Vec::new(), early_read: 0, session: None }
    }

    /// Reads ahead until the stream's end, which it tells, or until the bound.
    pub(super) fn poll_early_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut piece = [0; PIECE_BYTES];
        while self.early.len() < EARLY_BYTES_MAX {
            let mut buf = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.early.extend_from_slice(buf.filled()),
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        // As long as nobody takes what is here the pipe is not watched.
        Poll::Pending
    }

    /// Whether the system says by itself that the other end is gone, whatever the runtime has heard.
    pub(super) fn is_gone(&self) -> bool {
        self.stream.probe() == Probe::Closed || self.stream.is_hung_up()
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let early = &this.early[this.early_read..];
        if early.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let part = &early[..early.len().min(buf.remaining())];
        buf.put_slice(part);
        this.early_read += part.len();
        if this.early_read == this.early.len() {
            this.early = Vec::new();
            this.early_read = 0;
        }
        Poll::Ready(Ok(()))
    }
}

/// The pipe that the other end reads.
///
/// Writing is cancel safe as far as [`AsyncWrite`] is. The parts of a vectored write reach the system
/// as one write. Before a writer is dropped, `shutdown` waits until the system has taken over what
/// was written; it does not wait for the other end to read it, but for room.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    session: Option<SessionHold>,
}

impl Writer {
    /// Bounds what waits unread in the system to about so many bytes, where the system can. How many
    /// bytes of one write are then read all or none of.
    pub(crate) fn bound_unread(&self, bytes: usize) -> usize {
        self.shared.lock().stream.as_ref().map_or(0, |stream| stream.bound_unread(bytes))
    }

    /// How much may wait unread in the system, as [`bound_unread`](Self::bound_unread) takes it.
    pub(crate) fn unread_bound(&self) -> Option<usize> {
        self.shared.lock().stream.as_ref().and_then(Stream::unread_bound)
    }

    fn with<T>(&self, act: impl FnOnce(Pin<&mut Stream>) -> T) -> T {
        let mut state = self.shared.lock();
        let stream = state.stream.as_mut().expect("only dropping the writer takes it");
        act(Pin::new(stream))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let (stream, watcher) = {
            let mut state = self.shared.lock();
            (state.stream.take(), state.watcher.take())
        };
        if let Some(mut stream) = stream {
            // A socket that is closed with something unread is a reset to the other end.
            let mut idle = Context::from_waker(Waker::noop());
            let _ = poll_unused(&mut stream, &mut false, &mut 0, &mut idle);
        }
        // The pipe is closed before the session counts as over.
        self.session = None;
        if let Some(watcher) = watcher {
            watcher.wake();
        }
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.with(|stream| stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

/// Tells that the pipe that is written to is lost, without a write.
///
/// The other direction of that pipe carries nothing, so a read of it is pending until the other end
/// is gone. Its end alone proves nothing on a Unix socket, where .NET programs shut down the direction
/// that they don't use: there the watch goes on until both are down. A connector's pipe on Windows is
/// opened for writing alone, where only a failing write tells; then the watch stays pending.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    /// Whether the unused direction's end was read.
    ended: bool,
    unasked_bytes: usize,
}

impl Watch {
    /// Completes when the pipe is lost, when the other end has sent more than 64 KiB against its
    /// direction (less is passed over), and when the [`Writer`] was dropped. Cancel safe.
    pub async fn closed(&mut self) {
        std::future::poll_fn(|cx| self.poll_closed(cx)).await;
    }

    /// As [`closed`](Watch::closed), for a hand-written future.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        let State { stream, watcher } = &mut *state;
        let Some(stream) = stream else { return Poll::Ready(()) };
        let polled = poll_unused(stream, &mut self.ended, &mut self.unasked_bytes, cx);
        if polled.is_pending() && !watcher.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *watcher = Some(cx.waker().clone());
        }
        polled
    }
}

/// Reads the direction that nothing is expected on, until the pipe is lost.
pub(super) fn poll_unused(
    stream: &mut Stream,
    ended: &mut bool,
    unasked_bytes: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if stream.direction() == Direction::WriteOnly {
        return Poll::Pending;
    }
    let mut piece = [0; PIECE_BYTES];
    while !*ended {
        let mut buf = ReadBuf::new(&mut piece);
        match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf)) {
            Ok(()) if buf.filled().is_empty() => *ended = true,
            Ok(()) => *unasked_bytes += buf.filled().len(),
            Err(_) => return Poll::Ready(()),
        }
        if *unasked_bytes > UNASKED_BYTES_MAX {
            return Poll::Ready(());
        }
    }
    // Without a descriptor for the watch, the session that can't be watched ends.
    stream.poll_hung_up(cx).map(|_| ())
}

/// Whether the system says by itself that a pipe that is only written to is lost.
pub(super) fn is_unused_gone(stream: &Stream) -> bool {
    let closed = stream.probe() == Probe::Closed;
    (closed && !stream.can_half_close()) || stream.is_hung_up()
}

/// The pipe that is written to, for its writer and its watch.
#[derive(Debug)]
struct Shared(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Until the writer is dropped.
    stream: Option<Stream>,
    /// Whom to wake when it is.
    watcher: Option<Waker>,
}

impl Shared {
    fn new(stream: Stream) -> Shared {
        Shared(Mutex::new(State { stream: Some(stream), watcher: None }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
