//! The platform that the agent calls: conversations of one user, in memory.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use pipeway_directline::{Attachments, Body, RawPath};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// What the agent did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Send,
    Reply,
    Update,
    Delete,
}

/// One call of the agent that is about an activity.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) operation: Operation,
    pub(super) conversation: String,
    /// What it replies to.
    pub(super) to: Option<String>,
    /// The id of the activity.
    pub(super) id: String,
    /// `null` where it is deleted.
    pub(super) activity: Value,
    /// The media types and sizes in bytes of what came beside it.
    pub(super) streams: Vec<(String, u64)>,
}

/// Answers the agent's calls, and tells those that are about an activity.
#[derive(Clone, Debug)]
pub(super) struct Platform {
    heard_tx: mpsc::Sender<Heard>,
    user: Arc<str>,
    made: Arc<AtomicU64>,
}

/// A path of the platform, with its parts decoded.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    Activities { conversation: String, activity: Option<String> },
    Members,
    PagedMembers,
    Member(String),
    Uploads,
    Conversations,
}

impl Platform {
    pub(super) fn new(heard_tx: mpsc::Sender<Heard>, user: &str) -> Self {
        Platform { heard_tx, user: user.into(), made: Arc::default() }
    }

    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let path = match parts.extensions.remove() {
            Some(RawPath(path)) => path,
            None => parts.uri.to_string(),
        };
        let Some(route) = Route::of(&path) else { return status(StatusCode::NOT_FOUND) };
        let streams = parts.extensions.remove::<Attachments>().unwrap_or_default().0;
        let streams = streams.into_iter().map(|each| (each.media_type, each.content.len()));
        match (&parts.method, route) {
            (&Method::DELETE, Route::Activities { conversation, activity: Some(id) }) => {
                let activity = Value::Null;
                let operation = Operation::Delete;
                let streams = Vec::new();
                self.tell(Heard { operation, conversation, to: None, id, activity, streams }).await;
                status(StatusCode::OK)
            }
            (
                method @ (&Method::POST | &Method::PUT),
                Route::Activities { conversation, activity: about },
            ) => {
                let Some(activity) = activity(&body.into_bytes()) else {
                    return status(StatusCode::BAD_REQUEST);
                };
                let (operation, to, id) = match about {
                    Some(id) if method == Method::PUT => (Operation::Update, None, id),
                    None if method == Method::PUT => return status(StatusCode::METHOD_NOT_ALLOWED),
                    Some(to) => (Operation::Reply, Some(to), self.fresh("activity")),
                    None => (Operation::Send, None, self.fresh("activity")),
                };
                let answer = json!({ "id": id });
                let streams = streams.collect();
                self.tell(Heard { operation, conversation, to, id, activity, streams }).await;
                told(&answer)
            }
            (&Method::GET, Route::Members) => told(&self.members()),
            (&Method::GET, Route::PagedMembers) => told(&json!({ "members": self.members() })),
            (&Method::GET, Route::Member(id)) => {
                let members = self.members();
                let found = members.as_array().into_iter().flatten().find(|each| each["id"] == id);
                found.map_or_else(|| status(StatusCode::NOT_FOUND), told)
            }
            (&Method::POST, Route::Uploads) => told(&json!({ "id": self.fresh("attachment") })),
            (&Method::POST, Route::Conversations) => {
                told(&json!({ "id": self.fresh("conversation") }))
            }
            _ => status(StatusCode::METHOD_NOT_ALLOWED),
        }
    }

    fn fresh(&self, what: &str) -> String {
        format!("{what}-{}", self.made.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn members(&self) -> Value {
        json!([{ "id": *self.user, "name": *self.user, "role": "user" }, { "id": "bot", "role": "bot" }])
    }

    async fn tell(&self, heard: Heard) {
        // Where nobody listens any more the program is about to end.
        let _ = self.heard_tx.send(heard).await;
    }
}

impl Route {
    /// What a path says. A conversation's id may hold slashes that are not encoded, as one SDK
    /// writes them, so it reaches as far as it can.
    fn of(path: &str) -> Option<Route> {
        let path = path.split('?').next().unwrap_or_default();
        let rest = path.strip_prefix("/v3/conversations")?;
        if rest.trim_end_matches('/').is_empty() {
            return Some(Route::Conversations);
        }
        let rest = rest.strip_prefix('/')?;
        if let Some(before) = rest.strip_suffix("/members") {
            return (!before.is_empty()).then_some(Route::Members);
        }
        if let Some(at) = rest.rfind("/activities") {
            let conversation = decoded(&rest[..at]);
            let last = &rest[at + "/activities".len()..];
            let activity = match last.strip_prefix('/') {
                None if last.is_empty() => None,
                Some("") => None,
                Some(id) if !id.contains('/') => Some(decoded(id)),
                _ => return None,
            };
            return (!conversation.is_empty())
                .then_some(Route::Activities { conversation, activity });
        }
        let (before, last) = rest.rsplit_once('/')?;
        match last {
            _ if before.is_empty() => None,
            "pagedmembers" => Some(Route::PagedMembers),
            "attachments" => Some(Route::Uploads),
            id => {
                let conversation = before.strip_suffix("/members")?;
                (!conversation.is_empty()).then(|| Route::Member(decoded(id)))
            }
        }
    }
}

/// A part of a path without its percent-encoding. What is not encoded rightly stays as it is.
fn decoded(part: &str) -> String {
    let bytes = part.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A body as an activity, if it is one.
fn activity(body: &[u8]) -> Option<Value> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    serde_json::from_slice(body).ok().filter(Value::is_object)
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn told(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

impl tower_service::Service<Request<Body>> for Platform {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let platform = self.clone();
        Box::pin(async move { Ok(platform.answer(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_path_is_understood() {
        let activities = |conversation: &str, activity: Option<&str>| {
            let (conversation, activity) = (conversation.to_owned(), activity.map(str::to_owned));
            Some(Route::Activities { conversation, activity })
        };
        for (path, route) in [
            ("/v3/conversations/c/activities", activities("c", None)),
            ("/v3/conversations/c/activities/i?a=/members", activities("c", Some("i"))),
            ("/v3/conversations/a%20b%2Fc/activities/x%2b+", activities("a b/c", Some("x++"))),
            ("/v3/conversations/a b/c/activities/i", activities("a b/c", Some("i"))),
            (
                "/v3/conversations/a/activities/b/activities/i",
                activities("a/activities/b", Some("i")),
            ),
            ("/v3/conversations/100%/activities", activities("100%", None)),
            ("/v3/conversations/c/members", Some(Route::Members)),
            ("/v3/conversations/c/activities/i/members", Some(Route::Members)),
            ("/v3/conversations/c/pagedmembers?pageSize=3", Some(Route::PagedMembers)),
            ("/v3/conversations/c/members/u", Some(Route::Member("u".to_owned()))),
            ("/v3/conversations/c/attachments", Some(Route::Uploads)),
            ("/v3/conversations", Some(Route::Conversations)),
            ("/v3/conversations/c", None),
            ("/v3/conversations//members", None),
            ("/v3/attachments/a", None),
            ("/nothing", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
