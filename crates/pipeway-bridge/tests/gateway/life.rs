//! Start, kept connections, stop.

use std::sync::Arc;
use std::time::Duration;

use pipeway_bridge::{BindError, Gateway, GatewayConfig};
use pipeway_transport::ErrorKind;
use tokio::sync::Notify;

use crate::rig::{Agent, Rig, answer, call, message, of, run, service_url};
#[test]
fn connections_to_the_agent_are_kept_and_one_that_it_closed_is_replaced() {
    run(async {
        let agent = Agent::new(|_, body| {
            Box::pin(async move {
                let mut response = answer(200, "");
                if body == "close" {
                    response.headers_mut().insert("connection", "close".parse().unwrap());
                }
                response
            })
        })
        .await;
        let rig = Rig::new(&agent).await;
        for _ in 0..5 {
            assert_eq!(rig.send("{}").await.0, 200);
        }
        assert_eq!(agent.connections(), 1);
        assert_eq!(rig.send("close").await.0, 200);
        for _ in 0..5 {
            assert_eq!(rig.send("{}").await.0, 200);
        }
        assert_eq!(agent.connections(), 2);
        rig.end().await;
    });
}

#[test]
fn an_activity_that_runs_at_the_stop_finishes_with_its_calls_and_no_other_begins() {
    run(async {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let of_agent = (Arc::clone(&begun), Arc::clone(&go_on));
        let agent = Agent::new(move |_, activity| {
            let (begun, go_on) = (Arc::clone(&of_agent.0), Arc::clone(&of_agent.1));
            Box::pin(async move {
                begun.notify_one();
                go_on.notified().await;
                let to = format!("{}/v3/conversations/c/activities", service_url(&activity));
                assert_eq!(call("POST", &to, "{}").await.0, 201);
                answer(200, "x".repeat(100_000))
            })
        })
        .await;
        let rig = Rig::new(&agent).await;
        let client = rig.connector.client().clone();
        let activity = crate::rig::hello().to_string();
        let running = tokio::spawn(async move { client.call(message(activity)).await.unwrap() });
        begun.notified().await;
        rig.order();
        // The gateway has the order before this gets there: both are of one thread, and this has
        // several waits before it.
        assert_eq!(rig.send("{}").await.0, 503);
        assert!(!rig.running.is_finished(), "it did not wait for what runs");
        go_on.notify_one();
        let response = running.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body().len(), 100_000);
        let (summary, events) = rig.end().await;
        assert_eq!(summary.cut, 0);
        let ends: Vec<_> = of(&events, "request").iter().map(|one| one["end"].clone()).collect();
        assert_eq!(ends, ["refused", "drained", "drained"]);
        assert_eq!(of(&events, "start").len() + of(&events, "stop").len(), 2);
    });
}

#[test]
fn pipes_that_another_gateway_holds_are_told() {
    run(async {
        let agent = Agent::fixed(200, "").await;
        let rig = Rig::new(&agent).await;
        let config = GatewayConfig::new("g", rig.place.clone(), "tcp:127.0.0.1:9".parse().unwrap());
        let Err(BindError::Pipes(error)) = Gateway::bind(config).await else {
            panic!("it is bound")
        };
        assert_eq!(error.kind(), ErrorKind::InUse);
        // The one that holds them goes on.
        assert_eq!(rig.send("{}").await.0, 200);
        rig.end().await;
    });
}

#[test]
fn what_is_idle_too_long_is_closed() {
    run(async {
        let agent = Agent::fixed(200, "").await;
        let change =
            |config: &mut GatewayConfig| config.timeouts.keep_alive = Duration::from_nanos(1);
        let rig = Rig::with(&agent, change).await;
        for _ in 0..3 {
            assert_eq!(rig.send("{}").await.0, 200);
        }
        assert_eq!(agent.connections(), 3);
        rig.end().await;
    });
}
