//! The way to service URLs that are no pipe's.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use crate::Body;
use crate::message::BodyError;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BodyError>> + Send>>;

/// An HTTP client for conversations whose service URL is not the pipe's.
///
/// The URL it is called with is told by the activity that came over the pipe, so the service should
/// call none that it would not call for a stranger; and it is the service that adds credentials.
#[derive(Clone)]
pub struct HttpClient(Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>);

impl HttpClient {
    /// A client that calls `service`, which is given requests with an absolute URI.
    pub fn new<S, B>(service: S) -> Self
    where
        S: tower_service::Service<Request<Body>, Response = Response<B>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Error: Into<BodyError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        HttpClient(Arc::new(move |request| {
            let mut service = service.clone();
            Box::pin(async move {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
                let response = service.call(request).await.map_err(Into::into)?;
                let (parts, body) = response.into_parts();
                let limited = http_body_util::Limited::new(body, ANSWER_MAX);
                Ok(Response::from_parts(parts, Body::gather(limited).await?))
            })
        }))
    }

    pub(crate) fn call(&self, request: Request<Body>) -> Answer {
        (self.0)(request)
    }
}

/// How long an answer may be, in bytes: it tells an id, if anything.
const ANSWER_MAX: usize = 1 << 20;

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}
