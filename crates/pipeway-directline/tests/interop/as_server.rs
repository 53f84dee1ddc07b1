//! Our agent's end and a connector made with `botframework-streaming`, as the package is.

use http::Request;
use pipeway_directline::{Body, Limits, Server};
use serde_json::{Value, json};

use crate::ours::{echoes, limits, run, server};
use crate::script::{Scene, Script};

async fn ends() -> (Scene, Server, Script) {
    let scene = Scene::new();
    let server = server(&scene, limits(Limits::agent()));
    let connector = scene.start(&["bfs.mjs", "connector"], &[]).await;
    connector.tell("connect", json!({})).await.unwrap();
    server.ready().await.unwrap();
    (scene, server, connector)
}

async fn send(connector: &Script, path: &str, body: Value) -> Value {
    connector.tell("send", json!({"path": path, "body": body})).await.unwrap()
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn requests_are_answered() {
    run(async {
        let (_scene, _server, connector) = ends().await;
        let answer = send(&connector, "/API/messages", json!({"json": {"type": "message"}})).await;
        assert_eq!(answer["status"], 202);
        assert_eq!(answer["streams"], json!([]));
        let answer = connector.tell("send", json!({"verb": "GET", "path": "/nothing"})).await;
        assert_eq!(answer.unwrap()["status"], 404);
        let answer = send(&connector, "/echo", json!({"text": "hi", "type": "text/plain"})).await;
        assert_eq!(answer["streams"][0]["type"], "text/plain");
        assert_eq!(answer["streams"][0]["length"], 2);
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn bodies_of_every_size_go_both_ways_as_they_were() {
    run(async {
        let (_scene, _server, connector) = ends().await;
        for length in [1, 4096, 4097, 65_537, 5_000_000] {
            let sent = json!({"length": length});
            let back = send(&connector, "/echo", sent).await["streams"][0].clone();
            let answer =
                connector.tell("send", json!({"verb": "GET", "path": format!("/bytes/{length}")}));
            let made = answer.await.unwrap()["streams"][0].clone();
            assert_eq!(back["length"], length);
            assert_eq!(back["sha256"], made["sha256"], "{length}");
        }
        // It sends nothing of an empty stream, which is waited for a moment.
        let answer = send(&connector, "/echo", json!({"length": 0})).await;
        assert_eq!(answer["status"], 200);
        let answer = connector.tell("send", json!({"verb": "GET", "path": "/bytes/0"})).await;
        assert_eq!(answer.unwrap()["status"], 200);
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn attachments_come_both_ways() {
    run(async {
        let (_scene, _server, connector) = ends().await;
        let command = json!({
            "path": "/echo",
            "body": {"text": "the body"},
            "attachments": [{"length": 10_000, "type": "image/png"}, {"text": "one"}],
        });
        let answer = connector.tell("send", command).await.unwrap();
        let told: Vec<_> = answer["streams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|each| (each["type"].as_str().unwrap(), each["length"].as_u64().unwrap()))
            .collect();
        assert_eq!(told, [("text/plain", 8), ("image/png", 10_000), ("text/plain", 3)]);
        let answer = connector.tell("send", json!({"verb": "GET", "path": "/streams/3/5000"}));
        let answer = answer.await.unwrap();
        assert_eq!(answer["streams"].as_array().unwrap().len(), 3);
        assert_eq!(answer["streams"][2]["length"], 5000);
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn we_call_inside_its_request_and_at_any_time() {
    run(async {
        let (_scene, server, connector) = ends().await;
        let answer = connector.tell("send", json!({"verb": "GET", "path": "/call/20"})).await;
        assert_eq!(answer.unwrap()["streams"][0]["length"], 2);
        assert_eq!(echoes(server.client(), 5_000_000).await, Ok(()));
        let request = Request::delete("/v3/conversations/c/activities/a").body(Body::empty());
        assert_eq!(server.client().call(request.unwrap()).await.unwrap().status(), 200);
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn a_thousand_requests_at_once_are_answered_to_the_package_as_it_is() {
    run(async {
        let (_scene, _server, mut connector) = ends().await;
        for length in [500, 5000] {
            let command = json!({"count": 1000, "path": "/echo", "body": {"length": length}});
            let told = connector.tell("many", command).await.unwrap();
            assert_eq!(told["answers"], json!({"200": 1000}), "{length}");
            assert_eq!(told["distinct"], 1);
        }
        assert!(connector.is_alive());
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn the_connector_disconnects_in_every_phase_and_connects_again() {
    run(async {
        let (_scene, server, connector) = ends().await;
        let phases = [
            ("disconnect", json!({}), "/never"),
            ("abort", json!({}), "/never"),
            ("abort", json!({"pipe": "read"}), "/bytes/20000000"),
            ("abort", json!({"pipe": "write"}), "/bytes/20000000"),
        ];
        for (how, which, path) in phases {
            let waiting = connector.tell("send", json!({"verb": "GET", "path": path}));
            connector.tell(how, which.clone()).await.unwrap();
            // What lost its pipe alone is told nothing by the package: the other goes too.
            connector.tell("abort", json!({})).await.unwrap();
            waiting.await.unwrap_err();
            connector.tell("connect", json!({})).await.unwrap();
            let answer = send_at_last(&connector).await;
            assert_eq!(answer["status"], 202, "{how} {which}");
        }
        // Half a request, and the three bytes with which the package closes.
        let header = json!({"type": "A", "length": 100, "id": "00000000-0000-4000-8000-000000000001", "end": true});
        connector.tell("raw", json!({"header": header, "text": "{"})).await.unwrap();
        connector.tell("disconnect", json!({})).await.unwrap();
        connector.tell("connect", json!({})).await.unwrap();
        send_at_last(&connector).await;
        assert!(server.is_connected());
    });
}

/// Sends until it is answered: a connection that comes while the session before it ends is closed.
async fn send_at_last(connector: &Script) -> Value {
    loop {
        let command = json!({"path": "/api/messages", "body": {"json": {}}});
        match connector.tell("send", command).await {
            Ok(answer) => return answer,
            Err(_) => drop(connector.tell("connect", json!({})).await.unwrap()),
        }
    }
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn a_connector_that_is_killed_leaves_the_place_to_the_next() {
    run(async {
        let (scene, server, connector) = ends().await;
        let client = server.client().clone();
        let request = Request::get("/never").body(Body::empty()).unwrap();
        let waiting = tokio::spawn(async move { client.call(request).await });
        send(&connector, "/api/messages", json!({"json": {}})).await;
        connector.kill().await;
        let error = waiting.await.unwrap().unwrap_err();
        assert!(matches!(error.code(), Some(-180_000 | -180_005)), "{error}");
        let connector = scene.start(&["bfs.mjs", "connector"], &[]).await;
        connector.tell("connect", json!({})).await.unwrap();
        assert_eq!(send_at_last(&connector).await["status"], 202);
    });
}
