//! Our connector and an agent made with `botframework-streaming`, as the package is.

use std::time::Duration;

use http::Request;
use pipeway_directline::{Attachment, Attachments, Body, CallTimeout, Connector, Limits};
use serde_json::{Value, json};

use crate::ours::{connector, echoes, limits, pattern, run};
use crate::script::{Scene, Script};

async fn ends(options: &[&str]) -> (Scene, Script, Connector) {
    let scene = Scene::new();
    let agent = scene.start(&["bfs.mjs", "agent"], options).await;
    let connector = connector(&scene, limits(Limits::connector())).await;
    (scene, agent, connector)
}

/// Asks for a path without content: the status and the body.
async fn ask(connector: &Connector, path: &str) -> (u16, Body) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = connector.client().call(request).await.unwrap();
    (response.status().as_u16(), response.into_body())
}

fn parsed(body: Body) -> Value {
    serde_json::from_slice(&body.into_bytes()).unwrap()
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn requests_are_answered() {
    run(async {
        let (_scene, _agent, connector) = ends(&[]).await;
        assert_eq!(ask(&connector, "/status/202").await.0, 202);
        assert_eq!(ask(&connector, "/nothing").await.0, 404);
        let (status, body) = ask(&connector, "/describe?a=b%20c").await;
        assert_eq!(status, 200);
        let told = parsed(body);
        assert_eq!((&told["verb"], &told["path"]), (&json!("GET"), &json!("/describe?a=b%20c")));
        assert_eq!(told["streams"], json!([]));
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn bodies_of_every_size_come_back_as_they_were() {
    run(async {
        let (_scene, _agent, connector) = ends(&[]).await;
        for length in [1, 4095, 4096, 4097, 65_537, 5_000_000] {
            assert_eq!(echoes(connector.client(), length).await, Ok(()), "{length}");
        }
        // The package answers with whatever is there, which is nothing.
        assert_eq!(echoes(connector.client(), 0).await, Ok(()));
        for length in [0, 1, 4096, 4097, 5_000_000] {
            let (status, body) = ask(&connector, &format!("/bytes/{length}")).await;
            assert_eq!(status, 200);
            assert!(body.into_bytes() == pattern(length), "{length}");
        }
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn attachments_come_both_ways() {
    run(async {
        let (_scene, _agent, connector) = ends(&[]).await;
        let mut request = Request::post("/echo").body(Body::from("the body")).unwrap();
        let all = vec![
            Attachment::new("image/png", pattern(10_000)),
            Attachment::new("text/plain", "one"),
        ];
        request.extensions_mut().insert(Attachments(all));
        let mut response = connector.client().call(request).await.unwrap();
        let back = response.extensions_mut().remove::<Attachments>().unwrap().0;
        let types: Vec<_> = back.iter().map(|each| each.media_type.as_str()).collect();
        assert_eq!(types, ["image/png", "text/plain"]);
        assert!(back[0].content.clone().into_bytes() == pattern(10_000));
        assert_eq!(back[1].content.clone().into_bytes(), "one");
        assert_eq!(response.into_body().into_bytes(), "the body");
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn the_agent_calls_inside_our_request() {
    run(async {
        let (_scene, _agent, connector) = ends(&[]).await;
        let (_, body) = ask(&connector, "/call/20").await;
        let told = parsed(body);
        assert_eq!(told["statuses"], json!(vec![200; 20]));
        let (_, body) = ask(&connector, "/call/3/100000").await;
        assert_eq!(parsed(body)["lengths"], json!(vec![100_000; 3]));
    });
}

/// The package loses its place where a read of its socket ends within a header, and dies where one
/// ends within the last frame of a stream: this is what the pace for legacy peers is for.
#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn a_thousand_requests_at_once_are_answered_by_the_package_as_it_is() {
    run(async {
        let (_scene, mut agent, connector) = ends(&[]).await;
        for length in [500, 5000] {
            let calls: Vec<_> = (0..1000)
                .map(|_| {
                    let client = connector.client().clone();
                    tokio::spawn(async move { echoes(&client, length).await })
                })
                .collect();
            for call in calls {
                assert_eq!(call.await.unwrap(), Ok(()), "{length}");
            }
        }
        assert!(agent.is_alive());
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn a_call_that_is_never_answered_fails_alone() {
    run(async {
        let (_scene, _agent, connector) = ends(&[]).await;
        let mut request = Request::get("/never").body(Body::empty()).unwrap();
        request.extensions_mut().insert(CallTimeout(Duration::from_millis(100)));
        let error = connector.client().call(request).await.unwrap_err();
        assert_eq!(error.code(), Some(-180_003));
        assert_eq!(ask(&connector, "/status/200").await.0, 200);
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn the_agent_disconnects_in_every_phase_and_is_connected_again() {
    run(async {
        let (_scene, agent, connector) = ends(&[]).await;
        for phase in ["/drop", "/abort", "while it reads", "while we read"] {
            let asked = match phase {
                "while it reads" => {
                    let client = connector.client().clone();
                    let asked = tokio::spawn(async move { echoes(&client, 20_000_000).await });
                    tokio::task::yield_now().await;
                    agent.tell("abort", json!({})).await.unwrap();
                    asked.await.unwrap()
                }
                "while we read" => {
                    let request = Request::get("/bytes/20000000").body(Body::empty()).unwrap();
                    let (answer, told) = tokio::join!(
                        connector.client().call(request),
                        agent.tell("abort", json!({})),
                    );
                    told.unwrap();
                    answer.map(drop).map_err(|error| error.to_string())
                }
                path => {
                    let request = Request::get(path).body(Body::empty()).unwrap();
                    let answer = connector.client().call(request).await;
                    answer.map(drop).map_err(|error| error.to_string())
                }
            };
            asked.unwrap_err();
            // The package's own reconnecting serves the next one that comes.
            answered_at_last(&connector).await;
        }
    });
}

/// Asks until it is answered: the place may have been taken by the session that ends.
async fn answered_at_last(connector: &Connector) {
    loop {
        connector.client().connected().await;
        let mut request = Request::get("/status/200").body(Body::empty()).unwrap();
        request.extensions_mut().insert(CallTimeout(Duration::from_secs(5)));
        if connector.client().call(request).await.is_ok_and(|answer| answer.status() == 200) {
            return;
        }
    }
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn an_agent_that_is_killed_and_started_again_is_found() {
    run(async {
        let (scene, agent, connector) = ends(&[]).await;
        let client = connector.client().clone();
        let request = Request::get("/never").body(Body::empty()).unwrap();
        let waiting = tokio::spawn(async move { client.call(request).await });
        assert_eq!(ask(&connector, "/status/200").await.0, 200);
        agent.kill().await;
        let error = waiting.await.unwrap().unwrap_err();
        assert!(matches!(error.code(), Some(-180_000 | -180_005)), "{error}");
        scene.clear();
        let _agent = scene.start(&["bfs.mjs", "agent"], &[]).await;
        answered_at_last(&connector).await;
    });
}
