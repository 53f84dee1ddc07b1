//! What a raw bridge refuses to start with.

use pipeway_bridge::{BridgeConfig, HostRule, Protocol};
use pipeway_transport::{Endpoint, HalfClose};

fn endpoint(text: &str) -> Endpoint {
    text.parse().expect("an endpoint")
}

/// What is wrong with a raw bridge whose configuration `change` has gone over.
fn refused(change: impl FnOnce(&mut BridgeConfig)) -> String {
    let mut config = BridgeConfig::new("a", endpoint("local:a"), endpoint("tcp:127.0.0.1:9"));
    config.protocol = Protocol::Raw;
    config.check().expect("a raw bridge with every default is sound");
    change(&mut config);
    config.check().expect_err("refused").to_string()
}

#[test]
fn a_rule_that_nothing_would_keep_is_refused() {
    type Change = fn(&mut BridgeConfig);
    let rules: [(&str, Change); 7] = [
        ("methods", |config| config.policy.methods = vec!["GET".into()]),
        ("paths", |config| config.policy.paths = vec!["/v1/**".into()]),
        ("upgrades", |config| config.policy.upgrades = vec!["websocket".into()]),
        ("host", |config| config.policy.host = HostRule::Preserve),
        ("token_file", |config| config.token_file = Some("token".into())),
        ("to_token_file", |config| config.upstream_token_file = Some("token".into())),
        ("limits.max_body_size", |config| config.limits.max_body_bytes = Some(1)),
    ];
    for (name, rule) in rules {
        let message = refused(rule);
        assert!(message.starts_with(&format!("{name} is for HTTP")), "{message}");
    }
}

#[test]
fn a_raw_bridge_does_not_listen_on_a_port() {
    let message = refused(|config| config.listen = endpoint("tcp:127.0.0.1:0"));
    assert!(message.contains("raw bytes have no place for a token"), "{message}");
}

#[test]
fn a_half_close_by_message_is_for_a_pipe() {
    let message = refused(|config| {
        config.half_close = HalfClose::Message;
        config.listen = endpoint("unix:/tmp/a.sock");
    });
    assert!(message.contains("for listening on a named pipe"), "{message}");
}

#[test]
fn a_half_close_is_for_raw_bytes() {
    let message = refused(|config| {
        config.protocol = Protocol::Http;
        config.half_close = HalfClose::None;
    });
    assert!(message.contains("is for protocol = \"raw\""), "{message}");
}
