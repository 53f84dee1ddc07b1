//! Activities: from the platform to the agent, and its answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use pipeway_directline::{Attachment, Attachments, Body};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::rig::{Agent, ORIGIN, Rig, answer, call, hello, message, of, run, service_url};

#[test]
fn an_activity_goes_in_and_the_reply_goes_out_while_it_runs() {
    run(async {
        let agent = Agent::new(|parts, activity| {
            Box::pin(async move {
                assert_eq!(parts.method, "POST");
                assert_eq!(parts.uri, "/api/messages");
                assert_eq!(parts.headers["content-type"], "application/json; charset=utf-8");
                assert!(!parts.headers.contains_key("authorization"));
                let url = service_url(&activity);
                let reply = json!({ "type": "message", "serviceUrl": url, "text": "re" });
                let to = format!("{url}/v3/conversations/a%2Fb/activities/1?x=y");
                let (status, body) = call("POST", &to, reply.to_string()).await;
                assert_eq!((status, &body[..]), (201, &br#"{"id":"r1"}"#[..]));
                answer(200, "")
            })
        })
        .await;
        let rig = Rig::new(&agent).await;
        assert_eq!(rig.send(hello().to_string()).await, (200, "".into()));
        let called = rig.called.lock().unwrap().clone();
        let [reply] = &called[..] else { panic!("{called:?}") };
        assert_eq!(reply.method, "POST");
        assert_eq!(reply.path, "/v3/conversations/a%2Fb/activities/1?x=y");
        assert_eq!(reply.media_type.as_deref(), Some("application/json"));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body, json!({ "type": "message", "serviceUrl": ORIGIN, "text": "re" }));

        let place = rig.place.clone();
        let callback = rig.callback.clone();
        let (summary, events) = rig.end().await;
        assert_eq!((summary.sessions, summary.cut), (1, 0));
        let [back, activity] = of(&events, "request")[..] else { panic!("{events:?}") };
        assert_eq!(activity["direction"], "to_agent");
        assert_eq!(activity["transport.endpoint"], place.incoming().to_string());
        assert_eq!(activity["upstream.endpoint"], format!("tcp:{}", agent.address));
        assert_eq!(activity["http.response.status_code"], 200);
        assert_eq!(activity["end"], "complete");
        assert_eq!(activity["bytes.received"], hello().to_string().len());
        assert!(
            activity["duration.connect_ms"].is_f64() && activity["duration.first_byte_ms"].is_f64()
        );
        assert_eq!(back["direction"], "to_platform");
        assert_eq!(back["transport.mode"], "tcp");
        assert_eq!(back["transport.endpoint"], callback.replace("http://", "tcp:"));
        assert_eq!(back["upstream.endpoint"], place.outgoing().to_string());
        assert_eq!(back["url.path"], "/v3/conversations/a%2Fb/activities/1");
        assert_eq!(back["user_agent.original"], "an agent");
        assert_eq!(back["http.response.status_code"], 201);
        assert_eq!(back["connection.id"], activity["connection.id"]);
        let [session] = of(&events, "session")[..] else { panic!("{events:?}") };
        assert_eq!(session["connection.id"], activity["connection.id"]);
        assert_eq!(session["end"], "drained");
    });
}

#[test]
fn an_invokes_status_and_body_come_back_and_a_failed_turn_is_one() {
    run(async {
        let agent = Agent::fixed(418, r#"{"invoked":"foo"}"#).await;
        let rig = Rig::new(&agent).await;
        let invoke = json!({ "type": "invoke", "name": "foo" }).to_string();
        assert_eq!(rig.send(invoke).await, (418, r#"{"invoked":"foo"}"#.into()));
        rig.end().await;
    });
}

#[test]
fn replies_in_the_answer_have_the_service_url_of_the_platform_again() {
    run(async {
        let agent = Agent::new(|_, activity| {
            Box::pin(async move {
                let url = service_url(&activity);
                let replies = json!({ "activities": [{ "serviceUrl": url, "n": 1 }, { "n": 2 }] });
                answer(200, replies.to_string())
            })
        })
        .await;
        let rig = Rig::new(&agent).await;
        let (status, body) = rig.send(hello().to_string()).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 200);
        assert_eq!(body, json!({ "activities": [{ "serviceUrl": ORIGIN, "n": 1 }, { "n": 2 }] }));
        rig.end().await;
    });
}

#[test]
fn only_the_message_route_is_passed_on() {
    run(async {
        let agent = Agent::fixed(200, "").await;
        let rig = Rig::new(&agent).await;
        for (method, path) in [
            ("GET", "/api/messages"),
            ("PUT", "/api/messages"),
            ("POST", "/api/messages/"),
            ("POST", "/api/messages?x"),
            ("POST", "/v3/conversations"),
            ("GET", "/api/version"),
        ] {
            let request = Request::builder().method(method).uri(path);
            let request = request.body(Body::from("{}")).unwrap();
            let response = rig.connector.client().call(request).await.unwrap();
            assert_eq!(response.status(), 404, "{method} {path}");
            assert!(response.into_body().is_empty());
        }
        let upper = Request::post("/API/Messages").body(Body::from("{}")).unwrap();
        assert_eq!(rig.connector.client().call(upper).await.unwrap().status(), 200);
        assert_eq!(agent.connections(), 1);
        let (_, events) = rig.end().await;
        assert_eq!(of(&events, "request")[0]["error.type"], "not_found");
    });
}

#[test]
fn what_can_not_be_read_reaches_the_agent_as_it_is() {
    run(async {
        let agent = Agent::echo().await;
        let rig = Rig::new(&agent).await;
        for body in ["{not json", "null", "", "[1]", "\"serviceUrl\""] {
            assert_eq!(rig.send(body).await, (200, body.into()));
        }
        rig.end().await;
    });
}

#[test]
fn attachments_reach_the_agent_as_data_urls() {
    run(async {
        let agent = Agent::echo().await;
        let rig = Rig::new(&agent).await;
        let mut request = message(r#"{"attachments":[{"name":"a"}]}"#);
        let attached = vec![Attachment::new("text/plain", "hello")];
        request.extensions_mut().insert(Attachments(attached));
        let response = rig.connector.client().call(request).await.unwrap();
        let got: Value = serde_json::from_slice(&response.into_body().into_bytes()).unwrap();
        let url = "data:text/plain;base64,aGVsbG8=";
        let expected = json!([{ "name": "a" }, { "contentType": "text/plain", "contentUrl": url }]);
        assert_eq!(got["attachments"], expected);
        rig.end().await;
    });
}

#[test]
fn an_agent_that_is_not_there_is_told_with_its_status_and_an_event() {
    run(async {
        let closed = Agent::fixed(200, "").await.address;
        let rig = Rig::to(&format!("tcp:{closed}"), |_| {}).await;
        let (status, body) = rig.send("{}").await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &body["error"]["type"]), (502, &json!("upstream_refused")));
        let (_, events) = rig.end().await;
        let [event] = of(&events, "request")[..] else { panic!("{events:?}") };
        assert_eq!(event["error.type"], "upstream_refused");
        assert_eq!(event["error.side"], "upstream");
        assert_eq!(event["end"], "refused");
        assert!(event.get("upstream.mode").is_none());

        let rig = Rig::to("local:pipeway-gateway-absent", |_| {}).await;
        assert_eq!(rig.send("{}").await.0, 503);
        rig.end().await;
    });
}

#[test]
fn an_agent_that_is_too_slow_is_given_up() {
    run(async {
        let (gone_tx, mut gone_rx) = mpsc::unbounded_channel();
        let agent = Agent::new(move |_, _| Box::pin(forever(gone_tx.clone()))).await;
        let change = |config: &mut pipeway_bridge::GatewayConfig| {
            config.timeouts.first_byte = Some(Duration::from_millis(200));
        };
        let rig = Rig::with(&agent, change).await;
        let (status, body) = rig.send("{}").await;
        assert_eq!(status, 504, "{body:?}");
        gone_rx.recv().await.unwrap();
        let (_, events) = rig.end().await;
        assert_eq!(of(&events, "request")[0]["error.type"], "upstream_timeout");
        assert_eq!(of(&events, "request")[0]["end"], "timeout");
    });
}

/// Never answers, and tells when nobody waits for it any more.
async fn forever(
    gone_tx: mpsc::UnboundedSender<()>,
) -> http::Response<http_body_util::Full<bytes::Bytes>> {
    struct Gone(mpsc::UnboundedSender<()>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.send(()).unwrap_or_default();
        }
    }
    let _gone = Gone(gone_tx);
    std::future::pending().await
}

#[test]
fn what_the_platform_cancels_is_cancelled_at_the_agent() {
    run(async {
        let (gone_tx, mut gone_rx) = mpsc::unbounded_channel();
        let (begun_tx, mut begun_rx) = mpsc::unbounded_channel();
        let agent = Agent::new(move |_, _| {
            begun_tx.send(()).unwrap();
            Box::pin(forever(gone_tx.clone()))
        })
        .await;
        let rig = Rig::new(&agent).await;
        let client = rig.connector.client().clone();
        let call = tokio::spawn(async move { client.call(message("{}")).await });
        begun_rx.recv().await.unwrap();
        // It writes a cancel of everything.
        rig.connector.stop().await;
        assert!(call.await.unwrap().is_err());
        gone_rx.recv().await.unwrap();
        let (_, events) = rig.end().await;
        let [event] = of(&events, "request")[..] else { panic!("{events:?}") };
        assert_eq!(event["end"], "client_closed");
        assert!(event.get("http.response.status_code").is_none());
    });
}

#[test]
fn two_hundred_at_once_are_all_answered() {
    run(async {
        let agent = Agent::echo().await;
        let rig = Rig::with(&agent, |config| config.limits.pipe.requests_max = 200).await;
        let calls = (0..200).map(|n| {
            let client = rig.connector.client().clone();
            tokio::spawn(async move {
                let activity = json!({ "n": n }).to_string();
                let response = client.call(message(activity.clone())).await.unwrap();
                assert_eq!(response.status(), 200);
                assert_eq!(response.into_body().into_bytes(), activity);
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        let (_, events) = rig.end().await;
        assert_eq!(of(&events, "request").len(), 200);
    });
}

#[test]
fn one_more_than_may_run_is_answered_503_and_told() {
    run(async {
        let (gone_tx, _gone_rx) = mpsc::unbounded_channel();
        let (begun_tx, mut begun_rx) = mpsc::unbounded_channel();
        let agent = Agent::new(move |_, _| {
            begun_tx.send(()).unwrap();
            Box::pin(forever(gone_tx.clone()))
        })
        .await;
        let change = |config: &mut pipeway_bridge::GatewayConfig| {
            config.limits.pipe.requests_max = 1;
            config.timeouts.drain = Duration::ZERO;
        };
        let rig = Rig::with(&agent, change).await;
        let client = rig.connector.client().clone();
        let first = tokio::spawn(async move { client.call(message("{}")).await.is_ok() });
        begun_rx.recv().await.unwrap();
        assert_eq!(rig.send("{}").await.0, 503);
        let (summary, events) = rig.end().await;
        assert_eq!(summary.cut, 1);
        assert!(!first.await.unwrap());
        let told: Vec<_> = of(&events, "request").iter().map(|one| one["end"].clone()).collect();
        assert_eq!(told, ["refused", "cut"]);
        assert_eq!(of(&events, "request")[0]["error.type"], "too_many_requests");
    });
}

#[test]
fn a_megabyte_passes_both_ways() {
    run(async {
        let got = Arc::new(Mutex::new(0));
        let of_agent = Arc::clone(&got);
        let agent = Agent::new(move |_, body| {
            *of_agent.lock().unwrap() = body.len();
            Box::pin(async move { answer(200, body) })
        })
        .await;
        let rig = Rig::new(&agent).await;
        let activity = json!({ "serviceUrl": ORIGIN, "text": "x".repeat(1 << 20) }).to_string();
        let (status, body) = rig.send(activity.clone()).await;
        assert_eq!(status, 200);
        assert!(*got.lock().unwrap() > 1 << 20);
        assert!(body == activity, "what went both ways is what was sent");
        rig.end().await;
    });
}

#[test]
fn more_memory_than_may_be_held_is_refused_and_given_back() {
    run(async {
        let agent = Agent::echo().await;
        let change = |config: &mut pipeway_bridge::GatewayConfig| {
            config.limits.pipe.memory_bytes_max = 1 << 20;
        };
        let rig = Rig::with(&agent, change).await;
        // It is held twice: as it came, and as the agent gets it.
        let large = json!({ "serviceUrl": ORIGIN, "text": "x".repeat(600_000) }).to_string();
        let (status, body) = rig.send(large).await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &body["error"]["type"]), (503, &json!("memory_limit")));
        for _ in 0..10 {
            let small = json!({ "serviceUrl": ORIGIN, "text": "x".repeat(100_000) }).to_string();
            assert_eq!(rig.send(small).await.0, 200);
        }
        rig.end().await;
    });
}
