//! Both ends over real pipes: an axum router behind a `Server`, a `Connector` before it.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::time::Duration;

use axum::Router;
use axum::extract::Request as AxumRequest;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use pipeway_directline::pipes::Place;
use pipeway_directline::{
    Attachment, Attachments, Body, CallTimeout, Client, Connector, ConnectorOptions, ErrorKind,
    Observer, Server, ServerOptions,
};
use tokio::time::timeout;

const WATCHDOG: Duration = Duration::from_secs(60);

fn place() -> Place {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("pipeway-ends-{}-{next}", std::process::id()).parse().unwrap()
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

async fn back(request: AxumRequest) -> StatusCode {
    let client = request.extensions().get::<Client>().unwrap().clone();
    let call = Request::post("/v3/conversations/c/activities").body(Body::from("hello")).unwrap();
    client.call(call).await.unwrap().status()
}

fn router() -> Router {
    Router::new()
        .route("/api/messages", post(echo))
        .route("/back", get(back))
        .route("/never", get(std::future::pending::<()>))
        .route("/panic", get(async || -> () { panic!("as it was asked to") }))
}

struct Ends {
    server: Server,
    connector: Connector,
}

async fn ends() -> Ends {
    let place = place();
    let options = ServerOptions {
        // What ends a session is worth knowing where a test fails.
        observer: Observer::new(|event| eprintln!("server: {event:?}")),
        ..ServerOptions::default()
    };
    let server = Server::new(place.clone(), options, router()).unwrap();
    server.start();
    let service = Router::new().fallback(async || StatusCode::CREATED);
    let connector = Connector::new(place, ConnectorOptions::default(), service).unwrap();
    connector.start();
    let (served, connected) = tokio::join!(server.ready(), connector.ready());
    served.unwrap();
    connected.unwrap();
    Ends { server, connector }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(WATCHDOG, test).await.expect("the test hangs") });
}

fn ask(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[test]
fn a_router_answers_as_it_is() {
    run(async {
        let Ends { server, connector } = ends().await;
        assert!(server.is_connected());
        let mut request = Request::post("/API/messages")
            .header("content-type", "text/plain")
            .body(Body::from("hello"))
            .unwrap();
        let attachments = Attachments(vec![
            Attachment::new("image/png", vec![7; 10_000]),
            Attachment::new("a/b", ""),
        ]);
        request.extensions_mut().insert(attachments.clone());
        let mut response = connector.client().call(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/plain");
        let back = response.extensions_mut().remove::<Attachments>().unwrap().0;
        assert_eq!(back.len(), 2);
        assert_eq!(back[0].content.clone().into_bytes(), vec![7; 10_000]);
        assert_eq!(response.into_body().into_bytes(), "hello");
        assert_eq!(connector.client().call(ask("/nothing")).await.unwrap().status(), 404);
        assert_eq!(connector.client().call(ask("/panic")).await.unwrap().status(), 500);
        assert_eq!(connector.client().call(ask("/back")).await.unwrap().status(), 201);
        server.stop().await;
        assert!(!server.is_connected());
        connector.stop().await;
    });
}

#[test]
fn bodies_that_come_in_pieces_arrive_whole() {
    run(async {
        let Ends { connector, server: _server } = ends().await;
        for size in [0usize, 1, 4096, 4097, 65_537, 5_000_000] {
            let bytes: Bytes = (0..size).map(|at| (at % 251) as u8).collect();
            let pieces: Vec<Result<_, std::io::Error>> =
                bytes.chunks(9973).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let known = axum::body::Body::from(bytes.clone());
            let unknown = axum::body::Body::from_stream(futures_util::stream::iter(pieces));
            for body in [known, unknown] {
                let request = Request::post("/api/messages").body(body).unwrap();
                let response = connector.client().call(request).await.unwrap();
                let back = response.into_body().collect().await.unwrap().to_bytes();
                assert!(back == bytes, "{size}");
            }
        }
    });
}

#[test]
fn a_thousand_calls_at_once_are_answered() {
    run(async {
        let Ends { connector, server: _server } = ends().await;
        let calls: Vec<_> = (0..1000)
            .map(|number| {
                let client = connector.client().clone();
                tokio::spawn(async move {
                    let body = Body::from(number.to_string());
                    let request = Request::post("/api/messages").body(body).unwrap();
                    let response = client.call(request).await.unwrap();
                    (response.status(), response.into_body().into_bytes())
                })
            })
            .collect();
        let mut refused = 0;
        for (number, call) in calls.into_iter().enumerate() {
            match call.await.unwrap() {
                (StatusCode::OK, body) => assert_eq!(body, number.to_string()),
                (status, _) => {
                    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                    refused += 1;
                }
            }
        }
        assert!(refused < 1000);
    });
}

#[test]
fn calls_fail_at_once_when_the_session_ends_and_the_next_one_serves() {
    run(async {
        let Ends { server, connector } = ends().await;
        let client = connector.client().clone();
        let waiting = tokio::spawn(async move { client.call(ask("/never")).await });
        // It is at the server when the answer to a later one is here.
        connector.client().call(ask("/nothing")).await.unwrap();
        server.stop().await;
        let error = waiting.await.unwrap().unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::NotConnected | ErrorKind::CancelledAll),
            "{error}"
        );
        server.start();
        server.ready().await.unwrap();
        connector.client().connected().await;
        assert_eq!(connector.client().call(ask("/nothing")).await.unwrap().status(), 404);
    });
}

#[test]
fn a_call_fails_when_its_time_is_over_whatever_else_is_due_later() {
    run(async {
        let place = place();
        let server = Server::new(place.clone(), ServerOptions::default(), router()).unwrap();
        server.start();
        let service = Router::new().route("/never", get(std::future::pending::<()>));
        let connector = Connector::new(place, ConnectorOptions::default(), service).unwrap();
        connector.start();
        server.ready().await.unwrap();
        let mut request = ask("/never");
        request.extensions_mut().insert(CallTimeout(Duration::from_millis(5)));
        // The watchdog looks every five seconds, and must not be what wakes it.
        let called = timeout(Duration::from_secs(3), server.client().call(request)).await;
        assert_eq!(called.expect("it is late").unwrap_err().kind(), ErrorKind::ResponseTimedOut);
    });
}

#[test]
fn ready_fails_where_it_is_stopped_before_the_first_session() {
    run(async {
        let server = Server::new(place(), ServerOptions::default(), router()).unwrap();
        server.start();
        let waiting = {
            let server = server.clone();
            tokio::spawn(async move { server.ready().await })
        };
        tokio::task::yield_now().await;
        server.stop().await;
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StoppedBeforeConnecting);
        assert_eq!(error.code(), Some(-180_012));
    });
}
