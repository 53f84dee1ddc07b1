//! Connections to the upstream that one client has left and another takes.

use std::time::Duration;

use tokio::time::{Instant, advance};

use crate::rig::{Rig, Wire, get, ok, post, run, run_paused};

/// Two requests on one connection, by which the upstream shows that it keeps them.
async fn served_twice(rig: &mut Rig) -> (Wire, Wire) {
    let mut client = rig.client_that_sent(get("/left")).await;
    let mut upstream = rig.upstream.accept().await;
    upstream.head().await;
    upstream.send(ok("left")).await;
    assert_eq!(client.answer().await.text(), "left");
    client.send(get("/left")).await;
    upstream.head().await;
    upstream.send(ok("left")).await;
    assert_eq!(client.answer().await.text(), "left");
    (client, upstream)
}

/// One client that has left such a connection; the upstream's end stays.
async fn left_one(rig: &mut Rig) -> Wire {
    let (client, upstream) = served_twice(rig).await;
    drop(client);
    rig.event("session").await;
    upstream
}

/// A client is served over `upstream`.
async fn is_served_by(rig: &Rig, upstream: &mut Wire, request: &str) {
    let mut client = rig.client_that_sent(request).await;
    upstream.request().await;
    upstream.send(ok("again")).await;
    assert_eq!(client.answer().await.text(), "again");
}

/// A client is served over a connection of its own.
async fn is_served_anew(rig: &mut Rig, request: &str) {
    let mut client = rig.client_that_sent(request).await;
    let mut upstream = rig.upstream.accept().await;
    upstream.request().await;
    upstream.send(ok("anew")).await;
    assert_eq!(client.answer().await.text(), "anew");
}

#[test]
fn the_next_client_takes_the_connection_that_one_has_left() {
    run(async {
        let mut rig = Rig::start();
        let mut upstream = left_one(&mut rig).await;
        is_served_by(&rig, &mut upstream, &get("/next")).await;
        let event = rig.event("request").await;
        assert_eq!(event["http.request.method"], "GET", "{event}");
        assert_eq!(event["upstream.endpoint"], rig.upstream.endpoint().to_string(), "{event}");
        assert_eq!(event["duration.connect_ms"], serde_json::Value::Null, "{event}");
        let event = rig.event("session").await;
        assert_eq!(event["upstream.endpoint"], rig.upstream.endpoint().to_string(), "{event}");
        // So does one whose client ends it with its request.
        let close = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        for _ in 0..3 {
            let mut client = rig.client_that_sent(close).await;
            upstream.head().await;
            upstream.send(ok("last")).await;
            assert_eq!(client.answer().await.text(), "last");
            client.ends().await;
        }
    });
}

#[test]
fn a_request_that_may_change_something_gets_a_connection_of_its_own() {
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let with_body = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    let delete = "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n";
    for request in [post("/", "x").as_str(), delete, with_body, upgrade] {
        run(async {
            let mut rig = Rig::start();
            let mut idle = left_one(&mut rig).await;
            is_served_anew(&mut rig, request).await;
            // The idle one has made way for it.
            idle.ends().await;
        });
    }
}

#[test]
fn a_connection_that_the_upstream_has_closed_or_written_to_is_not_taken() {
    run(async {
        let mut rig = Rig::start();
        let upstream = left_one(&mut rig).await;
        drop(upstream);
        is_served_anew(&mut rig, &get("/1")).await;
    });
    run(async {
        let mut rig = Rig::start();
        let mut upstream = left_one(&mut rig).await;
        // An answer that nobody asked for must not become the next client's.
        upstream.send(ok("another's")).await;
        is_served_anew(&mut rig, &get("/2")).await;
    });
}

#[test]
fn a_connection_whose_last_exchange_was_not_whole_is_not_left() {
    run(async {
        let mut rig = Rig::start();
        // The client leaves in the middle of its answer.
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
        client.head().await;
        drop(client);
        upstream.ends().await;
        is_served_anew(&mut rig, &get("/1")).await;
    });
    run(async {
        let mut rig = Rig::start();
        // The upstream does not keep it.
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        client.answer().await;
        upstream.ends().await;
        is_served_anew(&mut rig, &get("/2")).await;
    });
    run(async {
        let mut rig = Rig::start();
        // More came than the answer.
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(ok("one") + &ok("two")).await;
        assert_eq!(client.answer().await.text(), "one");
        upstream.ends().await;
        drop(client);
        is_served_anew(&mut rig, &get("/3")).await;
    });
}

#[test]
fn a_connection_that_may_carry_who_the_client_is_stays_with_it() {
    for (scheme, stays) in
        [("NTLM TlRMTVNTUAAB", true), ("Negotiate YII=", true), ("Bearer t", false)]
    {
        run(async {
            let mut rig = Rig::start();
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: {scheme}\r\n\r\n");
            let mut client = rig.client_that_sent(&request).await;
            let mut upstream = rig.upstream.accept().await;
            upstream.head().await;
            upstream.send(ok("")).await;
            client.answer().await;
            // It stays so for what the client asks without credentials.
            client.send(get("/")).await;
            upstream.head().await;
            upstream.send(ok("")).await;
            client.answer().await;
            drop(client);
            if stays {
                upstream.ends().await;
                is_served_anew(&mut rig, &get("/")).await;
            } else {
                rig.event("session").await;
                is_served_by(&rig, &mut upstream, &get("/")).await;
            }
        });
    }
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_connection_waits_for_its_time_and_no_longer() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.upstream_idle = Duration::from_secs(9));
        let (client, mut upstream) = served_twice(&mut rig).await;
        drop(client);
        // An event comes from another thread: awaiting it, the clock would run ahead.
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        advance(Duration::from_secs(8)).await;
        is_served_by(&rig, &mut upstream, &get("/")).await;
        let left = Instant::now();
        upstream.ends().await;
        assert_eq!(left.elapsed().as_secs(), 9);
        is_served_anew(&mut rig, &get("/")).await;
    });
}

#[test]
fn none_waits_where_there_is_no_time_to() {
    run(async {
        let mut rig = Rig::with(|config| config.timeouts.upstream_idle = Duration::ZERO);
        left_one(&mut rig).await.ends().await;
        is_served_anew(&mut rig, &get("/")).await;
    });
}

#[test]
fn no_more_than_sixteen_wait() {
    run(async {
        let mut rig = Rig::start();
        let _kept = served_twice(&mut rig).await;
        let mut pairs = Vec::new();
        for _ in 0..20 {
            let client = rig.client_that_sent(get("/")).await;
            pairs.push((client, rig.upstream.accept().await));
        }
        let mut upstreams = Vec::new();
        for (mut client, mut upstream) in pairs {
            upstream.head().await;
            upstream.send(ok("")).await;
            client.answer().await;
            drop(client);
            rig.event("session").await;
            upstreams.push(upstream);
        }
        // The oldest have made way; the youngest is taken first.
        for upstream in &mut upstreams[..4] {
            upstream.ends().await;
        }
        is_served_by(&rig, &mut upstreams[19], &get("/")).await;
        is_served_by(&rig, &mut upstreams[19], &get("/")).await;
    });
}

#[test]
fn those_that_wait_are_closed_when_the_bridge_stops() {
    run(async {
        let mut rig = Rig::start();
        // One session still runs, and is finished.
        let mut client = rig.client_that_sent(post("/", "x")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.request().await;
        let mut idle = left_one(&mut rig).await;
        rig.order_stop();
        idle.ends().await;
        upstream.send(ok("finished")).await;
        assert_eq!(client.answer().await.text(), "finished");
        upstream.ends().await;
        assert_eq!(rig.stopped().await.cut, 0);
    });
}

#[test]
fn a_request_on_a_connection_that_was_waiting_is_sent_once() {
    run(async {
        let mut rig = Rig::start();
        let mut upstream = left_one(&mut rig).await;
        let mut client = rig.client_that_sent(get("/once")).await;
        upstream.head().await;
        drop(upstream);
        client.refusal(502, "upstream_closed").await;
        drop(client);
        rig.upstream_saw_nothing().await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn none_is_taken_before_the_upstream_has_shown_that_it_keeps_them() {
    run_paused(async {
        let mut rig = Rig::start();
        // It says nothing of closing, and closes all the same: each client has a new one.
        for _ in 0..3 {
            is_served_anew(&mut rig, &get("/")).await;
            advance(Duration::from_millis(200)).await;
        }
        // One that stays open for a while shows it. It is then closed, not given to anybody.
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(ok("")).await;
        client.answer().await;
        drop(client);
        let left = Instant::now();
        upstream.ends().await;
        assert_eq!(left.elapsed().as_millis() / 10, 10);
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(ok("")).await;
        client.answer().await;
        drop(client);
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        is_served_by(&rig, &mut upstream, &get("/")).await;
    });
}
