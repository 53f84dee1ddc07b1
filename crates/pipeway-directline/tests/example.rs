//! The example runs, does what it says, and is what the guide shows.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use pipeway_directline::pipes::Place;
use pipeway_directline::{Activity, Body, Connector, ConnectorOptions};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// No test takes longer, even under Wine on a busy machine.
const WATCHDOG: Duration = Duration::from_secs(60);

const GUIDE: &str = include_str!("../../../docs/guides/directline-agent.md");
const EXAMPLE: &str = include_str!("../examples/echo_agent.rs");

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(WATCHDOG, test).await.expect("the test hangs") });
}

/// The program of an example.
fn example(name: &str) -> Command {
    // This test lies in `deps`, beside `examples`.
    let own = std::env::current_exe().unwrap();
    let mut path: PathBuf = own.parent().unwrap().parent().unwrap().join("examples").join(name);
    path.set_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.is_file(), "{} was not built; `cargo build --examples` does", path.display());
    Command::new(path)
}

#[test]
fn the_example_answers_a_connector() {
    run(async {
        let name = format!("pipeway-example-{}", std::process::id());
        let place: Place = name.parse().unwrap();
        let mut command = example("echo_agent");
        let command = command.arg(&name).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), format!("ready {name}"));

        let (reply_tx, mut reply_rx) = mpsc::unbounded_channel();
        let service = axum::Router::new().fallback(async move |request: axum::extract::Request| {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let reply: Activity = serde_json::from_slice(&body).unwrap();
            reply_tx.send((parts.uri.to_string(), reply)).unwrap();
            StatusCode::CREATED
        });
        let connector = Connector::new(place, ConnectorOptions::default(), service).unwrap();
        connector.start();
        connector.ready().await.unwrap();
        let post = async |other: Value| {
            let mut activity = json!({
                "id": "1", "channelId": "directline", "conversation": {"id": "c"},
                "serviceUrl": "urn:botframework:namedpipe:bfv4.pipes",
                "from": {"id": "u"}, "recipient": {"id": "b"},
            });
            activity.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
            let request = Request::post("/api/messages").header("content-type", "application/json");
            let request = request.body(Body::from(activity.to_string())).unwrap();
            let response = connector.client().call(request).await.unwrap();
            (response.status(), response.into_body().into_bytes())
        };

        let (status, _) = post(json!({"type": "message", "text": "hi"})).await;
        assert_eq!(status, StatusCode::OK);
        let (uri, reply) = reply_rx.recv().await.unwrap();
        assert_eq!(uri, "/v3/conversations/c/activities/1");
        assert_eq!(reply.text.as_deref(), Some("You said: hi"));
        let (status, body) = post(json!({"type": "invoke", "name": "x"})).await;
        assert_eq!((status, &body[..]), (StatusCode::OK, &br#"{"invoked":"x"}"#[..]));
        child.kill().await.unwrap();
    });
}

#[test]
fn the_guide_shows_the_example() {
    let (_, code) = EXAMPLE.split_once("\nuse std").unwrap();
    let code = format!("```rust,no_run\nuse std{code}```\n");
    assert!(GUIDE.replace("\r\n", "\n").contains(&code.replace("\r\n", "\n")));
}
