//! Commands over HTTP, through the bridge: streamed, cancelled, and shown while they run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::WATCHDOG;
use crate::presence::{Go, Presence};
use crate::scene::{PLACES, Place, Scene};

/// Sends a whole request and nothing more, and reads what comes until the connection's end.
pub fn exchange(socket: &Path, request: &[u8]) -> String {
    let mut stream = connected(socket);
    stream.write_all(request).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn connected(socket: &Path) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    stream
}

/// A POST whose connection is closed after the answer.
pub fn post(path: &str, token: Option<&str>, body: &Value) -> Vec<u8> {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{token}\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The lines of `/v1/execute/stream`, as they come.
struct Lines {
    stream: BufReader<UnixStream>,
}

impl Lines {
    fn of(scene: &Scene, cmd: &str) -> Self {
        let mut stream = connected(&scene.socket());
        let request = post("/v1/execute/stream", scene.token(), &json!({"cmd": cmd}));
        stream.write_all(&request).unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("content-type: application/x-ndjson\r\n"), "{head}");
        assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
        Lines { stream }
    }

    /// The next line, which must be a chunk of the answer by itself: flushed when it was made.
    /// `None` at the answer's proper end.
    fn next(&mut self) -> Option<Value> {
        let mut size = String::new();
        self.stream.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).unwrap();
        (size > 0).then(|| serde_json::from_slice(&chunk).unwrap())
    }
}

fn text(line: &Value) -> String {
    String::from_utf8(STANDARD.decode(line["chunk_b64"].as_str().unwrap()).unwrap()).unwrap()
}

#[test]
fn each_line_of_a_stream_comes_before_the_command_goes_on() {
    for place in PLACES {
        let scene = Scene::new(place, &[]);
        let go = Go::new(&scene.room);
        let cmd = format!("for n in 1 2 3; do echo line-$n; {}; done; exit 7", go.wait());
        let mut lines = Lines::of(&scene, &cmd);
        let start = lines.next().unwrap();
        assert_eq!(start["type"], "start");
        for number in 1..=3 {
            let line = lines.next().unwrap();
            assert_eq!(line["type"], "stdout");
            assert_eq!(text(&line), format!("line-{number}\n"));
            go.on(number);
        }
        let exit = lines.next().unwrap();
        assert_eq!(exit, json!({"type": "exit", "exit": 7, "span_id": start["span_id"]}));
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn a_stream_is_cancelled_over_a_second_connection() {
    for place in PLACES {
        let scene = Scene::new(place, &[]);
        let presence = Presence::new(&scene.room, "presence");
        let mut lines = Lines::of(&scene, &presence.of("@; exec sleep 60"));
        let start = lines.next().unwrap();
        assert_eq!(text(&lines.next().unwrap()), "[ready]\n");
        let order = json!({"span_id": start["span_id"], "sig": "INT"});
        let answer = exchange(&scene.socket(), &post("/v1/execute/cancel", scene.token(), &order));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains(r#"{"schema_version":1,"delivered":true}"#), "{answer}");
        let exit = lines.next().unwrap();
        assert_eq!((&exit["type"], &exit["exit"]), (&json!("exit"), &json!(130)));
        assert_eq!(lines.next(), None);
        // The command is gone, so a second order finds nobody.
        let answer = exchange(&scene.socket(), &post("/v1/execute/cancel", scene.token(), &order));
        assert!(answer.contains(r#"{"schema_version":1,"delivered":false}"#), "{answer}");
    }
}

#[test]
fn both_outputs_and_the_exit_code_come_whole() {
    let scene = Scene::new(Place::Socket, &[]);
    let cmd = "seq 1 40000; seq 1 40000 >&2; exit 3";
    let mut lines = Lines::of(&scene, cmd);
    let (mut stdout, mut stderr, mut last) = (String::new(), String::new(), Value::Null);
    while let Some(line) = lines.next() {
        match line["type"].as_str().unwrap() {
            "stdout" => stdout.push_str(&text(&line)),
            "stderr" => stderr.push_str(&text(&line)),
            _ => last = line,
        }
    }
    let expected: String = (1..=40000).map(|number| format!("{number}\n")).collect();
    assert!(stdout == expected && stderr == expected);
    assert_eq!(last["exit"], 3);
}
