//! The steps: each is an exchange of which it is known beforehand what must come back.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HOST;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use pipeway_transport::{ConnectOptions, Endpoint, Stream, connect};
use tokio::sync::mpsc;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::commands::{self, EXECUTE, EXECUTE_STREAM, TERMINAL};

/// The path of the greeting.
pub(super) const HELLO: &str = "/hello";
/// The path that answers with what it is sent.
pub(super) const ECHO: &str = "/echo";
/// The path of the conversation.
pub(super) const CHAT: &str = "/chat";
/// The greeting.
pub(super) const GREETING: &str = "Hello from the service behind the bridge.\n";

/// How many pieces the streamed body has.
const PIECES: u8 = 16;

/// How long each of them is.
const PIECE: usize = 64 * 1024;

/// One step of the demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A plain request.
    Get,
    /// A body that is echoed piece by piece: each piece is sent when the one before is back.
    StreamedPost,
    /// A conversation.
    WebSocket,
    /// A command, with all of its output.
    Command,
    /// A command whose output comes as it is written.
    Stream,
    /// A terminal that is resized and interrupted.
    Terminal,
}

/// Who answers a step, behind a bridge of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The demonstration's own service.
    Service,
    /// The agent.
    Agent,
}

impl Step {
    /// All of them, in order.
    pub(super) const ALL: [Step; 6] = [
        Step::Get,
        Step::StreamedPost,
        Step::WebSocket,
        Step::Command,
        Step::Stream,
        Step::Terminal,
    ];

    /// Who answers it.
    pub(super) fn place(self) -> Place {
        match self {
            Step::Get | Step::StreamedPost | Step::WebSocket => Place::Service,
            Step::Command | Step::Stream | Step::Terminal => Place::Agent,
        }
    }

    /// The name, for the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Step::Get => "GET",
            Step::StreamedPost => "streamed POST",
            Step::WebSocket => "WebSocket",
            Step::Command => "command",
            Step::Stream => "stream",
            Step::Terminal => "terminal",
        }
    }

    /// The path that is asked for.
    pub(super) fn path(self) -> &'static str {
        match self {
            Step::Get => HELLO,
            Step::StreamedPost => ECHO,
            Step::WebSocket => CHAT,
            Step::Command => EXECUTE,
            Step::Stream => EXECUTE_STREAM,
            Step::Terminal => TERMINAL,
        }
    }

    /// The event that the bridge tells of it.
    pub(super) fn event(self) -> &'static str {
        match self {
            Step::WebSocket | Step::Terminal => "upgrade",
            _ => "request",
        }
    }

    /// The status that it is answered with.
    pub(super) fn status(self) -> u64 {
        match self {
            Step::WebSocket | Step::Terminal => 101,
            _ => 200,
        }
    }

    /// Does it; what came back wrong, if anything did.
    pub(super) async fn run(self, bridge: &Endpoint) -> Result<(), String> {
        let stream =
            connect(bridge, &ConnectOptions::default()).await.map_err(|e| e.to_string())?;
        match self {
            Step::Get => get(stream).await,
            Step::StreamedPost => streamed_post(stream).await,
            Step::WebSocket => conversation(stream).await.map_err(|error| error.to_string())?,
            Step::Command => commands::command(stream).await,
            Step::Stream => commands::stream(stream).await,
            Step::Terminal => commands::terminal(stream).await,
        }
    }
}

async fn get(stream: Stream) -> Result<(), String> {
    let body = Empty::<Bytes>::new().boxed_unsync();
    let answer = exchange(stream, Method::GET, HELLO, body).await?;
    let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
    same(&body.to_bytes(), GREETING.as_bytes())
}

async fn streamed_post(stream: Stream) -> Result<(), String> {
    let (piece_tx, piece_rx) = mpsc::channel::<Bytes>(1);
    let pieces = futures_util::stream::unfold(piece_rx, |mut rx| async {
        let piece = rx.recv().await?;
        Some((Ok::<_, Infallible>(Frame::data(piece)), rx))
    });
    let piece = |number: u8| Bytes::from(vec![number; PIECE]);
    let gone = |_| "the request was dropped".to_owned();
    piece_tx.send(piece(0)).await.map_err(gone)?;
    let body = StreamBody::new(pieces).boxed_unsync();
    let mut answer = exchange(stream, Method::POST, ECHO, body).await?.into_body();

    let mut came = BytesMut::new();
    for number in 0..PIECES {
        while came.len() < PIECE {
            let frame = answer.frame().await.ok_or("the echo ended early")?;
            let frame = frame.map_err(|error| error.to_string())?;
            came.extend_from_slice(frame.data_ref().ok_or("trailers came")?);
        }
        same(&came.split_to(PIECE), &piece(number))?;
        if number + 1 < PIECES {
            piece_tx.send(piece(number + 1)).await.map_err(gone)?;
        }
    }
    drop(piece_tx);
    match answer.frame().await {
        None if came.is_empty() => Ok(()),
        _ => Err("the echo is longer than what was sent".into()),
    }
}

/// Sends a request; its answer, if its status is 200.
pub(super) async fn exchange(
    stream: Stream,
    method: Method,
    path: &str,
    body: UnsyncBoxBody<Bytes, Infallible>,
) -> Result<Response<Incoming>, String> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header(HOST, "localhost").body(body);
    let request = request.map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    match answer.status().as_u16() {
        200 => Ok(answer),
        status => Err(format!("the answer's status is {status}")),
    }
}

/// The outer error is the connection's; the inner one is an answer that is not the right one.
async fn conversation(
    stream: Stream,
) -> Result<Result<(), String>, tokio_tungstenite::tungstenite::Error> {
    let (mut socket, _) = client_async(format!("ws://localhost{CHAT}"), stream).await?;
    let binary: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    for message in [Message::text("Hello. Grüße. 你好."), Message::binary(binary)] {
        socket.send(message.clone()).await?;
        match socket.next().await.transpose()? {
            Some(echo) if echo == message => {}
            _ => return Ok(Err("a message came back changed, or not at all".into())),
        }
    }
    let close = CloseFrame { code: CloseCode::Normal, reason: "done".into() };
    socket.close(Some(close.clone())).await?;
    while let Some(message) = socket.next().await.transpose()? {
        if let Message::Close(Some(answer)) = message {
            let right = answer.code == close.code;
            return Ok(if right { Ok(()) } else { Err(format!("closed with {}", answer.code)) });
        }
    }
    Ok(Err("the close was not answered".into()))
}

/// A body that is there from the beginning.
pub(super) fn full(body: Vec<u8>) -> UnsyncBoxBody<Bytes, Infallible> {
    Full::new(Bytes::from(body)).boxed_unsync()
}

fn same(came: &[u8], sent: &[u8]) -> Result<(), String> {
    if came == sent { Ok(()) } else { Err("what came back is not what was sent".into()) }
}
