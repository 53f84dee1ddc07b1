//! A terminal of the agent's, in front of whoever speaks WebSocket.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::conversation::{Came, Conversation};

/// A shell that tells its size when that changes, and tells of an interrupt instead of ending.
pub const SHELL: &str = "trap 'stty size' WINCH; trap 'echo \"[interrupted]\"' INT; stty size; \
    echo '[ready]'; while :; do read -r line && eval \"$line\"; done";

pub struct Terminal<C> {
    pub conversation: C,
    /// What has come and was not looked for yet.
    pub unseen: Vec<u8>,
}

impl<C: Conversation> Terminal<C> {
    /// Starts `cmd` in a terminal.
    pub fn start(conversation: C, cmd: &str, cols: u16, rows: u16) -> Self {
        let mut terminal = Terminal { conversation, unseen: Vec::new() };
        terminal.conversation.send(&start(cmd, cols, rows));
        terminal
    }

    pub fn types(&mut self, text: &str) {
        self.conversation.send(&typed(text.as_bytes()));
    }

    pub fn resize(&mut self, cols: u16, rows: u16) {
        self.conversation.send(&json!({"type": "resize", "cols": cols, "rows": rows}));
    }

    pub fn signal(&mut self, sig: &str) {
        self.conversation.send(&json!({"type": "signal", "sig": sig}));
    }

    /// Waits until `text` is on the screen, below all that was waited for before.
    #[track_caller]
    pub fn sees(&mut self, text: &str) {
        loop {
            let at = self.unseen.windows(text.len()).position(|part| part == text.as_bytes());
            if let Some(at) = at {
                self.unseen.drain(..at + text.len());
                return;
            }
            match self.message() {
                Told::Output(data) => self.unseen.extend(data),
                other => panic!("{other:?} instead of {text:?}, after {}", self.screen()),
            }
        }
    }

    /// Everything up to the command's end and its exit code; then the orderly close.
    #[track_caller]
    pub fn exit(&mut self) -> i32 {
        let code = loop {
            match self.message() {
                Told::Output(data) => self.unseen.extend(data),
                Told::Exit(code) => break code,
                other => panic!("{other:?} instead of an exit, after {}", self.screen()),
            }
        };
        assert_eq!(self.conversation.receive(), Came::Close(1000));
        assert_eq!(self.conversation.receive(), Came::End);
        code
    }

    /// What comes next.
    #[track_caller]
    pub fn message(&mut self) -> Told {
        match self.conversation.receive() {
            Came::Text(text) => told(&text),
            other => Told::Else(other),
        }
    }

    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.unseen).into_owned()
    }
}

/// What the agent tells.
#[derive(Debug)]
pub enum Told {
    Output(Vec<u8>),
    Exit(i32),
    Error,
    Else(Came),
}

pub fn told(text: &str) -> Told {
    let message: Value = serde_json::from_str(text).unwrap();
    match message["type"].as_str().unwrap() {
        "stdout" => {
            let data = STANDARD.decode(message["data_b64"].as_str().unwrap()).unwrap();
            assert!(!data.is_empty() && data.len() <= 8192, "{} bytes at once", data.len());
            Told::Output(data)
        }
        "exit" => Told::Exit(message["code"].as_i64().unwrap().try_into().unwrap()),
        "error" => Told::Error,
        other => panic!("a terminal tells no {other:?}"),
    }
}

pub fn start(cmd: &str, cols: u16, rows: u16) -> Value {
    json!({"type": "start", "cmd": cmd, "cols": cols, "rows": rows})
}

pub fn typed(bytes: &[u8]) -> Value {
    json!({"type": "stdin", "data_b64": STANDARD.encode(bytes)})
}
