//! What may pass, and how much of it.

use std::time::Duration;

use pipeway_bridge::Bridge;

use crate::rig::{Rig, get, ok, post, run};

/// Sends a request for `path` past the globs; the status, and what the upstream saw of it.
async fn asks(paths: &[&str], path: &str) -> (u16, Option<String>) {
    let mut rig =
        Rig::with(|config| config.policy.paths = paths.iter().map(ToString::to_string).collect());
    let mut client = rig.client_that_sent(get(path)).await;
    tokio::select! {
        answer = client.answer() => {
            let kind = answer.error_kind();
            let status = answer.head.status();
            let fits = [(403, "not_allowed"), (400, "bad_request")].contains(&(status, &kind));
            assert!(fits, "{status} {kind} for {path}");
            drop(client);
            rig.upstream_saw_nothing().await;
            (status, None)
        }
        mut upstream = rig.upstream.accept() => {
            let head = upstream.head().await;
            upstream.send(ok("")).await;
            (client.answer().await.head.status(), Some(head.first))
        }
    }
}

#[test]
fn a_method_that_is_not_allowed_is_told_which_are() {
    run(async {
        let mut rig = Rig::with(|config| config.policy.methods = vec!["GET".into(), "POST".into()]);
        let mut client = rig.client().await;
        client.send("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.refusal(405, "method_not_allowed").await;
        let mut allowed: Vec<_> =
            answer.head.get("allow").expect("Allow").split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "POST"]);
        // Methods differ by case.
        let mut lower = rig.client_that_sent("get / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        lower.refusal(405, "method_not_allowed").await;
        let mut good = rig.client_that_sent(post("/", "x")).await;
        let mut upstream = rig.upstream.accept().await;
        assert_eq!(upstream.request().await.text(), "x");
        upstream.send(ok("")).await;
        assert_eq!(good.answer().await.head.status(), 200);
    });
}

#[test]
fn a_refused_request_without_a_body_leaves_the_connection_usable_or_closed() {
    run(async {
        let mut rig = Rig::with(|config| config.policy.methods = vec!["GET".into()]);
        let mut client = rig.client_that_sent("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.refusal(405, "method_not_allowed").await;
        if answer.head.closes() {
            client.ends().await;
            return;
        }
        client.send(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(ok("fine")).await;
        assert_eq!(client.answer().await.text(), "fine");
    });
}

#[test]
fn a_refused_requests_body_is_never_a_request() {
    run(async {
        let mut rig = Rig::with(|config| config.policy.methods = vec!["GET".into()]);
        let mut client = rig.client_that_sent(post("/", &get("/smuggled"))).await;
        client.refusal(405, "method_not_allowed").await;
        drop(client);
        rig.upstream_saw_nothing().await;
    });
}

#[test]
fn a_path_that_no_glob_fits_is_refused() {
    run(async {
        let globs = ["/v1/**", "/health"];
        for path in ["/v1/a", "/v1/a/b/c", "/health", "/health?deep=1", "/v1/a?x=/../../etc"] {
            let (status, line) = asks(&globs, path).await;
            assert_eq!((status, line), (200, Some(format!("GET {path} HTTP/1.1"))), "{path}");
        }
        for path in ["/", "/v2/a", "/healthy", "/health/x", "/V1/a", "/admin?/v1/a", "/v1x"] {
            assert_eq!(asks(&globs, path).await, (403, None), "{path}");
        }
    });
}

#[test]
fn a_single_star_stays_within_its_segment() {
    run(async {
        assert_eq!(asks(&["/a/*/c"], "/a/b/c").await.0, 200);
        assert_eq!(asks(&["/a/*/c"], "/a/b/b/c").await.0, 403);
        assert_eq!(asks(&["/a/*"], "/a/b/c").await.0, 403);
    });
}

#[test]
fn paths_are_compared_after_decoding_and_normalising() {
    run(async {
        for path in [
            "/v1/../admin",
            "/v1/%2e%2e/admin",
            "/v1/%2E%2E/admin",
            "/v1/.%2e/admin",
            "/v1/./../admin",
            "/v1//../admin",
            "/v1/%2e/%2e%2e/admin",
            "//admin",
            "/v1/..",
            "/v1/a/../../admin",
        ] {
            let (status, line) = asks(&["/v1/**"], path).await;
            assert!(status == 403 || status == 400, "{path}: {status} {line:?}");
        }
        for path in ["/v1/%61", "/v1/a%20b", "/v1/a/../b", "/v1/./a", "/%76%31/a"] {
            assert_eq!(asks(&["/v1/**"], path).await.0, 200, "{path}");
        }
    });
}

#[test]
fn paths_that_cannot_be_normalised_are_bad_requests() {
    run(async {
        for path in [
            "/v1/%00",
            "/v1/a%00b",
            "/v1/a%2fb",
            "/v1/a%2Fb",
            "/..",
            "/%2e%2e/v1/a",
            "/v1/../../v1/a",
            "/v1/%zz",
            "/v1/%2",
            "/v1/%",
            "/v1/a%5c..%5cb",
        ] {
            let (status, line) = asks(&["/v1/**"], path).await;
            assert_eq!((status, line), (400, None), "{path}");
        }
    });
}

#[test]
fn an_absolute_target_is_held_to_the_same_paths() {
    run(async {
        assert_eq!(asks(&["/v1/**"], "http://a/v1/b").await.0, 200);
        assert_eq!(asks(&["/v1/**"], "http://a/admin").await.0, 403);
        assert_eq!(asks(&["/v1/**"], "http://a").await.0, 403);
    });
}

#[test]
fn a_glob_that_is_none_stops_the_start() {
    run(async {
        let rig = Rig::start();
        let mut config = pipeway_bridge::BridgeConfig::new(
            "bad",
            rig.own_endpoint("bad"),
            rig.own_endpoint("nobody"),
        );
        config.policy.paths = vec!["/v1/[".into()];
        let error = Bridge::bind(config).expect_err("refused").to_string();
        assert!(error.contains("/v1/["), "{error}");
    });
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_sent_on() {
    run(async {
        let mut rig = Rig::with(|config| config.limits.max_body_bytes = Some(10));
        let mut client = rig.client_that_sent(post("/", "0123456789")).await;
        let mut upstream = rig.upstream.accept().await;
        assert_eq!(upstream.request().await.text(), "0123456789");
        upstream.send(ok("")).await;
        assert_eq!(client.answer().await.head.status(), 200);
        drop((client, upstream));
        let mut client = rig.client_that_sent(post("/", "0123456789a")).await;
        client.refusal(413, "body_too_large").await;
        rig.upstream_saw_nothing().await;
    });
}

#[test]
fn a_chunked_body_that_grows_over_the_limit_never_becomes_whole() {
    run(async {
        let mut rig = Rig::with(|config| config.limits.max_body_bytes = Some(10));
        let mut client = rig.client().await;
        client
            .send(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n",
            )
            .await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.expect("8\r\n01234567\r\n").await;
        let _ = client.try_send("8\r\n01234567\r\n0\r\n\r\n").await;
        client.refusal(413, "body_too_large").await;
        let rest = upstream.until_end().await;
        assert!(rest.len() < 10 && !rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
    });
}

#[test]
fn limits_of_the_head_can_be_lowered() {
    run(async {
        let mut rig = Rig::with(|config| {
            config.limits.max_head_bytes = 512;
            config.limits.max_headers = 4;
        });
        let mut client = rig.client_that_sent(get(&format!("/{}", "a".repeat(600)))).await;
        client.refusal(431, "head_too_large").await;
        let mut client = rig
            .client_that_sent("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n")
            .await;
        client.refusal(431, "head_too_large").await;
        rig.upstream_saw_nothing().await;
    });
}

#[test]
fn one_session_more_than_the_limit_waits_for_another_to_end() {
    run(async {
        let mut rig = Rig::with(|config| config.limits.max_sessions = 2);
        let mut one = rig.client_that_sent(get("/1")).await;
        let mut for_one = rig.upstream.accept().await;
        for_one.head().await;
        let _two = rig.client_that_sent(get("/2")).await;
        let mut for_two = rig.upstream.accept().await;
        for_two.head().await;
        let mut three = rig.client_that_sent(get("/3")).await;
        for_one.send(ok("1")).await;
        tokio::select! {
            biased;
            _ = rig.upstream.accept() => panic!("a third session was let in"),
            answer = one.answer() => assert_eq!(answer.text(), "1"),
        }
        drop(one);
        let mut for_three = rig.upstream.accept().await;
        assert_eq!(for_three.head().await.first, "GET /3 HTTP/1.1");
        for_three.send(ok("3")).await;
        assert_eq!(three.answer().await.text(), "3");
    });
}

#[cfg(unix)] // A pipe's client is known by its SID, which the transport's own suite holds.
#[test]
fn one_session_more_than_a_users_share_is_told_to_come_back() {
    run(async {
        let mut rig = Rig::with(|config| config.limits.max_sessions_per_peer = Some(1));
        let mut one = rig.client_that_sent(get("/1")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        let mut two = rig.client().await;
        let _ = two.try_send(get("/2")).await;
        let answer = two.refusal(503, "too_many_sessions").await;
        assert!(answer.head.get("retry-after").is_some());
        two.ends().await;
        upstream.send(ok("1")).await;
        assert_eq!(one.answer().await.text(), "1");
        drop(one);
        upstream.ends().await;
        let mut three = rig.client_that_sent(get("/3")).await;
        rig.upstream.accept().await.send(ok("3")).await;
        assert_eq!(three.answer().await.text(), "3");
    });
}

/// A bridge on a loopback port, which wants a token.
fn on_a_port(change: impl FnOnce(&mut pipeway_bridge::BridgeConfig)) -> Rig {
    Rig::with(|config| {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let token = folder.join("token");
        std::fs::write(&token, "s3cret-s3cret-s3cret-s3cret-s3cret\n").expect("written");
        make_private(&token);
        config.listen = "tcp:127.0.0.1:0".parse().expect("an endpoint");
        config.token_file = Some(token);
        change(config);
    })
}

#[cfg(unix)] // Elsewhere a file in the user's own temporary folder is private already.
fn make_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("set");
}

#[cfg(not(unix))]
fn make_private(_: &std::path::Path) {}

#[test]
fn a_port_without_a_token_does_not_start() {
    run(async {
        let rig = Rig::start();
        let config = pipeway_bridge::BridgeConfig::new(
            "open",
            "tcp:127.0.0.1:0".parse().expect("an endpoint"),
            rig.own_endpoint("nobody"),
        );
        let error = Bridge::bind(config).expect_err("refused").to_string();
        assert!(error.contains("token"), "{error}");
    });
}

#[test]
fn a_port_asks_for_its_token() {
    run(async {
        let mut rig = on_a_port(|_| {});
        for line in [
            "",
            "Authorization: Bearer wrong\r\n",
            "Authorization: s3cret-s3cret-s3cret-s3cret-s3cret\r\n",
            "Authorization: Bearer s3cret-s3cret-s3cret-s3cret-s3cretX\r\n",
            "Authorization: Bearer s3cret-s3cret-s3cret-s3cret-s3cre\r\n",
            "Authorization: Bearer \r\n",
            "Authorization: Basic s3cret-s3cret-s3cret-s3cret-s3cret\r\n",
        ] {
            let mut client = rig
                .client_that_sent(format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{line}\r\n"))
                .await;
            client.refusal(401, "token_required").await;
        }
        let mut client = rig
            .client_that_sent(
                "GET / HTTP/1.1\r\nHost: localhost\r\n\
                 Authorization: Bearer s3cret-s3cret-s3cret-s3cret-s3cret\r\n\r\n",
            )
            .await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(ok("in")).await;
        assert_eq!(client.answer().await.text(), "in");
    });
}

#[test]
fn the_upstream_is_shown_its_token_in_place_of_the_clients() {
    run(async {
        let mut rig = Rig::with(|config| {
            let folder = tempfile::tempdir().expect("a folder").keep();
            let token = folder.join("token");
            std::fs::write(&token, "upstream-upstream-upstream\n").expect("written");
            make_private(&token);
            config.upstream_token_file = Some(token);
        });
        for line in ["", "Authorization: Bearer of-the-client\r\n", "authorization: Basic x\r\n"] {
            let mut client = rig
                .client_that_sent(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{line}\r\n"))
                .await;
            let mut upstream = rig.upstream.accept().await;
            let head = upstream.head().await;
            let shown: Vec<_> = head
                .fields
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(shown, ["Bearer upstream-upstream-upstream"]);
            upstream.send(ok("in")).await;
            assert_eq!(client.answer().await.text(), "in");
        }
    });
}

#[test]
fn an_upstream_token_that_is_none_stops_the_start() {
    run(async {
        let rig = Rig::start();
        let mut config = pipeway_bridge::BridgeConfig::new(
            "tokenless",
            rig.own_endpoint("listen"),
            rig.own_endpoint("nobody"),
        );
        config.upstream_token_file = Some("/nowhere/token".into());
        let error = Bridge::bind(config).expect_err("refused").to_string();
        assert!(error.contains("token_file /nowhere/token can't be read"), "{error}");
    });
}

#[test]
fn a_port_refuses_another_sites_host_and_origin() {
    run(async {
        let mut rig = on_a_port(|_| {});
        let token = "Authorization: Bearer s3cret-s3cret-s3cret-s3cret-s3cret";
        for lines in [
            "Host: evil.example",
            "Host: 127.0.0.1.evil.example",
            "Host: localhost\r\nOrigin: https://evil.example",
            "Host: localhost\r\nOrigin: null",
            "Host: localhost\r\nOrigin: http://localhost.evil.example",
        ] {
            let mut client =
                rig.client_that_sent(format!("GET / HTTP/1.1\r\n{lines}\r\n{token}\r\n\r\n")).await;
            let answer = client.answer().await;
            assert_eq!(
                (answer.head.status(), answer.error_kind().as_str()),
                (403, "not_allowed"),
                "{lines}"
            );
        }
        rig.upstream_saw_nothing().await;
    });
}

#[test]
fn a_second_bridge_on_the_same_endpoint_does_not_start() {
    run(async {
        let rig = Rig::start();
        let started = std::time::Instant::now();
        let config = pipeway_bridge::BridgeConfig::new(
            "second",
            rig.listen.clone(),
            rig.own_endpoint("nobody"),
        );
        let error = Bridge::bind(config).expect_err("refused");
        let pipeway_bridge::BindError::Transport(error) = error else { panic!("{error}") };
        assert_eq!(error.kind(), pipeway_transport::ErrorKind::InUse);
        assert!(started.elapsed() < Duration::from_secs(1));
    });
}
