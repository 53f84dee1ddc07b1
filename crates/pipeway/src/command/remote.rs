//! What `exec` and `shell` share: the agent on the other side, its requests, its refusals.

mod script;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pipeway_agent::protocol::{Cancel, Cancelled, Capabilities};
use pipeway_transport::child::Signal;
use pipeway_transport::{ConnectOptions, Endpoint, Stream, Token, connect};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

pub(crate) use script::Platform;

use crate::args::RemoteArgs;
use crate::config::{check_token_file, time_text};
use crate::exit::Exit;
use crate::output::Failure;

/// How long an agent may take to begin an answer: it does not wait for the command.
const ANSWER: Duration = Duration::from_secs(30);

/// The most that is read of an answer that is read whole.
const ANSWER_MAX: usize = 64 * 1024;

/// The longest message that is taken; an agent's have some 11 KB.
const MESSAGE_MAX: usize = 1 << 20;

/// How much is shown of what another program said, in characters.
const SHOWN_MAX: usize = 800;

/// An open terminal's connection.
pub(super) type Socket = WebSocketStream<Stream>;

/// An agent, and how to reach it.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    endpoint: Endpoint,
    options: ConnectOptions,
    prefix: String,
    authorization: Option<HeaderValue>,
}

impl Remote {
    /// The agent of the command line. Connects to nothing.
    pub(super) fn new(args: &RemoteArgs) -> Result<Self, Failure> {
        let authorization = match &args.token_file {
            None => None,
            Some(path) => {
                if let Some((exit, message, hint)) = check_token_file(path) {
                    return Err(Failure::new(exit, format!("--token-file: {message}")).hint(hint));
                }
                let token = Token::from_file(path).map_err(|error| Failure::connect(&error))?;
                let mut value = HeaderValue::from_bytes(&token.authorization())
                    .expect("a token is visible ASCII");
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Remote {
            endpoint: args.endpoint.clone(),
            options: args.connect.options(None),
            prefix: args.prefix.clone().unwrap_or_default(),
            authorization,
        })
    }

    /// The endpoint, for messages.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the agent runs on.
    pub(super) async fn platform(&self) -> Result<Platform, Failure> {
        let answer = self.request(Method::GET, "/v1/capabilities", None).await?;
        let body = whole(answer.into_body()).await?;
        let said: Capabilities = serde_json::from_slice(&body).map_err(|error| {
            self.no_agent("its answer to /v1/capabilities is not an agent's").cause(&error)
        })?;
        Ok(Platform::of(&said.platform))
    }

    /// Sends a signal to a command that runs; whether it got it.
    pub(super) async fn cancel(&self, span_id: &str, signal: Signal) -> Result<bool, Failure> {
        let order = Cancel { span_id: span_id.to_owned(), sig: signal.name().to_owned() };
        let order = serde_json::to_vec(&order).expect("an order has nothing that JSON lacks");
        let answer = self.request(Method::POST, "/v1/execute/cancel", Some(order)).await?;
        let body = whole(answer.into_body()).await?;
        let said: Cancelled = serde_json::from_slice(&body).map_err(|error| {
            Failure::new(Exit::Failure, "the agent's answer can't be understood").cause(&error)
        })?;
        Ok(said.delivered)
    }

    /// Makes a request over a connection of its own, which ends with its answer. The answer's
    /// status is 200.
    pub(super) async fn request(
        &self,
        method: Method,
        path: &str,
        json: Option<Vec<u8>>,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.prefix));
        if json.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(json.unwrap_or_default())));
        let mut request =
            request.map_err(|error| Failure::new(Exit::Usage, "not a path").cause(&error))?;
        self.introduce(request.headers_mut());
        let stream = self.connect().await?;
        let answered = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender.send_request(request).await
        };
        let answer = self.in_time(answered).await?.map_err(|error| {
            let message = format!("{} gave no answer", self.endpoint);
            Failure::new(Exit::Incomplete, message).cause(&error)
        })?;
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        let status = answer.status();
        // Of a refusal that is cut short the status is enough.
        let body = whole(answer.into_body()).await.unwrap_or_default();
        Err(self.refused(status, &body))
    }

    /// Opens the WebSocket for a terminal.
    pub(super) async fn websocket(&self) -> Result<Socket, Failure> {
        // Of this URL only the path is sent.
        let url = format!("ws://localhost{}/v1/stream", self.prefix);
        let request = Request::builder()
            .uri(url)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, generate_key())
            .body(());
        let mut request =
            request.map_err(|error| Failure::new(Exit::Usage, "not a path").cause(&error))?;
        self.introduce(request.headers_mut());
        let stream = self.connect().await?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_MAX))
            .max_frame_size(Some(MESSAGE_MAX));
        let opened = client_async_with_config(request, stream, Some(config));
        match self.in_time(opened).await? {
            Ok((socket, _)) => Ok(socket),
            Err(WsError::Http(answer)) => {
                let body = answer.body().as_deref().unwrap_or_default();
                Err(self.refused(answer.status(), body))
            }
            Err(error) => {
                let message = format!("{} did not open a terminal", self.endpoint);
                Err(Failure::new(Exit::Incomplete, message).cause(&error))
            }
        }
    }

    async fn connect(&self) -> Result<Stream, Failure> {
        connect(&self.endpoint, &self.options).await.map_err(|error| Failure::connect(&error))
    }

    fn introduce(&self, headers: &mut HeaderMap) {
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        let program = concat!("pipeway/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(program));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::time::timeout(ANSWER, work).await.map_err(|_| {
            let message = format!("{} did not answer within {}", self.endpoint, time_text(ANSWER));
            Failure::new(Exit::Timeout, message).hint("see whether the agent is stuck")
        })
    }

    /// A refusal of the agent's, or of a bridge's before it.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Failure {
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(printable);
        let message = text(&said["message"]).or_else(|| text(&said["error"]["message"]));
        let Some(message) = message else {
            let body = String::from_utf8_lossy(body);
            let failure = self.no_agent(&format!("it answered {status}"));
            return if body.trim().is_empty() {
                failure
            } else {
                failure.cause(&printable(body.trim()))
            };
        };
        let failure = Failure::new(
            Exit::Refused,
            format!("{} refused with {}: {message}", self.endpoint, status.as_u16()),
        );
        match (status, text(&said["error"]["hint"])) {
            (StatusCode::UNAUTHORIZED, _) => failure.hint("name its token file with --token-file"),
            (_, Some(hint)) => failure.hint(hint),
            (_, None) => failure,
        }
    }

    fn no_agent(&self, why: &str) -> Failure {
        Failure::new(Exit::Refused, format!("no agent is at {}: {why}", self.endpoint)).hint(
            "`pipeway agent` is one; if it is mounted below another path, name that with --prefix",
        )
    }
}

/// The environment for a command: the last value of a name counts.
pub(super) fn environment(args: &RemoteArgs) -> BTreeMap<String, String> {
    args.variables.iter().cloned().collect()
}

async fn whole(body: Incoming) -> Result<Bytes, Failure> {
    let collected = tokio::time::timeout(ANSWER, Limited::new(body, ANSWER_MAX).collect()).await;
    let broken = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::Incomplete, "the agent's answer did not come whole").cause(why)
    };
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(broken(&error)),
        Err(_) => Err(broken(&"it took too long")),
    }
}

/// What another program said, without what would be an order to the terminal.
pub(super) fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().take(SHOWN_MAX).map(plain).collect()
}
