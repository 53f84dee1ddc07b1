//! OpenSSH: the agent behind the way, its clients before it.

use std::process::Command;

use crate::harness::{Room, is_left_out, run, ssh_agent};
use crate::way::{Route, Way};

/// A client's command in this room, with the agent where `socket` is.
fn ssh(room: &Room, socket: &str, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(room.path("")).env("SSH_AUTH_SOCK", room.path(socket));
    command
}

fn keys_are_added_and_listed_and_sign(route: Route) {
    if is_left_out(&["ssh-agent", "ssh-add", "ssh-keygen"]) {
        return;
    }
    let room = Room::new();
    let (_agent, to) = ssh_agent(&room);
    let way = Way::open(route, &room, &to, &["--raw"], &[]);
    let through = |program: &str, args: &[&str]| ssh(&room, "front.sock", program, args);

    run(through("ssh-add", &["-l"]), b"").exits_with(1).stdout();
    let generate = ["-q", "-t", "ed25519", "-N", "", "-C", "me@here", "-f", "key"];
    run(through("ssh-keygen", &generate), b"").exits_with(0);
    run(through("ssh-add", &["-q", "key"]), b"").exits_with(0);
    // It is in the agent, and not in anybody else's.
    let listed = run(through("ssh-add", &["-l"]), b"").exits_with(0).stdout();
    assert!(listed.ends_with(" me@here (ED25519)\n"), "{listed}");
    let straight = run(ssh(&room, "agent.sock", "ssh-add", &["-l"]), b"").exits_with(0).stdout();
    assert_eq!(listed, straight);

    // The private key is the agent's alone from here on.
    std::fs::remove_file(room.path("key")).unwrap();
    let text = b"signed at the other side\n";
    let sign = ["-Y", "sign", "-n", "file", "-f", "key.pub"];
    let signature = run(through("ssh-keygen", &sign), text).exits_with(0).stdout;
    room.file("signature", &signature);
    let public = std::fs::read_to_string(room.path("key.pub")).unwrap();
    room.file("signers", format!("me@here {public}"));
    let verify =
        ["-Y", "verify", "-n", "file", "-f", "signers", "-I", "me@here", "-s", "signature"];
    run(through("ssh-keygen", &verify), text).exits_with(0);
    run(through("ssh-keygen", &verify), b"another text\n").exits_with(255);

    run(through("ssh-add", &["-q", "-D"]), b"").exits_with(0);
    run(ssh(&room, "agent.sock", "ssh-add", &["-l"]), b"").exits_with(1);

    let ways = way.upstreams(&room);
    assert_eq!(ways.len(), 1, "{ways:?}");
    let [mode, endpoint, link] = &ways[0];
    assert_eq!(link, "stdio");
    match route {
        Route::Link => assert_eq!((mode.as_str(), endpoint), ("unix", &to)),
        Route::Border => {
            assert_eq!(mode, "named_pipe");
            assert!(endpoint.starts_with(r"\\.\pipe\"), "{endpoint}");
        }
    }
}

#[test]
fn an_agents_keys_are_used_through_a_link() {
    keys_are_added_and_listed_and_sign(Route::Link);
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn an_agents_keys_are_used_across_both_directions_of_the_border() {
    keys_are_added_and_listed_and_sign(Route::Border);
}
