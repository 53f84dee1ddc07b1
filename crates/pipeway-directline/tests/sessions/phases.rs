//! A peer that closes in every phase of a request, at either end.

use crate::wire::{Wire, answer, content, get, id, post};
use crate::*;

/// A connector that sends this and closes: what the session ended with.
async fn closes_after(agent: &mut Agent, sent: &[u8]) -> Option<ErrorKind> {
    let mut wire = agent.peer().await;
    wire.send(sent).await;
    drop(wire);
    let error = agent.disconnected().await;
    none_works().await;
    error
}

#[test]
fn a_connector_closes_in_every_phase_of_its_request() {
    run(async {
        let mut agent = Agent::start();
        let (request, stream) = (id(1), id(2));
        let envelope = post(&request, "/echo", &stream, 10_000);
        let chunk = content(&stream, vec![7; 4096], false);
        let streamed = [&envelope[..], &chunk].concat();
        let truncated = Some(ErrorKind::Truncated);
        let phases: [(&str, Vec<u8>, Option<ErrorKind>); 9] = [
            ("before the envelope", Vec::new(), None),
            ("in the header", envelope[..20].to_vec(), None),
            ("behind the header", envelope[..48].to_vec(), truncated),
            ("in the envelope", envelope[..70].to_vec(), truncated),
            ("between envelope and streams", envelope.clone(), None),
            ("in a stream's header", streamed[..envelope.len() + 20].to_vec(), None),
            ("in a stream's frame", streamed[..envelope.len() + 1000].to_vec(), truncated),
            ("between two frames of a stream", streamed.clone(), None),
            ("before the answer", get(&request, "/never"), None),
        ];
        for (phase, sent, error) in phases {
            assert_eq!(closes_after(&mut agent, &sent).await, error, "{phase}");
        }
        agent.assert_serves_again().await;
    });
}

#[test]
fn a_connector_closes_while_it_reads_the_answer() {
    run(async {
        let mut agent = Agent::start();
        let mut wire = agent.peer().await;
        wire.send(get(&id(1), "/bytes/50000000")).await;
        assert_eq!(wire.expect().await.status(), 200);
        assert_eq!(wire.expect().await.kind, 'S');
        drop(wire);
        agent.disconnected().await;
        agent.assert_serves_again().await;
    });
}

#[test]
fn a_connector_closes_one_pipe_while_it_is_answered() {
    run(async {
        let mut agent = Agent::start();
        for closes_reads in [true, false] {
            let mut wire = agent.peer().await;
            wire.send(get(&id(1), "/bytes/50000000")).await;
            assert_eq!(wire.expect().await.status(), 200);
            let Wire { reads, writes } = wire;
            let left = if closes_reads {
                drop(reads);
                writes
            } else {
                drop(writes);
                reads
            };
            agent.disconnected().await;
            drop(left);
        }
        agent.assert_serves_again().await;
    });
}

#[test]
fn an_agent_closes_in_every_phase_of_its_answer() {
    run(async {
        let stream = id(2);
        let told = format!(r#"{{"id":"{stream}","type":"text/plain","length":10000}}"#);
        // The request's own id takes the place of this one.
        let envelope = answer(&id(1), 200, &told);
        let chunk = content(&stream, vec![7; 4096], false);
        let streamed = [&envelope[..], &chunk].concat();
        let ends = [0, 20, 48, 60, envelope.len(), envelope.len() + 20, envelope.len() + 1000];
        let (mut caller, mut gate, mut wire) = Caller::with_agent(Limits::connector()).await;
        for end in ends.into_iter().chain([streamed.len()]) {
            let asked = caller.ask("/x");
            let request = wire.expect().await;
            assert_eq!(request.json()["path"], "/x");
            let sent = String::from_utf8(streamed.clone()).unwrap().replace(&id(1), &request.id);
            wire.send(&sent.as_bytes()[..end]).await;
            drop(wire);
            let error = within(asked).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotConnected, "{end}: {error}");
            let is_within = matches!(end, 48 | 60) || end == envelope.len() + 1000;
            let expected = is_within.then_some(ErrorKind::Truncated);
            assert_eq!(caller.disconnected().await, expected, "{end}");
            wire = gate.accept().await;
            within(caller.connector.client().connected()).await;
        }
    });
}

#[test]
fn an_agent_closes_while_it_reads_the_request() {
    run(async {
        let (mut caller, _gate, mut wire) = Caller::with_agent(Limits::connector()).await;
        let client = caller.connector.client().clone();
        let body = pipeway_directline::Body::from(vec![7; 5_000_000]);
        let request = http::Request::post("/x").body(body).unwrap();
        let asked = tokio::spawn(async move { client.call(request).await });
        assert_eq!(wire.expect().await.kind, 'A');
        assert_eq!(wire.expect().await.kind, 'S');
        drop(wire);
        let error = within(asked).await.unwrap().unwrap_err();
        assert!(matches!(error.code(), Some(-180_000 | -180_005)), "{error}");
        caller.disconnected().await;
    });
}
