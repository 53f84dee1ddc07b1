//! Both ends over real pipes: an axum router behind a `Server`, a `Connector` before it.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request as AxumRequest;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use pipeway_directline::pipes::{PairConnectOptions, Place, connect_pair};
use pipeway_directline::{
    Attachment, Attachments, Body, CallTimeout, Client, Connector, ConnectorOptions, ErrorKind,
    FrameWay, Header, Kind, Observer, Server, ServerOptions, SessionEvent,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
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

/// What an observer of an end is told of its frames, and whether anything was odd.
#[derive(Default)]
struct Seen {
    frames: Vec<(FrameWay, Header)>,
    warnings: usize,
}

impl Seen {
    fn observer(seen: &Arc<Mutex<Seen>>) -> Observer {
        let seen = Arc::clone(seen);
        let observer = Observer::new(move |event| match event {
            SessionEvent::Frame { way, header } => {
                seen.lock().unwrap().frames.push((*way, *header))
            }
            SessionEvent::Warning(_) => seen.lock().unwrap().warnings += 1,
            _ => {}
        });
        observer.with_frames()
    }

    fn of(&self, way: FrameWay, kind: Kind) -> Vec<usize> {
        let those = self.frames.iter().filter(|frame| frame.0 == way && frame.1.kind == kind);
        those.map(|(_, header)| header.length.bytes()).collect()
    }
}

#[test]
fn two_ends_of_this_crate_find_out_that_they_take_long_frames() {
    run(async {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let place = place();
        let server = Server::new(place.clone(), ServerOptions::default(), router()).unwrap();
        server.start();
        let observer = Seen::observer(&seen);
        let options = ConnectorOptions { observer, ..ConnectorOptions::default() };
        let connector = Connector::new(place, options, Router::new()).unwrap();
        connector.start();
        connector.ready().await.unwrap();
        let bytes: Bytes = (0..5 << 20).map(|at| (at % 251) as u8).collect();
        let request = Request::post("/api/messages").body(Body::from(bytes.clone())).unwrap();
        let response = connector.client().call(request).await.unwrap();
        assert!(response.into_body().into_bytes() == bytes);

        let seen = seen.lock().unwrap();
        let up = seen.of(FrameWay::Sent, Kind::Stream);
        // Content is sent as it lies, and a named pipe has brought what comes back in other pieces.
        let least = if cfg!(windows) { 60_000 } else { 65_536 };
        let long = |lengths: &[usize]| lengths.iter().filter(|length| **length >= least).count();
        // The other end is not known before it has read something.
        assert!(up[0] == 4096 && long(&up) > 50, "{up:?}");
        assert!(up.iter().all(|length| *length <= 65_536), "{up:?}");
        let down = seen.of(FrameWay::Received, Kind::Stream);
        assert!(long(&down) > 50, "{down:?}");
        assert!(down.iter().all(|length| *length <= 65_536), "{down:?}");
        assert_eq!(seen.of(FrameWay::Received, Kind::CancelStream), [0], "one greeting");
        assert!(seen.of(FrameWay::Sent, Kind::CancelStream).is_empty());
        assert_eq!(seen.warnings, 0);
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

/// A short stream is handed over after a quarter of a second, in which nothing else wakes the task.
#[test]
fn what_is_due_is_done_where_nothing_else_happens() {
    run(async {
        let place = place();
        let server = Server::new(place.clone(), ServerOptions::default(), router()).unwrap();
        server.start();
        let options = PairConnectOptions::default();
        let mut pair = connect_pair(&place, &options).await.unwrap();
        let (id, stream) =
            ("7c1f2a90-3b56-4f0e-9f0e-1d2c3b4a5f60", "0b9d7c1e-52f5-4c0b-8a55-6f1d2e3c4b5a");
        let asked = format!(
            r#"{{"verb":"POST","path":"/api/messages","streams":[{{"id":"{stream}","length":9}}]}}"#
        );
        let frames = format!("A.{:06}.{id}.1\n{asked}S.000002.{stream}.1\nhi", asked.len());
        pair.writer.write_all(frames.as_bytes()).await.unwrap();
        let mut answer = [0; 48];
        pair.reader.read_exact(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"B."), "{answer:?}");
        server.stop().await;
    });
}

/// Whoever comes next would be turned away meanwhile.
#[test]
fn a_session_whose_other_end_is_gone_is_over_at_once() {
    run(async {
        let place = place();
        let (over_tx, mut over_rx) = tokio::sync::mpsc::unbounded_channel();
        let observer = Observer::new(move |event| {
            if let SessionEvent::Disconnected { lasted, .. } = event {
                let _ = over_tx.send(*lasted);
            }
        });
        let pause = Duration::from_millis(1);
        let options = ServerOptions { observer, pause, ..ServerOptions::default() };
        let server = Server::new(place.clone(), options, router()).unwrap();
        server.start();
        let mut shortest = Duration::MAX;
        for _ in 0..5 {
            let mut pair = connect_pair(&place, &PairConnectOptions::default()).await.unwrap();
            let asked = r#"{"verb":"GET","path":"/nothing"}"#;
            let id = "7c1f2a90-3b56-4f0e-9f0e-1d2c3b4a5f60";
            let frame = format!("A.{:06}.{id}.1\n{asked}", asked.len());
            pair.writer.write_all(frame.as_bytes()).await.unwrap();
            pair.reader.read_exact(&mut [0; 48]).await.unwrap();
            drop(pair);
            let lasted = over_rx.recv().await.unwrap();
            shortest = shortest.min(lasted);
        }
        // A notice has half a second.
        assert!(shortest < Duration::from_millis(400), "{shortest:?}");
        server.stop().await;
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

#[test]
fn the_server_tells_that_it_listens_before_anybody_connects() {
    run(async {
        let (told_tx, mut told_rx) = tokio::sync::mpsc::unbounded_channel();
        let options = ServerOptions {
            observer: Observer::new(move |event| {
                let listens = matches!(event, SessionEvent::Listening { .. });
                told_tx.send(listens).unwrap_or_default();
            }),
            ..ServerOptions::default()
        };
        let server = Server::new(place(), options, router()).unwrap();
        server.start();
        assert_eq!(told_rx.recv().await, Some(false), "it begins with the attempt");
        assert_eq!(told_rx.recv().await, Some(true));
        server.stop().await;
    });
}

#[test]
fn who_waits_until_all_is_settled_stops_after_the_answer_has_gone() {
    run(async {
        let place = place();
        let begun = Arc::new(Notify::new());
        let of_handler = Arc::clone(&begun);
        let service = Router::new().fallback(async move |request: AxumRequest| {
            of_handler.notify_one();
            echo(request).await
        });
        let server = Server::new(place.clone(), ServerOptions::default(), service).unwrap();
        server.start();
        let service = Router::new();
        let connector = Connector::new(place, ConnectorOptions::default(), service).unwrap();
        connector.start();
        connector.ready().await.unwrap();
        let request = Request::post("/").body(Body::from(vec![7; 3_000_000])).unwrap();
        let client = connector.client().clone();
        let call = tokio::spawn(async move { client.call(request).await });
        begun.notified().await;
        server.client().settled().await;
        server.stop().await;
        assert_eq!(call.await.unwrap().unwrap().into_body().len(), 3_000_000);
        connector.stop().await;
    });
}
