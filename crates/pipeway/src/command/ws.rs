//! `pipeway ws`: lines in, messages out.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use hyper::Request;
use hyper::header::{
    CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    USER_AGENT,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::client::{self, Headers, Tap, request_path};
use crate::args::WsArgs;
use crate::config::{is_token, time_text};
use crate::exit::Exit;
use crate::output::{Failure, talk};

/// How long the other end has for its half of the closing handshake.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// The longest line that is sent; the same as the longest message that is taken.
const LINE_MAX: u64 = 64 << 20;

/// How much of standard input a binary message holds at most.
const CHUNK: usize = 64 * 1024;

type Socket = WebSocketStream<Tap<pipeway_transport::Stream>>;

/// Holds the conversation.
pub(crate) async fn ws(args: WsArgs) -> Result<(), Failure> {
    client::within(args.client.max_time, converse(&args), String::new).await
}

async fn converse(args: &WsArgs) -> Result<(), Failure> {
    let socket = open(args).await?;
    let (sink, stream) = socket.split();
    let (message_tx, message_rx) = mpsc::channel(1);
    let pong = Cell::new(true);
    let closing = tokio::sync::Notify::new();

    let input = async {
        match read_input(args.binary, &message_tx).await {
            Ok(()) => {
                let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                // A failed send is the receiver's to tell.
                let _ = message_tx.send(Message::Close(Some(normal))).await;
                closing.notify_one();
                std::future::pending().await
            }
            Err(failure) => failure,
        }
    };
    let late_close = async {
        closing.notified().await;
        tokio::time::sleep(CLOSE_WAIT).await;
        Failure::new(
            Exit::Timeout,
            format!("the other end did not answer the close within {}", time_text(CLOSE_WAIT)),
        )
    };
    tokio::select! {
        ended = receive(stream, args.binary, &pong) => ended,
        () = send(sink, message_rx) => unreachable!("the sender waits for ever"),
        failure = input => Err(failure),
        failure = ping(args.ping, &message_tx, &pong) => Err(failure),
        failure = late_close => Err(failure),
    }
}

/// Connects and shakes hands.
async fn open(args: &WsArgs) -> Result<Socket, Failure> {
    let (path, host) = request_path(&args.client.path)?;
    let mut headers = Headers::new(&args.client.headers)?;
    headers.default(HOST, host.as_deref().unwrap_or("localhost"));
    headers.default(CONNECTION, "Upgrade");
    headers.default(UPGRADE, "websocket");
    headers.default(SEC_WEBSOCKET_VERSION, "13");
    headers.default(SEC_WEBSOCKET_KEY, &generate_key());
    headers.default(USER_AGENT, concat!("pipeway/", env!("CARGO_PKG_VERSION")));
    if let Some(name) = args.protocols.iter().find(|name| !is_token(name)) {
        let message = format!("`{}` is not a subprotocol's name", name.escape_debug());
        return Err(Failure::new(Exit::Usage, message));
    }
    if !args.protocols.is_empty() {
        headers.default(SEC_WEBSOCKET_PROTOCOL, &args.protocols.join(", "));
    }
    // Of this URL only the path is sent.
    let request = Request::builder().uri(format!("ws://localhost{path}")).body(());
    let mut request =
        request.map_err(|error| Failure::new(Exit::Usage, "not a path").cause(&error))?;
    *request.headers_mut() = headers.into_map();

    let (tap, _, _) = client::open(&args.client).await?;
    match client_async(request, tap).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(answer)) => {
            let status = answer.status();
            let body = answer.body().as_deref().unwrap_or_default();
            let body = String::from_utf8_lossy(body);
            let failure = Failure::new(
                Exit::Refused,
                format!("{} does not speak WebSocket there: {status}", args.client.path),
            );
            Err(if body.trim().is_empty() { failure } else { failure.cause(&body.trim()) })
        }
        Err(WsError::Io(error)) => {
            Err(Failure::new(Exit::Incomplete, "the connection ended in the handshake")
                .cause(&error))
        }
        Err(error) => {
            let ended = error.to_string().contains("not finished");
            let exit = if ended { Exit::Incomplete } else { Exit::Failure };
            Err(Failure::new(exit, "the WebSocket handshake failed").cause(&error))
        }
    }
}

/// Standard input as messages, until its end.
async fn read_input(binary: bool, message_tx: &mpsc::Sender<Message>) -> Result<(), Failure> {
    let failure = |error: std::io::Error| {
        Failure::new(Exit::Failure, "can't read standard input").cause(&error)
    };
    let mut stdin = BufReader::with_capacity(CHUNK, tokio::io::stdin());
    loop {
        let message = if binary {
            let mut piece = Vec::with_capacity(CHUNK);
            if stdin.read_buf(&mut piece).await.map_err(failure)? == 0 {
                return Ok(());
            }
            Message::Binary(piece.into())
        } else {
            let mut line = Vec::new();
            let mut limited = (&mut stdin).take(LINE_MAX);
            if limited.read_until(b'\n', &mut line).await.map_err(failure)? == 0 {
                return Ok(());
            }
            if line.len() as u64 == LINE_MAX && line.last() != Some(&b'\n') {
                let message = format!("a line is longer than {LINE_MAX} bytes");
                return Err(Failure::new(Exit::Failure, message));
            }
            if line.last() == Some(&b'\n') {
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
            }
            let text = String::from_utf8(line).map_err(|_| {
                Failure::new(Exit::Failure, "a line of standard input is not UTF-8")
                    .hint("send it with --binary")
            })?;
            Message::text(text)
        };
        if message_tx.send(message).await.is_err() {
            return Ok(());
        }
    }
}

/// Sends what comes, until a send fails: then the receiver tells why, so this waits for it.
async fn send(
    mut sink: impl Sink<Message, Error = WsError> + Unpin,
    mut message_rx: mpsc::Receiver<Message>,
) {
    while let Some(message) = message_rx.recv().await {
        if sink.send(message).await.is_err() {
            break;
        }
    }
    std::future::pending().await
}

/// Writes what comes, until the end.
async fn receive(
    mut stream: impl Stream<Item = Result<Message, WsError>> + Unpin,
    binary: bool,
    pong: &Cell<bool>,
) -> Result<(), Failure> {
    let mut stdout = tokio::io::stdout();
    let mut closed = None;
    loop {
        let piece: Bytes = match stream.next().await {
            Some(Ok(Message::Text(text))) if binary => Bytes::from(text),
            Some(Ok(Message::Text(text))) => [text.as_bytes(), b"\n"].concat().into(),
            Some(Ok(Message::Binary(data))) if binary => data,
            Some(Ok(Message::Binary(data))) => {
                let size = data.len();
                talk(&format!("a binary message of {size} bytes came; --binary writes them"));
                continue;
            }
            Some(Ok(Message::Pong(_))) => {
                pong.set(true);
                continue;
            }
            Some(Ok(Message::Close(frame))) => {
                closed = Some(frame);
                continue;
            }
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => continue,
            Some(Err(error)) if closed.is_none() && !matches!(error, WsError::ConnectionClosed) => {
                return Err(lost(&error));
            }
            Some(Err(_)) | None => return ended(closed.flatten()),
        };
        let written = async {
            stdout.write_all(&piece).await?;
            stdout.flush().await
        };
        written.await.map_err(|error| {
            Failure::new(Exit::Failure, "can't write to standard output").cause(&error)
        })?;
    }
}

fn lost(error: &WsError) -> Failure {
    let exit = match error {
        WsError::Io(_) => Exit::Incomplete,
        WsError::Protocol(error) if error.to_string().contains("without closing handshake") => {
            Exit::Incomplete
        }
        _ => Exit::Failure,
    };
    let message = match exit {
        Exit::Incomplete => "the connection was lost without a close",
        _ => "what came is no WebSocket message",
    };
    Failure::new(exit, message).cause(error)
}

/// The end of a conversation that was closed; the code says whether all was well.
fn ended(frame: Option<CloseFrame>) -> Result<(), Failure> {
    let Some(frame) = frame else { return Ok(()) };
    let code = u16::from(frame.code);
    let reason = if frame.reason.is_empty() {
        String::new()
    } else {
        format!(" ({})", frame.reason.escape_debug())
    };
    match frame.code {
        CloseCode::Normal | CloseCode::Away | CloseCode::Status => {
            talk(&format!("closed with {code}{reason}"));
            Ok(())
        }
        _ => Err(Failure::new(Exit::Refused, format!("the other end closed with {code}{reason}"))),
    }
}

/// Sends a ping at each interval; ends if the one before was not answered.
async fn ping(
    every: Option<Duration>,
    message_tx: &mpsc::Sender<Message>,
    pong: &Cell<bool>,
) -> Failure {
    let Some(every) = every else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(every);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if !pong.replace(false) {
            let message = format!("no pong came within {}", time_text(every));
            return Failure::new(Exit::Timeout, message)
                .hint("the other end is stuck or gone; a longer --ping asks less often");
        }
        // A full queue is one that the other end does not read, which the next tick finds.
        let _ = message_tx.try_send(Message::Ping(Bytes::new()));
    }
}
