//! An agent of our own, in a thread of the test.

use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Extension;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode};
use axum::routing::post;
use pipeway_directline::pipes::Place;
use pipeway_directline::{Attachments, Body, Client, Server, ServerOptions};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::harness::{Room, unique_local};

/// An agent that serves until it is dropped.
pub struct Agent {
    pub pipe: String,
    stop_tx: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A place that no other test uses, as the program and as this process call it.
pub fn place(room: &Room) -> (String, Place) {
    let name = unique_local().trim_start_matches("local:").to_owned();
    let text = if cfg!(windows) {
        name
    } else {
        // Where the test's program looks for `NAME` is not where this process would.
        format!("unix:{}", room.path(&name).display())
    };
    let place = text.parse().unwrap();
    (text, place)
}

impl Agent {
    /// The agent whose answers are told at [`answer`].
    pub fn start(room: &Room) -> Agent {
        let not_found = async || StatusCode::NOT_FOUND;
        Agent::with(room, Router::new().route("/api/messages", post(answer).fallback(not_found)))
    }

    pub fn with(room: &Room, router: Router) -> Agent {
        let (pipe, place) = place(room);
        let (stop_tx, stop_rx) = oneshot::channel::<()>();
        let (up_tx, up_rx) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let options =
                    ServerOptions { pause: Duration::from_millis(1), ..ServerOptions::default() };
                let server = Server::new(place, options, router).unwrap();
                server.start();
                up_tx.send(()).unwrap();
                let _ = stop_rx.await;
                server.stop().await;
            });
        });
        up_rx.recv().unwrap();
        Agent { pipe, stop_tx: Some(stop_tx), thread: Some(thread) }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.stop_tx.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Answer = Response<axum::body::Body>;

fn status(status: StatusCode) -> Answer {
    Response::builder().status(status).body(axum::body::Body::empty()).unwrap()
}

fn told(code: u16, value: &Value) -> Answer {
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(axum::body::Body::from(value.to_string()))
        .unwrap()
}

/// What an agent has to refuse is refused, by the specification's order. A message is answered as its
/// text says.
async fn answer(
    Extension(client): Extension<Client>,
    attachments: Option<Extension<Attachments>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&body);
    if body.is_empty() {
        return told(400, &json!({ "error": "Missing request body" }));
    }
    let media_type = headers.get("content-type").map_or("", |value| value.to_str().unwrap());
    let media_type = media_type.split(';').next().unwrap().trim();
    if !media_type.is_empty() && !media_type.eq_ignore_ascii_case("application/json") {
        return status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let Ok(activity) = serde_json::from_slice::<Value>(body) else {
        return told(400, &json!({ "error": "Invalid activity body" }));
    };
    let Some(conversation) = activity["conversation"]["id"].as_str() else {
        return status(StatusCode::BAD_REQUEST);
    };
    let id = activity["id"].as_str().unwrap();
    match activity["type"].as_str() {
        Some("message") => {}
        Some("invoke") => return told(200, &json!({ "invoked": activity["value"] })),
        _ => return status(StatusCode::OK),
    }
    let text = activity["text"].as_str().unwrap_or_default();
    if activity["deliveryMode"] == "expectReplies" {
        return told(
            200,
            &json!({ "activities": [{ "type": "message", "text": format!("in the answer: {text}") }] }),
        );
    }
    let activities = format!("/v3/conversations/{conversation}/activities");
    let reply = format!("{activities}/{id}");
    match text {
        "refuse" => return told(422, &json!({ "error": "I am told to refuse" })),
        "hang" => std::future::pending().await,
        "send" => {
            drop(call(&client, Method::POST, &activities, Some(json!({ "type": "typing" }))).await)
        }
        "activity" => {
            drop(
                call(
                    &client,
                    Method::POST,
                    &reply,
                    Some(json!({ "type": "event", "name": "it", "value": activity })),
                )
                .await,
            );
        }
        "change" => {
            let said = json!({ "type": "message", "text": "before" });
            let (_, answer) = call(&client, Method::POST, &reply, Some(said)).await;
            let path = format!("{activities}/{}", answer["id"].as_str().unwrap());
            let after = json!({ "type": "message", "text": "after" });
            let (code, _) = call(&client, Method::PUT, &path, Some(after)).await;
            assert_eq!(code, 200);
            assert_eq!(call(&client, Method::DELETE, &path, None).await.0, 200);
        }
        "ask" => {
            let members = format!("/v3/conversations/{conversation}/members");
            let (_, members) = call(&client, Method::GET, &members, None).await;
            let nothing = call(&client, Method::GET, "/nothing", None).await.0;
            let bad = Request::post(&activities).body(Body::from("{")).unwrap();
            let bad = client.call(bad).await.unwrap().status();
            let text = format!("{} {nothing} {}", members[0]["id"], bad.as_u16());
            call(&client, Method::POST, &reply, Some(json!({ "type": "message", "text": text })))
                .await;
        }
        "received" => {
            let received = attachments.map_or_else(Vec::new, |Extension(each)| each.0);
            let received: Vec<String> = received
                .iter()
                .map(|each| format!("{} {}", each.media_type, each.content.len()))
                .collect();
            let said = json!({ "type": "message", "text": received.join(", ") });
            call(&client, Method::POST, &reply, Some(said)).await;
        }
        text => {
            let said = json!({ "type": "message", "text": format!("echo: {text}") });
            call(&client, Method::POST, &reply, Some(said)).await;
        }
    }
    status(StatusCode::OK)
}

async fn call(client: &Client, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let request =
        Request::builder().method(method).uri(path).header("content-type", "application/json");
    let response = client.call(request.body(body).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.into_body().into_bytes()).unwrap_or_default())
}
