//! Heads and bodies that two readers could read in two ways: refused before the upstream sees
//! anything of them.

use std::time::Duration;

use crate::rig::{Rig, get, ok, run, run_paused};

/// A head, and what it must be answered: the status and the kind.
type Case<'a> = (&'a [u8], u16, &'a str);

/// Fails unless each head is refused as its case says, the connection is closed, and the
/// upstream saw nothing.
fn refused(cases: &[Case<'_>]) {
    run(async {
        for (bytes, status, kind) in cases {
            let mut rig = Rig::start();
            let mut client = rig.client().await;
            // A request that would be served if the bytes before it were read otherwise.
            let _ = client.try_send(bytes).await;
            let _ = client.try_send(get("/smuggled")).await;
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
            let answer = client.answer_or_cut().await.expect("whole");
            assert_eq!(
                (answer.head.status(), answer.error_kind().as_str()),
                (*status, *kind),
                "{shown:?}"
            );
            assert!(answer.head.closes(), "{shown:?}");
            client.ends_after_refusal().await;
            drop(client);
            rig.upstream_saw_nothing().await;
        }
    });
}

#[test]
fn two_framings_in_one_head_are_refused() {
    refused(&[
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\ntransfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\nContent-Length: 4\r\n\r\nabcd", 501, "not_implemented"),
    ]);
}

#[test]
fn differing_or_unreadable_lengths_are_refused() {
    let differing: &[u8] =
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde";
    refused(&[(differing, 400, "bad_request")]);
    for value in [
        "+4",
        "-4",
        "4 4",
        "4, 5",
        "4,",
        "0x4",
        "",
        "4.0",
        "four",
        "4\t4",
        "18446744073709551616",
        "99999999999999999999999",
        "4;a",
        "\"4\"",
        "4_0",
        "\u{661}",
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\nabcd");
        refused(&[(head.as_bytes(), 400, "bad_request")]);
    }
}

#[test]
fn equal_lengths_said_twice_are_refused_or_made_one() {
    run(async {
        for twice in ["Content-Length: 4\r\nContent-Length: 4", "Content-Length: 4, 4"] {
            let mut rig = Rig::start();
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{twice}\r\n\r\nabcd");
            let mut client = rig.client_that_sent(head).await;
            tokio::select! {
                answer = client.answer() => {
                    assert_eq!(answer.head.status(), 400);
                    drop(client);
            rig.upstream_saw_nothing().await;
                }
                mut upstream = rig.upstream.accept() => {
                    // The rig reads no message that says its length twice.
                    assert_eq!(upstream.request().await.text(), "abcd");
                }
            }
        }
    });
}

#[test]
fn a_transfer_coding_other_than_chunked_is_refused() {
    for (value, status, kind) in [
        ("gzip", 501, "not_implemented"),
        ("gzip, chunked", 501, "not_implemented"),
        ("chunked, chunked", 400, "bad_request"),
        ("chunked, gzip", 400, "bad_request"),
        ("identity", 501, "not_implemented"),
        ("xchunked", 501, "not_implemented"),
        ("\u{b}chunked", 400, "bad_request"),
        ("\"chunked\"", 501, "not_implemented"),
        ("chunked;q=1", 501, "not_implemented"),
    ] {
        let head =
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n0\r\n\r\n");
        coding_refused(&head, status, kind);
    }
    let twice = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n";
    coding_refused(twice, 400, "bad_request");
    let old = "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    coding_refused(old, 400, "bad_request");
}

/// As [`refused`], but 400 and 501 are as good as each other: both are said before anything is
/// sent on.
fn coding_refused(head: &str, status: u16, kind: &str) {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        let _ = client.try_send(head).await;
        let _ = client.try_send(get("/smuggled")).await;
        let answer = client.answer().await;
        let got = (answer.head.status(), answer.error_kind());
        let either = [(400, "bad_request".to_owned()), (501, "not_implemented".to_owned())];
        assert!(got == (status, kind.to_owned()) || either.contains(&got), "{got:?} for {head:?}");
        client.ends_after_refusal().await;
        drop(client);
        rig.upstream_saw_nothing().await;
    });
}

#[test]
fn heads_that_break_the_grammar_are_refused() {
    refused(&[
        // A folded line.
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\tc\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "bad_request"),
        // A bare CR, in a value, in a name and in the first line.
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\r-A: b\r\n\r\n", 400, "bad_request"),
        (b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        // NUL and other controls.
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\0c\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x01c\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x7fc\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\0A: b\r\n\r\n", 400, "bad_request"),
        (b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        // A name with a space before its colon, without a name, without a colon.
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A : b\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 4\r\n\r\nabcd", 400, "bad_request"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
            400,
            "bad_request",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX(A): b\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\xc3\xa4: b\r\n\r\n", 400, "bad_request"),
        // The first line.
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"GET HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad_request"),
    ]);
}

#[test]
fn a_missing_or_repeated_host_is_refused() {
    refused(&[
        (b"GET / HTTP/1.1\r\nX-A: b\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", 400, "bad_request"),
    ]);
}

#[test]
fn other_versions_are_refused() {
    run(async {
        for line in [
            "GET / HTTP/2.0",
            "GET /a b HTTP/1.1",
            "GET / HTTP/0.9",
            "GET / HTTP/3",
            "GET / HTTP/1",
            "GET / HTTP/1.10",
            "GET / http/1.1",
            "GET / HTTPS/1.1",
            "GET / HTTP/11",
            "GET / ICY/1.1",
            "GET /",
            "PRI * HTTP/2.0\r\n\r\nSM",
        ] {
            let mut rig = Rig::start();
            let mut client = rig.client().await;
            let _ = client.try_send(format!("{line}\r\nHost: a\r\n\r\n")).await;
            let answer = client.answer().await;
            let got = (answer.head.status(), answer.error_kind());
            assert!(
                got == (505, "http_version".to_owned()) || got == (400, "bad_request".to_owned()),
                "{got:?} for {line:?}"
            );
            assert!(!line.contains("HTTP/2.0") || got.0 == 505, "{line:?}");
            client.ends_after_refusal().await;
            drop(client);
            rig.upstream_saw_nothing().await;
        }
    });
}

#[test]
fn heads_over_the_limits_are_refused() {
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(70_000));
    let long_value = format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n", "a".repeat(70_000));
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}", "a".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: b\r\n".repeat(130));
    for head in [long_target, long_value, endless, many] {
        run(async {
            let mut rig = Rig::start();
            let mut client = rig.client().await;
            let _ = client.try_send(&head).await;
            client.refusal(431, "head_too_large").await;
            client.ends_after_refusal().await;
            drop(client);
            rig.upstream_saw_nothing().await;
        });
    }
}

#[test]
fn a_head_within_the_limits_passes() {
    run(async {
        let mut rig = Rig::start();
        // With Host that makes 128.
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X-A: b\r\n".repeat(127));
        let mut client = rig.client_that_sent(head).await;
        let mut upstream = rig.upstream.accept().await;
        assert_eq!(upstream.head().await.all("x-a").len(), 127);
        upstream.send(ok("")).await;
        assert_eq!(client.answer().await.head.status(), 200);
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n", "a".repeat(60_000));
        client.send(head).await;
        assert_eq!(upstream.head().await.get("x-a").map(str::len), Some(60_000));
    });
}

#[test]
fn lines_that_end_in_a_bare_lf_are_refused_or_rewritten() {
    run(async {
        for head in [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\n\r\n",
        ] {
            let mut rig = Rig::start();
            let mut client = rig.client_that_sent(head).await;
            tokio::select! {
                answer = client.answer() => {
                    assert_eq!(answer.head.status(), 400);
                    drop(client);
            rig.upstream_saw_nothing().await;
                }
                mut upstream = rig.upstream.accept() => {
                    // The rig's reading of a head ends at CR LF CR LF.
                    assert_eq!(upstream.head().await.first, "GET / HTTP/1.1");
                }
            }
        }
    });
}

#[test]
fn connect_is_refused() {
    refused(&[(
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
        501,
        "not_implemented",
    )]);
}

#[test]
fn a_body_that_breaks_its_chunks_never_becomes_a_whole_request() {
    let long_extension = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(100_000));
    for body in [
        "G\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        ";a=b\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a\0b\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX A: b\r\n\r\n",
        "5\r\nhello\r\n0\r\nX-A : b\r\n\r\n",
        "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n",
        "5\r\nhello\r\n0\r\nX-A: b\rc\r\n\r\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        &long_extension,
    ] {
        run(async {
            let mut rig = Rig::start();
            let mut client = rig.client().await;
            client
                .send("POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            let mut upstream = rig.upstream.accept().await;
            upstream.head().await;
            let _ = client.try_send(format!("{body}{}", get("/smuggled"))).await;
            let shown = &body[..body.len().min(80)];
            let answer = client.answer().await;
            assert_eq!(
                (answer.head.status(), answer.error_kind().as_str()),
                (400, "bad_request"),
                "{shown:?}"
            );
            client.ends_after_refusal().await;
            let seen = String::from_utf8_lossy(&upstream.until_end().await).into_owned();
            assert!(!seen.contains("0\r\n"), "{shown:?} was ended for the upstream: {seen:?}");
            assert!(!seen.contains("smuggled"), "{shown:?}: {seen:?}");
            drop(client);
            rig.upstream_saw_nothing().await;
        });
    }
}

#[test]
fn bytes_behind_a_body_of_known_length_are_the_next_request_and_nothing_else() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig
            .client_that_sent(
                "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodyGET /2 HTTP/1.1\r\nHost: a\r\n\r\njunk\r\n\r\n",
            )
            .await;
        let mut upstream = rig.upstream.accept().await;
        assert_eq!(upstream.request().await.text(), "body");
        upstream.send(ok("1")).await;
        assert_eq!(client.answer().await.text(), "1");
        assert_eq!(upstream.request().await.head.first, "GET /2 HTTP/1.1");
        upstream.send(ok("2")).await;
        assert_eq!(client.answer().await.text(), "2");
        client.refusal(400, "bad_request").await;
        client.ends_after_refusal().await;
        upstream.ends().await;
    });
}

#[test]
fn answers_that_break_the_protocol_are_told_from_good_ones() {
    let long = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "a".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: b\r\n".repeat(130));
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\rc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\0c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 Odd\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "hello\r\n\r\n",
        &long,
        &many,
    ] {
        run(async {
            let mut rig = Rig::start();
            let mut client = rig.client_that_sent(get("/")).await;
            let mut upstream = rig.upstream.accept().await;
            upstream.head().await;
            let _ = upstream.try_send(answer).await;
            let shown = &answer[..answer.len().min(80)];
            let got = client.answer().await;
            assert_eq!(
                (got.head.status(), got.error_kind().as_str()),
                (502, "upstream_protocol"),
                "{shown:?}"
            );
            upstream.ends().await;
        });
    }
}

#[test]
fn a_101_that_nobody_asked_for_is_refused() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n")
            .await;
        client.refusal(502, "upstream_protocol").await;
        upstream.ends().await;
    });
}

#[test]
fn bytes_behind_an_answer_are_never_the_next_answer() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/1")).await;
        let mut first = rig.upstream.accept().await;
        first.head().await;
        first.send(format!("{}{}", ok("one"), ok("poison"))).await;
        assert_eq!(client.answer().await.text(), "one");
        client.send(get("/2")).await;
        let mut second = rig.upstream.accept().await;
        assert_eq!(second.head().await.first, "GET /2 HTTP/1.1");
        second.send(ok("two")).await;
        assert_eq!(client.answer().await.text(), "two");
        first.ends().await;
    });
}

#[test]
fn bytes_that_an_idle_upstream_sends_are_never_the_next_answer() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/1")).await;
        let mut first = rig.upstream.accept().await;
        first.head().await;
        first.send(ok("one")).await;
        assert_eq!(client.answer().await.text(), "one");
        first.send("HTTP/1.1 408 Request Timeout\r\nContent-Length: 6\r\n\r\npoison").await;
        client.send(get("/2")).await;
        let mut second = rig.upstream.accept().await;
        assert_eq!(second.head().await.first, "GET /2 HTTP/1.1");
        second.send(ok("two")).await;
        assert_eq!(client.answer().await.text(), "two");
    });
}

#[test]
fn an_answer_whose_chunks_break_is_cut() {
    for body in ["5\r\nhelloX\r\n0\r\n\r\n", "5\r\nhello\r\nZ\r\n", "5\r\nhello\r\n-1\r\n\r\n"] {
        run(async {
            let mut rig = Rig::start();
            let mut client = rig.client_that_sent(get("/")).await;
            let mut upstream = rig.upstream.accept().await;
            upstream.head().await;
            upstream
                .send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"))
                .await;
            // Where the head was still held back, the truth can be told.
            match client.answer_or_cut().await {
                Ok(answer) => assert_eq!(answer.error_kind(), "upstream_protocol"),
                Err(cut) => {
                    assert!(b"hello".starts_with(&cut.0[..cut.0.len().min(5)]));
                    client.ends_after_refusal().await;
                }
            }
            upstream.ends().await;
        });
    }
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn what_an_upstream_did_not_take_of_a_body_is_never_the_next_request() {
    run_paused(async {
        // Of which sizes the last piece stands in the bridge, read and not sent, is the kernel's
        // buffers' business; among these there are some.
        for size in (100..420).step_by(10).map(|kibibytes| kibibytes * 1024) {
            let mut rig = Rig::with(|config| config.timeouts.body_idle = Duration::from_secs(5));
            let mut client = rig.client().await;
            let mut body = get("/smuggled").repeat(size / get("/smuggled").len() + 1);
            body.truncate(size);
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
            client.send(head + &body).await;
            let _upstream_that_never_reads = rig.upstream.accept().await;
            let said = String::from_utf8(client.until_end().await).unwrap();
            assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{size}: {said}");
            assert!(said.starts_with("HTTP/1.1 504 "), "{size}: {said}");
        }
    });
}
