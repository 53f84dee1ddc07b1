//! The built program, started with few files allowed, before more clients than that.

#![cfg(unix)] // Elsewhere a process has no such limit.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(30);

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads until `mark` stands at the end of what came.
fn read_through(stream: &mut UnixStream, mark: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(mark) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| {
            panic!("{error}, after {:?}", String::from_utf8_lossy(&bytes));
        });
        bytes.push(byte[0]);
    }
    bytes
}

#[test]
fn three_hundred_clients_are_served_where_the_shell_allows_256_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let (listen, to) = (folder.path().join("bridge.sock"), folder.path().join("service.sock"));
    let service = UnixListener::bind(&to).expect("listens");
    std::thread::spawn(move || {
        // Kept, so that all of them are open at once.
        let mut kept = Vec::new();
        for stream in service.incoming() {
            let mut stream = stream.expect("a connection");
            stream.set_read_timeout(Some(DEADLINE)).expect("set");
            read_through(&mut stream, b"\r\n\r\n");
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("sent");
            kept.push(stream);
        }
    });
    let child = Command::new("sh")
        .args(["-c", "ulimit -S -n 256 && exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_pipeway"))
        .args(["bridge", "--listen", &format!("unix:{}", listen.display())])
        .args(["--to", &format!("unix:{}", to.display())])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut program = Running(child);
    let mut ready = String::new();
    let mut stdout = BufReader::new(program.0.stdout.take().expect("a pipe"));
    stdout.read_line(&mut ready).expect("a line");
    assert!(ready.starts_with("ready "), "{ready:?}");

    let mut clients: Vec<_> = (0..300)
        .map(|_| {
            let mut client = UnixStream::connect(&listen).expect("connects");
            client.set_read_timeout(Some(DEADLINE)).expect("set");
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
            client
        })
        .collect();
    for client in &mut clients {
        let answer = read_through(client, b"\r\n\r\nok");
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"), "{}", answer.escape_ascii());
    }
}
