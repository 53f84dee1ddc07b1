//! Every example runs, and does what it says. Cargo builds them along with the tests.

#![cfg(all(feature = "axum", feature = "hyper", feature = "tungstenite"))]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use support::{run, unique};

/// The program of an example.
fn example(name: &str) -> Command {
    // This test lies in `deps`, beside `examples`.
    let own = std::env::current_exe().unwrap();
    let mut path: PathBuf = own.parent().unwrap().parent().unwrap().join("examples").join(name);
    path.set_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        path.is_file(),
        "{} was not built; `cargo build --examples --all-features` builds it",
        path.display()
    );
    Command::new(path)
}

/// A server that has said that it is ready; ended when dropped.
struct Server {
    child: Child,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    fn start(command: &mut Command) -> Server {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let server = Server { child, _stdout: stdout };
        assert!(line.starts_with("ready "), "{line:?}");
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client prints that is given this input.
fn said(command: &mut Command, input: &[u8]) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}: {text}");
    text.replace("\r\n", "\n")
}

const MODE: &str = if cfg!(windows) { "named_pipe" } else { "unix" };

#[test]
fn hyper_serves_and_asks() {
    run(async {
        let endpoint = unique().to_string();
        let _server = Server::start(example("http_hyper").args(["serve", &endpoint]));
        let text = said(example("http_hyper").args(["get", &endpoint, "/you"]), b"");
        assert_eq!(text, format!("200 OK by {MODE}\nhello, you\n"));
    });
}

#[test]
fn axum_tells_the_client_who_it_is() {
    run(async {
        let endpoint = unique().to_string();
        let _server = Server::start(example("http_axum").arg(&endpoint));
        let text = said(example("http_hyper").args(["get", &endpoint, "/whoami"]), b"");
        assert!(text.contains("you are process ") || text.contains("you are user "), "{text}");
    });
}

#[test]
fn tonic_serves_and_asks() {
    run(async {
        let endpoint = unique().to_string();
        let _server = Server::start(example("grpc_tonic").args(["serve", &endpoint]));
        assert_eq!(
            said(example("grpc_tonic").args(["check", &endpoint]), b""),
            "greeter: SERVING\n"
        );
    });
}

#[test]
fn a_websocket_sends_back_what_was_said() {
    run(async {
        let endpoint = unique().to_string();
        let _server = Server::start(example("websocket").args(["serve", &endpoint]));
        assert_eq!(said(example("websocket").args(["say", &endpoint, "hello"]), b""), "hello\n");
    });
}

#[test]
fn a_websocket_carries_bytes() {
    run(async {
        let endpoint = unique().to_string();
        let _server = Server::start(example("websocket_bytes").args(["serve", &endpoint]));
        let client = &mut example("websocket_bytes");
        assert_eq!(said(client.args(["send", &endpoint]), b"hello, bytes\n"), "HELLO, BYTES\n");
    });
}

#[test]
fn a_child_process_is_one_stream() {
    run(async {
        let text = said(example("joined").args(["get", "/you"]), b"");
        assert!(text.starts_with("hello, you, from my child\nthe child ended: exit "), "{text}");
    });
}
