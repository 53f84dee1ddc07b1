//! What is told of a session when it ends: the way that was really taken, and whose fault an
//! early end was.

use std::time::Duration;

use pipeway_transport::Endpoint;
use serde_json::Value;

use crate::rig::{Rig, get, ok, post, run, run_paused};

/// Fails unless the event names both hops as they are.
#[track_caller]
fn names_both_hops(event: &Value, rig: &Rig) {
    names_the_client_hop(event, rig);
    let upstream = rig.upstream.endpoint();
    assert_eq!(event["upstream.mode"], mode(upstream), "{event}");
    assert_eq!(event["upstream.endpoint"], upstream.to_string(), "{event}");
}

#[track_caller]
fn names_the_client_hop(event: &Value, rig: &Rig) {
    assert_eq!(event["bridge"], "rig", "{event}");
    assert_eq!(event["transport.mode"], mode(&rig.listen), "{event}");
    let endpoint = event["transport.endpoint"].as_str().expect("an endpoint");
    assert_eq!(endpoint.parse::<Endpoint>().expect("reads back"), rig.listen);
}

fn mode(endpoint: &Endpoint) -> &'static str {
    endpoint.mode().expect("resolved").as_str()
}

/// Fails unless the event tells this end, and this fault (the kind, and whose).
#[track_caller]
fn ended(event: &Value, end: &str, fault: Option<(&str, &str)>) {
    assert_eq!(event["end"], end, "{event}");
    let told = event["error.type"].as_str().zip(event["error.side"].as_str());
    assert_eq!(told, fault, "{event}");
}

#[test]
fn a_request_is_told_with_the_bytes_that_went_over_the_wire() {
    run(async {
        let mut rig = Rig::start();
        let request = "POST /path?secret=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: rig/1\r\n\
                       Content-Length: 4\r\n\r\nbody";
        let mut client = rig.client_that_sent(request).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.request().await;
        upstream.send("HTTP/1.1 201 Created\r\nContent-Length: 6\r\n\r\nanswer").await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"answer") {
            answer.extend(client.take(1).await);
        }
        let event = rig.event("request").await;
        names_both_hops(&event, &rig);
        ended(&event, "complete", None);
        assert_eq!(event["http.request.method"], "POST");
        assert_eq!(event["url.path"], "/path");
        assert_eq!(event["http.response.status_code"], 201);
        assert_eq!(event["user_agent.original"], "rig/1");
        assert_eq!(event["network.protocol.name"], "http");
        assert_eq!(event["network.protocol.version"], "1.1");
        assert_eq!(event["bytes.received"], request.len());
        assert_eq!(event["bytes.sent"], answer.len());
        assert!(event["duration.total_ms"].as_f64().expect("a number") > 0.0);
        assert!(event["duration.connect_ms"].is_f64());
        assert!(event["duration.first_byte_ms"].is_f64());
        assert!(!event.to_string().contains("secret"), "{event}");
        assert_eq!(event["trace_id"].as_str().map(str::len), Some(32));
        assert_eq!(event["span_id"].as_str().map(str::len), Some(16));
    });
}

#[test]
fn the_events_of_one_session_share_its_id() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/1")).await;
        let mut upstream = rig.upstream.accept().await;
        let mut told = Vec::new();
        for path in ["/1", "/2"] {
            if path == "/2" {
                client.send(get(path)).await;
            }
            upstream.head().await;
            upstream.send(ok("")).await;
            client.answer().await;
            told.push(rig.event("request").await);
        }
        drop(client);
        let session = rig.event("session").await;
        names_both_hops(&session, &rig);
        ended(&session, "complete", None);
        assert!(!session["connection.id"].is_null());
        for request in &told {
            assert_eq!(request["connection.id"], session["connection.id"]);
        }
        assert_ne!(told[0]["request.id"], told[1]["request.id"]);
        // The second request used the first one's connection.
        assert!(told[1]["duration.connect_ms"].is_null());
        let sum =
            |name: &str| told.iter().map(|e| e[name].as_u64().expect("a number")).sum::<u64>();
        assert_eq!(session["bytes.received"], sum("bytes.received"));
        assert_eq!(session["bytes.sent"], sum("bytes.sent"));
    });
}

#[cfg(unix)] // A pipe's client has a SID in place of a uid.
#[test]
fn a_session_is_told_with_its_peer() {
    run(async {
        use std::os::unix::fs::MetadataExt;
        let mut rig = Rig::start();
        let own = std::fs::metadata(rig.folder()).expect("a folder").uid();
        let mut client = rig.client_that_sent(get("/")).await;
        rig.upstream.accept().await.send(ok("")).await;
        client.answer().await;
        drop(client);
        let event = rig.event("session").await;
        assert_eq!(event["transport.mode"], "unix");
        assert_eq!(event["upstream.mode"], "unix");
        assert_eq!(event["peer.uid"], own);
        assert_eq!(event["peer.pid"], std::process::id());
    });
}

#[test]
fn an_upgraded_session_is_told_when_it_ends_with_its_bytes() {
    run(async {
        let mut rig = Rig::start();
        let request = "GET /ws?token=secret HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        let mut client = rig.client_that_sent(request).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream
            .send(
                "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
            )
            .await;
        client.head().await;
        client.expect("hello").await;
        client.send("0123456789").await;
        upstream.expect("0123456789").await;
        drop(client);
        upstream.ends().await;
        drop(upstream);
        let event = rig.event("upgrade").await;
        names_both_hops(&event, &rig);
        assert_eq!(event["network.protocol.name"], "websocket");
        assert_eq!(event["http.response.status_code"], 101);
        assert_eq!(event["url.path"], "/ws");
        assert_eq!(event["bytes.received"], request.len() + 10);
        assert!(event["bytes.sent"].as_u64().expect("a number") > 5);
        assert!(!event.to_string().contains("secret"));
    });
}

#[test]
fn an_upgraded_session_whose_upstream_died_says_so() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig
            .client_that_sent(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            )
            .await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await;
        client.head().await;
        drop(upstream);
        client.ends().await;
        drop(client);
        let event = rig.event("upgrade").await;
        assert_eq!(event["end"], "upstream_closed", "{event}");
    });
}

#[test]
fn a_refused_request_names_no_upstream() {
    run(async {
        let mut rig = Rig::with(|config| config.policy.methods = vec!["POST".into()]);
        let mut client = rig.client_that_sent(get("/")).await;
        client.refusal(405, "method_not_allowed").await;
        let event = rig.event("request").await;
        names_the_client_hop(&event, &rig);
        ended(&event, "refused", Some(("method_not_allowed", "client")));
        assert_eq!(event["http.response.status_code"], 405);
        assert!(event["upstream.mode"].is_null() && event["upstream.endpoint"].is_null());
    });
}

#[test]
fn an_unreadable_request_is_told_as_the_clients_fault() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent("nonsense\r\n\r\n").await;
        client.refusal(400, "bad_request").await;
        let event = rig.event("request").await;
        ended(&event, "refused", Some(("bad_request", "client")));
        assert_eq!(event["http.response.status_code"], 400);
    });
}

#[test]
fn an_absent_upstream_is_told_as_the_upstreams_fault() {
    run(async {
        let mut rig = Rig::with(|config| {
            config.upstream = "tcp:127.0.0.1:1".parse().expect("an endpoint");
        });
        let mut client = rig.client_that_sent(get("/")).await;
        let answer = client.answer().await;
        let event = rig.event("request").await;
        names_the_client_hop(&event, &rig);
        ended(&event, "refused", Some((answer.error_kind().as_str(), "upstream")));
        assert!(event["upstream.mode"].is_null());
    });
}

#[test]
fn an_upstream_that_dies_in_its_answer_is_told() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome").await;
        drop(upstream);
        assert!(client.answer_or_cut().await.is_err());
        let event = rig.event("request").await;
        names_both_hops(&event, &rig);
        ended(&event, "upstream_closed", Some(("upstream_closed", "upstream")));
        assert_eq!(event["http.response.status_code"], 200);
    });
}

#[test]
fn a_client_that_leaves_in_its_answer_is_told() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome").await;
        client.head().await;
        client.expect("some").await;
        drop(client);
        upstream.ends().await;
        let event = rig.event("request").await;
        assert_eq!(event["end"], "client_closed", "{event}");
        assert_eq!(event["error.side"], "client", "{event}");
    });
}

#[test]
fn a_client_that_leaves_in_its_request_is_told() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.expect("some").await;
        drop(client);
        upstream.ends().await;
        let event = rig.event("request").await;
        assert_eq!(event["end"], "client_closed", "{event}");
        assert_eq!(event["error.side"], "client", "{event}");
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_deadline_that_passed_is_told() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.first_byte = Some(Duration::from_secs(3)));
        let mut client = rig.client_that_sent(get("/")).await;
        let _upstream = rig.upstream.accept().await;
        client.refusal(504, "upstream_timeout").await;
        let event = rig.event("request").await;
        names_both_hops(&event, &rig);
        ended(&event, "timeout", Some(("upstream_timeout", "upstream")));
        assert_eq!(event["http.response.status_code"], 504);
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_session_that_finished_while_draining_and_one_that_was_cut_are_told_apart() {
    run_paused(async {
        let mut rig = Rig::start();
        let mut finishes = rig.client_that_sent(get("/finishes")).await;
        let mut answers = rig.upstream.accept().await;
        answers.head().await;
        let mut hangs = rig.client_that_sent(get("/hangs")).await;
        let mut silent = rig.upstream.accept().await;
        silent.head().await;
        rig.order_stop();
        answers.send(ok("done")).await;
        assert_eq!(finishes.answer().await.text(), "done");
        let event = rig.event("session").await;
        ended(&event, "drained", None);
        hangs.until_end().await;
        let event = rig.event("session").await;
        assert_eq!(event["end"], "cut", "{event}");
        let summary = rig.stopped().await;
        assert_eq!((summary.sessions, summary.cut), (2, 1));
    });
}

#[test]
fn start_and_stop_are_told() {
    run(async {
        let mut rig = Rig::start();
        let event = rig.event("start").await;
        assert_eq!(event["transport.endpoint"], rig.listen.to_string());
        let mut client = rig.client_that_sent(post("/", "x")).await;
        rig.upstream.accept().await.send(ok("")).await;
        client.answer().await;
        drop(client);
        rig.stop().await;
        let event = rig.event("stop").await;
        assert_eq!(event["bridge"], "rig");
    });
}
