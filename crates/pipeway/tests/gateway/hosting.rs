//! An agent of `@microsoft/agents-hosting` behind the gateway.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Room, Running};
use crate::platform::{ORIGIN, Platform, activity, run};

/// Where the scripts of `interop/` are.
fn scripts() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop")
}

/// Starts the agent; where it listens. `None` where it is not installed, which it says.
fn agent(listen: &[&str]) -> Option<(String, Running)> {
    let package = scripts().join("node_modules/@microsoft/agents-hosting/package.json");
    if !package.is_file() {
        assert!(
            std::env::var_os("PIPEWAY_REQUIRE_INTEROP").is_none_or(|set| set != "1"),
            "npm ci was not run in interop/"
        );
        eprintln!("left out: npm ci was not run in interop/");
        return None;
    }
    let mut node = Command::new("node");
    node.arg("--experimental-require-module").arg(scripts().join("directline/agent-http.mjs"));
    node.args(listen).env_remove("NODE_ENV").env_remove("clientId");
    let running = Running::start(node);
    let line = running.line();
    let at = line.strip_prefix("ready ").unwrap();
    Some((at.replace("http://", "tcp:"), running))
}

/// Starts a gateway to `to`; its pipes' stem.
fn gateway(room: &Room, to: &str, more: &[&str]) -> (std::path::PathBuf, Running) {
    let folder = room.path("pipes");
    std::fs::create_dir_all(&folder).unwrap();
    let stem = folder.join("site.directline");
    let pipe = format!("unix:{}", stem.display());
    let args = ["directline", "gateway", "--pipe", &pipe, "--to", to];
    let running = Running::start(room.pipeway(args.iter().chain(more)));
    assert_eq!(running.line(), format!("ready {pipe}"));
    (stem, running)
}

#[test]
fn every_kind_of_turn_works() {
    run(async {
        let Some((to, _agent)) = agent(&[]) else { return };
        let room = Room::new();
        let (stem, running) = gateway(&room, &to, &["--events", "events.jsonl"]);
        let mut platform = Platform::connect(&stem).await;
        let say = |text: &str| activity("message", json!({ "text": text }));

        assert_eq!(platform.send(&say("hi")).await.0, 200);
        let (method, path, reply) = platform.called().await;
        assert_eq!((&method[..], &path[..]), ("POST", "/v3/conversations/conv1/activities/in1"));
        assert_eq!(reply["text"], "echo: hi");
        assert_eq!(reply["serviceUrl"], ORIGIN);

        for (text, calls) in [
            ("update", vec![("POST", "/in1"), ("PUT", "/r1")]),
            ("delete", vec![("POST", "/in1"), ("DELETE", "/r1")]),
            ("send", vec![("POST", "")]),
            ("proactive", vec![("POST", "")]),
            ("many 5", vec![("POST", "/in1"); 5]),
        ] {
            assert_eq!(platform.send(&say(text)).await.0, 200, "{text}");
            for (method, last) in calls {
                let called = platform.called().await;
                let path = format!("/v3/conversations/conv1/activities{last}");
                assert_eq!((&called.0[..], &called.1[..]), (method, &path[..]), "{text}");
            }
        }

        let invoke = activity("invoke", json!({ "name": "foo", "value": { "status": 202 } }));
        assert_eq!(platform.send(&invoke).await, (202, json!({ "invoked": "foo" })));
        assert_eq!(platform.send(&activity("invoke", json!({ "name": "ignored" }))).await.0, 501);
        assert_eq!(platform.send(&say("fail")).await.0, 500);

        let expecting = json!({ "text": "quick", "deliveryMode": "expectReplies" });
        let (status, answer) = platform.send(&activity("message", expecting)).await;
        assert_eq!((status, &answer["activities"][0]["text"]), (200, &json!("echo: quick")));
        assert!(!answer.to_string().contains("127.0.0.1"), "{answer}");

        // The package refuses a service URL that is null; the gateway puts its own there.
        let null = activity("message", json!({ "text": "null", "serviceUrl": null }));
        assert_eq!(platform.send(&null).await.0, 200);
        assert_eq!(platform.called().await.2["text"], "echo: null");

        let large = activity("message", json!({ "text": "hi", "value": "x".repeat(1 << 20) }));
        assert_eq!(platform.send(&large).await.0, 200);
        assert_eq!(platform.called().await.2["text"], "echo: hi");
        assert_eq!(platform.send(&say("big 1000000")).await.0, 200);
        assert_eq!(platform.called().await.2["text"].as_str().unwrap().len(), 1_000_000);
        assert!(!platform.has_been_called());

        running.signal("TERM");
        running.end().exits_with(0).says("the agent calls back at http://127.0.0.1:");
        platform.stop().await;
        let events = std::fs::read_to_string(room.path("events.jsonl")).unwrap();
        let events: Vec<Value> =
            events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ways = |way: &str| events.iter().filter(|one| one["direction"] == way).count();
        assert_eq!((ways("to_agent"), ways("to_platform")), (13, 15));
        assert!(events.iter().all(|one| one.get("error.type").is_none()), "{events:?}");
    });
}

#[test]
fn an_agent_on_a_socket_behind_a_link_works() {
    run(async {
        let room = Room::new();
        let socket = room.path("agent.sock");
        let listen = ["--listen", socket.to_str().unwrap()];
        let Some((to, _agent)) = agent(&listen) else { return };
        let words = serde_json::to_string(&[env!("CARGO_BIN_EXE_pipeway"), "guest"]).unwrap();
        let through = format!("command:{words}");
        let more = ["--through", &through, "--events", "events.jsonl"];
        let (stem, running) = gateway(&room, &to, &more);
        let mut platform = Platform::connect(&stem).await;
        let hi = activity("message", json!({ "text": "hi" }));
        assert_eq!(platform.send(&hi).await.0, 200);
        assert_eq!(platform.called().await.2["text"], "echo: hi");
        platform.stop().await;
        running.signal("TERM");
        running.end().exits_with(0);
        let events = std::fs::read_to_string(room.path("events.jsonl")).unwrap();
        let event = events.lines().find(|line| line.contains("to_agent")).unwrap();
        let event: Value = serde_json::from_str(event).unwrap();
        assert_eq!(event["link.mode"], "stdio");
        assert_eq!(event["upstream.mode"], "unix");
        assert_eq!(event["upstream.endpoint"], to);
    });
}
