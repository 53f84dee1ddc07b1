//! This crate's end.

use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request as AxumRequest};
use axum::routing::{any, get};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use pipeway_directline::pipes::PairConnectOptions;
use pipeway_directline::{
    Attachment, Attachments, Body, Client, Connector, ConnectorOptions, Limits, Observer, Server,
    ServerOptions,
};

use crate::script::{Scene, is_here};

/// No test takes longer, even under Wine on a busy machine.
const WATCHDOG: Duration = Duration::from_secs(110);

/// Runs a test, where the packages are here.
pub fn run(test: impl Future<Output = ()>) {
    if !is_here() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { within(test).await });
}

pub async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(WATCHDOG, wait).await.expect("it hangs")
}

/// What the scripts make too: byte k is k % 251.
pub fn pattern(length: usize) -> Bytes {
    (0..length).map(|at| (at % 251) as u8).collect()
}

async fn echo(request: AxumRequest) -> Response<axum::body::Body> {
    let (mut parts, body) = request.into_parts();
    let mut response = Response::new(body);
    if let Some(attachments) = parts.extensions.remove::<Attachments>() {
        response.extensions_mut().insert(attachments);
    }
    for (name, value) in &parts.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

/// As many attachments of so many bytes, behind a body of as many.
async fn streams(Path((count, length)): Path<(usize, usize)>) -> Response<Body> {
    let mut response = Response::new(Body::from(pattern(length)));
    let attachments = (1..count).map(|_| Attachment::new("image/png", pattern(length))).collect();
    response.extensions_mut().insert(Attachments(attachments));
    response
}

/// Calls the other end so many times at once, inside its own request.
async fn call(Path(count): Path<usize>, request: AxumRequest) -> String {
    let client = request.extensions().get::<Client>().unwrap().clone();
    let calls = (0..count).map(|at| {
        let path = format!("/v3/conversations/c/activities/a{at}");
        let body = Body::from(r#"{"type":"message"}"#);
        client.call(Request::post(path).body(body).unwrap())
    });
    let answers = futures_util::future::join_all(calls).await;
    let sound = answers.iter().filter(|answer| answer.as_ref().is_ok_and(|a| a.status() == 200));
    sound.count().to_string()
}

/// What this end answers, at either end.
pub fn router() -> Router {
    Router::new()
        .route("/echo", any(echo))
        .route("/bytes/{length}", any(async |Path(length): Path<usize>| pattern(length)))
        .route("/streams/{count}/{length}", any(streams))
        .route("/call/{count}", any(call))
        .route("/never", get(std::future::pending::<()>))
        .route("/api/messages", any(async || StatusCode::ACCEPTED))
        .route("/v3/{*rest}", any(async || r#"{"id":"r1"}"#))
}

fn told(end: &'static str) -> Observer {
    // What ends a session is worth knowing where a test fails.
    Observer::new(move |event| eprintln!("{end}: {event:?}"))
}

/// Room for a thousand requests at once, half of which have come.
pub fn limits(limits: Limits) -> Limits {
    Limits { requests_max: 2000, parked_max: 2000, streams_max: 2000, ..limits }
}

/// An agent's end that listens.
pub fn server(scene: &Scene, limits: Limits) -> Server {
    let options = ServerOptions {
        limits,
        observer: told("server"),
        pause: Duration::from_millis(10),
        ..ServerOptions::default()
    };
    let server = Server::new(scene.place(), options, router()).unwrap();
    server.start();
    server
}

/// A connector's end that is connected.
pub async fn connector(scene: &Scene, limits: Limits) -> Connector {
    connector_serving(scene, limits, router()).await
}

pub async fn connector_serving(scene: &Scene, limits: Limits, router: Router) -> Connector {
    let options = ConnectorOptions {
        limits,
        observer: told("connector"),
        // Node's pipes have no descriptor of their own, and then Wine tells no owner.
        connect: PairConnectOptions { verify_server: cfg!(unix), ..PairConnectOptions::default() },
        ..ConnectorOptions::default()
    };
    let connector = Connector::new(scene.place(), options, router).unwrap();
    connector.start();
    connector.ready().await.unwrap();
    connector
}

/// Sends a body to `/echo`; whether it came back as it was.
pub async fn echoes(client: &Client, length: usize) -> Result<(), String> {
    let bytes = pattern(length);
    let request = Request::post("/echo")
        .header("content-type", "application/octet-stream")
        .body(Body::from(bytes.clone()))
        .unwrap();
    let response = client.call(request).await.map_err(|error| error.to_string())?;
    if response.status() != 200 {
        return Err(response.status().to_string());
    }
    let back = response.into_body().into_bytes();
    if back == bytes { Ok(()) } else { Err(format!("{} bytes of {length}", back.len())) }
}
