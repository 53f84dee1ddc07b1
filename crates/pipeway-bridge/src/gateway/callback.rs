//! Calls back: what the agent asks of its `serviceUrl` goes over the pipes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use pipeway_directline::{Body, Client, ErrorKind, RawPath};
use pipeway_telemetry::{Direction, TraceContext};
use pipeway_transport::{Listener, Stream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::activity::{Activity, restored};
use super::budget::{NotHad, collect};
use super::config::ServiceUrl;
use super::service::{keep_type, no_room, refused_status};
use super::shared::Shared;
use super::telling::Telling;
use crate::head::is_loopback_name;
use crate::respond::{Kind, Refusal};

/// The pause after a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// From the end of a request to the last byte of the next one's head.
const HEAD: Duration = Duration::from_secs(60);

/// The size of a request's head, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The listener that the agent calls back at.
#[derive(Debug)]
pub(super) struct Callback {
    pub(super) shared: Arc<Shared>,
    pub(super) client: Client,
    /// Whether only names of this system are taken in `Host`: anybody here can connect.
    pub(super) loopback_names_only: bool,
    /// What the agent was told to call, if that is not the listener's own address.
    pub(super) service_url: Option<ServiceUrl>,
}

impl Callback {
    /// Serves agents for ever. When the future is dropped, so is every connection.
    pub(super) async fn serve(self, mut listener: Listener) -> Infallible {
        let places = Arc::new(Semaphore::new(self.shared.limits.max_connections));
        let callback = Arc::new(self);
        let mut connections = JoinSet::new();
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let place = place.expect("the semaphore is never closed");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let callback = Arc::clone(&callback);
                    connections.spawn(async move {
                        callback.connection(stream).await;
                        drop(place);
                    });
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
            while connections.try_join_next().is_some() {}
        }
    }

    async fn connection(self: Arc<Self>, stream: Stream) {
        let service = service_fn(|request| {
            let callback = Arc::clone(&self);
            async move { Ok::<_, Infallible>(callback.answer(request).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES_MAX)
            // An agent that stops writing still reads.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        // A connection that breaks is told by the requests that were on it.
        drop(served);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let shared = &self.shared;
        let _running = shared.enter();
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        // A proxy before the callback may have left the path of the URL that the agent was told.
        let before = self.service_url.as_ref().map_or("", ServiceUrl::path);
        let asked = shared.origins.asked(path.strip_prefix(before).unwrap_or(path));
        let asked = asked.map(str::to_owned);
        let parent = request.headers().get("traceparent").map(HeaderValue::as_bytes);
        let trace = TraceContext::from_header(parent);
        // A path that was not taken may have the secret in it, or nearly so.
        let target = asked.as_deref().unwrap_or("/");
        let method = request.method().as_str();
        let mut telling = Telling::new(shared, Direction::ToPlatform, method, target, trace);
        telling.user_agent =
            request.headers().get(USER_AGENT).map(|value| value.as_bytes().to_vec());
        match self.call(request, asked, &mut telling).await {
            Ok(response) => {
                telling.answered(response.status().as_u16());
                response
            }
            Err(refusal) => {
                telling.refused(&refusal);
                let body = refusal.body();
                telling.sent = body.len() as u64;
                let mut response = Response::new(Full::from(body));
                *response.status_mut() = refused_status(&refusal);
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                if let Some(seconds) = refusal.kind.retry_after() {
                    response
                        .headers_mut()
                        .insert(RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
                }
                response
            }
        }
    }

    async fn call(
        &self,
        request: Request<Incoming>,
        asked: Option<String>,
        telling: &mut Telling,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        self.check_names(request.headers())?;
        let Some(path) = asked else {
            return Err(Refusal::new(
                Kind::NotFound,
                "nothing is here",
                "call the serviceUrl of an activity that this gateway has passed on",
            ));
        };
        let shared = &self.shared;
        let (parts, body) = request.into_parts();
        let bytes_max = shared.limits.pipe.stream_bytes_max;
        let had = collect(body, &shared.budget, bytes_max, shared.timeouts.body_idle).await;
        let (body, _share) = had.map_err(|why| match why {
            NotHad::TooLong => Refusal::new(
                Kind::BodyTooLarge,
                format!("the body is longer than {bytes_max} bytes"),
                "send less, or raise limits.max_stream_size",
            ),
            NotHad::NoRoom => no_room(),
            NotHad::Idle => Refusal::new(
                Kind::BodyTimeout,
                "the body stopped",
                "send it without a pause, or raise timeouts.body_idle",
            ),
            NotHad::Failed(_) => {
                Refusal::new(Kind::BadRequest, "the body breaks HTTP", "see the agent's own log")
            }
        })?;
        telling.received = body.len() as u64;
        let mut _changed = None;
        let body = match restored(&body, &shared.origins) {
            Some(body) => {
                _changed = Some(shared.budget.take(body.len()).ok_or_else(no_room)?);
                body.into()
            }
            None => body,
        };
        if !self.client.is_connected() {
            telling.is_of_no_session();
            return Err(Refusal::new(
                Kind::PlatformAbsent,
                "the platform is not connected",
                "try again when it has connected to the pipes",
            ));
        }
        let mut call = Request::new(Body::from(body));
        *call.method_mut() = parts.method;
        call.extensions_mut().insert(RawPath(path));
        if let Some(media_type) = parts.headers.get(CONTENT_TYPE) {
            call.headers_mut().insert(CONTENT_TYPE, media_type.clone());
        }
        telling.reached = true;
        let response = self.client.call(call).await.map_err(|error| of_pipe(&error))?;
        telling.first_byte = Some(super::shared::since(telling.started()));
        let (mut parts, body) = response.into_parts();
        parts.extensions.clear();
        let mut body = body.into_bytes();
        // A conversation that was made has a service URL too.
        if let Some(made) = Activity::read(&body)
            && made.origin().is_some()
        {
            body = made.with(&shared.origins.url_for(made.origin()), Vec::new()).into();
        }
        telling.sent = body.len() as u64;
        keep_type(&mut parts.headers);
        if parts.status.is_informational() {
            return Err(failed("the platform answered with a status that is no answer"));
        }
        Ok(Response::from_parts(parts, Full::new(body)))
    }

    /// What a listener that anybody on the system can reach asks of a client: no web page whose
    /// name leads here by a trick, and none of another site.
    fn check_names(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        if !self.loopback_names_only {
            return Ok(());
        }
        let ours = |name: &[u8]| {
            is_loopback_name(name)
                || self
                    .service_url
                    .as_ref()
                    .is_some_and(|url| url.authority().as_bytes().eq_ignore_ascii_case(name))
        };
        let host = headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
        let mut origins = headers.get_all(ORIGIN).iter().map(HeaderValue::as_bytes);
        let is_ours = |origin: &[u8]| {
            let name = origin.strip_prefix(b"http://").or(origin.strip_prefix(b"https://"));
            name.is_some_and(ours)
        };
        if headers.get_all(HOST).iter().count() == 1 && ours(host) && origins.all(is_ours) {
            return Ok(());
        }
        Err(Refusal::new(
            Kind::NotAllowed,
            "Host or Origin is not this system's name",
            "call the serviceUrl as it was told; another name may be a web page's trick",
        ))
    }
}

/// What a call that failed means to the agent.
fn of_pipe(error: &pipeway_directline::Error) -> Refusal {
    match error.kind() {
        ErrorKind::ResponseTimedOut => Refusal::new(
            Kind::PlatformTimeout,
            "the platform did not answer in time",
            "it may have taken the call all the same; see timeouts.response",
        ),
        _ => failed(format!("the call over the pipes failed: {error}")),
    }
}

fn failed(why: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(Kind::PlatformFailed, why, "it may have arrived all the same; it is not repeated")
}
