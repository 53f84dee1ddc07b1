//! OpenSSH as what carries a link: `ssh HOST pipeway guest`, before a server of OpenSSH's.

use std::fs;
use std::process::Command;

use crate::harness::{Room, is_left_out, kill, run, ssh_agent};
use crate::presence::children;
use crate::way::{PIPEWAY, Way};

const SERVER: &str = "/usr/sbin/sshd";

/// A server that ssh starts for each connection, instead of a port, and the arguments that lead to
/// it. Nothing of the user's own configuration is in it.
fn ssh(room: &Room) -> Vec<String> {
    let path = |name: &str| room.path(name).display().to_string();
    for key in ["host", "user"] {
        let mut generate = Command::new("ssh-keygen");
        generate.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
        run(generate, b"").exits_with(0);
    }
    // Where the server runs as root it wants this folder, which the service manager makes otherwise.
    let _ = fs::create_dir("/run/sshd");
    let config = format!(
        "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n\
         PidFile none\n",
        path("host"),
        path("user.pub"),
    );
    fs::write(room.path("sshd_config"), config).unwrap();
    let options = [
        "BatchMode=yes".to_owned(),
        "IdentitiesOnly=yes".to_owned(),
        "StrictHostKeyChecking=no".to_owned(),
        format!("UserKnownHostsFile={}", path("known_hosts")),
        "LogLevel=ERROR".to_owned(),
        format!("ProxyCommand={SERVER} -i -f {}", path("sshd_config")),
    ];
    let mut command = ["ssh", "-F", "none", "-i"].map(str::to_owned).to_vec();
    command.push(path("user"));
    command.extend(options.into_iter().flat_map(|option| ["-o".to_owned(), option]));
    command.push("the-other-side".to_owned());
    command
}

#[test]
fn ssh_carries_a_link_and_carries_it_again_after_it_was_killed() {
    if is_left_out(&["ssh", SERVER, "ssh-agent", "ssh-add", "ssh-keygen"]) {
        return;
    }
    let room = Room::new();
    let (_agent, to) = ssh_agent(&room);
    let mut command = ssh(&room);
    command.extend([PIPEWAY, "guest"].map(str::to_owned));
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let way = Way::command(&room, &to, &command, &["--raw"]);
    let add = |args: &[&str]| {
        let mut add = Command::new("ssh-add");
        add.args(args).env("SSH_AUTH_SOCK", &way.front);
        run(add, b"")
    };

    add(&["-l"]).exits_with(1);
    add(&["-q", &room.path("user").display().to_string()]).exits_with(0);
    let listed = add(&["-l"]).exits_with(0).stdout();
    assert!(listed.ends_with("(ED25519)\n"), "{listed}");

    // The link is ssh's process; with it its server ends, and with that the guest.
    let [carrier] = children(way.bridge.id()).try_into().expect("the link is one process");
    assert!(kill("KILL", carrier.parse().unwrap()));
    assert_eq!(add(&["-l"]).exits_with(0).stdout(), listed);
    let [next] = children(way.bridge.id()).try_into().expect("the link is one process");
    assert_ne!(next, carrier);

    let ways = way.upstreams(&room);
    assert_eq!(ways, [["unix", &to, "stdio"].map(str::to_owned)]);
    let events = fs::read_to_string(room.path("events.jsonl")).unwrap();
    let count = |kind: &str| events.matches(&format!("\"event\":\"{kind}\"")).count();
    assert_eq!((count("link_up"), count("link_down")), (2, 1), "{events}");
}
