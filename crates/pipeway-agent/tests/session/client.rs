//! A client of persistent sessions.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use pipeway_agent::protocol::{decode, encode};
use pipeway_transport::Stream;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::rig::Rig;

pub struct Client {
    socket: WebSocketStream<Stream>,
    seq: u64,
    /// Output that was not looked at yet.
    seen: Vec<u8>,
}

/// How a program has ended, and what was written up to then.
#[derive(Debug)]
pub struct Done {
    pub exit: i64,
    pub cwd: String,
    pub output: String,
}

/// How a conversation has ended.
#[derive(Debug)]
pub struct End {
    pub output: String,
    /// Every other message.
    pub messages: Vec<Value>,
    pub close: Option<u16>,
}

impl End {
    /// The exit code that was told, as the last message before a normal close. That of a shell
    /// which was closed depends on what it was doing.
    #[track_caller]
    pub fn exit(&self) -> i64 {
        assert_eq!(self.close, Some(1000), "{self:?}");
        let last = self.messages.last().unwrap_or_else(|| panic!("{self:?}"));
        assert_eq!(last["type"], "exit", "{self:?}");
        last["code"].as_i64().unwrap()
    }

    /// The message of the one fatal error.
    #[track_caller]
    pub fn error(&self, code: &str, seq: Option<u64>) -> &str {
        let error = self.messages.last().unwrap_or_else(|| panic!("{self:?}"));
        assert_eq!(error["type"], "error", "{self:?}");
        assert_eq!(error["code"], code, "{self:?}");
        assert_eq!(error["fatal"], true, "{self:?}");
        assert_eq!(error.get("seq").and_then(Value::as_u64), seq, "{self:?}");
        let close = if code == "internal_error" { CloseCode::Error } else { CloseCode::Policy };
        assert_eq!(self.close, Some(close.into()), "{self:?}");
        error["message"].as_str().unwrap()
    }
}

pub fn start() -> Value {
    json!({ "type": "start_session", "protocol_version": 1, "cols": 80, "rows": 24 })
}

impl Client {
    pub async fn connect(rig: &Rig) -> Self {
        let stream = rig.connect().await;
        let (socket, _) = client_async("ws://localhost/v1/stream", stream).await.unwrap();
        Client { socket, seq: 0, seen: Vec::new() }
    }

    /// A session that is ready.
    pub async fn open(rig: &Rig) -> Self {
        Client::open_with(rig, json!({})).await.0
    }

    /// A session with these fields, and its `ready`.
    pub async fn open_with(rig: &Rig, fields: Value) -> (Self, Value) {
        let mut client = Client::connect(rig).await;
        let mut first = start();
        for (name, value) in fields.as_object().unwrap() {
            first[name] = value.clone();
        }
        client.send(first).await;
        let ready = client.next().await.expect("an answer");
        assert_eq!(ready["type"], "ready", "{ready}");
        (client, ready)
    }

    pub async fn send(&mut self, message: Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    pub async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next message, or nothing where the conversation has ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Begins a program.
    pub async fn exec(&mut self, program: impl AsRef<[u8]>, stdin_mode: &str) {
        self.seq += 1;
        let message = exec(self.seq, program, stdin_mode);
        self.send(message).await;
    }

    /// Waits for the end of the program.
    pub async fn done(&mut self) -> Done {
        loop {
            let message = self.next().await.expect("a completion");
            if self.take_output(&message) {
                continue;
            }
            assert_eq!(message["type"], "command_complete", "{message}");
            assert_eq!(message["seq"], self.seq, "{message}");
            assert_eq!(message["token_hex"], token(self.seq), "{message}");
            return Done {
                exit: message["exit"].as_i64().unwrap(),
                cwd: message["cwd"].as_str().unwrap().to_owned(),
                output: self.take_seen(),
            };
        }
    }

    /// Runs a program that reads nothing.
    pub async fn run(&mut self, program: impl AsRef<[u8]>) -> Done {
        self.exec(program, "eof").await;
        self.done().await
    }

    /// Runs a program that succeeds, and gives its output.
    #[track_caller]
    pub fn output(&mut self, program: &str) -> impl Future<Output = String> {
        let at = std::panic::Location::caller();
        async move {
            let done = self.run(program).await;
            assert_eq!(done.exit, 0, "{at}: {done:?}");
            done.output
        }
    }

    /// Waits until the output has `mark` in it, and gives what was up to there.
    pub async fn until(&mut self, mark: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.seen).into_owned();
            if let Some(at) = text.find(mark) {
                let end = at + mark.len();
                self.seen = text.as_bytes()[end..].to_vec();
                return text[..end].to_owned();
            }
            let message = self.next().await.expect("more output");
            assert!(self.take_output(&message), "{message} before {mark:?} in {text:?}");
        }
    }

    pub async fn signal(&mut self, sig: &str) {
        self.send(json!({ "type": "signal", "sig": sig })).await;
    }

    pub async fn type_in(&mut self, text: &str) {
        self.send(json!({ "type": "stdin", "data_b64": encode(text.as_bytes()) })).await;
    }

    /// Reads until the end.
    pub async fn end(mut self) -> End {
        let mut end = End { output: String::new(), messages: Vec::new(), close: None };
        while let Some(Ok(message)) = self.socket.next().await {
            match message {
                Message::Text(text) => {
                    let message = serde_json::from_str(&text).unwrap();
                    if !self.take_output(&message) {
                        end.messages.push(message);
                    }
                }
                Message::Close(frame) => end.close = frame.map(|frame| frame.code.into()),
                _ => {}
            }
        }
        end.output = self.take_seen();
        end
    }

    /// Orders the end, and waits for it.
    pub async fn close(mut self) -> End {
        self.send(json!({ "type": "close" })).await;
        self.end().await
    }

    /// What comes within a moment.
    pub async fn nothing_comes(&mut self) {
        let moment = Duration::from_millis(200);
        if let Ok(message) = tokio::time::timeout(moment, self.next()).await {
            panic!("{message:?}");
        }
    }

    fn take_output(&mut self, message: &Value) -> bool {
        if message["type"] == "stdout" {
            let data = decode(message["data_b64"].as_str().unwrap()).unwrap();
            assert!(data.len() <= 8192);
            self.seen.extend(data);
        }
        message["type"] == "stdout"
    }

    fn take_seen(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.seen)).into_owned()
    }
}

pub fn token(seq: u64) -> String {
    format!("{seq:032x}")
}

pub fn exec(seq: u64, program: impl AsRef<[u8]>, stdin_mode: &str) -> Value {
    json!({
        "type": "exec",
        "seq": seq,
        "token_hex": token(seq),
        "cmd_id": "0190a0b0-0000-7000-8000-00000000000f",
        "stdin_mode": stdin_mode,
        "program_b64": encode(program.as_ref()),
    })
}
