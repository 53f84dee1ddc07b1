//! Stopping takes no longer than it is said to, whatever the other end does.

use tokio::time::Instant;

use crate::wire::{Gate, Wire, dial, get, id};
use crate::*;

/// What `stop` promises, and what a busy machine may add.
const STOP: Duration = Duration::from_millis(2500);

async fn stops(stop: impl Future<Output = ()>) {
    let began = Instant::now();
    within(stop).await;
    let took = began.elapsed();
    assert!(took < STOP, "it took {took:?}");
}

#[test]
fn a_peer_that_never_reads_does_not_hold_up_the_agents_stop() {
    run(async {
        let agent = Agent::start();
        let mut wire = Wire::connect(&agent.place).await;
        for number in 0..20 {
            wire.send(get(&id(number), "/bytes/1000000")).await;
        }
        within(agent.server.ready()).await.unwrap();
        // As much is written as the system takes.
        stays_pending(agent.server.client().call(never_asked()), "nobody answers").await;
        stops(agent.server.stop()).await;
        assert!(!agent.server.is_connected());
        drop(wire);
        agent.server.start();
        agent.assert_serves_again().await;
    });
}

fn never_asked() -> http::Request<pipeway_directline::Body> {
    http::Request::get("/x").body(pipeway_directline::Body::empty()).unwrap()
}

#[test]
fn a_peer_that_never_reads_does_not_hold_up_the_connectors_stop() {
    run(async {
        let (caller, _gate, _wire) = Caller::with_agent(Limits::connector()).await;
        let body = pipeway_directline::Body::from(vec![7; 5_000_000]);
        let request = http::Request::post("/x").body(body).unwrap();
        stays_pending(caller.connector.client().call(request), "nobody answers").await;
        stops(caller.connector.stop()).await;
    });
}

#[test]
fn a_peer_that_stays_connected_does_not_hold_up_a_stop() {
    run(async {
        let agent = Agent::start();
        let wire = agent.peer().await;
        let half = dial(agent.place.incoming()).await;
        stops(agent.server.stop()).await;
        drop((wire, half));
    });
}

#[test]
fn work_that_never_ends_is_ended_by_a_stop() {
    run(async {
        let agent = Agent::start();
        let mut wire = agent.peer().await;
        for number in 0..25 {
            wire.send(get(&id(number), "/never")).await;
        }
        wire.assert_busy().await;
        let working = WORKING.load(Ordering::SeqCst);
        assert!(working >= 25, "{working}");
        stops(agent.server.stop()).await;
        none_works().await;
    });
}

#[test]
fn every_wait_of_the_agent_is_ended_by_a_stop() {
    run(async {
        // For a client.
        let agent = Agent::start();
        tokio::task::yield_now().await;
        stops(agent.server.stop()).await;
        // For the other half.
        agent.server.start();
        let half = dial(agent.place.outgoing()).await;
        stops(agent.server.stop()).await;
        drop(half);
        // For the name, and then for the next attempt.
        let mut agent = Agent::start();
        agent.server.stop().await;
        let gate = Gate::bind(&agent.place);
        agent.server.start();
        stops(agent.server.stop()).await;
        agent.server.start();
        loop {
            if let Told::NotConnected { .. } = within(agent.told_rx.recv()).await.unwrap() {
                break;
            }
        }
        stops(agent.server.stop()).await;
        drop(gate);
        agent.server.start();
        agent.assert_serves_again().await;
    });
}

#[test]
fn every_wait_of_the_connector_is_ended_by_a_stop() {
    run(async {
        // For the first pipe, then for the second, and between two sessions.
        let place = place();
        let caller = Caller::start(&place);
        tokio::task::yield_now().await;
        stops(caller.connector.stop()).await;
        caller.connector.start();
        let mut incoming = wire::listen(place.incoming());
        let half = within(incoming.accept()).await.unwrap();
        stops(caller.connector.stop()).await;
        drop((half, incoming));
        let (mut caller, gate, wire) = Caller::with_agent(Limits::connector()).await;
        drop(wire);
        caller.disconnected().await;
        stops(caller.connector.stop()).await;
        drop(gate);
    });
}

#[test]
fn an_end_that_is_dropped_says_farewell_by_itself() {
    run(async {
        let agent = Agent::start();
        let mut wire = agent.peer().await;
        drop(agent);
        wire.assert_farewell().await;
    });
}
