//! Calls back: from the agent to the platform.

use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Agent, ORIGIN, Rig, call, call_as, hello, of, run, service_url};

/// A rig, and what its agent was told to call.
async fn told(change: impl FnOnce(&mut pipeway_bridge::GatewayConfig)) -> (Rig, Agent, String) {
    let (url_tx, mut url_rx) = tokio::sync::mpsc::unbounded_channel();
    let agent = Agent::new(move |_, activity| {
        // The first is what is waited for.
        url_tx.send(service_url(&activity)).unwrap_or_default();
        Box::pin(async { crate::rig::answer(200, "") })
    })
    .await;
    let rig = Rig::with(&agent, change).await;
    assert_eq!(rig.send(hello().to_string()).await.0, 200);
    let url = url_rx.recv().await.unwrap();
    (rig, agent, url)
}

#[test]
fn every_method_and_path_below_v3_passes_as_it_was_sent() {
    run(async {
        let (rig, _agent, url) = told(|_| {}).await;
        for (method, path, body) in [
            ("PUT", "/v3/conversations/a%20b/activities/c%2Fd", "{}"),
            ("DELETE", "/v3/conversations/c/activities/d", ""),
            ("GET", "/v3/conversations/c/pagedmembers?pageSize=2&x=%2F", ""),
            ("PATCH", "/v3/x/", "not json"),
        ] {
            let (status, got) = call(method, &format!("{url}{path}"), body).await;
            assert_eq!((status, &got[..]), (201, &br#"{"id":"r1"}"#[..]), "{method}");
            let called = rig.called.lock().unwrap().pop().unwrap();
            assert_eq!((&called.method[..], &called.path[..]), (method, path));
            assert_eq!(called.body, body);
        }
        rig.end().await;
    });
}

#[test]
fn a_conversation_that_was_made_leads_back_to_the_gateway() {
    run(async {
        let (rig, _agent, url) = told(|_| {}).await;
        let (status, body) = call("POST", &format!("{url}/v3/conversations"), "{}").await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, body), (201, json!({ "id": "c", "serviceUrl": url })));
        rig.end().await;
    });
}

#[test]
fn who_does_not_know_the_secret_gets_nothing() {
    run(async {
        let (rig, _agent, url) = told(|_| {}).await;
        let (stem, secret) = url.rsplit_once('/').unwrap();
        assert_eq!(secret.len(), 32);
        let last = if secret.ends_with('0') { '1' } else { '0' };
        let nearly = format!("{}{last}", &secret[..31]);
        for path in
            ["/v3/a".into(), format!("/{nearly}/v3/a"), format!("/{secret}/v4/a"), "/".into()]
        {
            let (status, body) = call("POST", &format!("{stem}{path}"), "{}").await;
            assert_eq!(status, 404, "{path}");
            assert!(!String::from_utf8_lossy(&body).contains(secret));
        }
        for name in ["evil.test", "evil.test:80", "127.0.0.1.evil.test", ""] {
            let to = format!("{url}/v3/a");
            assert_eq!(call_as("POST", &to, Some(name), "{}").await.0, 403, "{name}");
        }
        assert_eq!(call_as("POST", &format!("{url}/v3/a"), Some("localhost"), "{}").await.0, 201);
        assert_eq!(rig.called.lock().unwrap().len(), 1);
        let (_, events) = rig.end().await;
        let events = format!("{events:?}");
        assert!(!events.contains(secret) && !events.contains(&nearly), "{events}");
    });
}

#[test]
fn each_service_url_of_the_platform_comes_back_to_it() {
    run(async {
        let agent = Agent::new(|_, activity| {
            Box::pin(async move {
                let url = service_url(&activity);
                let to = format!("{url}/v3/conversations/c/activities");
                let reply = json!({ "serviceUrl": format!("{url}/") });
                call("POST", &to, reply.to_string()).await;
                crate::rig::answer(200, "")
            })
        })
        .await;
        let rig = Rig::new(&agent).await;
        let default = format!("urn:botframework:namedpipe:{}", rig.place);
        for (origin, back) in [
            (json!(ORIGIN), ORIGIN),
            (json!("https://other.test/"), "https://other.test/"),
            (Value::Null, &default),
        ] {
            let activity = json!({ "type": "message", "serviceUrl": origin });
            assert_eq!(rig.send(activity.to_string()).await.0, 200);
            let called = rig.called.lock().unwrap().pop().unwrap();
            assert_eq!(called.path, "/v3/conversations/c/activities");
            let body: Value = serde_json::from_slice(&called.body).unwrap();
            assert_eq!(body["serviceUrl"], back);
        }
        rig.end().await;
    });
}

#[test]
fn a_platform_that_is_slow_or_gone_is_told_and_one_that_comes_back_is_reached() {
    run(async {
        let change = |config: &mut pipeway_bridge::GatewayConfig| {
            config.limits.pipe.response_timeout = Duration::from_millis(200);
        };
        let (mut rig, _agent, url) = told(change).await;
        let (status, body) = call("POST", &format!("{url}/v3/never"), "{}").await;
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &body["error"]["type"]), (504, &json!("platform_timeout")));

        rig.connector.stop().await;
        // A call in the very moment of its going would meet a closed pipe, and be how it ended.
        rig.until_told("session").await;
        let gone = async {
            loop {
                let (status, body) = call("POST", &format!("{url}/v3/a"), "{}").await;
                let body: Value = serde_json::from_slice(&body).unwrap();
                if status == 503 {
                    return body["error"]["type"].clone();
                }
            }
        };
        assert_eq!(gone.await, "platform_absent");

        rig.connector.start();
        let client = rig.connector.client();
        let status = loop {
            client.connected().await;
            // Who comes while the session before is being closed is turned away, and tries again.
            if let Ok(response) = client.call(crate::rig::message(hello().to_string())).await {
                break response.status();
            }
            tokio::task::yield_now().await;
        };
        assert_eq!(status, 200);
        assert_eq!(call("POST", &format!("{url}/v3/a"), "{}").await.0, 201);
        let (summary, events) = rig.end().await;
        assert!(summary.sessions >= 2);
        assert_eq!(of(&events, "session").len() as u64, summary.sessions);
        assert_eq!(of(&events, "session")[0]["end"], "complete", "{events:?}");
        let absent =
            of(&events, "request").into_iter().find(|one| one["error.type"] == "platform_absent");
        assert!(absent.unwrap().get("connection.id").is_none());
    });
}

#[test]
fn a_call_in_flight_fails_at_once_when_the_platform_goes() {
    run(async {
        let (rig, _agent, url) = told(|_| {}).await;
        let to = format!("{url}/v3/never");
        let calling = tokio::spawn(async move { call("POST", &to, "{}").await });
        while rig.called.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        rig.connector.stop().await;
        assert_eq!(calling.await.unwrap().0, 502);
        rig.end().await;
    });
}

#[test]
fn a_body_that_is_too_long_is_refused() {
    run(async {
        let change = |config: &mut pipeway_bridge::GatewayConfig| {
            config.limits.pipe.stream_bytes_max = 1000;
        };
        let (rig, _agent, url) = told(change).await;
        assert_eq!(call("POST", &format!("{url}/v3/a"), "x".repeat(1001)).await.0, 413);
        assert_eq!(call("POST", &format!("{url}/v3/a"), "x".repeat(1000)).await.0, 201);
        rig.end().await;
    });
}

#[test]
fn what_the_agent_is_told_to_call_may_be_another_address() {
    run(async {
        let change = |config: &mut pipeway_bridge::GatewayConfig| {
            config.service_url = Some("http://agents.test:8080/back/".parse().unwrap());
        };
        let (rig, _agent, url, port) = callback_port(change).await;
        let secret = url.strip_prefix("http://agents.test:8080/back/").unwrap();
        // A proxy may leave the path or take it off, and may leave the name.
        for before in ["/back/", "/"] {
            let to = format!("http://127.0.0.1:{port}{before}{secret}/v3/a");
            assert_eq!(call_as("POST", &to, Some("agents.test:8080"), "{}").await.0, 201);
        }
        rig.end().await;
    });
}

/// As [`told`], with the port that is really listened on.
async fn callback_port(
    change: impl FnOnce(&mut pipeway_bridge::GatewayConfig),
) -> (Rig, Agent, String, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (rig, agent, url) = told(|config| {
        change(config);
        config.callback = format!("tcp:127.0.0.1:{port}").parse().unwrap();
    })
    .await;
    (rig, agent, url, port)
}
