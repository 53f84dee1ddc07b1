//! A terminal over WebSocket.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use pipeway_agent::protocol::{decode, encode};
use pipeway_transport::Stream;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::descriptors;
use super::rig::{Rig, gone, run};

/// A client of `/v1/stream`.
struct Client {
    socket: WebSocketStream<Stream>,
    /// Output that came and was not looked at.
    output: String,
}

impl Client {
    async fn connect(rig: &Rig) -> Self {
        let stream = rig.connect().await;
        let opened = tokio_tungstenite::client_async("ws://localhost/v1/stream", stream).await;
        Client { socket: opened.unwrap().0, output: String::new() }
    }

    /// A terminal of 80 by 24 in which a script runs.
    async fn start(rig: &Rig, cmd: &str) -> Self {
        let mut client = Client::connect(rig).await;
        client.send(json!({ "type": "start", "cmd": cmd, "cols": 80, "rows": 24 })).await;
        client
    }

    async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn type_text(&mut self, text: &str) {
        self.send(json!({ "type": "stdin", "data_b64": encode(text.as_bytes()) })).await;
    }

    /// The next message that is no output.
    async fn next(&mut self) -> Value {
        loop {
            let message = self.socket.next().await.expect("a message").unwrap();
            let Message::Text(text) = message else { panic!("{message:?}") };
            let value: Value = serde_json::from_str(&text).unwrap();
            if value["type"] != "stdout" {
                return value;
            }
            let data = decode(value["data_b64"].as_str().unwrap()).unwrap();
            assert!(data.len() <= 8192);
            self.output.push_str(&String::from_utf8_lossy(&data));
        }
    }

    /// Waits until the output has `text` in it, and forgets all up to there.
    async fn until(&mut self, text: &str) {
        loop {
            if let Some(at) = self.output.find(text) {
                self.output.drain(..at + text.len());
                return;
            }
            let message = self.socket.next().await;
            // A sign of life is asked for while nothing that was typed is read.
            if matches!(message, Some(Ok(Message::Ping(_)))) {
                continue;
            }
            let Some(Ok(Message::Text(message))) = message else {
                panic!("{message:?} in place of {text:?}; so far: {:?}", self.output)
            };
            let value: Value = serde_json::from_str(&message).unwrap();
            assert_eq!(value["type"], "stdout", "{value} in place of {text:?}: {:?}", self.output);
            let data = decode(value["data_b64"].as_str().unwrap()).unwrap();
            self.output.push_str(&String::from_utf8_lossy(&data));
        }
    }

    /// The close frame's code, which is the next thing that comes.
    async fn closed(&mut self) -> u16 {
        let code = match self.socket.next().await {
            Some(Ok(Message::Close(Some(frame)))) => frame.code.into(),
            other => panic!("{other:?}"),
        };
        // Answers with a close frame of its own, and sees the connection's end.
        assert!(self.socket.next().await.is_none());
        code
    }

    /// Expects the exit code, and the orderly close after it.
    async fn exits(&mut self, code: i32) {
        let message = self.next().await;
        assert_eq!(message, json!({ "type": "exit", "code": code }), "{}", self.output);
        assert_eq!(self.closed().await, 1000);
    }

    /// Expects an error that ends the conversation.
    async fn refused(&mut self, code: &str, close: u16) -> String {
        let error = self.next().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{error}");
        assert_eq!(error["fatal"], true);
        assert_eq!(self.closed().await, close);
        error["message"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_terminal_is_typed_at_resized_signalled_and_left() {
    run(async {
        let rig = Rig::start();
        let script = "trap 'stty size' WINCH; trap 'echo MARK' INT; stty size; \
                      while :; do if read line; then echo \"got $line\"; \
                      test \"$line\" != bye || exit 5; fi; done";
        let mut client = Client::start(&rig, script).await;
        client.until("24 80\r\n").await;
        client.type_text("hello\n").await;
        client.until("hello\r\ngot hello\r\n").await;
        client.send(json!({ "type": "resize", "cols": 120, "rows": 40 })).await;
        // A shell runs its trap when what it waits for is over.
        client.until("40 120\r\n").await;
        client.send(json!({ "type": "signal", "sig": "INT" })).await;
        client.until("MARK\r\n").await;
        client.type_text("\u{3}").await;
        client.until("MARK\r\n").await;
        client.type_text("bye\n").await;
        client.exits(5).await;
    });
}

#[test]
fn each_signal_ends_a_command_with_128_and_its_number() {
    run(async {
        let rig = Rig::start();
        for (sig, code) in
            [("INT", 130), ("SIGINT", 130), ("TERM", 143), ("SIGQUIT", 131), ("HUP", 129)]
        {
            let mut client = Client::start(&rig, "echo up; exec sleep 1000").await;
            client.until("up\r\n").await;
            client.send(json!({ "type": "signal", "sig": sig })).await;
            client.exits(code).await;
        }
    });
}

#[test]
fn what_can_not_be_done_is_an_error_and_the_terminal_goes_on() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::start(&rig, "cat").await;
        for (message, expected) in [
            (json!({ "type": "signal", "sig": "KILL" }), "send INT, TERM, QUIT or HUP"),
            (json!({ "type": "signal", "sig": "USR1" }), "send INT, TERM, QUIT or HUP"),
            (json!({ "type": "resize", "cols": 0, "rows": 24 }), "at least 1"),
            (json!({ "type": "resize", "cols": 70_000, "rows": 24 }), "70000"),
            (json!({ "type": "stdin", "data_b64": "%" }), "no base64"),
            (json!({ "type": "stdin", "data": "" }), "unknown field `data`"),
            (json!({ "type": "wave" }), "unknown variant `wave`"),
            (json!({ "type": "close" }), "a terminal takes stdin, resize and signal"),
            (json!(7), "can't be used"),
        ] {
            client.send(message).await;
            let error = client.next().await;
            assert_eq!(error["type"], "error");
            assert_eq!(error["fatal"], Value::Null);
            assert!(error["message"].as_str().unwrap().contains(expected), "{error}");
        }
        client.socket.send(Message::binary(vec![1])).await.unwrap();
        assert!(client.next().await["message"].as_str().unwrap().contains("JSON text"));
        client.type_text("still here\n").await;
        client.until("still here\r\nstill here\r\n").await;
    });
}

#[test]
fn a_first_message_that_is_no_start_is_refused() {
    run(async {
        let rig = Rig::start();
        let start = |change: Value| {
            let mut message = json!({ "type": "start", "cmd": "true", "cols": 80, "rows": 24 });
            message.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            Message::text(message.to_string())
        };
        for (first, expected) in [
            (Message::text(json!({ "type": "resize", "cols": 1, "rows": 1 }).to_string()), "start"),
            (Message::text("no json"), "can't be used"),
            (Message::binary(vec![0]), "JSON text"),
            (start(json!({ "rows": 0 })), "at least 1"),
            (start(json!({ "colour": 1 })), "unknown field `colour`"),
            (start(json!({ "cwd": "/nowhere" })), "/nowhere does not exist"),
            (start(json!({ "cwd": "relative" })), "absolute"),
            (start(json!({ "span_id": "a b" })), "span_id"),
            (start(json!({ "cmd": "a\u{0}b" })), "NUL"),
        ] {
            let mut client = Client::connect(&rig).await;
            client.socket.send(first).await.unwrap();
            let message = client.refused("bad_request", 1008).await;
            assert!(message.contains(expected), "{message}");
        }
    });
}

#[test]
fn a_silent_client_is_refused_after_a_while() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::connect(&rig).await;
        tokio::time::pause();
        let message = client.refused("bad_request", 1008).await;
        assert!(message.contains("no message came within 30 s"), "{message}");
    });
}

#[test]
fn a_terminal_can_be_cancelled_and_traced_by_its_own_id() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::connect(&rig).await;
        let start = json!({ "type": "start", "cmd": "echo up; exec sleep 1000", "cols": 80, "rows": 24, "span_id": "mine" });
        client.send(start).await;
        client.until("up\r\n").await;
        let body = json!({ "span_id": "mine", "sig": "TERM" });
        assert_eq!(rig.post("/v1/execute/cancel", body).await.json()["delivered"], true);
        client.exits(143).await;
        let trace = rig.get("/v1/trace/mine").await.json();
        let events: Vec<_> =
            trace["events"].as_array().unwrap().iter().map(|e| &e["event"]).collect();
        assert_eq!(events, ["start", "signal", "exit"]);
    });
}

#[test]
fn all_output_comes_before_the_exit() {
    run(async {
        let rig = Rig::start();
        for _ in 0..20 {
            let mut client = Client::start(
                &rig,
                "stty -opost; head -c 100000 /dev/zero | tr '\\0' x; printf END",
            )
            .await;
            client.exits(0).await;
            assert_eq!(client.output, format!("{}END", "x".repeat(100_000)));
        }
    });
}

#[test]
fn output_that_is_not_read_makes_the_command_wait_and_it_can_be_interrupted() {
    run(async {
        let rig = Rig::start();
        let pid = rig.path("pid");
        let mut client =
            Client::start(&rig, &format!("echo $$ >{}; exec yes", pid.display())).await;
        client.until("y\r\ny\r\n").await;
        // Nothing is read until the signal was sent and the command is gone.
        client.send(json!({ "type": "signal", "sig": "INT" })).await;
        gone(std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap()).await;
        client.exits(130).await;
    });
}

#[test]
fn a_long_paste_is_read_at_the_programs_pace() {
    run(async {
        let rig = Rig::start();
        let mut client =
            Client::start(&rig, "stty raw -echo; printf up; head -c 1000000 | cksum").await;
        client.until("up").await;
        let piece = "0123456789abcdef".repeat(1000);
        for _ in 0..63 {
            client.type_text(&piece).await;
        }
        let expected = std::process::Command::new("sh")
            .arg("-c")
            .arg("i=0; while [ $i -lt 63000 ]; do printf 0123456789abcdef; i=$((i+1)); done | head -c 1000000 | cksum")
            .output()
            .unwrap();
        client.until(String::from_utf8(expected.stdout).unwrap().trim()).await;
        client.exits(0).await;
    });
}

#[test]
fn a_client_that_is_killed_behind_a_full_keyboard_is_noticed() {
    run(async {
        let rig = Rig::start();
        let pid = rig.path("pid");
        let script =
            format!("stty raw -echo; echo $$ >{}; printf up; exec sleep 1000", pid.display());
        let mut client = Client::start(&rig, &script).await;
        client.until("up").await;
        let pid = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
        let piece = "x".repeat(100_000);
        // As much as the agent and the sockets take: nobody reads it.
        let typing = async {
            loop {
                client.type_text(&piece).await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(Duration::from_secs(1), typing).await;
        let begin = Instant::now();
        drop(client);
        gone(pid).await;
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    });
}

#[test]
fn the_command_ends_with_its_client_however_that_ends() {
    run(async {
        let rig = Rig::start();
        let pid = rig.path("pid");
        for closes in [true, false] {
            for script in ["sleep 1000", "trap '' HUP; while :; do sleep 1000; done", "exec sh -i"]
            {
                let script = format!("echo $$ >{}; echo up; {script}", pid.display());
                let mut client = Client::start(&rig, &script).await;
                client.until("up\r\n").await;
                let pid = std::fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
                let begin = Instant::now();
                if closes {
                    client.socket.close(None).await.unwrap();
                }
                drop(client);
                gone(pid).await;
                assert!(begin.elapsed() < Duration::from_secs(2), "{script}");
            }
        }
    });
}

#[test]
fn a_stop_ends_terminals_with_the_last_word() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::start(&rig, "echo up; exec sleep 1000").await;
        client.until("up\r\n").await;
        let (_, ()) = tokio::join!(rig.stop(), async {
            assert_eq!(client.next().await["message"], "the agent was stopped");
            client.exits(129).await;
        });
    });
}

#[test]
fn the_handshake_is_checked() {
    run(async {
        let rig = Rig::start();
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
        let version = "Sec-WebSocket-Version: 13\r\n";
        for (lines, status, error) in [
            (format!("{key}{version}"), 426, "upgrade_required"),
            (format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n"), 426, "wrong_version"),
            (format!("{upgrade}{version}"), 400, "bad_request"),
            (format!("{upgrade}{version}Sec-WebSocket-Key: c2hvcnQ=\r\n"), 400, "bad_request"),
        ] {
            let head = format!("GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n{lines}");
            let mut stream = rig.connect().await;
            stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"}") {
                assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
            }
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(answer.contains(error), "{answer}");
        }
        let mut stream = rig.connect().await;
        let head =
            format!("GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n{upgrade}{key}{version}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 101 "), "{answer}");
        // The value that RFC 6455 (1.3) gives for this key.
        assert!(
            answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"),
            "{answer}"
        );
    });
}

#[test]
fn a_client_that_reads_again_after_long_gets_all_to_the_end() {
    run(async {
        let rig = Rig::start();
        let script = "echo $$ >PID; stty -opost; head -c 3000000 /dev/zero | tr '\\0' x; exit 3";
        let pid = rig.path("pid");
        let script = script.replace("PID", &pid.display().to_string());
        let mut client = Client::start(&rig, &script).await;
        client.until("x").await;
        // Far longer than the agent waits for a client's close.
        tokio::time::pause();
        for _ in 0..20 {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        tokio::time::resume();
        client.exits(3).await;
        assert_eq!(client.output.len(), 3_000_000 - 1);
    });
}

#[test]
fn a_stop_does_not_wait_for_a_client_that_does_not_read() {
    run(async {
        let rig = Rig::start();
        let before = descriptors();
        let mut client = Client::start(&rig, "exec yes").await;
        client.until("y\r\n").await;
        let begin = Instant::now();
        rig.stop().await;
        assert!(begin.elapsed() < Duration::from_secs(10));
        // The client's end is all that is left, in the end.
        while descriptors() >= before {
            tokio::task::yield_now().await;
        }
        drop(client);
    });
}
