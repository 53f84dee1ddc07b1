//! The routes of HTTP.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use http_body_util::BodyExt;
use pipeway_transport::child::Signal;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::command::{self, NotStarted, Output, Running};
use crate::protocol::{
    Cancel, Cancelled, Capabilities, Execute, Executed, Refusal, StreamLine, encode,
};
use crate::server::Shared;
use crate::{guard, websocket};

/// Every route.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(health))
        .route("/v1/capabilities", get(capabilities))
        .route("/v1/execute", post(execute))
        .route("/v1/execute/stream", post(execute_stream))
        .route("/v1/execute/cancel", post(cancel))
        .route("/v1/trace/{span_id}", get(trace))
        .route("/v1/stream", get(websocket::upgrade))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(shared.clone(), guarded))
        .with_state(shared)
}

/// Lets in whom [`guard`] lets in.
async fn guarded(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match guard::check(shared.token.as_ref(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

async fn health() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok" }))
}

async fn capabilities() -> Json<Capabilities> {
    let everywhere = ["execute", "execute_stream", "execute_cancel", "pty", "trace", "stream"];
    let mut features: Vec<String> = everywhere.map(str::to_owned).into();
    if crate::session::IS_SUPPORTED {
        features.push("session".to_owned());
    }
    Json(Capabilities {
        version: "v1".to_owned(),
        features,
        backend: concat!("pipeway-agent/", env!("CARGO_PKG_VERSION")).to_owned(),
        platform: std::env::consts::OS.to_owned(),
    })
}

async fn execute(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Json<Executed>, Refused> {
    let request = read_json::<Execute>(&shared, request).await?;
    let Running { span_id, mut output_rx } = command::start(&shared, request)?;
    let most = shared.limits.max_kept_output_bytes;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    // Leaving this function, or its being dropped because the client is gone, ends the command.
    loop {
        let (kept, data) = match output_rx.recv().await {
            Some(Output::Stdout(data)) => (&mut stdout, data),
            Some(Output::Stderr(data)) => (&mut stderr, data),
            // What the budget did shows in the exit code.
            Some(Output::Error(_)) => continue,
            Some(Output::Exit(exit)) => {
                return Ok(Json(Executed {
                    exit,
                    span_id,
                    stdout_b64: encode(&stdout),
                    stderr_b64: encode(&stderr),
                    scopes_used: Vec::new(),
                }));
            }
            None => return Err(Refused::internal("the command's task ended without a word")),
        };
        if kept.len() + data.len() > most {
            return Err(Refused::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "output_too_large",
                format!(
                    "the command wrote more than {most} bytes and was ended; \
                     use /v1/execute/stream, which has no such limit"
                ),
            ));
        }
        kept.extend(data);
    }
}

async fn execute_stream(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Refused> {
    let request = read_json::<Execute>(&shared, request).await?;
    let Running { span_id, output_rx } = command::start(&shared, request)?;
    let first = line(&StreamLine::Start { span_id: span_id.clone() });
    let rest = stream::unfold(output_rx, move |mut output_rx| {
        let span_id = span_id.clone();
        async move {
            let line = match output_rx.recv().await? {
                Output::Stdout(data) => chunk("stdout", &data),
                Output::Stderr(data) => chunk("stderr", &data),
                Output::Error(message) => line(&StreamLine::Error { message }),
                Output::Exit(exit) => line(&StreamLine::Exit { exit, span_id }),
            };
            Some((line, output_rx))
        }
    });
    let lines = futures_util::StreamExt::chain(stream::iter([first]), rest);
    let lines = futures_util::StreamExt::map(lines, Ok::<Bytes, Infallible>);
    let mut response = Response::new(Body::from_stream(lines));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// A line of the stream.
fn line(value: &StreamLine) -> Bytes {
    let mut line = serde_json::to_vec(value).expect("a line has nothing that JSON lacks");
    line.push(b'\n');
    line.into()
}

/// A line with output, written in one go: base64 has nothing that JSON would escape.
fn chunk(kind: &str, data: &[u8]) -> Bytes {
    let mut line = String::with_capacity(data.len().div_ceil(3) * 4 + 48);
    line.push_str("{\"type\":\"");
    line.push_str(kind);
    line.push_str("\",\"chunk_b64\":\"");
    STANDARD.encode_string(data, &mut line);
    line.push_str("\"}\n");
    line.into()
}

async fn cancel(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Json<Cancelled>, Refused> {
    let request = read_json::<Cancel>(&shared, request).await?;
    let signal: Signal =
        request.sig.parse().map_err(|error| Refused::bad_request(format!("sig: {error}")))?;
    let delivered = shared.spans.signal(&request.span_id, signal).await;
    Ok(Json(Cancelled { schema_version: 1, delivered }))
}

async fn trace(
    State(shared): State<Arc<Shared>>,
    Path(span_id): Path<String>,
) -> Result<Response, Refused> {
    match shared.spans.trace(&span_id) {
        Some(trace) => Ok(Json(trace).into_response()),
        None => Err(Refused::new(
            StatusCode::NOT_FOUND,
            "no_such_span",
            format!(
                "no command has that span_id, or its trace is not among the last {} that are kept",
                shared.limits.max_traces
            ),
        )),
    }
}

async fn not_found(request: Request) -> Refused {
    Refused::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!(
            "there is no {}; see /v1/capabilities",
            request.uri().path().chars().take(200).collect::<String>()
        ),
    )
}

async fn method_not_allowed(request: Request) -> Refused {
    Refused::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("this path does not take {}", request.method()),
    )
}

/// The request's body as JSON of one shape.
async fn read_json<T: DeserializeOwned>(shared: &Shared, request: Request) -> Result<T, Refused> {
    let most = shared.limits.max_body_bytes;
    let body = http_body_util::Limited::new(request.into_body(), most);
    let body = body.collect().await.map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            let message = format!("the body is larger than {most} bytes");
            Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message)
        } else {
            Refused::bad_request(format!("the body did not come whole: {error}"))
        }
    })?;
    serde_json::from_slice(&body.to_bytes())
        .map_err(|error| Refused::bad_request(format!("the body can't be used: {error}")))
}

/// A refused request.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    body: Refusal,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, error: &str, message: impl Into<String>) -> Self {
        Refused { status, body: Refusal { error: error.to_owned(), message: message.into() } }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Refused::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    fn internal(message: impl Into<String>) -> Self {
        Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
    }
}

impl From<NotStarted> for Refused {
    fn from(error: NotStarted) -> Self {
        match error {
            NotStarted::BadRequest(message) => Refused::bad_request(message),
            NotStarted::Internal(message) => Refused::internal(message),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
