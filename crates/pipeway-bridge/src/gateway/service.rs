//! Activities: what comes over the pipes is asked of the agent.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use pipeway_directline::{Attachments, Body, RawPath};
use pipeway_telemetry::{Direction, TraceContext};
use tokio::time::timeout;

use super::activity::{Activity, restored};
use super::agent::Answer;
use super::budget::{NotHad, Share, collect};
use super::config::AgentPath;
use super::shared::{Running, Shared};
use super::telling::Telling;
use crate::respond::{Kind, Refusal};
use crate::shared::Stage;

/// The route of activities, as the pipes' end tells it whatever the case it came in.
const MESSAGES: &str = "/api/messages";

/// The service behind the pipes.
#[derive(Clone, Debug)]
pub(super) struct Front {
    shared: Arc<Shared>,
    path: AgentPath,
}

/// A body with what it holds: its share of the memory, and a place among what runs.
#[derive(Debug)]
pub(super) struct Held {
    body: Body,
    _share: Option<Share>,
    _running: Option<Running>,
}

impl Front {
    pub(super) fn new(shared: Arc<Shared>, path: AgentPath) -> Self {
        Front { shared, path }
    }

    async fn answer(self, request: Request<Body>) -> Response<Held> {
        let Front { shared, path } = &self;
        let running = shared.enter();
        let target = match request.extensions().get() {
            Some(RawPath(path)) => path.clone(),
            None => request.uri().to_string(),
        };
        let trace = TraceContext::new_root();
        let method = request.method().as_str();
        let mut telling = Telling::new(shared, Direction::ToAgent, method, &target, trace);
        let attached = request.extensions().get::<Attachments>();
        let attached = attached.map_or(0, |all| all.0.iter().map(|one| one.content.len()).sum());
        telling.received = request.body().len() + attached;
        if request.method() != Method::POST || request.uri() != MESSAGES {
            let refusal = Refusal::new(Kind::NotFound, "", "");
            telling.refused(&refusal);
            let mut response =
                Response::new(Held { body: Body::empty(), _share: None, _running: None });
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
        match ask(shared, path, request, &mut telling).await {
            Ok((mut parts, body, share)) => {
                telling.answered(parts.status.as_u16());
                telling.sent = body.len() as u64;
                keep_type(&mut parts.headers);
                let held = Held { body: body.into(), _share: Some(share), _running: Some(running) };
                Response::from_parts(parts, held)
            }
            Err(refusal) => {
                telling.refused(&refusal);
                let body = refusal.body();
                telling.sent = body.len() as u64;
                let held = Held { body: body.into(), _share: None, _running: Some(running) };
                let mut response = Response::new(held);
                *response.status_mut() = refused_status(&refusal);
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
        }
    }
}

type Had = (http::response::Parts, Bytes, Share);

async fn ask(
    shared: &Arc<Shared>,
    path: &AgentPath,
    request: Request<Body>,
    telling: &mut Telling,
) -> Result<Had, Refusal> {
    if shared.stage() != Stage::Run {
        return Err(Refusal::new(
            Kind::Stopping,
            "the gateway is being stopped",
            "try again when it has been started anew",
        ));
    }
    let (mut parts, body) = request.into_parts();
    let attached = parts.extensions.remove::<Attachments>().unwrap_or_default().0;
    // It holds a share of the session's memory; what is made of it holds one of the gateway's.
    let length = usize::try_from(body.len()).unwrap_or(usize::MAX);
    let mut _whole = shared.budget.take(length).ok_or_else(no_room)?;
    let mut body = body.into_bytes();
    let mut _changed = None;
    if let Some(activity) = Activity::read(&body)
        && (activity.has_service_url() || !attached.is_empty())
    {
        let url = shared.origins.url_for(activity.origin());
        let length = activity.length_with(&url, &attached);
        _changed = Some(shared.budget.take(length).ok_or_else(no_room)?);
        body = activity.with(&url, attached).into();
    }
    let mut asked = Request::new(Full::new(body));
    *asked.method_mut() = Method::POST;
    *asked.uri_mut() = path.uri();
    let headers = asked.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    let product = concat!("pipeway/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(product));
    if let Some(media_type) = parts.headers.remove(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, media_type);
    }
    if let Ok(parent) = HeaderValue::from_bytes(&telling.trace.write_header()) {
        headers.insert("traceparent", parent);
    }
    let started = telling.started();
    let asking = shared.agent.ask(asked, |connect| {
        telling.reached = true;
        telling.connect = connect;
    });
    let answer = match shared.timeouts.first_byte {
        Some(most) => timeout(most, asking).await.unwrap_or_else(|_| Err(too_slow())),
        None => asking.await,
    };
    let Answer { response, asked } = answer?;
    telling.first_byte = Some(super::shared::since(started));
    let (parts, body) = response.into_parts();
    if parts.status.is_informational() {
        return Err(Refusal::new(
            Kind::UpstreamProtocol,
            format!("the agent answered with {}", parts.status),
            "an activity is answered with a status of 200 or above",
        ));
    }
    let had = collect(
        body,
        &shared.budget,
        shared.limits.pipe.stream_bytes_max,
        shared.timeouts.body_idle,
    );
    let (body, share) = had.await.map_err(|why| match why {
        NotHad::NoRoom => no_room(),
        NotHad::Idle => too_slow(),
        NotHad::Failed(error) => super::agent::of_http(&error),
        NotHad::TooLong => Refusal::new(
            Kind::UpstreamProtocol,
            "the agent's answer is longer than the limit",
            "see limits.max_stream_size",
        ),
    })?;
    shared.agent.keep(asked);
    match restored(&body, &shared.origins) {
        Some(body) => {
            let share = shared.budget.take(body.len()).ok_or_else(no_room)?;
            Ok((parts, body.into(), share))
        }
        None => Ok((parts, body, share)),
    }
}

/// Leaves the body's type alone in a head: nothing else has a place on the pipes.
pub(super) fn keep_type(headers: &mut HeaderMap) {
    let media_type = headers.remove(CONTENT_TYPE);
    headers.clear();
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, media_type);
    }
}

/// The status of a refusal.
pub(super) fn refused_status(refusal: &Refusal) -> StatusCode {
    StatusCode::from_u16(refusal.kind.status().0).expect("every kind has a status of HTTP's")
}

/// There is no memory for it.
pub(super) fn no_room() -> Refusal {
    Refusal::new(
        Kind::MemoryLimit,
        "what is being carried takes all the memory that it may",
        "try again, or raise limits.max_memory",
    )
}

fn too_slow() -> Refusal {
    Refusal::new(
        Kind::UpstreamTimeout,
        "the agent did not answer in time",
        "see the agent's own log, or raise timeouts.first_byte or timeouts.body_idle",
    )
}

impl tower_service::Service<Request<Body>> for Front {
    type Response = Response<Held>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Held>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let front = self.clone();
        Box::pin(async move { Ok(front.answer(request).await) })
    }
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
