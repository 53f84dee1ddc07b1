//! `pipeway nc` between other people's programs, and what of its standard streams others share.

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{Room, Running, WATCHDOG, is_left_out, run, ssh_agent, wait_for};

/// socat, listening at a socket and starting `pipeway nc ENDPOINT` for each connection, with a
/// socket or pipes as its standard streams.
fn socat(room: &Room, name: &str, endpoint: &str, how: &str) -> Running {
    // In quotes, as a colon parts what socat takes for parameters.
    let line = format!("EXEC:\"{} nc {endpoint}\"{how}", env!("CARGO_BIN_EXE_pipeway"));
    let mut socat = Command::new("socat");
    socat.arg(format!("UNIX-LISTEN:{name},fork")).arg(line).current_dir(room.path(""));
    let socat = Running::start(socat);
    wait_for(&room.path(name));
    socat
}

#[test]
fn socat_starts_it_for_each_client_of_an_ssh_agent() {
    if is_left_out(&["socat", "ssh-agent", "ssh-add", "ssh-keygen"]) {
        return;
    }
    let room = Room::new();
    let (_agent, endpoint) = ssh_agent(&room);
    for how in ["", ",pipes"] {
        let front = format!("front{}.sock", how.len());
        let _socat = socat(&room, &front, &endpoint, how);
        let key = format!("key{}", how.len());
        let here = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).current_dir(room.path(""));
            command.env("SSH_AUTH_SOCK", room.path(&front));
            command
        };
        let generate = ["-q", "-t", "ed25519", "-N", "", "-C", &key, "-f", &key];
        run(here("ssh-keygen", &generate), b"").exits_with(0);
        run(here("ssh-add", &["-q", &key]), b"").exits_with(0);
        let listed = run(here("ssh-add", &["-l"]), b"").exits_with(0).stdout();
        assert!(listed.contains(&format!(" {key} (ED25519)")), "{listed}");
        // The private key is the agent's alone from here on.
        std::fs::remove_file(room.path(&key)).unwrap();
        let sign = ["-Y", "sign", "-n", "file", "-f", &format!("{key}.pub")];
        let signed = run(here("ssh-keygen", &sign), b"text").exits_with(0).stdout();
        assert!(signed.contains("BEGIN SSH SIGNATURE"), "{signed}");
    }
}

#[test]
fn socats_half_close_goes_through_it_and_the_answer_comes_back() {
    if is_left_out(&["socat"]) {
        return;
    }
    let room = Room::new();
    // It answers at the end of what it reads: without a half-close it never would.
    let mut server = Command::new("socat");
    server.args(["UNIX-LISTEN:server.sock,fork", "EXEC:sort"]).current_dir(room.path(""));
    let _server = Running::start(server);
    wait_for(&room.path("server.sock"));
    let endpoint = format!("unix:{}", room.path("server.sock").display());
    for how in ["", ",pipes"] {
        let front = format!("front{}.sock", how.len());
        let _socat = socat(&room, &front, &endpoint, how);
        let mut client = Command::new("socat");
        // -t: how long it waits for the rest after its input's end.
        client.args(["-t", "20", "-", &format!("UNIX-CONNECT:{front}")]);
        client.current_dir(room.path(""));
        assert_eq!(run(client, b"b\na\n").exits_with(0).stdout(), "a\nb\n", "{how:?}");
    }
}

#[test]
fn standard_streams_that_a_shell_shares_stay_as_they_are() {
    // Octal, as in open(2): O_NONBLOCK on Linux, whose /proc tells of it.
    const NONBLOCK: u32 = 0o4000;
    if !Path::new("/proc/self/fdinfo").exists() {
        return;
    }
    let room = Room::new();
    let listener = UnixListener::bind(room.path("server.sock")).unwrap();
    let endpoint = format!("unix:{}", room.path("server.sock").display());
    let mut shell = Command::new("sh");
    // The shell waits for it, with the same streams.
    shell.args(["-c", "\"$0\" nc \"$1\"; echo after", env!("CARGO_BIN_EXE_pipeway"), &endpoint]);
    shell.stdin(Stdio::piped());
    let mut shell = Running::start(shell);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    shell.write(b"x");
    std::io::Read::read_exact(&mut stream, &mut [0]).unwrap();
    std::io::Write::write_all(&mut stream, b"y\n").unwrap();
    assert_eq!(shell.line(), "y");
    for fd in [0, 1] {
        let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/{fd}", shell.id())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = u32::from_str_radix(flags, 8).unwrap();
        assert_eq!(flags & NONBLOCK, 0, "{fd}: {flags:o}");
    }
    drop(stream);
    assert_eq!(shell.line(), "after");
}
