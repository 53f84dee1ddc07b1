//! The program itself: flags, files, what it says and how it ends.

use crate::harness::{Room, Running, Service};
use crate::platform::{Platform, activity, run};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn pipe(room: &Room, name: &str) -> String {
    format!("unix:{}", room.path(name).display())
}

#[test]
fn a_gateway_of_a_file_serves_beside_a_bridge() {
    run(async {
        let room = Room::new();
        let service = Service::fixed(ANSWER);
        let (pipe, to) = (pipe(&room, "p"), service.endpoint());
        let listen = crate::harness::unique_local();
        let text = format!(
            "[[gateway]]\npipe = \"{pipe}\"\nto = \"{to}\"\nlenient = true\n\
             [gateway.limits]\nmax_requests = 3\n\
             [[bridge]]\nlisten = \"{listen}\"\nto = \"{to}\"\n"
        );
        room.file("f.toml", text);
        let shown = room.run(["check", "--config", "f.toml"]).exits_with(0);
        let shown = shown.says("ok: 1 bridge, 1 gateway").stdout();
        let lines: Vec<&str> = shown.lines().map(str::trim_end).collect();
        let has = |key: &str, end: &str| {
            lines.iter().any(|line| line.starts_with(key) && line.ends_with(end))
        };
        assert!(
            has("max_requests", "= 3             # f.toml:6") || has("max_requests", "# f.toml:6"),
            "{shown}"
        );
        assert!(has("name", "# default, from pipe"), "{shown}");
        let running = Running::start(room.pipeway(["serve", "--config", "f.toml"]));
        assert!(running.line().starts_with("ready "));
        assert_eq!(running.line(), format!("ready {pipe}"));
        let platform = Platform::connect(&room.path("p")).await;
        let hi = activity("message", serde_json::json!({}));
        assert_eq!(platform.send(&hi).await.0, 200);
        platform.stop().await;
        running.signal("TERM");
        running.end().exits_with(0);
        assert!(!room.path("p.incoming").exists(), "the pipes are left behind");
    });
}

#[test]
fn everything_wrong_in_a_file_is_told() {
    let room = Room::new();
    room.file(
        "f.toml",
        "[[gateway]]\npipe = \"a..b\"\nlisten = \"local:x\"\n[gateway.limits]\nmax_request = 3\n\
         [[gateway]]\npipe = \"c\"\nto = \"tcp:10.0.0.1:80\"\npath = \"api\"\n\
         [[gateway]]\npipe = \"c\"\nto = \"local:x\"\ncallback = \"local:y\"\n\
         [gateway]\n",
    );
    room.run(["check", "--config", "f.toml"]).exits_with(3).says("f.toml:14");
    room.file(
        "f.toml",
        "[[gateway]]\npipe = \"a..b\"\nlisten = \"local:x\"\n[gateway.limits]\nmax_request = 3\n\
         [[gateway]]\npipe = \"c\"\nto = \"tcp:10.0.0.1:80\"\npath = \"api\"\n\
         [[gateway]]\npipe = \"c\"\nto = \"local:x\"\ncallback = \"local:y\"\n",
    );
    room.run(["check", "--config", "f.toml"])
        .exits_with(3)
        .says("f.toml:2:8: [-180010]")
        .says("f.toml:3:1: unknown key `listen` in gateway")
        .says("f.toml:5:1: unknown key `max_request` in limits")
        .says("did you mean `max_requests`?")
        .says("f.toml:8:6: tcp:10.0.0.1:80 is not a loopback address")
        .says("f.toml:9:8: `api` is no path")
        .says("two gateways listen on c")
        .says("write what it is to call as service_url");
}

#[test]
fn what_can_not_be_is_refused_with_its_code() {
    let room = Room::new();
    let run = |more: &[&str]| {
        let args = ["directline", "gateway", "--to", "tcp:127.0.0.1:9"];
        room.run(args.iter().chain(more))
    };
    run(&["--pipe", "a..b"]).exits_with(2).says("two dots in a row");
    run(&["--pipe", "a", "--callback", "local:x"]).exits_with(2).says("service_url");
    run(&["--pipe", "a", "--callback", "tcp:0.0.0.0:0"])
        .exits_with(5)
        .says("not a loopback address");
    run(&["--pipe", "a", "--chunk-size", "1MiB"]).exits_with(2).says("chunk_bytes");
    run(&["--pipe", "a", "--service-url", "urn:x"]).exits_with(2).says("no URL to call back");
    run(&["--pipe", "npipe:a"]).exits_with(2).says("named pipes");
}

#[test]
fn pipes_that_are_taken_are_told_and_the_first_goes_on() {
    run(async {
        let room = Room::new();
        let service = Service::fixed(ANSWER);
        let pipe = pipe(&room, "p");
        let args = ["directline", "gateway", "--pipe", &pipe, "--to", &service.endpoint()];
        let running = Running::start(room.pipeway(args));
        assert_eq!(running.line(), format!("ready {pipe}"));
        let second = room.run(args).exits_with(4);
        assert_eq!(second.stdout(), "");
        let platform = Platform::connect(&room.path("p")).await;
        let hi = activity("message", serde_json::json!({}));
        assert_eq!(platform.send(&hi).await.0, 200);
        platform.stop().await;
    });
}
