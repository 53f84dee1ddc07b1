//! Calls to the other end.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use tokio::sync::watch;

use crate::body::{Attachments, Body};
use crate::message::{BodyError, Outgoing, RawPath, response};
use crate::observe::Observer;
use crate::session::{Session, UntilWritten};
use crate::telemetry::Telemetry;
use crate::turn::{Operation, Replies, ReplyLimits};
use crate::{Activity, Error, ErrorKind, service_url};

/// Calls the other end of an end's session, whichever there is. Clones call through the same.
///
/// A call is never repeated by itself: one that fails may have arrived.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: Mutex<Option<Session>>,
    connected_tx: watch::Sender<bool>,
    telemetry: Telemetry,
    replies: Arc<Replies>,
}

/// How long a call waits for its response, in place of
/// [`Limits::response_timeout`](crate::Limits::response_timeout): an extension of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallTimeout(pub Duration);

impl Client {
    pub(crate) fn new(replies: ReplyLimits, observer: Observer, telemetry: Telemetry) -> Self {
        let (connected_tx, _) = watch::channel(false);
        let replies = Replies::new(replies, observer);
        let session = Mutex::new(None);
        Client { inner: Arc::new(Inner { session, connected_tx, replies, telemetry }) }
    }

    /// The replies that go through it.
    pub(crate) fn replies(&self) -> &Arc<Replies> {
        &self.inner.replies
    }

    /// Calls go through `session` from now on.
    pub(crate) fn attach(&self, session: Session) {
        *self.inner.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        self.inner.connected_tx.send_replace(true);
    }

    /// There is no session any more.
    pub(crate) fn detach(&self) {
        *self.inner.session.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.inner.connected_tx.send_replace(false);
    }

    /// Whether there is a session, with both its pipes.
    pub fn is_connected(&self) -> bool {
        *self.inner.connected_tx.borrow()
    }

    /// Waits until there is a session. Cancel safe.
    pub async fn connected(&self) {
        let mut connected_rx = self.inner.connected_tx.subscribe();
        // The sender lives as long as this.
        let _ = connected_rx.wait_for(|connected| *connected).await;
    }

    /// Waits until no request of the other end runs any more and all answers and calls have been
    /// written to the pipe; at once where there is no session. Cancel safe.
    ///
    /// For an end that is about to [stop](crate::Server::stop), which gives up what is not written.
    pub async fn settled(&self) {
        let session = self.inner.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(session) = session {
            session.settled().await;
        }
    }

    /// Sends a request and waits for its response.
    ///
    /// Of the request, the method, the path with its query, the body, its `content-type` and the
    /// [`Attachments`] among its extensions are sent; an extension [`RawPath`] takes the place of
    /// the URI's path, and a [`CallTimeout`] that of the limits' time. Other headers have no place
    /// on the pipe. Dropping the future gives the call up; the other end is told nothing, but for
    /// a body that was not sent whole.
    ///
    /// # Errors
    ///
    /// Each kind's [`code`](Error::code) is the SDK's. Among them:
    ///
    /// - [`NotConnected`](ErrorKind::NotConnected): there is no session, or it ended meanwhile;
    /// - [`ResponseTimedOut`](ErrorKind::ResponseTimedOut): no response came in time;
    /// - [`CancelledAll`](ErrorKind::CancelledAll), [`StreamCancelled`](ErrorKind::StreamCancelled):
    ///   the other end cancelled it;
    /// - [`Usage`](ErrorKind::Usage): the path is blank, or the body can't be had.
    pub async fn call<B>(&self, request: Request<B>) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        self.call_until_written(request, None).await
    }

    /// Sends a request, drops `written` when all of it is handed over for writing, and waits for its
    /// response.
    pub(crate) async fn call_until_written<B>(
        &self,
        request: Request<B>,
        written: Option<UntilWritten>,
    ) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let (mut parts, body) = request.into_parts();
        let path = match parts.extensions.remove() {
            Some(RawPath(path)) => path,
            None => parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        };
        let body_size = body.size_hint().exact().unwrap_or(0);
        let reply = self.inner.telemetry.reply(parts.method.as_str(), &path, body_size);
        let answer = self.exchange(parts, &path, body, written).await;
        match &answer {
            Ok(response) => reply.answered(response.status().as_u16()),
            Err(error) => reply.failed(error),
        }
        answer
    }

    async fn exchange<B>(
        &self,
        mut parts: Parts,
        path: &str,
        body: B,
        written: Option<UntilWritten>,
    ) -> Result<Response<Body>, Error>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let session = self.inner.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(session) = session else { return Err(Error::not_connected(None)) };
        let attachments = parts.extensions.remove::<Attachments>();
        let timeout = parts.extensions.get().map(|CallTimeout(timeout)| *timeout);
        let outgoing =
            Outgoing::prepare(&parts.headers, attachments, body, session.collected_max()).await?;
        let answer = session.call(parts.method.as_str(), path, outgoing, timeout, written).await?;
        response(answer)
    }

    /// Sends an activity to its conversation, or as a reply where it says to what, and waits until
    /// the other end has it. The result is the id that it has got, if the other end tells one. Its
    /// `serviceUrl` is not looked at: it goes over the pipe.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call); and [`Refused`](ErrorKind::Refused) for an answer that is no
    /// success, [`Usage`](ErrorKind::Usage) for an activity without a conversation.
    pub async fn send_activity(&self, activity: Activity) -> Result<Option<String>, Error> {
        Operation::post(activity)?.over_pipe(self, None).await
    }

    /// Sends a request to a URL, as an HTTP client would, and has every failure as a status, as the
    /// SDK for .NET does: 502 for a URL that does not lead to the pipe (see
    /// [`is_pipe_url`](service_url::is_pipe_url)) and for a failed call, 400 for one that names no
    /// operation (what begins with `/v3/`), 503 without a session.
    pub async fn fetch(
        &self,
        method: http::Method,
        url: &str,
        body: Body,
        media_type: &str,
    ) -> Response<Body> {
        let status = |status: StatusCode| {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        };
        if !service_url::is_pipe_url(url) {
            return status(StatusCode::BAD_GATEWAY);
        }
        let Some(path) = service_url::path_of_url(url) else {
            return status(StatusCode::BAD_REQUEST);
        };
        let mut request = Request::new(body);
        *request.method_mut() = method;
        request.extensions_mut().insert(RawPath(path.to_owned()));
        if let Ok(media_type) = media_type.parse() {
            request.headers_mut().insert(CONTENT_TYPE, media_type);
        }
        match self.call(request).await {
            Ok(response) => response,
            Err(error) if !self.is_connected() && error.kind() == ErrorKind::NotConnected => {
                status(StatusCode::SERVICE_UNAVAILABLE)
            }
            Err(_) => status(StatusCode::BAD_GATEWAY),
        }
    }
}

impl<B> tower_service::Service<Request<B>> for Client
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move { Client::call(&client, request).await })
    }
}
