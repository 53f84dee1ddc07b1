//! OpenSSH's agent, and what its clients ask of it through a socket before it.

use std::path::Path;
use std::process::Command;

use crate::harness::{Room, Running, run, wait_for};

/// What a test with it needs, from Debian's `openssh-client`.
pub const SSH_PROGRAMS: &[&str] = &["ssh-agent", "ssh-add", "ssh-keygen"];

/// An agent that runs, with no key yet.
pub struct SshAgent {
    pub endpoint: String,
    _running: Running,
}

impl SshAgent {
    pub fn start(room: &Room) -> Self {
        let socket = room.path("agent.sock");
        let mut agent = Command::new("ssh-agent");
        agent.arg("-D").arg("-a").arg(&socket);
        let running = Running::start(agent);
        wait_for(&socket);
        SshAgent { endpoint: format!("unix:{}", socket.display()), _running: running }
    }
}

/// Makes a key of this name and hands it to the agent behind the socket `front`, which then lists
/// it and signs with it; the signature is verified without the agent.
#[track_caller]
pub fn agent_serves(room: &Room, front: &Path, key: &str) {
    let here = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command.args(args).current_dir(room.path("")).env("SSH_AUTH_SOCK", front);
        command
    };
    let generate = ["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", key];
    run(here("ssh-keygen", &generate), b"").exits_with(0);
    run(here("ssh-add", &["-q", key]), b"").exits_with(0);
    let listed = run(here("ssh-add", &["-l"]), b"").exits_with(0).stdout();
    assert!(listed.contains(&format!(" {key} (ED25519)")), "{listed}");
    // The private key is the agent's alone from here on.
    std::fs::remove_file(room.path(key)).unwrap();
    let public = format!("{key}.pub");
    let sign = ["-Y", "sign", "-n", "file", "-f", &public];
    let signed = run(here("ssh-keygen", &sign), b"text").exits_with(0).stdout();
    let (signature, signers) = (format!("{key}.sig"), format!("{key}.signers"));
    room.file(&signature, signed);
    let line = std::fs::read_to_string(room.path(&public)).unwrap();
    room.file(&signers, format!("me {line}"));
    let verify = ["-Y", "verify", "-n", "file", "-I", "me", "-f", &signers, "-s", &signature];
    let verified = |text: &[u8]| {
        let mut verify = here("ssh-keygen", &verify);
        verify.env_remove("SSH_AUTH_SOCK");
        run(verify, text)
    };
    let told = verified(b"text").exits_with(0).stdout();
    assert!(told.starts_with("Good \"file\" signature for me "), "{told}");
    verified(b"another text").exits_with(255);
}
