//! How a raw session ends, and what is told of it.

use std::time::Duration;

use pipeway_transport::HalfClose;
use serde_json::Value;
use tokio::time::{Instant, advance};

use crate::rig::{pattern, run, run_paused};
use crate::{each_kind, joined, raw, raw_to_tcp, raw_with};

fn error(event: &Value) -> Option<(&str, &str)> {
    Some((event["error.type"].as_str()?, event["error.side"].as_str()?))
}

#[test]
fn the_clients_end_reaches_the_upstream_and_the_answer_comes_back() {
    for (kind, start) in each_kind() {
        run(async {
            let mut rig = start();
            let (mut client, mut upstream) = joined(&mut rig).await;
            if !client.stream().can_half_close() {
                return;
            }
            client.send(pattern(100_000)).await;
            client.end_sending().await;
            assert!(upstream.until_end().await == pattern(100_000), "{kind}");
            upstream.send("late answer").await;
            client.expect("late answer").await;
            upstream.end_sending().await;
            client.ends().await;
            let event = rig.event("session").await;
            assert_eq!((&event["end"], error(&event)), (&"complete".into(), None), "{event}");
            assert_eq!(event["bytes.received"], 100_000);
            assert_eq!(event["bytes.sent"], 11);
        });
    }
}

#[test]
fn the_upstreams_end_reaches_the_client_and_input_goes_on() {
    for (kind, start) in each_kind() {
        run(async {
            let mut rig = start();
            let (mut client, mut upstream) = joined(&mut rig).await;
            if !client.stream().can_half_close() {
                return;
            }
            upstream.send("all of it").await;
            upstream.end_sending().await;
            assert_eq!(client.until_end().await, b"all of it", "{kind}");
            client.send("more").await;
            upstream.expect("more").await;
            client.end_sending().await;
            upstream.ends().await;
            assert_eq!(rig.event("session").await["end"], "complete");
        });
    }
}

#[test]
fn the_tail_before_a_close_is_not_lost() {
    for (kind, start) in each_kind() {
        run(async {
            let mut rig = start();
            let (mut client, mut upstream) = joined(&mut rig).await;
            let (got, ()) = tokio::join!(client.until_end(), async move {
                upstream.send(pattern(3_000_001)).await;
                drop(upstream);
            });
            assert!(got == pattern(3_000_001), "{kind}: {} bytes", got.len());
            let (mut client, mut upstream) = joined(&mut rig).await;
            let (got, ()) = tokio::join!(upstream.until_end(), async move {
                client.send(pattern(3_000_001)).await;
                drop(client);
            });
            assert!(got == pattern(3_000_001), "{kind}: {} bytes", got.len());
        });
    }
}

#[test]
fn what_a_client_sent_before_it_left_arrives() {
    run(async {
        let mut rig = raw();
        let mut client = rig.client().await;
        client.send("and gone").await;
        drop(client);
        assert_eq!(rig.upstream.accept().await.until_end().await, b"and gone");
    });
}

#[test]
fn without_half_closes_the_end_of_one_direction_is_the_end_of_both() {
    run(async {
        let mut rig = raw_with(|config| config.half_close = HalfClose::None);
        let (mut client, mut upstream) = joined(&mut rig).await;
        if !client.stream().can_half_close() {
            return;
        }
        upstream.send("last").await;
        upstream.end_sending().await;
        assert_eq!(client.until_end().await, b"last");
        upstream.ends().await;
        assert_eq!(rig.event("session").await["end"], "upstream_closed");
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_half_closed_session_ends_when_nothing_comes_any_more() {
    run_paused(async {
        let mut rig = raw_with(|config| config.timeouts.half_close_idle = Duration::from_secs(7));
        let (mut client, mut upstream) = joined(&mut rig).await;
        client.end_sending().await;
        upstream.ends().await;
        // Progress sets the clock back.
        for _ in 0..5 {
            advance(Duration::from_secs(5)).await;
            upstream.send("tick").await;
            client.expect("tick").await;
        }
        let silent = Instant::now();
        client.ends().await;
        assert_eq!(silent.elapsed().as_secs(), 7);
        let event = rig.event("session").await;
        assert_eq!(event["end"], "timeout", "{event}");
        assert_eq!(error(&event), Some(("idle", "bridge")), "{event}");
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_idle_session_ends_only_where_the_configuration_says_so() {
    run_paused(async {
        let mut rig = raw();
        let (mut client, mut upstream) = joined(&mut rig).await;
        advance(Duration::from_secs(7 * 24 * 3600)).await;
        client.send("still").await;
        upstream.expect("still").await;

        let mut rig =
            raw_with(|config| config.timeouts.upgrade_idle = Some(Duration::from_secs(30)));
        let (mut client, mut upstream) = joined(&mut rig).await;
        advance(Duration::from_secs(20)).await;
        client.send("x").await;
        upstream.expect("x").await;
        let silent = Instant::now();
        client.ends().await;
        upstream.ends().await;
        assert_eq!(silent.elapsed().as_secs(), 30);
    });
}

#[test]
fn a_session_is_told_with_both_hops() {
    run(async {
        let mut rig = raw_to_tcp();
        let (mut client, mut upstream) = joined(&mut rig).await;
        client.send("12345").await;
        upstream.expect("12345").await;
        upstream.send("678").await;
        client.expect("678").await;
        drop(client);
        upstream.ends().await;
        let event = rig.event("session").await;
        assert_eq!(event["transport.endpoint"], rig.listen.to_string());
        assert_eq!(event["upstream.mode"], "tcp");
        assert_eq!(event["upstream.endpoint"], rig.upstream.endpoint().to_string());
        assert_eq!((&event["bytes.received"], &event["bytes.sent"]), (&5.into(), &3.into()));
        assert_eq!(event["end"], "client_closed", "{event}");
        assert_eq!(error(&event), None);
        assert!(event["duration.connect_ms"].is_number(), "{event}");
        assert!(event["http.request.method"].is_null(), "{event}");
    });
}

#[test]
fn an_upstream_that_is_not_there_closes_the_client_and_is_told() {
    run(async {
        let mut rig =
            raw_with(|config| config.upstream = "tcp:127.0.0.1:1".parse().expect("an endpoint"));
        let mut client = rig.client().await;
        client.ends().await;
        let event = rig.event("session").await;
        assert_eq!(event["end"], "refused", "{event}");
        assert_eq!(error(&event), Some(("upstream_refused", "upstream")), "{event}");
        assert!(event["upstream.mode"].is_null() && event["duration.connect_ms"].is_number());
    });
}

#[test]
fn an_upstream_that_dies_at_once_closes_the_client() {
    run(async {
        let mut rig = raw();
        let (mut client, upstream) = joined(&mut rig).await;
        drop(upstream);
        client.ends().await;
        assert_eq!(rig.event("session").await["end"], "upstream_closed");
    });
}

#[test]
fn an_upstream_that_dies_in_the_middle_closes_the_client_after_what_it_said() {
    run(async {
        let mut rig = raw();
        let (mut client, mut upstream) = joined(&mut rig).await;
        client.send("question").await;
        upstream.expect("question").await;
        upstream.send("half an ans").await;
        drop(upstream);
        assert_eq!(client.until_end().await, b"half an ans");
        assert_eq!(rig.event("session").await["end"], "upstream_closed");
    });
}

#[test]
fn an_upstream_that_dies_after_the_clients_end_closes_the_client() {
    run(async {
        let mut rig = raw();
        let (mut client, mut upstream) = joined(&mut rig).await;
        if !client.stream().can_half_close() {
            return;
        }
        client.end_sending().await;
        upstream.ends().await;
        drop(upstream);
        client.ends().await;
        rig.event("session").await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "Wine: a reset is read as an orderly end")]
fn a_reset_of_the_upstream_is_told_as_one() {
    run(async {
        let mut rig = raw_to_tcp();
        let (mut client, mut upstream) = joined(&mut rig).await;
        upstream.send("some").await;
        client.expect("some").await;
        upstream.stream().abort_on_close();
        drop(upstream);
        client.ends().await;
        let event = rig.event("session").await;
        assert_eq!(error(&event), Some(("upstream_reset", "upstream")), "{event}");
    });
}

#[cfg(unix)] // Elsewhere nothing is looked at without being read.
#[test]
fn one_more_than_a_user_may_have_is_closed_and_nothing_is_connected_for_it() {
    run(async {
        let mut rig = raw_with(|config| config.limits.max_sessions_per_peer = Some(1));
        let (mut first, mut upstream) = joined(&mut rig).await;
        let mut second = rig.client().await;
        second.ends().await;
        let event = rig.event("session").await;
        assert_eq!(error(&event), Some(("too_many_sessions", "bridge")), "{event}");
        assert_eq!(event["end"], "refused");
        first.send("x").await;
        upstream.expect("x").await;
        assert_eq!(first.stream().probe(), pipeway_transport::Probe::Quiet);
        drop((first, upstream));
        rig.upstream_saw_nothing().await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn draining_lets_a_session_finish_and_cuts_it_at_the_deadline() {
    run_paused(async {
        let mut rig = raw_with(|config| config.timeouts.drain = Duration::from_secs(9));
        let (mut finishes, mut for_finishes) = joined(&mut rig).await;
        let (mut hangs, mut for_hangs) = joined(&mut rig).await;
        let ordered = Instant::now();
        rig.order_stop();
        finishes.send("last words").await;
        for_finishes.expect("last words").await;
        finishes.end_sending().await;
        for_finishes.end_sending().await;
        finishes.ends().await;
        assert_eq!(rig.event("session").await["end"], "drained");
        hangs.ends().await;
        for_hangs.ends().await;
        assert_eq!(ordered.elapsed().as_secs(), 9);
        assert_eq!(rig.event("session").await["end"], "cut");
        let summary = rig.stopped().await;
        assert_eq!((summary.sessions, summary.cut), (2, 1));
    });
}
