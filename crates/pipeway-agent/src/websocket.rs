//! The WebSocket at `/v1/stream`: the handshake (RFC 6455, 4.2), the first message, and the
//! messages both ways.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::api::Refused;
use crate::command::NotStarted;
use crate::protocol::{AgentMessage, ClientMessage, ErrorCode};
use crate::server::Shared;
use crate::{session, terminal};

/// How long the first message may take.
const FIRST_MESSAGE: Duration = Duration::from_secs(30);

/// How long the client may take to read the last messages, and to close.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(5);

/// How many messages may wait for the client; then whoever makes them waits.
const QUEUE: usize = 4;

/// What is read of the connection at once.
const READ_BUFFER: usize = 8 * 1024;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Answers the handshake and lets the conversation begin.
pub(crate) async fn upgrade(State(shared): State<Arc<Shared>>, mut request: Request) -> Response {
    let accept = match accept_key(request.headers()) {
        Ok(accept) => accept,
        Err(refusal) => return *refusal,
    };
    let upgraded = hyper::upgrade::on(&mut request);
    shared.spawn_connection(begin(shared.clone(), upgraded));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// What `Sec-WebSocket-Accept` must be.
fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, Box<Response>> {
    if !has_token(headers, header::CONNECTION, "upgrade")
        || !has_token(headers, header::UPGRADE, "websocket")
    {
        let mut response = Refused::new(
            StatusCode::UPGRADE_REQUIRED,
            "upgrade_required",
            "this path speaks WebSocket: send Connection: Upgrade and Upgrade: websocket",
        )
        .into_response();
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        return Err(Box::new(response));
    }
    let is_13 = |value: &HeaderValue| value.as_bytes().trim_ascii() == b"13";
    if !headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(is_13) {
        let message = "Sec-WebSocket-Version must be 13";
        let mut response =
            Refused::new(StatusCode::UPGRADE_REQUIRED, "wrong_version", message).into_response();
        let version = HeaderValue::from_static("13");
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, version);
        return Err(Box::new(response));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(|key| key.as_bytes().trim_ascii());
    match key {
        Some(key) if STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) => {
            let accept = derive_accept_key(key);
            Ok(accept.try_into().expect("base64 is plain text"))
        }
        _ => Err(Box::new(
            Refused::bad_request("Sec-WebSocket-Key must be 16 bytes as base64").into_response(),
        )),
    }
}

/// Whether a header that is a list has `token` in it.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

async fn begin(shared: Arc<Shared>, upgraded: OnUpgrade) {
    let Ok(upgraded) = upgraded.await else { return };
    let most = shared.limits.max_message_bytes;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(Some(most))
        .max_frame_size(Some(most));
    let socket = Socket::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (outbox, inbox, mut sending) = open(socket);
    let mut stop = shared.stop.clone();
    let whole = async {
        converse(&shared, outbox, inbox).await;
        // What still waits for a client that does not read is kept for it as long as it is there.
        let _ = (&mut sending).await;
    };
    tokio::select! {
        () = whole => {}
        () = async { stop.ordered().await; sleep(shared.grace + LAST_WORDS).await } => {}
    }
    sending.abort();
}

/// Lets the first message say what the conversation is about.
async fn converse(shared: &Shared, outbox: Outbox, mut inbox: Inbox) {
    let mut stop = shared.stop.clone();
    let first = tokio::select! {
        first = timeout(FIRST_MESSAGE, inbox.next()) => first,
        () = stop.ordered() => return outbox.close(CloseCode::Away, inbox).await,
    };
    let refusal = match first {
        Ok(Incoming::Message(ClientMessage::Start(start))) => {
            return terminal::run(shared, outbox, inbox, start).await;
        }
        Ok(Incoming::Message(ClientMessage::StartSession(start))) => {
            return session::run(shared, outbox, inbox, start).await;
        }
        Ok(Incoming::Gone) => return,
        Ok(Incoming::Message(_)) => "the first message must be start or start_session".to_owned(),
        Ok(Incoming::Malformed(what)) => what,
        Ok(Incoming::Binary) => "a binary message came; every message is JSON text".to_owned(),
        Err(_) => format!("no message came within {} s", FIRST_MESSAGE.as_secs()),
    };
    outbox.refuse(ErrorCode::BadRequest, refusal, None, inbox).await;
}

/// What came from the client.
#[derive(Debug)]
pub(crate) enum Incoming {
    Message(ClientMessage),
    /// A text message that is none of the protocol's, and why.
    Malformed(String),
    /// A binary message.
    Binary,
    /// The client closed, or its connection broke.
    Gone,
}

/// Messages from the client.
#[derive(Debug)]
pub(crate) struct Inbox {
    stream: SplitStream<Socket>,
}

/// Messages to the client, in order, each sent at once.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    message_tx: mpsc::Sender<Message>,
}

/// Both ways of a conversation, and the task that sends: it ends when everything was sent after
/// the last [`Outbox`] was dropped.
fn open(socket: Socket) -> (Outbox, Inbox, JoinHandle<()>) {
    let (sink, stream) = socket.split();
    let (message_tx, message_rx) = mpsc::channel(QUEUE);
    let sending = tokio::spawn(send(sink, message_rx));
    (Outbox { message_tx }, Inbox { stream }, sending)
}

/// Sends what comes, until nobody is left who could send, or nobody who receives.
async fn send(mut sink: SplitSink<Socket, Message>, mut message_rx: mpsc::Receiver<Message>) {
    while let Some(message) = message_rx.recv().await {
        if sink.send(message).await.is_err() {
            return;
        }
    }
}

impl Inbox {
    /// The next message. Cancel safe.
    pub(crate) async fn next(&mut self) -> Incoming {
        loop {
            return match self.stream.next().await {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(message) => Incoming::Message(message),
                    Err(error) => Incoming::Malformed(format!("a message can't be used: {error}")),
                },
                Some(Ok(Message::Binary(_))) => Incoming::Binary,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Err(WsError::Capacity(error))) => Incoming::Malformed(error.to_string()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => Incoming::Gone,
            };
        }
    }
}

impl Outbox {
    /// Sends a message, waiting while the client does not read; whether there still is a client.
    pub(crate) async fn send(&self, message: &AgentMessage) -> bool {
        let text = serde_json::to_string(message).expect("a message has nothing that JSON lacks");
        self.message_tx.send(Message::text(text)).await.is_ok()
    }

    /// Sends output, as [`send`](Outbox::send).
    pub(crate) async fn send_output(&self, data: &[u8]) -> bool {
        // Written in one go: base64 has nothing that JSON would escape.
        let mut text = String::with_capacity(data.len().div_ceil(3) * 4 + 40);
        text.push_str("{\"type\":\"stdout\",\"data_b64\":\"");
        STANDARD.encode_string(data, &mut text);
        text.push_str("\"}");
        self.message_tx.send(Message::Text(Utf8Bytes::from(text))).await.is_ok()
    }

    /// Sends the first of `messages`, as [`send`](Outbox::send). Cancel safe: it was sent if this
    /// returned, and not otherwise.
    pub(crate) async fn send_first(&self, messages: &VecDeque<AgentMessage>) {
        if let Some(message) = messages.front() {
            self.send(message).await;
        }
    }

    /// Asks for a sign of life, unless messages wait already.
    pub(crate) fn ping(&self) {
        let _ = self.message_tx.try_send(Message::Ping(Default::default()));
    }

    /// Waits until the connection is found broken.
    pub(crate) async fn gone(&self) {
        self.message_tx.closed().await;
    }

    /// Sends an error that ends the conversation, and closes with 1008 (1011 for a failure of the
    /// agent's own).
    pub(crate) async fn refuse(
        self,
        code: ErrorCode,
        message: impl Into<String>,
        seq: Option<u64>,
        inbox: Inbox,
    ) {
        let close = match code {
            ErrorCode::InternalError => CloseCode::Error,
            _ => CloseCode::Policy,
        };
        let error = AgentMessage::fatal(code, message, seq);
        let _ = timeout(LAST_WORDS, self.send(&error)).await;
        self.close(close, inbox).await;
    }

    /// As [`refuse`](Outbox::refuse), for what was not started.
    pub(crate) async fn refuse_start(self, error: NotStarted, inbox: Inbox) {
        let (code, message) = match error {
            NotStarted::BadRequest(message) => (ErrorCode::BadRequest, message),
            NotStarted::Internal(message) => (ErrorCode::InternalError, message),
        };
        self.refuse(code, message, None, inbox).await;
    }

    /// Sends a close frame as soon as the client reads, and waits a few seconds for the client's.
    pub(crate) async fn close(self, code: CloseCode, mut inbox: Inbox) {
        let frame = CloseFrame { code, reason: Utf8Bytes::default() };
        if self.message_tx.send(Message::Close(Some(frame))).await.is_err() {
            return;
        }
        drop(self);
        let closed = async { while !matches!(inbox.next().await, Incoming::Gone) {} };
        let _ = timeout(LAST_WORDS, closed).await;
    }
}
