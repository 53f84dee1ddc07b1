use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::harness::{Room, Running, unique_local, until_gone};

/// A token's file, with this mode.
fn token_file(room: &Room, mode: u32) -> PathBuf {
    let path = room.file("token", "0123456789abcdef0123456789abcdef\n");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_port_without_a_token_file_is_refused() {
    let room = Room::new();
    room.run(["agent", "--listen", "tcp:127.0.0.1:0"])
        .exits_with(2)
        .says("can be reached by every user")
        .says("--token-file");
}

#[test]
fn a_token_file_that_others_can_read_is_refused() {
    let room = Room::new();
    let path = token_file(&room, 0o644);
    let args = ["agent", "--listen", "tcp:127.0.0.1:0", "--token-file"];
    let args = args.map(str::to_owned).into_iter().chain([path.display().to_string()]);
    room.run(args).exits_with(5).says("can be used by other users (mode 0644)").says("hint: ");
}

#[test]
fn a_token_file_without_a_port_is_refused() {
    let room = Room::new();
    let path = token_file(&room, 0o600).display().to_string();
    room.run(["agent", "--listen", &unique_local(), "--token-file", &path])
        .exits_with(2)
        .says("is yours alone without one");
}

#[test]
fn wrong_flags_are_told_with_what_is_right() {
    let room = Room::new();
    room.run(["agent"]).exits_with(2).says("--listen <ENDPOINT>");
    room.run(["agent", "--listen", "stdio"]).exits_with(2).says("can't listen on stdio");
    let listen = unique_local();
    room.run(["agent", "--listen", &listen, "--grace-time", "10"]).exits_with(2).says("a time");
    room.run(["agent", "--listen", &listen, "--max-connections", "0"]).exits_with(2);
}

#[test]
fn a_second_agent_at_the_same_endpoint_finds_it_taken() {
    let room = Room::new();
    let (listen, agent) = room.agent();
    room.run(["agent", "--listen", &listen])
        .exits_with(4)
        .says(&format!("is taken by process {}", agent.id()));
}

#[test]
fn a_port_is_open_to_who_shows_the_token() {
    let room = Room::new();
    let path = token_file(&room, 0o600).display().to_string();
    let args = ["agent", "--listen", "tcp:127.0.0.1:0", "--token-file", &path];
    let agent = Running::start(room.pipeway(args));
    let ready = agent.line();
    let endpoint = ready.strip_prefix("ready ").unwrap();
    room.run(["exec", endpoint, "--", "true"])
        .exits_with(255)
        .says("refused with 401")
        .says("--token-file");
    let shown = room.run(["exec", "--token-file", &path, endpoint, "--", "echo in"]);
    assert_eq!(shown.exits_with(0).stdout(), "in\n");
    room.run(["shell", "--token-file", &path, endpoint, "--", "exit 3"]).exits_with(3);
}

#[test]
fn ctrl_c_ends_the_agent_and_what_it_runs() {
    let room = Room::new();
    let (listen, agent) = room.agent();
    let command = Running::start(room.pipeway(["exec", &listen, "--", "echo $$; exec sleep 60"]));
    let pid = command.line().parse().unwrap();
    agent.signal("INT");
    command.end().exits_with(129).says("agent: the agent was stopped");
    agent.end().exits_with(0).says("stopping (SIGINT)");
    until_gone(pid);
    assert!(!room.socket(&listen).exists(), "the socket is left");
}
