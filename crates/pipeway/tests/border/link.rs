//! Links between Windows and Linux, with the guest on either side.

use std::process::Command;

use crate::harness::{Room, Running, Service, run, unique_local};
use crate::wine::{windows_path, windows_program};

/// This system's stand-in for the Linux side of `wsl.exe`; this test lies in `deps`, beside
/// `examples`.
fn stand_in_server() -> Running {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().parent().unwrap().join("examples/wsl");
    let mut server = Command::new(path);
    server.arg("serve");
    Running::start(server)
}

/// A script by which a Linux program starts `pipeway.exe`, as WSL's interop does by itself.
fn pipeway_exe(room: &Room) -> String {
    use std::os::unix::fs::PermissionsExt;
    let program = std::env::var("PIPEWAY_WINDOWS_PROGRAM").unwrap();
    let path = room.file("pipeway.exe", format!("#!/bin/sh\nexec wine '{program}' \"$@\"\n"));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_pipe_of_windows_is_reached_from_linux_through_a_guest_there() {
    let room = Room::new();
    let service = Service::mirror();
    // A named pipe, served by a bridge of Windows.
    let name = unique_local();
    let pipe = name.replace("local:", "npipe:");
    let mut inner = windows_program("PIPEWAY_WINDOWS_PROGRAM");
    inner.args(["bridge", "--listen", &pipe, "--to", &service.endpoint()]);
    let inner = Running::start(inner);
    assert!(inner.line().starts_with("ready "));

    let listen = unique_local();
    let guest = pipeway_exe(&room);
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
    let server = stand_in_server();
    let place = server.line().strip_prefix("ready ").unwrap().to_owned();
    let name = unique_local().replace("local:", "npipe:");
    let to = service.endpoint();
    let guest = env!("CARGO_BIN_EXE_pipeway");
    let args = [
        "bridge",
        "--listen",
        &name,
        "--to",
        &to,
        "--through",
        "wsl:ubuntu-22.04",
        "--link-guest",
        guest,
        "--connect-timeout",
        "20s",
    ];
    let mut bridge = windows_program("PIPEWAY_WINDOWS_PROGRAM");
    bridge.args(args).env("WSL_STAND_IN", &place);
    bridge.env("WSL_STAND_IN_DISTRIBUTIONS", "Ubuntu-22.04,Debian");
    let stand_in = std::env::var("PIPEWAY_WINDOWS_WSL").unwrap();
    bridge.env("PIPEWAY_WSL_PROGRAM", windows_path(stand_in.as_ref()));
    let bridge = Running::start(bridge);
    assert!(bridge.line().starts_with("ready "));
    let mut curl = windows_program("PIPEWAY_WINDOWS_PROGRAM");
    curl.args(["curl", &name, "/path"]).current_dir(room.path(""));
    let ended = run(curl, b"").exits_with(0);
    assert!(ended.stdout().starts_with("GET /path HTTP/1.1"), "{}", ended.stdout());
    drop(bridge);
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_distribution_that_wsl_does_not_list_is_told_on_windows() {
    let server = stand_in_server();
    let place = server.line().strip_prefix("ready ").unwrap().to_owned();
    let name = unique_local().replace("local:", "npipe:");
    let mut bridge = windows_program("PIPEWAY_WINDOWS_PROGRAM");
    bridge.args([
        "bridge",
        "--listen",
        &name,
        "--to",
        "tcp:127.0.0.1:9",
        "--through",
        "wsl:Arch",
        "--connect-timeout",
        "300ms",
    ]);
    bridge.env("WSL_STAND_IN", &place).env("WSL_STAND_IN_DISTRIBUTIONS", "Ubuntu-22.04,Debian");
    let stand_in = std::env::var("PIPEWAY_WINDOWS_WSL").unwrap();
    bridge.env("PIPEWAY_WSL_PROGRAM", windows_path(stand_in.as_ref()));
    let bridge = Running::start(bridge);
    assert!(bridge.line().starts_with("ready "));
    let mut curl = windows_program("PIPEWAY_WINDOWS_PROGRAM");
    curl.args(["curl", "-i", &name, "/"]);
    let shown = run(curl, b"").exits_with(0).stdout();
    assert!(shown.starts_with("HTTP/1.1 503 "), "{shown}");
    assert!(shown.contains("no distribution `Arch`") && shown.contains("Debian"), "{shown}");
    drop(bridge);
}
