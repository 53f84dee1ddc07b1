//! What becomes of header fields on their way.

use pipeway_bridge::HostRule;

use crate::rig::{Head, Rig, ok, run};

/// The head that the upstream sees of a GET with these lines.
async fn seen(rig: &mut Rig, lines: &str) -> Head {
    let mut client = rig.client_that_sent(format!("GET / HTTP/1.1\r\n{lines}\r\n")).await;
    let mut upstream = rig.upstream.accept().await;
    let head = upstream.head().await;
    upstream.send(ok("")).await;
    assert_eq!(client.answer().await.head.status(), 200);
    head
}

/// The head that the client sees of an answer with these lines.
async fn shown(lines: &str) -> Head {
    let mut rig = Rig::start();
    let mut client = rig.client_that_sent("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut upstream = rig.upstream.accept().await;
    upstream.head().await;
    upstream.send(format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n")).await;
    client.answer().await.head
}

#[test]
fn hop_by_hop_fields_of_a_request_are_removed() {
    run(async {
        let head = seen(
            &mut Rig::start(),
            "Host: a\r\nKeep-Alive: 5\r\nProxy-Connection: keep-alive\r\nTE: trailers, gzip;q=0.5\r\n\
             Proxy-Authorization: Basic eA==\r\nX-Kept: yes\r\n",
        )
        .await;
        for name in ["keep-alive", "proxy-connection", "proxy-authorization", "upgrade"] {
            assert_eq!(head.get(name), None, "{name}");
        }
        // The bridge itself understands trailers, and nothing else.
        assert!([None, Some("trailers")].contains(&head.get("te")));
        assert_eq!(head.get("x-kept"), Some("yes"));
        assert!(!head.closes());
    });
}

#[test]
fn fields_that_connection_names_are_removed_from_a_request() {
    run(async {
        let head = seen(
            &mut Rig::start(),
            "Host: a\r\nX-Hop: 1\r\nConnection: keep-alive, x-hop\r\nconnection: X-OTHER\r\n\
             X-Other: 2\r\nX-Kept: yes\r\n",
        )
        .await;
        assert_eq!((head.get("x-hop"), head.get("x-other")), (None, None));
        assert_eq!(head.get("x-kept"), Some("yes"));
    });
}

#[test]
fn connection_cannot_name_away_what_the_bridge_or_the_framing_needs() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig
            .client_that_sent(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\
                 Connection: content-length, host, transfer-encoding\r\n\r\nbody",
            )
            .await;
        tokio::select! {
            answer = client.answer() => assert_eq!(answer.head.status(), 400),
            mut upstream = rig.upstream.accept() => {
                let request = upstream.request().await;
                assert_eq!((request.text(), request.head.get("host")), ("body", Some("localhost")));
            }
        }
    });
}

#[test]
fn hop_by_hop_fields_of_an_answer_are_removed() {
    run(async {
        let head = shown(
            "Connection: close, x-hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\n\
             Proxy-Connection: close\r\nX-Kept: yes\r\nUpgrade: h2c\r\n",
        )
        .await;
        for name in ["keep-alive", "x-hop", "proxy-connection", "upgrade"] {
            assert_eq!(head.get(name), None, "{name}");
        }
        assert_eq!(head.get("x-kept"), Some("yes"));
        assert!(!head.closes());
    });
}

#[test]
fn the_upstream_sees_localhost_as_host() {
    run(async {
        let head = seen(&mut Rig::start(), "Host: %2F%2F.%2Fpipe%2Fname\r\n").await;
        assert_eq!(head.get("host"), Some("localhost"));
    });
}

#[test]
fn an_empty_host_is_taken() {
    run(async {
        let head = seen(&mut Rig::start(), "Host:\r\n").await;
        assert_eq!(head.get("host"), Some("localhost"));
    });
}

#[test]
fn the_clients_host_is_kept_where_the_policy_says_so() {
    run(async {
        let mut rig = Rig::with(|config| config.policy.host = HostRule::Preserve);
        let head = seen(&mut rig, "Host: Example.org:81\r\n").await;
        assert_eq!(head.get("host"), Some("Example.org:81"));
    });
}

#[test]
fn a_host_that_is_no_name_is_not_passed_on() {
    run(async {
        let mut rig = Rig::with(|config| config.policy.host = HostRule::Preserve);
        for host in ["/var/run/docker.sock", "a b", "user@a", "a/b", ""] {
            let head = seen(&mut rig, &format!("Host: {host}\r\n")).await;
            assert_eq!(head.get("host"), Some("localhost"), "{host}");
        }
    });
}

#[test]
fn a_fixed_host_replaces_the_clients() {
    run(async {
        let mut rig =
            Rig::with(|config| config.policy.host = HostRule::Fixed("api.internal:8080".into()));
        let head = seen(&mut rig, "Host: example.org\r\n").await;
        assert_eq!(head.get("host"), Some("api.internal:8080"));
    });
}

#[test]
fn a_clients_word_on_who_it_forwards_for_does_not_pass() {
    run(async {
        let head = seen(
            &mut Rig::start(),
            "Host: a\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\n\
             X-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nx-forwarded-port: 66\r\n\
             X-Forwarded-Prefix: /evil\r\n",
        )
        .await;
        let all = format!("{:?}", head.fields);
        assert!(!all.contains("6.6.6.6") && !all.contains("evil"), "{all}");
        assert_eq!(head.get("x-forwarded-port"), None);
        assert_ne!(head.get("x-forwarded-proto"), Some("https"));
    });
}

#[test]
fn other_fields_keep_their_order_their_case_and_their_bytes() {
    run(async {
        let mut rig = Rig::start();
        let own = "X-b: 1\r\nx-A: 2\r\nX-b: 3\r\nCookie: a=1; b=2\r\nACCEPT: */*\r\n\
                   Authorization: Bearer t\r\nX-Empty:\r\nX-Quote: \"a, b\"\r\nX-Tab: a\tb\r\n";
        let head = seen(&mut rig, &format!("Host: a\r\n{own}")).await;
        let added = ["host", "traceparent", "forwarded", "x-forwarded-for"];
        let passed: String = (head.fields.iter())
            .filter(|(name, _)| !added.contains(&name.to_ascii_lowercase().as_str()))
            .map(|(name, value)| format!("{name}: {value}\r\n").replace(": \r\n", ":\r\n"))
            .collect();
        assert_eq!(passed, own);

        let own = "Set-Cookie: a=1\r\nSERVER: x\r\nset-cookie: b=2\r\nDate: today\r\n";
        let head = shown(own).await;
        let passed: String = (head.fields.iter())
            .filter(|(name, _)| name != "Content-Length")
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        assert_eq!(passed, own);
    });
}

#[test]
fn bytes_above_ascii_in_a_value_pass_unchanged() {
    run(async {
        let mut rig = Rig::start();
        let mut client =
            rig.client_that_sent(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: \xe4\xf6\xff\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.extend(upstream.take(1).await);
        }
        assert!(bytes.windows(3).any(|window| window == b"\xe4\xf6\xff"));
        upstream.send(ok("")).await;
        assert_eq!(client.answer().await.head.status(), 200);
    });
}

#[test]
fn a_trace_is_passed_on_with_a_span_of_the_bridges_own() {
    run(async {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let mut rig = Rig::start();
        let lines = format!(
            "Host: a\r\nTraceParent: 00-{trace}-00f067aa0ba902b7-01\r\n\
             tracestate: congo=t61rcWkgMzE\r\n"
        );
        let head = seen(&mut rig, &lines).await;
        let parent = head.get("traceparent").expect("a traceparent");
        let parts: Vec<_> = parent.split('-').collect();
        assert_eq!((parts[0], parts[1], parts[3]), ("00", trace, "01"));
        assert_eq!(parts[2].len(), 16);
        assert_ne!(parts[2], "00f067aa0ba902b7");
        assert_eq!(head.get("tracestate"), Some("congo=t61rcWkgMzE"));
        let event = rig.event("request").await;
        assert_eq!((&event["trace_id"], &event["span_id"]), (&trace.into(), &parts[2].into()));
    });
}

#[test]
fn a_trace_is_made_where_there_is_none_or_no_valid_one() {
    run(async {
        let mut rig = Rig::start();
        let mut traces = Vec::new();
        for lines in [
            "Host: a\r\n",
            "Host: a\r\ntraceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n",
            "Host: a\r\ntraceparent: nonsense\r\n",
            "Host: a\r\ntraceparent: ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        ] {
            let head = seen(&mut rig, lines).await;
            let parent = head.get("traceparent").expect("a traceparent").to_owned();
            let parts: Vec<_> = parent.split('-').collect();
            assert_eq!((parts[0], parts[1].len(), parts[2].len()), ("00", 32, 16), "{parent}");
            assert!(parts[1].bytes().any(|byte| byte != b'0'));
            assert_ne!(parts[1], "4bf92f3577b34da6a3ce929d0e0e4736");
            traces.push(parts[1].to_owned());
        }
        traces.sort();
        traces.dedup();
        assert_eq!(traces.len(), 4);
    });
}

#[test]
fn an_upgrade_that_the_policy_does_not_know_is_passed_without_it() {
    run(async {
        let mut rig = Rig::with(|config| config.policy.upgrades = vec!["websocket".into()]);
        let head =
            seen(&mut rig, "Host: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nX-A: b\r\n").await;
        assert_eq!((head.get("upgrade"), head.get("connection")), (None, None));
        assert_eq!(head.get("x-a"), Some("b"));
    });
}

#[test]
fn an_upgrade_to_h2c_is_not_passed_by_default() {
    run(async {
        let head = seen(
            &mut Rig::start(),
            "Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        )
        .await;
        for name in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(head.get(name), None, "{name}");
        }
    });
}
