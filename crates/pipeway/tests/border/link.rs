//! Links between Windows and Linux, with the guest on either side.

use crate::harness::{Room, Running, Service, run, unique_local};
use crate::wine::{StandIn, interop, pipeway_exe};

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_pipe_of_windows_is_reached_from_linux_through_a_guest_there() {
    let room = Room::new();
    let service = Service::mirror();
    // A named pipe, served by a bridge of Windows.
    let name = unique_local();
    let pipe = name.replace("local:", "npipe:");
    let mut inner = pipeway_exe();
    inner.args(["bridge", "--listen", &pipe, "--to", &service.endpoint()]);
    let inner = Running::start(inner);
    assert!(inner.line().starts_with("ready "));

    let listen = unique_local();
    let guest = interop(&room);
    let args = [
        "bridge",
        "--listen",
        &listen,
        "--to",
        &pipe,
        "--through",
        "windows",
        "--link-guest",
        &guest,
        "--connect-timeout",
        "20s",
        "--events",
        "events.jsonl",
    ];
    let mut bridge = room.pipeway(args);
    bridge.env("WSL_INTEROP", "/run/WSL/stand-in");
    let bridge = Running::start(bridge);
    bridge.line();
    let body = "x".repeat(300_000);
    let file = room.file("body", &body);
    let data = format!("@{}", file.display());
    let ended = room.run(["curl", "--data-binary", &data, &listen, "/path"]).exits_with(0);
    assert!(ended.stdout().starts_with("POST /path HTTP/1.1"));
    assert!(ended.stdout().ends_with(&body));
    bridge.signal("TERM");
    bridge.end().exits_with(0).says("link windows: up, to pipeway ");
    let events = std::fs::read_to_string(room.path("events.jsonl")).unwrap();
    assert!(events.contains(r#""upstream.mode":"named_pipe""#), "{events}");
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_service_of_linux_is_reached_from_windows_by_the_stand_in_for_wsl() {
    let room = Room::new();
    let service = Service::mirror();
    let stand_in = StandIn::start();
    let more = ["--connect-timeout", "20s"];
    let (_bridge, name) = stand_in.bridge(&room, &service.endpoint(), "ubuntu-22.04", &more);
    let mut curl = pipeway_exe();
    curl.args(["curl", &name, "/path"]).current_dir(room.path(""));
    let ended = run(curl, b"").exits_with(0);
    assert!(ended.stdout().starts_with("GET /path HTTP/1.1"), "{}", ended.stdout());
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_distribution_that_wsl_does_not_list_is_told_on_windows() {
    let room = Room::new();
    let stand_in = StandIn::start();
    let more = ["--connect-timeout", "300ms"];
    let (_bridge, name) = stand_in.bridge(&room, "tcp:127.0.0.1:9", "Arch", &more);
    let mut curl = pipeway_exe();
    curl.args(["curl", "-i", &name, "/"]);
    let shown = run(curl, b"").exits_with(0).stdout();
    assert!(shown.starts_with("HTTP/1.1 503 "), "{shown}");
    assert!(shown.contains("no distribution `Arch`") && shown.contains("Debian"), "{shown}");
}
