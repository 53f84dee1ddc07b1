//! M: what depends on the driver of malformed input and abuse.

use tokio::io::AsyncWriteExt as _;

use crate::wire::{content, get, id, post};
use crate::*;

#[test]
fn m09_a_frame_that_breaks_off_ends_the_session_and_fails_calls() {
    run(async {
        let mut agent = Agent::start();
        let mut wire = agent.peer().await;
        let client = agent.server.client().clone();
        let asked = tokio::spawn(async move {
            let request = http::Request::get("/x").body(pipeway_directline::Body::empty());
            client.call(request.unwrap()).await
        });
        assert_eq!(wire.expect().await.kind, 'A');
        let mut broken = format!("A.001000.{}.1\n", id(1)).into_bytes();
        broken.extend([b'x'; 10]);
        wire.send(broken).await;
        drop(wire);
        assert_eq!(agent.disconnected().await, Some(ErrorKind::Truncated));
        assert_eq!(asked.await.unwrap().unwrap_err().code(), Some(-180_000));
    });
}

#[test]
fn m10_the_three_bytes_of_a_farewell_are_an_end_in_order() {
    run(async {
        let mut agent = Agent::start();
        let mut wire = agent.peer().await;
        wire.send("end").await;
        let _ = wire.reads.write_all(b"end").await;
        drop(wire);
        assert_eq!(agent.disconnected().await, None);
    });
}

#[test]
fn m14_one_request_too_many_is_refused_and_the_session_stays() {
    run(async {
        let agent = Agent::start();
        let mut wire = agent.peer().await;
        for number in 0..26 {
            wire.send(get(&id(number), "/never")).await;
        }
        let refused = wire.expect().await;
        assert_eq!((refused.id.as_str(), refused.status()), (id(25).as_str(), 503));
        wire.send(wire::frame('X', wire::ZERO, "", true)).await;
        wire.assert_alive().await;
        none_works().await;
    });
}

#[test]
fn a_service_that_never_answers_is_given_up_and_its_place_is_free() {
    run(async {
        let limits = Limits { handler_timeout: Some(SHORT), requests_max: 1, ..Limits::agent() };
        let mut agent = Agent::with(limits);
        let mut wire = agent.peer().await;
        for (number, path) in [(1, "/never"), (2, "/stalls-untold")] {
            wire.send(get(&id(number), path)).await;
            let answer = wire.expect().await;
            assert_eq!((answer.id.as_str(), answer.status()), (id(number).as_str(), 504));
            none_works().await;
            wire.assert_alive().await;
            let kind = ErrorKind::HandlerTimedOut;
            assert_eq!(agent.timed_out().await, (id(number), kind));
        }
    });
}

#[test]
fn a_service_that_stops_within_its_answer_has_the_rest_cancelled() {
    run(async {
        let mut agent = Agent::with(Limits { handler_timeout: Some(SHORT), ..Limits::agent() });
        let mut wire = agent.peer().await;
        wire.send(get(&id(1), "/stalls")).await;
        let answer = wire.expect().await;
        assert_eq!((answer.id.as_str(), answer.status()), (id(1).as_str(), 200));
        let stream = answer.json()["streams"][0]["id"].as_str().unwrap().to_owned();
        let mut received = 0;
        let last = loop {
            let frame = wire.expect().await;
            assert_eq!(frame.id, stream);
            match frame.kind {
                'S' => received += frame.payload.len(),
                _ => break frame,
            }
        };
        assert_eq!((received, last.kind), (4096, 'C'));
        assert_eq!(agent.timed_out().await, (id(1), ErrorKind::HandlerTimedOut));
        wire.assert_alive().await;
    });
}

/// Sends until the other end closes, `chunk` after `chunk`; whether it did before so many bytes.
async fn is_cut(wire: &mut wire::Wire, chunk: &[u8], bytes_max: usize) -> bool {
    let sending = async {
        for _ in 0..bytes_max / chunk.len() {
            if wire.writes.write_all(chunk).await.is_err() {
                return true;
            }
        }
        false
    };
    within(sending).await
}

#[test]
fn m15_a_stream_beyond_its_limit_ends_the_session() {
    run(async {
        let limits = Limits { stream_bytes_max: 1 << 20, ..Limits::agent() };
        let mut agent = Agent::with(limits);
        let mut wire = agent.peer().await;
        let chunk = content(&id(1), vec![7; 4096], false);
        assert!(is_cut(&mut wire, &chunk, 16 << 20).await);
        assert!(agent.disconnected().await.is_some());
        drop(wire);
        agent.assert_serves_again().await;
    });
}

#[test]
fn m16_a_header_may_take_its_time() {
    run(async {
        let agent = Agent::start();
        let mut wire = agent.peer().await;
        let request = get(&id(1), "/echo");
        let (first, rest) = request.split_at(20);
        wire.send(first).await;
        stays_pending(wire.next(), "half a header").await;
        wire.send(rest).await;
        assert_eq!(wire.expect().await.status(), 200);
    });
}

#[test]
fn m17_a_header_may_take_its_time_while_a_request_waits_for_its_streams() {
    run(async {
        let agent = Agent::with(Limits { parked_timeout: SHORT, ..Limits::agent() });
        let mut wire = agent.peer().await;
        let request = get(&id(1), "/echo");
        let (first, rest) = request.split_at(20);
        wire.send([&post(&id(2), "/echo", &id(3), 5)[..], first].concat()).await;
        // The parked request's time is over within the header.
        assert_eq!(wire.expect().await.id, id(2));
        wire.send(rest).await;
        let frame = wire.expect().await;
        assert_eq!((frame.id.as_str(), frame.status()), (id(1).as_str(), 200));
    });
}

#[test]
fn m18_a_stream_that_never_comes_is_not_waited_for_for_ever() {
    run(async {
        let agent = Agent::with(Limits { parked_timeout: SHORT, ..Limits::agent() });
        let mut wire = agent.peer().await;
        wire.send(post(&id(1), "/echo", &id(2), 5)).await;
        let frame = wire.expect().await;
        assert_eq!((frame.id.as_str(), frame.status()), (id(1).as_str(), 200));
        assert!(frame.json()["streams"].is_null(), "nothing came");
        wire.assert_alive().await;
    });
}

#[test]
fn m19_streams_beyond_the_memory_that_a_session_may_hold_end_it() {
    run(async {
        let limits = Limits { memory_bytes_max: 3 << 20, ..Limits::agent() };
        let mut agent = Agent::with(limits);
        let mut wire = agent.peer().await;
        let mut chunk = Vec::new();
        for number in 0..3 {
            chunk.extend(content(&id(number), vec![7; 65_536], false));
        }
        assert!(is_cut(&mut wire, &chunk, 32 << 20).await);
        assert!(agent.disconnected().await.is_some());
        drop(wire);
        agent.assert_serves_again().await;
    });
}

#[test]
fn m20_a_peer_that_stops_reading_is_dropped() {
    run(async {
        let mut agent = Agent::with(Limits { write_timeout: SHORT, ..Limits::agent() });
        let mut wire = agent.peer().await;
        wire.send(get(&id(1), "/bytes/20000000")).await;
        assert_eq!(agent.disconnected().await, Some(ErrorKind::WriteStalled));
        drop(wire);
        agent.assert_serves_again().await;
    });
}

#[test]
fn m20_what_waits_for_a_peer_that_does_not_read_is_bounded() {
    run(async {
        let limits = Limits { outgoing_bytes_max: 1 << 20, ..Limits::agent() };
        let agent = Agent::with(limits);
        let mut wire = agent.peer().await;
        // The body is not wholly in memory: it is taken from its source as there is room.
        wire.send(get(&id(1), "/bytes/20000000")).await;
        let mut length = 0;
        assert_eq!(wire.expect().await.status(), 200);
        while length < 20_000_000 {
            length += wire.expect().await.payload.len();
        }
        assert_eq!(length, 20_000_000);
        wire.assert_alive().await;
    });
}

#[test]
fn requests_whose_answers_are_not_read_are_not_all_taken() {
    run(async {
        let limits =
            Limits { outgoing_bytes_max: 64 << 10, write_timeout: SHORT, ..Limits::agent() };
        let mut agent = Agent::with(limits);
        let mut wire = agent.peer().await;
        let mut many = Vec::new();
        for number in 0..1000 {
            many.extend(get(&id(number), "/nothing"));
        }
        assert!(is_cut(&mut wire, &many, 64 << 20).await);
        assert!(agent.disconnected().await.is_some());
        drop(wire);
        agent.assert_serves_again().await;
    });
}
