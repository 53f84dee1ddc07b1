//! The route of activities.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::held::{Outcome, UntilAnswered, Work, Working};
use super::{HttpClient, INVOKE, InvokeResponse, Turn};
use crate::message::{BodyError, MESSAGES};
use crate::observe::SessionEvent;
use crate::{Activity, Attachments, Body, Client, RawPath, service_url};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How activities are taken.
#[derive(Clone, Debug, Default)]
pub struct MessagesOptions {
    /// What is done where the work on an activity fails. Default: nothing; the answer is 500, and
    /// the observer is told.
    pub on_error: Option<ErrorHook>,
    /// What conversations are answered through whose service URL is not the pipe's. Default: none;
    /// their activities are refused with 500.
    pub http: Option<HttpClient>,
}

/// What is done where the work on an activity fails.
#[derive(Clone)]
pub struct ErrorHook(Arc<dyn Fn(Turn, BodyError) -> Work + Send + Sync>);

impl ErrorHook {
    /// Calls `hook` with the turn and what its work returned, or that it panicked. If it returns `Ok`, the activity is
    /// answered as if its work had succeeded, else with 500.
    pub fn new<F, R, E>(hook: F) -> Self
    where
        F: Fn(Turn, BodyError) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BodyError>,
    {
        let hook = Arc::new(hook);
        ErrorHook(Arc::new(move |turn, error| {
            let hook = Arc::clone(&hook);
            Box::pin(async move { hook(turn, error).await.map_err(Into::into) })
        }))
    }
}

impl fmt::Debug for ErrorHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErrorHook")
    }
}

/// The route `POST /api/messages`: a function of a [`Turn`] and an [`Activity`] as a service.
///
/// It can be all that a [`Server`](crate::Server) serves, or a route of an axum `Router`
/// (`route_service("/api/messages", messages)`). It answers
///
/// | what | with |
/// |---|---|
/// | another path or verb | 404 |
/// | no body, or an empty one | 400 |
/// | a body that is not `application/json`, by its media type | 415 |
/// | no JSON, or no object with a `type` (a byte order mark may stand before it) | 400 |
/// | an activity without `conversation.id` | 400 |
/// | one whose `serviceUrl` is not the pipe's, without an [`HttpClient`] | 500 |
/// | work that fails or panics, without an [`ErrorHook`] | 500 |
/// | `deliveryMode` `expectReplies` | 200 and `{"activities":[...]}` |
/// | an `invoke` | what [`Turn::respond_invoke`] was given, or 501 |
/// | anything else | 200 |
///
/// What came beside the activity is appended to its attachments. The received bytes count for their
/// session's memory until the work ends.
///
/// There is no authentication on a pipe: who may connect to it may say anything. So a request that
/// did not come over a pipe is refused with 500.
#[derive(Clone)]
pub struct Messages {
    inner: Arc<Inner>,
}

struct Inner {
    options: MessagesOptions,
    work: Box<dyn Fn(Turn, Activity) -> Work + Send + Sync>,
}

impl Messages {
    /// The route of `work`, with the default options.
    pub fn new<F, R, E>(work: F) -> Self
    where
        F: Fn(Turn, Activity) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BodyError>,
    {
        Messages::with(MessagesOptions::default(), work)
    }

    /// The route of `work`.
    pub fn with<F, R, E>(options: MessagesOptions, work: F) -> Self
    where
        F: Fn(Turn, Activity) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BodyError>,
    {
        let work = Arc::new(work);
        let work = move |turn, activity| -> Work {
            let work = Arc::clone(&work);
            // The function is called where it is polled: what it does at once is of the turn too.
            Box::pin(async move { work(turn, activity).await.map_err(Into::into) })
        };
        Messages { inner: Arc::new(Inner { options, work: Box::new(work) }) }
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl<B> tower_service::Service<Request<B>> for Messages
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { Ok(inner.answer(request).await.unwrap_or_else(|refusal| *refusal)) })
    }
}

/// The answer to what is no activity that can be worked on.
type Refusal = Box<Response<Body>>;

impl Inner {
    async fn answer<B>(&self, request: Request<B>) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let (mut parts, body) = request.into_parts();
        if !is_route(&parts) {
            return Err(refused(StatusCode::NOT_FOUND));
        }
        let Some(client) = parts.extensions.remove::<Client>() else {
            return Err(refused(StatusCode::INTERNAL_SERVER_ERROR));
        };
        // Kept to the end: what it holds counts for the session's memory so long.
        let Ok(body) = Body::gather(body).await else {
            return Err(refused(StatusCode::BAD_REQUEST));
        };
        let mut activity = activity(&parts, &body)?;
        if let Some(streams) = parts.extensions.remove::<Attachments>() {
            activity.take_in(streams);
        }
        if activity.conversation_id().is_none() {
            return Err(refused(StatusCode::BAD_REQUEST));
        }
        let is_pipe = activity.service_url.as_deref().is_some_and(service_url::is_pipe_url);
        let is_served = is_pipe || self.options.http.is_some() && activity.service_url.is_some();
        if !is_served {
            return Err(refused(StatusCode::INTERNAL_SERVER_ERROR));
        }
        Ok(self.turn(client, activity).await)
    }

    async fn turn(&self, client: Client, activity: Activity) -> Response<Body> {
        let turn = Turn::new(&activity, client, self.options.http.clone());
        // Also where this is dropped or panics, what the turn has promised to send is sent.
        let until_answered = UntilAnswered::new(turn.clone());
        let is_invoke = activity.is(INVOKE);
        let work = (self.work)(turn.clone(), activity);
        let mut result = Working { turn: turn.clone(), work }.await;
        if let Err(error) = result {
            result = match &self.options.on_error {
                Some(hook) => {
                    let work = hook.0(turn.clone(), error);
                    Working { turn: turn.clone(), work }.await
                }
                None => Err(error),
            };
        }
        let outcome = turn.inner.held.outcome();
        let mut response = match &result {
            Ok(()) => answer(is_invoke, outcome),
            Err(error) => {
                let event = SessionEvent::TurnFailed { error: &**error };
                turn.client().replies().observer().tell(&event);
                status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        };
        response.extensions_mut().insert(until_answered);
        response
    }
}

/// Whether it is the route, by the path as it was written: neither a query nor a slash more is.
fn is_route(parts: &Parts) -> bool {
    let path = match parts.extensions.get() {
        Some(RawPath(path)) => path,
        None => parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str),
    };
    parts.method == Method::POST && path.eq_ignore_ascii_case(MESSAGES)
}

/// The activity that a request brings.
fn activity(parts: &Parts, body: &Body) -> Result<Activity, Refusal> {
    if body.is_empty() {
        let what = json!({"error": "Missing request body"});
        return Err(Box::new(with_json(StatusCode::BAD_REQUEST, &what)));
    }
    if !parts.headers.get(CONTENT_TYPE).is_none_or(is_json) {
        return Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let bytes = body.clone().into_bytes();
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    serde_json::from_slice(text).map_err(|error| {
        let what = json!({"error": "Invalid activity body", "detail": error.to_string()});
        Box::new(with_json(StatusCode::BAD_REQUEST, &what))
    })
}

/// Whether a media type is JSON's, or blank.
fn is_json(media_type: &HeaderValue) -> bool {
    let bytes = media_type.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b';').unwrap_or(bytes.len());
    let essence = bytes[..end].trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json") || bytes.trim_ascii().is_empty()
}

/// The replies to an activity that expects them in its answer.
#[derive(Serialize)]
struct Replies {
    activities: Vec<Activity>,
}

/// The answer to an activity whose work has succeeded.
fn answer(is_invoke: bool, outcome: Outcome) -> Response<Body> {
    match outcome {
        Outcome { collected: Some(activities), .. } => {
            with_json(StatusCode::OK, &Replies { activities })
        }
        Outcome { invoke: Some(InvokeResponse { status: code, body }), .. } if is_invoke => {
            match body {
                Some(body) => with_json(code, &body),
                None => status(code),
            }
        }
        _ if is_invoke => status(StatusCode::NOT_IMPLEMENTED),
        _ => status(StatusCode::OK),
    }
}

fn refused(code: StatusCode) -> Refusal {
    Box::new(status(code))
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn with_json(code: StatusCode, body: &impl Serialize) -> Response<Body> {
    let Ok(body) = serde_json::to_vec(body) else {
        return status(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut response = status(code);
    *response.body_mut() = Body::from(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
