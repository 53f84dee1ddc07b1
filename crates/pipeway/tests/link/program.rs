//! The program's part: flags, files, what it says, events.

use std::time::{Duration, Instant};

use pipeway_transport::child::{Child, Program, TerminalSize};
use tokio::io::AsyncReadExt;

use crate::harness::{Room, Running, Service, run, unique_local};
use crate::rig::{PIPEWAY, children, command};

#[test]
fn requests_go_through_a_link_and_events_tell_which_way() {
    let room = Room::new();
    let service = Service::mirror();
    let through = command(&[PIPEWAY, "guest"]);
    let more = ["--through", &through, "--events", "events.jsonl"];
    let (listen, bridge) = room.bridge(&service.endpoint(), &more);
    let ended = room.run(["curl", "-d", "a body", &listen, "/path"]).exits_with(0);
    assert!(ended.stdout().starts_with("POST /path HTTP/1.1"), "{}", ended.stdout());
    assert!(ended.stdout().ends_with("a body"), "{}", ended.stdout());
    bridge.signal("TERM");
    bridge.end().exits_with(0).says("link pipeway: up, to pipeway ");
    let events = std::fs::read_to_string(room.path("events.jsonl")).unwrap();
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| {
        let mut of_kind = events.iter().filter(|event| event["event"] == kind);
        of_kind.next().unwrap_or_else(|| panic!("no {kind} in {events:#?}"))
    };
    assert_eq!(of("link_up")["link.name"], "pipeway");
    assert_eq!(of("link_up")["link.attempt"], 1);
    for kind in ["request", "session"] {
        assert_eq!(of(kind)["link.name"], "pipeway");
        assert_eq!(of(kind)["link.mode"], "stdio");
        assert_eq!(of(kind)["upstream.mode"], "tcp");
        assert_eq!(of(kind)["upstream.endpoint"], service.endpoint());
    }
    // It was stopped, not lost.
    assert!(events.iter().all(|event| event["event"] != "link_down"), "{events:#?}");
}

#[test]
fn a_socket_at_the_other_side_is_opened_by_its_portable_name() {
    let room = Room::new();
    let service = Service::mirror();
    let (inner, _inner_bridge) = room.bridge(&service.endpoint(), &[]);
    let through = command(&[PIPEWAY, "guest"]);
    let (outer, _outer_bridge) = room.bridge(&inner, &["--through", &through]);
    room.run(["curl", "-f", &outer, "/"]).exits_with(0);
}

#[test]
fn a_bridge_starts_though_its_link_is_down_and_says_why() {
    let room = Room::new();
    let more = [
        "--through",
        r#"command:["no-such-program"]"#,
        "--connect-timeout",
        "200ms",
        "--events",
        "e.jsonl",
    ];
    let (listen, bridge) = room.bridge("tcp:127.0.0.1:9", &more);
    let begin = Instant::now();
    let shown = room.run(["curl", "-i", &listen, "/"]).exits_with(0).stdout();
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(shown.starts_with("HTTP/1.1 503 "), "{shown}");
    assert!(shown.to_lowercase().contains("retry-after: "), "{shown}");
    assert!(shown.contains("link_down") && shown.contains("no-such-program"), "{shown}");
    bridge.signal("TERM");
    let ended = bridge.end().exits_with(0);
    let ended =
        ended.says("link no-such-program: down: can't start no-such-program").says("hint: ");
    // The same reason is told once, however often it was tried.
    assert_eq!(ended.stderr.matches("down: ").count(), 1, "{}", ended.stderr);
    let events = std::fs::read_to_string(room.path("e.jsonl")).unwrap();
    assert!(events.contains(r#""error.type":"link_not_started""#), "{events}");
}

#[test]
fn bridges_with_the_same_link_share_one_process() {
    let room = Room::new();
    let service = Service::mirror();
    let (first, second, third) = (unique_local(), unique_local(), unique_local());
    let through = command(&[PIPEWAY, "guest"]).replace('\\', "\\\\").replace('"', "\\\"");
    let to = service.endpoint();
    let text = format!(
        "[[link]]\nname = \"dev\"\nto = \"{through}\"\n\
         [[bridge]]\nlisten = \"{first}\"\nto = \"{to}\"\nthrough = \"dev\"\n\
         [[bridge]]\nlisten = \"{second}\"\nto = \"{to}\"\nthrough = \"{through}\"\n\
         [[bridge]]\nlisten = \"{third}\"\nto = \"tcp:127.0.0.1:9\"\nthrough = \"dev\"\n"
    );
    room.file("links.toml", text);
    let serving = Running::start(room.pipeway(["serve", "--config", "links.toml"]));
    for _ in 0..3 {
        assert!(serving.line().starts_with("ready "));
    }
    room.run(["curl", "-f", &first, "/"]).exits_with(0);
    room.run(["curl", "-f", &second, "/"]).exits_with(0);
    room.run(["curl", "-f", &third, "/"]).exits_with(10).says("502");
    assert_eq!(children(serving.id()).len(), 1);
    serving.signal("TERM");
    serving.end().exits_with(0).says("link dev: up");
}

#[test]
fn a_guest_that_allows_less_is_told_when_the_link_comes_up() {
    let room = Room::new();
    let service = Service::mirror();
    let through = command(&[PIPEWAY, "guest", "--allow", "tcp:127.0.0.1:9"]);
    let (listen, bridge) = room.bridge(&service.endpoint(), &["--through", &through]);
    let shown = room.run(["curl", "-i", &listen, "/"]).exits_with(0).stdout();
    assert!(shown.starts_with("HTTP/1.1 502 "), "{shown}");
    assert!(shown.contains("upstream_permission") && shown.contains("--allow tcp:"), "{shown}");
    bridge.signal("TERM");
    bridge.end().exits_with(0).says("warning: the guest is not allowed to open tcp:");
}

#[test]
fn check_shows_links_and_tells_what_is_wrong_with_them() {
    let room = Room::new();
    let text = "[[link]]\nname = \"dev\"\nto = \"windows\"\nenvironment = { A = \"b c\" }\n\
                [[bridge]]\nlisten = \"local:a\"\nto = 'npipe:x'\nthrough = \"dev\"\n";
    room.file("good.toml", text);
    let shown = room.run(["check", "--config", "good.toml"]).exits_with(0).stdout();
    room.file("again.toml", &shown);
    let again = room.run(["check", "--config", "again.toml"]).exits_with(0).stdout();
    let values = |text: &str| {
        let lines = text.lines().skip(1).map(|line| line.split("  # ").next().unwrap().trim_end());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(values(&shown), values(&again));
    assert!(shown.contains(r#"environment   = { A = "b c" }"#), "{shown}");

    let wrong = "[[link]]\nname = \"dev\"\nto = \"wsl:-u\"\n[[link]]\nname = \"box\"\nto = \"windows\"\nuser = \"me\"\n\
                 [[link]]\nname = \"box\"\nto = \"wsl:Ubuntu\"\nusr = \"x\"\n\
                 [[bridge]]\nlisten = \"local:a\"\nto = \"unix:/x\"\nthrough = \"devv\"\n\
                 [[bridge]]\nlisten = \"local:b\"\nto = \"unix:/x\"\nthrough = \"windows\"\n";
    room.file("wrong.toml", wrong);
    let ended = room.run(["check", "--config", "wrong.toml"]).exits_with(3);
    for part in [
        "wrong.toml:3:6: `wsl:-u` is not a link: a distribution's name does not begin with `-`",
        "has no `user`",
        "two links are named `box`",
        "leads from Windows into WSL, and this is not Windows",
        "unknown key `usr` in link",
        "did you mean `user`?",
        "there is no link `devv`",
        "did you mean `dev`?",
        "unix:/x: Unix sockets are not used at the other side of this link",
    ] {
        assert!(ended.stderr.contains(part), "{part:?} is not in\n{}", ended.stderr);
    }
}

#[test]
fn wrong_flags_of_a_link_are_told() {
    let room = Room::new();
    let bridge = ["bridge", "--listen", "local:a", "--to", "tcp:127.0.0.1:80"];
    let with = |more: &[&'static str]| room.run(bridge.iter().chain(more));
    with(&["--through", "dev"]).exits_with(2).says("there is no link `dev`").says("[[link]]");
    with(&["--through", "ssh:box"]).exits_with(2).says("the kinds are wsl:, windows and command:");
    with(&["--link-user", "me"]).exits_with(2).says("--through");
    with(&["--through", "wsl:Ubuntu"]).exits_with(6).says("this is not Windows");
    with(&["--through", "windows", "--link-env", "A"]).exits_with(2).says("NAME=VALUE");
}

#[test]
fn a_link_to_windows_outside_of_wsl_says_what_is_missing() {
    let room = Room::new();
    let listen = unique_local();
    let args = [
        "bridge",
        "--listen",
        &listen,
        "--to",
        "npipe:x",
        "--through",
        "windows",
        "--connect-timeout",
        "100ms",
    ];
    let mut bridge = room.pipeway(args);
    bridge.env_remove("WSL_INTEROP");
    let bridge = Running::start(bridge);
    bridge.line();
    let shown = room.run(["curl", "-i", &listen, "/"]).exits_with(0).stdout();
    assert!(shown.starts_with("HTTP/1.1 503 ") && shown.contains("WSL_INTEROP"), "{shown}");
    bridge.signal("TERM");
    bridge.end().exits_with(0).says("link windows: down: WSL_INTEROP is not set");
}

#[test]
fn a_guest_started_by_hand_says_what_it_is_for() {
    crate::rig::run(async {
        let program = Program::new(PIPEWAY).arg("guest");
        let (mut child, mut terminal) =
            Child::in_terminal(&program, TerminalSize::default()).unwrap();
        let mut said = String::new();
        terminal.read_to_string(&mut said).await.unwrap();
        assert_eq!(child.wait().await.unwrap(), 2);
        assert!(said.contains("the other side of a link") && said.contains("--through"), "{said}");
    });
}

#[test]
fn a_guest_ends_with_a_code_that_tells_why() {
    let room = Room::new();
    room.run(["guest"]).exits_with(9).says("ended before a link was begun");
    let ended = run(room.pipeway(["guest"]), b"GET / HTTP/1.1\r\n\r\n");
    ended.exits_with(2).says("is no link").says("hint: ");
    let guest = Running::start(room.pipeway(["guest"]));
    // It has taken over its signals as soon as it waits for its input, which /proc tells.
    let status = format!("/proc/{}/status", guest.id());
    let caught = |text: &str| {
        let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(mask, 16).unwrap() & (1 << 14) != 0
    };
    let begin = Instant::now();
    while !caught(&std::fs::read_to_string(&status).unwrap()) {
        assert!(begin.elapsed() < crate::harness::WATCHDOG);
        std::thread::yield_now();
    }
    guest.signal("TERM");
    guest.end().exits_with(0).says("stopping (SIGTERM)");
}
