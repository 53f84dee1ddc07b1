//! The crate `yamux`, to compare with.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode, Stream};

use crate::Failed;
use crate::work::Multiplexer;

type Opened = oneshot::Sender<Result<Stream, Failed>>;

#[derive(Clone)]
pub struct Yamux {
    open_tx: mpsc::UnboundedSender<Opened>,
    incoming_rx: Arc<Mutex<mpsc::UnboundedReceiver<Stream>>>,
}

impl Yamux {
    fn new<S>(io: S, mode: Mode) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Connection::new(io.compat(), Config::default(), mode);
        let (open_tx, open_rx) = mpsc::unbounded_channel();
        let (incoming_tx, incoming_rx) = mpsc::unbounded_channel();
        tokio::spawn(drive(connection, open_rx, incoming_tx));
        Yamux { open_tx, incoming_rx: Arc::new(Mutex::new(incoming_rx)) }
    }
}

/// The connection lives as long as it is polled for streams of the other end.
async fn drive<S>(
    mut connection: Connection<Compat<S>>,
    mut open_rx: mpsc::UnboundedReceiver<Opened>,
    incoming_tx: mpsc::UnboundedSender<Stream>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut asked: Option<Opened> = None;
    let mut done = false;
    poll_fn(|cx| {
        loop {
            while !done {
                if asked.is_none() {
                    match open_rx.poll_recv(cx) {
                        Poll::Ready(Some(next)) => asked = Some(next),
                        Poll::Ready(None) => done = true,
                        Poll::Pending => break,
                    }
                    continue;
                }
                match connection.poll_new_outbound(cx) {
                    Poll::Ready(opened) => {
                        let asked = asked.take().expect("it was looked at above");
                        let _ = asked.send(opened.map_err(Into::into));
                    }
                    Poll::Pending => break,
                }
            }
            match connection.poll_next_inbound(cx) {
                Poll::Ready(Some(Ok(stream))) => drop(incoming_tx.send(stream)),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

impl Multiplexer for Yamux {
    type Stream = Compat<Stream>;

    async fn client<S>(io: S, _: &str) -> Result<Self, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Ok(Yamux::new(io, Mode::Client))
    }

    async fn server<S>(io: S, _: &str) -> Result<Self, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Ok(Yamux::new(io, Mode::Server))
    }

    async fn open(&self) -> Result<Self::Stream, Failed> {
        let (opened_tx, opened_rx) = oneshot::channel();
        self.open_tx.send(opened_tx)?;
        Ok(opened_rx.await??.compat())
    }

    async fn next(&self) -> Option<Self::Stream> {
        Some(self.incoming_rx.lock().await.recv().await?.compat())
    }
}
