//! A WebSocket as a stream of bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error as Tungstenite, Message};

/// The longest message that is sent unless another bound was set.
const MESSAGE_BYTES: usize = 64 * 1024;

/// A WebSocket seen as a stream of bytes (`AsStream` in Nerdbank.Streams).
///
/// What is written goes out in binary messages. What is read are the payloads of binary and text
/// messages one after the other; where one ends can't be seen. Pings are answered while the stream
/// is read.
///
/// # The end
///
/// [`shutdown`](tokio::io::AsyncWriteExt::shutdown) sends a close frame with code 1000, and
/// reading goes on until the other end's close frame. A close frame with code 1000 or without a
/// code is the end of the stream. Any other code (1001 and 1011 among them) is a
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted), and a connection that ends without a
/// close frame an [`UnexpectedEof`](io::ErrorKind::UnexpectedEof): what was read until then may be
/// cut short. The same error comes again from every further read.
///
/// WebSocket has no half-close: once the other end has sent its close frame nothing reaches it any
/// more, and writing is a [`BrokenPipe`](io::ErrorKind::BrokenPipe). Where both ends send, let the
/// protocol on top say who closes. To drop the stream without a shutdown is a loss for the other
/// end, as it should be where not everything was sent; to be sure that everything has arrived,
/// shut down and read to the end.
///
/// # Bounds
///
/// A write takes at most [`with_message_bytes`](ByteStream::with_message_bytes), 64 KiB by default,
/// and waits until the message before has been handed to the transport; that one message is all
/// that is held of what is sent. Of what is received the rest of one message is held; the
/// WebSocket's own configuration bounds its length.
///
/// # Cancel safety
///
/// As for any stream: a read or write that is dropped while pending has taken and given nothing. A
/// write that has returned is on its way and need not be flushed to get there, as long as the
/// stream is read, written, flushed or shut down.
pub struct ByteStream<S> {
    messages: WebSocketStream<S>,
    message_bytes: usize,
    /// What was not read yet of the last message.
    rest: Bytes,
    reading: Reading,
    /// Whether a message may still be held back by the transport.
    unflushed: bool,
    /// Who waits to write while the reader tries to flush.
    writer: Option<Waker>,
    /// Whether the close frame was queued, or is not needed.
    shut: bool,
}

/// How far reading has come.
enum Reading {
    Open,
    Ended,
    Failed(io::ErrorKind, String),
}

impl<S: AsyncRead + AsyncWrite + Unpin> ByteStream<S> {
    /// Sees `messages` as a stream of bytes.
    ///
    /// Messages that were queued in it before and not flushed are sent with the first write.
    pub fn new(messages: WebSocketStream<S>) -> Self {
        ByteStream {
            messages,
            message_bytes: MESSAGE_BYTES,
            rest: Bytes::new(),
            reading: Reading::Open,
            unflushed: true,
            writer: None,
            shut: false,
        }
    }

    /// The same, with messages of at most so many bytes; at least 1. Default: 64 KiB. Some
    /// receivers take no more than 64 KiB or 1 MiB.
    #[must_use]
    pub fn with_message_bytes(mut self, most: usize) -> Self {
        self.message_bytes = most.max(1);
        self
    }

    /// The stream below the WebSocket, to look at.
    pub fn stream(&self) -> &S {
        self.messages.get_ref()
    }

    /// Hands over what is queued.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unflushed {
            return Poll::Ready(Ok(()));
        }
        match self.messages.poll_flush_unpin(cx) {
            Poll::Ready(flushed) => {
                self.writer = None;
                flushed.map_err(write_error)?;
                self.unflushed = false;
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                self.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Lets the reader hand over what is queued, so that a writer who waits for an answer without
    /// flushing gets one. The WebSocket remembers one waker for writing, so a writer that waits is
    /// woken along with the reader.
    fn drain_from_reader(&mut self, cx: &mut Context<'_>) {
        if !self.unflushed {
            return;
        }
        let waker = match &self.writer {
            Some(writer) if !writer.will_wake(cx.waker()) => {
                Waker::from(Arc::new(Both(cx.waker().clone(), writer.clone())))
            }
            _ => cx.waker().clone(),
        };
        if let Poll::Ready(flushed) =
            self.messages.poll_flush_unpin(&mut Context::from_waker(&waker))
        {
            // An error comes again to whoever writes next; the reader finds its own.
            self.unflushed = flushed.is_err();
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
        }
    }

    fn closed_by_peer(&mut self, frame: Option<CloseFrame>) {
        self.reading = match frame {
            None => Reading::Ended,
            Some(frame) if frame.code == CloseCode::Normal => Reading::Ended,
            Some(CloseFrame { code, reason }) => Reading::Failed(
                io::ErrorKind::ConnectionAborted,
                format!("the other end closed the WebSocket with code {code}: {reason:?}"),
            ),
        };
        // The answer to it was queued.
        self.unflushed = true;
    }

    fn ended(&self) -> io::Result<()> {
        match &self.reading {
            Reading::Failed(kind, message) => Err(io::Error::new(*kind, message.clone())),
            Reading::Open | Reading::Ended => Ok(()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ByteStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            self.drain_from_reader(cx);
            if !self.rest.is_empty() {
                let length = self.rest.len().min(buf.remaining());
                buf.put_slice(&self.rest.split_to(length));
                return Poll::Ready(Ok(()));
            }
            if !matches!(self.reading, Reading::Open) {
                return Poll::Ready(self.ended());
            }
            match ready!(self.messages.poll_next_unpin(cx)) {
                Some(Ok(Message::Binary(payload))) => self.rest = payload,
                Some(Ok(Message::Text(payload))) => self.rest = payload.into(),
                Some(Ok(Message::Close(frame))) => self.closed_by_peer(frame),
                // The answer to a ping is queued, and goes out with the next look at the messages.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => {
                    let error = read_error(error);
                    self.reading = Reading::Failed(error.kind(), error.to_string());
                }
                // Its end was seen before it came here.
                None => {
                    self.reading = Reading::Failed(
                        io::ErrorKind::NotConnected,
                        "the WebSocket had ended already".to_owned(),
                    );
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ByteStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.shut {
            return Poll::Ready(Err(broken("the stream was shut down")));
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_drain(cx))?;
        let length = buf.len().min(self.message_bytes);
        let message = Message::Binary(Bytes::copy_from_slice(&buf[..length]));
        self.messages.start_send_unpin(message).map_err(write_error)?;
        self.unflushed = true;
        // At once, as far as the transport takes it; the rest later. The message was taken, but
        // an error now is the transport's end.
        if let Poll::Ready(flushed) = self.poll_drain(cx) {
            flushed?;
        }
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            ready!(self.poll_drain(cx))?;
            // After a failure none: a close frame would make the loss look like an end. After the
            // other end's close frame the answer was queued already.
            if matches!(self.reading, Reading::Open) {
                let frame = CloseFrame { code: CloseCode::Normal, reason: Default::default() };
                match self.messages.start_send_unpin(Message::Close(Some(frame))) {
                    // A server whose client answered at once is done.
                    Ok(()) | Err(Tungstenite::ConnectionClosed) => {}
                    Err(error) => return Poll::Ready(Err(write_error(error))),
                }
                self.unflushed = true;
            }
            self.shut = true;
        }
        ready!(self.poll_drain(cx))?;
        if !matches!(self.reading, Reading::Ended) {
            return Poll::Ready(Ok(()));
        }
        // Both have said all they had to say: now the transport may end its sending half, which
        // on a named pipe waits until the last write has been taken.
        match ready!(Pin::new(self.messages.get_mut()).poll_shutdown(cx)) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

impl<S> fmt::Debug for ByteStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream")
            .field("message_bytes", &self.message_bytes)
            .finish_non_exhaustive()
    }
}

/// Wakes two tasks.
struct Both(Waker, Waker);

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_by_ref();
        self.1.wake_by_ref();
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, why.to_owned())
}

fn read_error(error: Tungstenite) -> io::Error {
    match error {
        Tungstenite::Io(error) => error,
        Tungstenite::Protocol(ProtocolError::ResetWithoutClosingHandshake) => io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the connection ended without a close frame: what was read may be cut short",
        ),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

fn write_error(error: Tungstenite) -> io::Error {
    match error {
        Tungstenite::Io(error) => error,
        Tungstenite::ConnectionClosed
        | Tungstenite::AlreadyClosed
        | Tungstenite::Protocol(ProtocolError::SendAfterClosing) => {
            broken("the other end has closed the WebSocket")
        }
        other => io::Error::other(other),
    }
}
