//! What the agent's end answers.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use pipeway_directline::Body;
use tower_service::Service;

/// As `Handler` in `interop/directline/load.mjs`.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// The body that was made last: it is not part of what is measured.
    made: Arc<Mutex<Bytes>>,
}

impl Service<Request<Body>> for Answers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut response = Response::new(Body::empty());
        match request.uri().path() {
            "/json" => {
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                *response.body_mut() = Body::from(&b"{\"id\":\"00000001\"}"[..]);
            }
            "/made" => {
                let made = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
                *response.body_mut() = Body::from(made);
            }
            path => match path.strip_prefix("/make/").map(str::parse) {
                None => {}
                Some(Ok(length)) => {
                    let made = Bytes::from(vec![b'x'; length]);
                    *self.made.lock().unwrap_or_else(PoisonError::into_inner) = made;
                }
                Some(Err(_)) => *response.status_mut() = StatusCode::BAD_REQUEST,
            },
        }
        ready(Ok(response))
    }
}
