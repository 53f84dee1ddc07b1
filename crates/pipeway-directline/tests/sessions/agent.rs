//! L: sessions of the agent's end, one after another.

use tokio::io::AsyncWriteExt as _;

use crate::wire::{Gate, Wire, assert_closed, content, dial, get, id, post};
use crate::*;

#[test]
fn l01_incoming_is_closed_and_the_agent_says_farewell_and_closes() {
    run(async {
        let agent = Agent::start();
        let Wire { reads, writes } = agent.peer().await;
        drop(writes);
        let mut wire = Wire { reads, writes: dial_nothing().await };
        wire.assert_farewell().await;
    });
}

/// A connection that stands for one that was closed.
async fn dial_nothing() -> pipeway_transport::Stream {
    let place = place();
    let mut listener = wire::listen(place.incoming());
    let (stream, _) = tokio::join!(dial(place.incoming()), listener.accept());
    stream
}

#[test]
fn l02_a_session_ends_and_the_next_one_begins() {
    run(async {
        let mut agent = Agent::start();
        let wire = agent.peer().await;
        assert!(agent.server.is_connected());
        drop(wire);
        assert_eq!(agent.disconnected().await, None);
        assert!(!agent.server.is_connected());
        let mut wire = agent.peer().await;
        wire.assert_alive().await;
        assert!(agent.server.is_connected());
    });
}

#[test]
fn l03_a_second_client_is_refused_and_the_first_is_not_disturbed() {
    run(async {
        let agent = Agent::start();
        let mut wire = agent.peer().await;
        assert_closed(&mut dial(agent.place.incoming()).await).await;
        assert_closed(&mut dial(agent.place.outgoing()).await).await;
        wire.assert_alive().await;
    });
}

#[test]
fn l04_a_stray_client_that_stays_holds_up_no_new_session() {
    run(async {
        let mut agent = Agent::start();
        let wire = agent.peer().await;
        let mut strays = [dial(agent.place.incoming()).await, dial(agent.place.outgoing()).await];
        // What it says is nobody's, whether or not it was turned away by then.
        let _ = strays[0].write_all(b"hello").await;
        for stray in &mut strays {
            assert_closed(stray).await;
        }
        drop(wire);
        assert_eq!(agent.disconnected().await, None);
        agent.assert_serves_again().await;
        drop(strays);
    });
}

#[test]
fn l05_half_a_pair_that_was_lost_leaves_nothing() {
    run(async {
        let agent = Agent::start();
        drop(dial(agent.place.incoming()).await);
        agent.assert_serves_again().await;
    });
}

#[test]
fn l06_both_pipes_are_there_before_any_client_and_outgoing_may_be_first() {
    run(async {
        let agent = Agent::start();
        let reads = dial(agent.place.outgoing()).await;
        let writes = dial(agent.place.incoming()).await;
        Wire { reads, writes }.assert_alive().await;
    });
}

#[test]
fn l07_outgoing_alone_is_closed_and_the_session_ends_without_a_write() {
    run(async {
        let mut agent = Agent::start();
        let Wire { reads, mut writes } = agent.peer().await;
        drop(reads);
        assert_closed(&mut writes).await;
        agent.disconnected().await;
        drop(writes);
        agent.assert_serves_again().await;
    });
}

#[test]
fn l08_it_is_stopped_before_the_first_session_and_can_be_started_again() {
    run(async {
        let agent = Agent::start();
        let server = agent.server.clone();
        let ready = tokio::spawn(async move { server.ready().await });
        tokio::task::yield_now().await;
        agent.server.stop().await;
        let error = ready.await.unwrap().unwrap_err();
        assert_eq!(error.code(), Some(-180_012));
        agent.server.start();
        agent.assert_serves_again().await;
        agent.server.ready().await.unwrap();
    });
}

#[test]
fn l09_a_name_in_use_is_tried_and_then_told_and_tried_again_later() {
    run(async {
        let place = place();
        let gate = Gate::bind(&place);
        let (told, mut told_rx) = observer();
        let options = server_options(Limits::agent(), told);
        let server = Server::new(place.clone(), options.clone(), router()).unwrap();
        server.start();
        assert_eq!(told_rx.recv().await, Some(Told::Connecting));
        assert_eq!(within(told_rx.recv()).await, Some(Told::NotConnected { again: true }));
        stays_pending(server.ready(), "it is tried again").await;
        drop(gate);
        Wire::connect_served(&place).await.assert_alive().await;
        server.ready().await.unwrap();
        let (told, mut told_rx) = observer();
        let once = ServerOptions { reconnect: false, observer: told, ..options };
        let server = Server::new(place, once, router()).unwrap();
        server.start();
        assert_eq!(within(server.ready()).await.unwrap_err().code(), Some(-180_001));
        assert_eq!(told_rx.recv().await, Some(Told::Connecting));
        assert_eq!(told_rx.recv().await, Some(Told::NotConnected { again: false }));
    });
}

#[test]
fn l10_stop_says_farewell_closes_both_and_may_be_repeated() {
    run(async {
        let agent = Agent::start();
        let mut wire = agent.peer().await;
        agent.server.stop().await;
        assert!(!agent.server.is_connected());
        wire.assert_farewell().await;
        assert_closed(&mut wire.writes).await;
        agent.server.stop().await;
        agent.server.start();
        agent.assert_serves_again().await;
    });
}

#[test]
fn l11_nothing_of_a_frame_that_broke_off_is_left_in_the_next_session() {
    run(async {
        let mut agent = Agent::start();
        let mut wire = agent.peer().await;
        let stream = id(2);
        wire.send([post(&id(1), "/echo", &stream, 9), content(&stream, "hello", false)].concat())
            .await;
        wire.send(&content(&stream, "last", true)[..50]).await;
        drop(wire);
        assert_eq!(agent.disconnected().await, Some(ErrorKind::Truncated));
        let mut wire = agent.peer().await;
        // The same ids are new ones.
        wire.send(post(&id(1), "/echo", &stream, 3)).await;
        wire.send(content(&stream, "new", true)).await;
        assert_eq!(wire.expect().await.status(), 200);
        assert_eq!(wire.expect().await.payload, b"new");
    });
}

#[test]
fn l11_frames_in_one_write_are_all_taken() {
    run(async {
        let agent = Agent::start();
        let mut wire = agent.peer().await;
        wire.send([get(&id(1), "/a"), get(&id(2), "/b"), get(&id(3), "/c")].concat()).await;
        let mut answered = Vec::new();
        for _ in 0..3 {
            answered.push(wire.expect().await.id);
        }
        answered.sort();
        assert_eq!(answered, [id(1), id(2), id(3)]);
    });
}

#[test]
fn l11_calls_after_the_end_and_calls_whose_write_fails_have_their_codes() {
    run(async {
        let mut agent = Agent::start();
        let client = agent.server.client().clone();
        let ask = || http::Request::get("/x").body(pipeway_directline::Body::empty()).unwrap();
        assert_eq!(client.call(ask()).await.unwrap_err().code(), Some(-180_000));
        let wire = agent.peer().await;
        let waiting = tokio::spawn({
            let client = client.clone();
            async move { client.call(ask()).await }
        });
        tokio::task::yield_now().await;
        drop(wire);
        agent.disconnected().await;
        let code = waiting.await.unwrap().unwrap_err().code();
        assert!(matches!(code, Some(-180_000 | -180_005)), "{code:?}");
        assert_eq!(client.call(ask()).await.unwrap_err().code(), Some(-180_000));
    });
}
