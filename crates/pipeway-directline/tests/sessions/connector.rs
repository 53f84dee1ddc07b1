//! K: how a connector's end connects, ends and connects again, and what it serves.

use axum::extract::Path as AxumPath;
use axum::routing::{delete, post as posting};
use tokio::time::Instant;

use crate::wire::{Gate, Wire, answer, content, frame, get, id, listen, post};
use crate::*;

#[test]
fn k01_an_agent_may_make_outgoing_only_when_incoming_is_connected() {
    run(async {
        let place = place();
        let mut incoming = listen(place.incoming());
        let caller = Caller::start(&place);
        let (reads, _) = within(incoming.accept()).await.unwrap();
        stays_pending(caller.connector.ready(), "half a pair").await;
        let mut outgoing = listen(place.outgoing());
        let (writes, _) = within(outgoing.accept()).await.unwrap();
        within(caller.connector.ready()).await.unwrap();
        Wire { reads, writes }.assert_alive().await;
    });
}

#[test]
fn k02_an_agent_may_start_after_the_connector() {
    run(async {
        let place = place();
        let caller = Caller::start(&place);
        stays_pending(caller.connector.ready(), "there is no agent").await;
        Gate::bind(&place).accept().await.assert_alive().await;
        caller.connector.ready().await.unwrap();
    });
}

#[test]
fn k03_an_agent_may_want_its_reply_answered_before_it_acknowledges() {
    run(async {
        let (caller, _gate, mut wire) = Caller::with_agent(Limits::connector()).await;
        let asked = caller.ask("/api/messages");
        let request = wire.expect().await.id;
        wire.assert_alive().await;
        wire.send([post(&id(1), "/echo", &id(2), 2), content(&id(2), "hi", true)].concat()).await;
        let acknowledged = wire.expect().await;
        assert_eq!((acknowledged.id.as_str(), acknowledged.status()), (id(1).as_str(), 200));
        assert_eq!(wire.expect().await.payload, b"hi");
        assert!(!asked.is_finished());
        wire.send(answer(&request, 202, "")).await;
        assert_eq!(within(asked).await.unwrap().unwrap().status(), 202);
    });
}

#[test]
fn k06_an_agent_closes_while_calls_wait_and_is_not_connected_to_at_once() {
    run(async {
        let (mut caller, mut gate, mut wire) = Caller::with_agent(Limits::connector()).await;
        let asked = [caller.ask("/a"), caller.ask("/b"), caller.ask("/c")];
        for _ in 0..3 {
            assert_eq!(wire.expect().await.kind, 'A');
        }
        drop(wire);
        let ended = Instant::now();
        for call in asked {
            assert_eq!(within(call).await.unwrap().unwrap_err().code(), Some(-180_000));
        }
        caller.disconnected().await;
        let mut wire = gate.accept().await;
        let pause = ended.elapsed();
        // Clocks are rounded.
        assert!(pause >= Duration::from_millis(245), "{pause:?}");
        wire.assert_alive().await;
    });
}

#[test]
fn k07_the_agents_requests_find_their_routes_with_decoded_ids() {
    run(async {
        let place = place();
        let both = async |AxumPath((conversation, activity)): AxumPath<(String, String)>| {
            format!("{conversation} and {activity}")
        };
        let send = async |AxumPath(conversation): AxumPath<String>, body: bytes::Bytes| {
            match serde_json::from_slice::<serde_json::Value>(&body) {
                Ok(activity) => Ok(format!("{conversation} {}", activity["text"])),
                Err(_) => Err(StatusCode::BAD_REQUEST),
            }
        };
        let routes = Router::new()
            .route("/v3/conversations/{c}/activities", posting(send))
            .route("/v3/conversations/{c}/activities/{a}", posting(both).put(both))
            .route("/v3/conversations/{c}/activities/{a}", delete(async || StatusCode::OK));
        let mut gate = Gate::bind(&place);
        let _caller = Caller::serving(&place, Limits::connector(), routes);
        let mut wire = gate.accept().await;
        let path = "/v3/conversations/a%20b%2Fc/activities";
        let json = |verb: &str, path: &str, body: &str| {
            let envelope = format!(
                r#"{{"verb":"{verb}","path":"{path}","streams":[{{"id":"{}","type":"application/json","length":{}}}]}}"#,
                id(2),
                body.len()
            );
            [frame('A', &id(1), envelope, true), content(&id(2), body, true)].concat()
        };
        let told = r#"{"text":"hi"}"#;
        wire.send(json("POST", path, told)).await;
        assert_eq!(wire.expect().await.status(), 200);
        assert_eq!(wire.expect().await.payload, br#"a b/c "hi""#);
        for verb in ["POST", "put"] {
            wire.send(json(verb, &format!("{path}/x%2By"), told)).await;
            assert_eq!(wire.expect().await.status(), 200, "{verb}");
            assert_eq!(wire.expect().await.payload, b"a b/c and x+y", "{verb}");
        }
        let gone = format!(r#"{{"verb":"DELETE","path":"{path}/x","streams":null}}"#);
        wire.send(frame('A', &id(1), gone, true)).await;
        assert_eq!(wire.expect().await.status(), 200);
        wire.send(get(&id(1), "/v3/nothing")).await;
        assert_eq!(wire.expect().await.status(), 404);
        wire.send(json("POST", path, "{not json")).await;
        assert_eq!(wire.expect().await.status(), 400);
    });
}

#[test]
fn k08_what_breaks_the_protocol_drops_the_session_and_the_next_one_works() {
    run(async {
        let mut streams = Vec::new();
        for number in 0..101 {
            streams.extend(content(&id(number), "x", false));
        }
        let defects = [vec![b'Z'; 48], streams, frame('B', &id(1), "{not json", true)];
        let (mut caller, mut gate, mut wire) = Caller::with_agent(Limits::connector()).await;
        for defect in defects {
            let asked = caller.ask("/x");
            assert_eq!(wire.expect().await.kind, 'A');
            wire.send(defect).await;
            let error = within(asked).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotConnected);
            assert!(caller.disconnected().await.is_some());
            wire.assert_farewell().await;
            wire = gate.accept().await;
            wire.assert_alive().await;
        }
    });
}

#[test]
fn k11_an_agent_that_shuts_what_it_does_not_use_is_there_all_the_same() {
    run(async {
        use tokio::io::AsyncWriteExt as _;
        let (caller, _gate, mut wire) = Caller::with_agent(Limits::connector()).await;
        wire.reads.shutdown().await.unwrap();
        wire.assert_alive().await;
        let asked = caller.ask("/x");
        let request = wire.expect().await.id;
        stays_pending(wire.next(), "nothing ends").await;
        wire.send(answer(&request, 200, "")).await;
        assert_eq!(within(asked).await.unwrap().unwrap().status(), 200);
    });
}

#[test]
fn k13_thirty_requests_at_once_are_all_answered() {
    run(async {
        for (requests_max, served) in [(25, 25), (30, 30)] {
            let limits = Limits { requests_max, ..Limits::connector() };
            let (_caller, _gate, mut wire) = Caller::with_agent(limits).await;
            let all: Vec<u8> = (0..30).flat_map(|number| get(&id(number), "/echo")).collect();
            wire.send(all).await;
            let mut statuses = Vec::new();
            for _ in 0..30 {
                statuses.push(wire.expect().await.status());
            }
            assert!(statuses.iter().all(|status| matches!(status, 200 | 503)), "{statuses:?}");
            let done = statuses.iter().filter(|status| **status == 200).count();
            assert!(done >= served, "{statuses:?}");
        }
    });
}
