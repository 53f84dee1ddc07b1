//! Peers that are absent, slow, silent, greedy or dead.

use std::time::Duration;

use tokio::time::{Instant, advance, timeout};

use crate::rig::{Length, Rig, Upstream, Wire, get, ok, pattern, post, run, run_paused};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Lets everybody who can go on do so before the clock is moved.
async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

/// A bridge before an upstream that is not there.
fn before_nobody() -> Rig {
    Rig::with(|config| {
        let mut path = config.upstream.to_string();
        path.insert_str(path.len() - ".sock".len() * usize::from(cfg!(unix)), "-absent");
        config.upstream = if cfg!(unix) {
            path.parse().expect("an endpoint")
        } else {
            "local:pipeway-nobody-listens-here".parse().expect("an endpoint")
        };
    })
}

#[test]
fn an_absent_upstream_is_told_and_when_to_come_back() {
    run(async {
        let rig = before_nobody();
        let mut client = rig.client_that_sent(get("/")).await;
        let answer = client.refusal(503, "upstream_absent").await;
        let after: u32 =
            answer.head.get("retry-after").expect("Retry-After").parse().expect("seconds");
        assert!((1..=60).contains(&after));
        // With a body on its way the client is told as well.
        let mut client = rig.client_that_sent(post("/", "body")).await;
        client.refusal(503, "upstream_absent").await;
    });
}

#[test]
fn an_absent_upstream_does_not_end_the_session() {
    run(async {
        let mut rig = Rig::start();
        let endpoint = rig.upstream.endpoint().clone();
        let other = rig.own_endpoint("other");
        rig.upstream = Upstream::bind(&other);
        let mut client = rig.client_that_sent(get("/1")).await;
        let answer = client.refusal(503, "upstream_absent").await;
        assert!(!answer.head.closes());
        rig.upstream = Upstream::bind(&endpoint);
        client.send(get("/2")).await;
        rig.upstream.accept().await.send(ok("back")).await;
        assert_eq!(client.answer().await.text(), "back");
    });
}

#[test]
fn a_port_that_nobody_listens_on_is_told() {
    run(async {
        let port = {
            let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            taken.local_addr().expect("an address").port()
        };
        let rig = Rig::with(|config| {
            config.upstream = format!("tcp:127.0.0.1:{port}").parse().expect("an endpoint");
        });
        let mut client = rig.client_that_sent(get("/")).await;
        let answer = client.answer().await;
        let kind = answer.error_kind();
        assert!(
            [(503, "upstream_absent"), (502, "upstream_refused")]
                .contains(&(answer.head.status(), &kind)),
            "{kind}"
        );
        assert!(String::from_utf8_lossy(&answer.body).contains(&port.to_string()));
    });
}

#[cfg(unix)] // A file without a listener behind it is a thing of Unix sockets.
#[test]
fn a_socket_file_without_a_listener_is_told() {
    run(async {
        let rig = Rig::with(|config| {
            let path = config.upstream.to_string().replace("upstream", "stale");
            drop(std::os::unix::net::UnixListener::bind(path.trim_start_matches("unix:")));
            config.upstream = path.parse().expect("an endpoint");
        });
        let mut client = rig.client_that_sent(get("/")).await;
        let answer = client.answer().await;
        let kind = answer.error_kind();
        assert!(
            [(503, "upstream_absent"), (502, "upstream_refused")]
                .contains(&(answer.head.status(), &kind)),
            "{kind}"
        );
    });
}

#[cfg(unix)] // Pipes fill up by instances, which the transport's own suite holds.
#[test]
fn an_upstream_whose_queue_is_full_is_waited_for_within_the_deadline() {
    run(async {
        let mut rig = Rig::with(|config| config.timeouts.connect = Duration::from_millis(300));
        let endpoint = rig.upstream.endpoint().clone();
        rig.upstream = Upstream::bind(&rig.own_endpoint("other"));
        let options = pipeway_transport::ListenOptions { backlog: 0, ..Default::default() };
        let mut full = Upstream::bind_with(&endpoint, &options);
        // A queue of zero takes one.
        let _queued =
            pipeway_transport::connect(&endpoint, &Default::default()).await.expect("one");
        let mut client = rig.client_that_sent(get("/")).await;
        let answer = client.answer().await;
        let kind = answer.error_kind();
        assert!(
            [(503, "upstream_busy"), (504, "upstream_timeout")]
                .contains(&(answer.head.status(), &kind)),
            "{kind}"
        );
        // Once there is room it is served, on the same connection.
        full.accept().await;
        client.send(get("/2")).await;
        full.accept().await.send(ok("room")).await;
        assert_eq!(client.answer().await.text(), "room");
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_upstream_that_accepts_and_says_nothing_is_given_up_after_the_configured_time() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.first_byte = Some(seconds(30)));
        let mut client = rig.client_that_sent(get("/")).await;
        let sent = Instant::now();
        let mut upstream = rig.upstream.accept().await;
        client.refusal(504, "upstream_timeout").await;
        assert_eq!(sent.elapsed().as_secs(), 30);
        upstream.request().await;
        upstream.ends().await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_upstream_that_begins_a_head_and_stops_is_given_up() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.first_byte = Some(seconds(30)));
        let mut client = rig.client_that_sent(get("/")).await;
        let sent = Instant::now();
        let mut upstream = rig.upstream.accept().await;
        upstream.request().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-").await;
        let answer = client.answer().await;
        assert_eq!(answer.head.status(), 504);
        assert!(sent.elapsed() <= seconds(45), "{:?}", sent.elapsed());
        upstream.ends().await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_first_byte_after_two_minutes_is_served_by_default() {
    run_paused(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/think")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        advance(seconds(120)).await;
        upstream.send(ok("thought")).await;
        assert_eq!(client.answer().await.text(), "thought");
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_first_byte_may_take_for_ever_where_there_is_no_limit() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.first_byte = None);
        let mut client = rig.client_that_sent(get("/think")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        advance(seconds(24 * 3600)).await;
        upstream.send(ok("thought")).await;
        assert_eq!(client.answer().await.text(), "thought");
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn the_first_bytes_time_begins_when_the_request_has_ended() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.first_byte = Some(seconds(10)));
        let mut client = rig.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        for byte in ["a", "b", "c", "d", "e"] {
            advance(seconds(8)).await;
            client.send(byte).await;
            upstream.expect(byte).await;
        }
        advance(seconds(8)).await;
        upstream.send(ok("in time")).await;
        assert_eq!(client.answer().await.text(), "in time");
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_event_stream_may_be_silent_for_ever() {
    run_paused(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/events")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        client.head().await;
        for _ in 0..3 {
            advance(seconds(24 * 3600)).await;
            upstream.send("2\r\n\n\n\r\n").await;
            client.expect("2\r\n\n\n\r\n").await;
        }
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_silent_answer_is_cut_where_the_configuration_says_so() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.answer_idle = Some(seconds(20)));
        let mut client = rig.client_that_sent(get("/events")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234").await;
        client.head().await;
        client.expect("01234").await;
        let silent = Instant::now();
        client.ends().await;
        assert_eq!(silent.elapsed().as_secs(), 20);
        upstream.ends().await;
    });
}

#[test]
fn an_answer_cut_short_never_looks_complete() {
    let heads = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", "some"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nsome\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "20\r\nsome"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nsome\r\n0\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nsome\r\n0\r\nX-T: t\r\n"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""),
    ];
    for (head, part) in heads {
        for at_once in [true, false] {
            run(async {
                let mut rig = Rig::start();
                let mut client = rig.client_that_sent(get("/")).await;
                let mut upstream = rig.upstream.accept().await;
                upstream.head().await;
                if at_once {
                    upstream.send(format!("{head}{part}")).await;
                } else {
                    upstream.send(head).await;
                    let seen = client.head().await;
                    upstream.send(part).await;
                    drop(upstream);
                    let rest = client.until_end().await;
                    match seen.length().expect("framing") {
                        Length::Bytes(count) => assert!(rest.len() < count),
                        Length::Chunks => assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}"),
                        Length::UntilEnd => panic!("no framing"),
                    }
                    return;
                }
                drop(upstream);
                match client.answer_or_cut().await {
                    // Where nothing had been sent to the client yet, the truth can be told.
                    Ok(answer) => assert_eq!(answer.error_kind(), "upstream_closed"),
                    Err(cut) => assert!(b"some".starts_with(&cut.0) || cut.0.len() <= 12),
                }
                client.ends().await;
            });
        }
    }
}

#[cfg(unix)] // A close with unread bytes is a reset there; a pipe's end has one shape only.
#[test]
fn an_answer_that_only_a_close_would_end_is_cut_by_a_reset() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nunread").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.take(4).await;
        upstream.send("HTTP/1.1 200 OK\r\n\r\nsome").await;
        let head = client.head().await;
        assert_eq!(head.length(), Some(Length::Chunks), "a close could not be told from an end");
        client.expect("4\r\nsome\r\n").await;
        client.send("more that stays unread").await;
        // Wait until it lies in the upstream's queue.
        upstream.stream_readable().await;
        drop(upstream);
        client.ends().await;
    });
}

#[test]
fn a_request_cut_short_never_looks_complete() {
    for body in
        ["Content-Length: 100\r\n\r\nsome", "Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"]
    {
        run(async {
            let mut rig = Rig::start();
            let client =
                rig.client_that_sent(format!("POST / HTTP/1.1\r\nHost: a\r\n{body}")).await;
            let mut upstream = rig.upstream.accept().await;
            upstream.head().await;
            drop(client);
            let seen = upstream.until_end().await;
            assert!(!seen.ends_with(b"0\r\n\r\n") && seen.len() < 100, "{seen:?}");
        });
    }
}

#[test]
#[cfg_attr(windows, ignore = "a pipe's name is free only once the bridge too has let go of it")]
fn an_upstream_that_restarts_serves_the_same_session() {
    run(async {
        let mut rig = Rig::start();
        let endpoint = rig.upstream.endpoint().clone();
        let mut client = rig.client_that_sent(get("/1")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(ok("before")).await;
        assert_eq!(client.answer().await.text(), "before");
        drop(upstream);
        // The old listener goes before the new one comes.
        let other = rig.own_endpoint("other");
        rig.upstream = Upstream::bind(&other);
        rig.upstream = Upstream::bind_when_free(&endpoint).await;
        client.send(post("/2", "x")).await;
        let mut upstream = rig.upstream.accept().await;
        assert_eq!(upstream.request().await.text(), "x");
        upstream.send(ok("after")).await;
        assert_eq!(client.answer().await.text(), "after");
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_client_that_leaves_while_waiting_closes_the_upstream() {
    run_paused(async {
        let mut rig = Rig::start();
        let client = rig.client_that_sent(get("/long")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        let left = Instant::now();
        drop(client);
        upstream.ends().await;
        assert!(left.elapsed() < seconds(2), "{:?}", left.elapsed());
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn clients_that_connect_and_go_cost_nothing() {
    run_paused(async {
        let mut rig = Rig::start();
        let begun = Instant::now();
        for round in 0..200 {
            let mut client = rig.client().await;
            if round % 2 == 0 {
                client.send("GET / HT").await;
            }
        }
        for _ in 0..200 {
            rig.event("session").await;
        }
        assert!(begun.elapsed() < seconds(2));
        rig.upstream_saw_nothing().await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_client_that_says_nothing_is_closed_after_the_configured_time() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.first_request = seconds(25));
        let mut client = rig.client().await;
        let connected = Instant::now();
        let said = client.until_end().await;
        assert_eq!(connected.elapsed().as_secs(), 25);
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408 "));
        rig.upstream_saw_nothing().await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_head_that_comes_a_byte_a_second_is_given_up() {
    run_paused(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        let begun = Instant::now();
        for byte in get("/").as_bytes().iter().take(14) {
            client.send([*byte]).await;
            settle().await;
            advance(seconds(1)).await;
        }
        let answer = client.refusal(408, "head_timeout").await;
        assert!(answer.head.closes());
        assert_eq!(begun.elapsed().as_secs(), 15);
        client.ends().await;
        rig.upstream_saw_nothing().await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_body_that_stops_is_given_up() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.body_idle = seconds(12));
        let mut client = rig.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        // Progress sets the clock back.
        for _ in 0..3 {
            advance(seconds(10)).await;
            client.send("x").await;
            upstream.expect("x").await;
        }
        let stopped = Instant::now();
        let said = client.until_end().await;
        assert_eq!(stopped.elapsed().as_secs(), 12);
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408 "), "{said:?}");
        upstream.ends().await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_session_between_two_requests_is_closed_after_the_configured_time() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.keep_alive = seconds(33));
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(ok("")).await;
        client.answer().await;
        let idle = Instant::now();
        client.ends().await;
        assert_eq!(idle.elapsed().as_secs(), 33);
        upstream.ends().await;
    });
}

/// Sends until nobody takes any more; how much was taken.
async fn fill(wire: &mut Wire, limit: usize) -> usize {
    let piece = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    // With the clock standing still, a second passes only when nobody can go on.
    while timeout(seconds(1), wire.try_send(&piece)).await.is_ok_and(|sent| sent.is_ok()) {
        sent += piece.len();
        assert!(sent < limit, "{sent} bytes and no end");
    }
    sent
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_client_that_never_reads_holds_its_upstream_back_and_is_closed() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.body_idle = seconds(40));
        let client = rig.client_that_sent(get("/endless")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n").await;
        // What both sockets and the bridge hold.
        let begun = Instant::now();
        fill(&mut upstream, 4 * 1024 * 1024).await;
        while upstream.try_send([0; 65536]).await.is_ok() {}
        assert!((39..=42).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        drop(client);
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_upstream_that_never_reads_holds_its_client_back() {
    run_paused(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000000\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        fill(&mut client, 4 * 1024 * 1024).await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn pipelined_requests_that_are_never_read_are_not_all_kept() {
    run_paused(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/wait")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        fill(&mut client, 4 * 1024 * 1024).await;
    });
}

#[test]
fn five_hundred_clients_at_once_are_all_served() {
    run(async {
        // Both ends of everything are in this process.
        pipeway_transport::raise_file_limit();
        // All wait for connections at once: whether they are served is the question, not how soon.
        let mut rig = Rig::with(|config| config.timeouts.connect = seconds(100));
        // All connected, and all asking, before the bridge's task runs once for the last of them.
        let mut clients = Vec::new();
        for number in 0..500 {
            clients.push(rig.client_that_sent(get(&format!("/{number}"))).await);
        }
        let mut upstreams = Vec::new();
        for _ in 0..500 {
            upstreams.push(rig.upstream.accept().await);
        }
        for upstream in &mut upstreams {
            let head = upstream.head().await;
            upstream.send(ok(head.first.split(' ').nth(1).expect("a path"))).await;
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.answer().await.text(), format!("/{number}"));
        }
        drop((clients, upstreams));
        assert_eq!(rig.stop().await.sessions, 500);
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn draining_closes_idle_sessions_at_once_and_lets_running_ones_finish() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.drain = seconds(20));
        let mut fresh = rig.client().await;
        let mut idle = rig.client_that_sent(get("/idle")).await;
        let mut for_idle = rig.upstream.accept().await;
        for_idle.head().await;
        for_idle.send(ok("")).await;
        idle.answer().await;
        let mut running = rig.client_that_sent(get("/running")).await;
        let mut for_running = rig.upstream.accept().await;
        for_running.head().await;
        let mut hanging = rig.client_that_sent(get("/hanging")).await;
        let mut for_hanging = rig.upstream.accept().await;
        for_hanging.head().await;

        let ordered = Instant::now();
        rig.order_stop();
        idle.ends().await;
        fresh.ends().await;
        assert_eq!(ordered.elapsed().as_secs(), 0);
        assert!(
            pipeway_transport::connect(&rig.listen, &Default::default()).await.is_err(),
            "a new client was let in"
        );

        advance(seconds(5)).await;
        for_running.send(ok("finished")).await;
        let answer = running.answer().await;
        assert_eq!(answer.text(), "finished");
        assert!(answer.head.closes());
        running.ends().await;
        assert_eq!(ordered.elapsed().as_secs(), 5);

        let said = hanging.until_end().await;
        assert_eq!(ordered.elapsed().as_secs(), 20);
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 503 "), "{said:?}");
        let summary = rig.stopped().await;
        assert_eq!((summary.sessions, summary.cut), (4, 1));
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_bridge_without_sessions_stops_at_once() {
    run_paused(async {
        let mut rig = Rig::start();
        let ordered = Instant::now();
        let summary = rig.stop().await;
        assert_eq!((summary.sessions, summary.cut), (0, 0));
        assert!(ordered.elapsed() < seconds(1));
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_idle_bridge_wakes_for_nothing() {
    run_paused(async {
        let rig = Rig::start();
        let mut client = rig
            .client_that_sent(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
            )
            .await;
        let mut rig = rig;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 101 Up\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").await;
        client.head().await;
        // A year of idleness. A timer of one second would need thirty million wakings, and this
        // test has a minute.
        let year = timeout(seconds(365 * 24 * 3600), client.take(1)).await;
        assert!(year.is_err());
    });
}

#[test]
fn a_large_answer_survives_a_slow_reader() {
    run(async {
        let mut rig = Rig::start();
        let body = pattern(700_000);
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let ((), got) = tokio::join!(
            async {
                upstream.send(head).await;
                upstream.send(&body).await;
                drop(upstream);
            },
            async {
                client.head().await;
                let mut got = Vec::new();
                while got.len() < body.len() {
                    let count = (body.len() - got.len()).min(977);
                    got.extend(client.take(count).await);
                    tokio::task::yield_now().await;
                }
                got
            }
        );
        assert!(got == body);
    });
}
