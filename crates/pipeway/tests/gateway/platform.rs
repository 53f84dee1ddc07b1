//! The platform: a connector that answers what agents ask for, and keeps it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use pipeway_directline::pipes::Place;
use pipeway_directline::{Body, Connector, ConnectorOptions, RawPath};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::WATCHDOG;

pub const ORIGIN: &str = "urn:botframework:namedpipe:the.platform";

pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(3 * WATCHDOG, test).await.expect("the test hangs") });
    runtime.shutdown_background();
}

/// A call that came: its method, its path and its body.
pub type Called = (String, String, Value);

pub struct Platform {
    connector: Connector,
    called_rx: mpsc::UnboundedReceiver<Called>,
}

impl Platform {
    /// Connects to the pipes whose files are `stem` and the suffixes.
    pub async fn connect(stem: &std::path::Path) -> Platform {
        let (called_tx, called_rx) = mpsc::unbounded_channel();
        let place = Place::of_stem(stem).unwrap();
        let connector =
            Connector::new(place, ConnectorOptions::default(), Service(called_tx)).unwrap();
        connector.start();
        timeout(Duration::from_secs(20), connector.ready()).await.unwrap().unwrap();
        Platform { connector, called_rx }
    }

    /// Sends an activity; the answer's status and body.
    pub async fn send(&self, activity: &Value) -> (u16, Value) {
        let request = Request::post("/api/messages")
            .header("content-type", "application/json; charset=utf-8")
            .body(Body::from(activity.to_string()))
            .unwrap();
        let response = self.connector.client().call(request).await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.into_body().into_bytes()).unwrap_or(Value::Null))
    }

    /// The next call that came.
    pub async fn called(&mut self) -> Called {
        self.called_rx.recv().await.unwrap()
    }

    pub fn has_been_called(&self) -> bool {
        !self.called_rx.is_empty()
    }

    pub async fn stop(self) {
        self.connector.stop().await;
    }
}

/// An activity of that type.
pub fn activity(kind: &str, more: Value) -> Value {
    let mut activity = json!({
        "type": kind,
        "id": "in1",
        "channelId": "directline",
        "serviceUrl": ORIGIN,
        "conversation": { "id": "conv1" },
        "from": { "id": "user1" },
        "recipient": { "id": "bot" },
    });
    let of_activity = activity.as_object_mut().unwrap();
    of_activity.extend(more.as_object().unwrap().clone());
    activity
}

#[derive(Clone)]
struct Service(mpsc::UnboundedSender<Called>);

impl tower_service::Service<Request<Body>> for Service {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let RawPath(path) = parts.extensions.get().cloned().unwrap();
        let body = serde_json::from_slice(&body.into_bytes()).unwrap_or(Value::Null);
        // A test that has ended reads no more.
        let _ = self.0.send((parts.method.to_string(), path, body));
        let answer = Full::from(r#"{"id":"r1","name":"a member"}"#);
        Box::pin(async move {
            let mut response = Response::new(answer);
            let json = "application/json".parse().unwrap();
            response.headers_mut().insert("content-type", json);
            Ok(response)
        })
    }
}
