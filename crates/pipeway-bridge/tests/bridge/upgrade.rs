//! Connections that stop being HTTP.

use std::time::Duration;

use tokio::time::Instant;

use crate::rig::{Rig, Wire, get, ok, pattern, run, run_paused};

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\
    Connection: keep-alive, Upgrade\r\nsec-websocket-KEY: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
    Origin: http://example.org\r\n\r\n";

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
    Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

/// A client and an upstream that have done the handshake.
async fn upgraded(rig: &mut Rig) -> (Wire, Wire) {
    let mut client = rig.client_that_sent(HANDSHAKE).await;
    let mut upstream = rig.upstream.accept().await;
    upstream.head().await;
    upstream.send(SWITCHING).await;
    assert_eq!(client.head().await.status(), 101);
    (client, upstream)
}

#[test]
fn the_handshake_passes_untouched() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(HANDSHAKE).await;
        let mut upstream = rig.upstream.accept().await;
        let head = upstream.head().await;
        assert_eq!(head.first, "GET /chat HTTP/1.1");
        assert_eq!(head.get("upgrade"), Some("WebSocket"));
        assert_eq!(head.get("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
        for (name, value) in [
            ("sec-websocket-KEY", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Protocol", "chat, superchat"),
            ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
            ("Origin", "http://example.org"),
        ] {
            assert!(
                head.fields.contains(&(name.to_owned(), value.to_owned())),
                "{name} in {:?}",
                head.fields
            );
        }
        upstream.send(SWITCHING).await;
        let head = client.head().await;
        assert_eq!(head.first, "HTTP/1.1 101 Switching Protocols");
        assert_eq!(head.get("upgrade"), Some("websocket"));
        assert_eq!(head.get("connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
        for (name, value) in [
            ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("Sec-WebSocket-Protocol", "chat"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ] {
            assert_eq!(head.get(name), Some(value));
        }
    });
}

#[test]
fn bytes_flow_both_ways_after_the_handshake() {
    run(async {
        let mut rig = Rig::start();
        let (mut client, mut upstream) = upgraded(&mut rig).await;
        for round in 0..10 {
            client.send(format!("\x01\u{5}up {round}")).await;
            upstream.expect(&format!("\x01\u{5}up {round}")).await;
            upstream.send(format!("down {round}")).await;
            client.expect(&format!("down {round}")).await;
        }
    });
}

#[test]
fn bytes_in_one_write_with_the_101_are_kept() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(HANDSHAKE).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(format!("{SWITCHING}welcome")).await;
        client.head().await;
        client.expect("welcome").await;
    });
}

#[test]
fn bytes_in_one_write_with_the_request_are_kept() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(format!("{HANDSHAKE}eager")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(SWITCHING).await;
        client.head().await;
        upstream.expect("eager").await;
        client.send(" and more").await;
        upstream.expect(" and more").await;
    });
}

#[test]
fn an_eager_client_that_was_not_upgraded_is_read_as_http() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(format!("{HANDSHAKE}{}", get("/2"))).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(ok("no")).await;
        let answer = client.answer().await;
        assert_eq!(answer.text(), "no");
        if answer.head.closes() {
            client.ends().await;
        } else {
            assert_eq!(upstream.head().await.first, "GET /2 HTTP/1.1");
        }
    });
}

#[test]
fn an_upgrade_that_the_upstream_declines_is_an_ordinary_answer() {
    for status in ["200 OK", "403 Forbidden", "426 Upgrade Required"] {
        run(async {
            let mut rig = Rig::start();
            let mut client = rig.client_that_sent(HANDSHAKE).await;
            let mut upstream = rig.upstream.accept().await;
            upstream.head().await;
            upstream.send(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno")).await;
            let answer = client.answer().await;
            assert_eq!(
                (answer.head.first.as_str(), answer.text()),
                (&*format!("HTTP/1.1 {status}"), "no")
            );
        });
    }
}

#[test]
fn a_docker_stream_is_upgraded_after_its_body() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig
            .client_that_sent(
                "POST /v1.43/exec/1/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\n\
                 Upgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
            )
            .await;
        let mut upstream = rig.upstream.accept().await;
        let request = upstream.request().await;
        assert_eq!((request.text(), request.head.get("upgrade")), ("{}", Some("tcp")));
        upstream
            .send(
                "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
                 Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nprompt$ ",
            )
            .await;
        let head = client.head().await;
        assert_eq!(head.first, "HTTP/1.1 101 UPGRADED");
        assert_eq!(head.get("upgrade"), Some("tcp"));
        client.expect("prompt$ ").await;
        client.send("ls\n").await;
        upstream.expect("ls\n").await;
    });
}

/// As the Docker API uses it, where each half ends by itself.
async fn docker(rig: &mut Rig) -> (Wire, Wire) {
    let mut client = rig
        .client_that_sent(
            "POST /attach HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
        )
        .await;
    let mut upstream = rig.upstream.accept().await;
    upstream.head().await;
    upstream.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").await;
    assert_eq!(client.head().await.status(), 101);
    (client, upstream)
}

#[test]
fn the_clients_end_of_input_reaches_the_upstream_and_the_rest_comes_back() {
    run(async {
        let mut rig = Rig::start();
        let (mut client, mut upstream) = docker(&mut rig).await;
        if !client.stream().can_half_close() {
            return;
        }
        client.send("input").await;
        client.end_sending().await;
        assert_eq!(upstream.until_end().await, b"input");
        upstream.send("sorted output").await;
        client.expect("sorted output").await;
        drop(upstream);
        client.ends().await;
    });
}

#[test]
fn the_upstreams_end_of_output_reaches_the_client_and_input_goes_on() {
    run(async {
        let mut rig = Rig::start();
        let (mut client, mut upstream) = docker(&mut rig).await;
        if !upstream.stream().can_half_close() || !client.stream().can_half_close() {
            return;
        }
        upstream.send("output").await;
        upstream.end_sending().await;
        assert_eq!(client.until_end().await, b"output");
        client.send("more input").await;
        upstream.expect("more input").await;
        drop(client);
        upstream.ends().await;
    });
}

#[test]
fn the_tail_before_a_close_is_not_lost() {
    run(async {
        let mut rig = Rig::start();
        let tail = pattern(1024 * 1024);
        let (mut client, mut upstream) = upgraded(&mut rig).await;
        let (got, ()) = tokio::join!(client.until_end(), async move {
            upstream.send(&tail).await;
            drop(upstream);
        });
        assert!(got == pattern(1024 * 1024), "{} bytes", got.len());
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_half_closed_session_that_falls_silent_ends() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.half_close_idle = Duration::from_secs(7));
        let (mut client, mut upstream) = docker(&mut rig).await;
        if !client.stream().can_half_close() {
            return;
        }
        client.end_sending().await;
        upstream.ends().await;
        // Progress sets the clock back.
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(5)).await;
            upstream.send("tick").await;
            client.expect("tick").await;
        }
        let silent = Instant::now();
        client.ends().await;
        assert_eq!(silent.elapsed().as_secs(), 7);
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_websocket_whose_upstream_dies_is_closed_at_once() {
    run_paused(async {
        let mut rig = Rig::start();
        let (mut client, upstream) = upgraded(&mut rig).await;
        let died = Instant::now();
        drop(upstream);
        client.ends().await;
        assert!(died.elapsed() < Duration::from_secs(2));
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_upstream_whose_client_dies_is_closed_at_once() {
    run_paused(async {
        let mut rig = Rig::start();
        let (client, mut upstream) = upgraded(&mut rig).await;
        let died = Instant::now();
        drop(client);
        upstream.ends().await;
        assert!(died.elapsed() < Duration::from_secs(2));
        assert_eq!(rig.event("session").await["event"], "session");
        assert!(died.elapsed() < Duration::from_secs(2));
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_idle_upgraded_session_lives_on() {
    run_paused(async {
        let mut rig = Rig::start();
        let (mut client, mut upstream) = upgraded(&mut rig).await;
        tokio::time::advance(Duration::from_secs(7 * 24 * 3600)).await;
        client.send("still").await;
        upstream.expect("still").await;
        upstream.send("here").await;
        client.expect("here").await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_idle_upgraded_session_ends_where_the_configuration_says_so() {
    run_paused(async {
        let mut rig =
            Rig::with(|config| config.timeouts.upgrade_idle = Some(Duration::from_secs(30)));
        let (mut client, mut upstream) = upgraded(&mut rig).await;
        tokio::time::advance(Duration::from_secs(20)).await;
        client.send("x").await;
        upstream.expect("x").await;
        let silent = Instant::now();
        client.ends().await;
        upstream.ends().await;
        assert_eq!(silent.elapsed().as_secs(), 30);
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_upgraded_session_is_cut_at_the_drain_deadline() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.drain = Duration::from_secs(9));
        let (mut client, mut upstream) = upgraded(&mut rig).await;
        let ordered = Instant::now();
        rig.order_stop();
        client.send("last words").await;
        upstream.expect("last words").await;
        client.ends().await;
        upstream.ends().await;
        assert_eq!(ordered.elapsed().as_secs(), 9);
        let summary = rig.stopped().await;
        assert_eq!((summary.sessions, summary.cut), (1, 1));
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_upgraded_client_that_does_not_read_holds_its_upstream_back() {
    run_paused(async {
        let mut rig = Rig::start();
        let (_client, mut upstream) = upgraded(&mut rig).await;
        let piece = vec![b'x'; 64 * 1024];
        let mut sent = 0;
        // With the clock standing still, a second passes only when nobody can go on.
        while tokio::time::timeout(Duration::from_secs(1), upstream.try_send(&piece)).await.is_ok()
        {
            sent += piece.len();
            assert!(sent < 4 * 1024 * 1024, "{sent} bytes and no end");
        }
    });
}

#[test]
fn an_upgrade_is_not_made_on_a_connection_of_http_1_0() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig
            .client_that_sent("GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await;
        tokio::select! {
            head = client.head() => assert_eq!(head.status(), 400),
            mut upstream = rig.upstream.accept() => {
                assert_eq!(upstream.head().await.get("upgrade"), None);
            }
        }
    });
}

#[test]
fn megabytes_both_ways_at_once_do_not_lock_up() {
    run(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let mut rig = Rig::start();
        let (client, upstream) = upgraded(&mut rig).await;
        let sent = pattern(3_000_000);
        let transfer = async |stream: pipeway_transport::Stream| {
            let (mut reads, mut writes) = tokio::io::split(stream);
            let mut got = vec![0; sent.len()];
            let (read, written) = tokio::join!(reads.read_exact(&mut got), writes.write_all(&sent));
            read.expect("read");
            written.expect("written");
            // Neither closes before the other has everything.
            (got == sent, reads, writes)
        };
        let (up, down) =
            tokio::join!(transfer(client.into_stream()), transfer(upstream.into_stream()));
        assert!(up.0 && down.0);
    });
}

#[test]
fn a_switch_before_the_requests_end_is_refused() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig
            .client_that_sent(
                "POST /attach HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
                 Content-Length: 10\r\n\r\n01234",
            )
            .await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.expect("01234").await;
        upstream.send("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").await;
        client.refusal(502, "upstream_protocol").await;
    });
}
