//! The steps that the agent answers: a command, a stream of output, a terminal.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use hyper::Method;
use pipeway_agent::protocol::{
    AgentMessage, ClientMessage, Execute, Executed, Start, StreamLine, decode,
};
use pipeway_transport::Stream;
use pipeway_transport::child::{Child, Program, TerminalSize};
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::steps::{exchange, full};
use crate::command::remote::Platform;

/// The path of a command.
pub(super) const EXECUTE: &str = "/v1/execute";
/// The path of a stream.
pub(super) const EXECUTE_STREAM: &str = "/v1/execute/stream";
/// The path of a terminal.
pub(super) const TERMINAL: &str = "/v1/stream";

/// How long a terminal may take to show that it is one.
const TRY: Duration = Duration::from_secs(2);

/// What a terminal says that was resized and interrupted.
const INTERRUPTED: &str = "interrupted";

/// The exit code of a command that Ctrl-C ended.
const BY_CTRL_C: i32 = 130;

/// What the demonstration runs, in the words of this system's shell.
struct Scripts {
    /// Writes two lines, one to each output, and exits with 3.
    command: &'static str,
    /// Writes three lines, one after the other.
    stream: &'static str,
    /// Says its size when it begins and whenever that changes, and what Ctrl-C does.
    terminal: &'static str,
    /// Whether the terminal can tell all that.
    tells_size: bool,
}

fn scripts() -> Scripts {
    match Platform::of(std::env::consts::OS) {
        Platform::Posix => Scripts {
            command: "echo out; echo err >&2; exit 3",
            stream: "for line in one two three; do echo $line; sleep 0.03; done",
            terminal: "trap 'echo \"[$(stty size)]\"' WINCH; \
                trap 'echo interrupted; exit 130' INT; \
                echo \"[$(stty size)]\"; while :; do sleep 5 & wait; done",
            tells_size: true,
        },
        Platform::Windows => Scripts {
            command: "(echo out)&(>&2 echo err)& exit 3",
            stream: "for %i in (one two three) do @echo %i",
            terminal: "(echo [ready])& ping -n 60 127.0.0.1 >nul",
            tells_size: false,
        },
    }
}

/// Why this system has no terminal for the agent, if it has none.
pub(super) async fn why_no_terminal() -> Option<String> {
    let tried = async {
        let program = Program::script("echo ready");
        let (mut child, mut terminal) = Child::in_terminal(&program, TerminalSize::default())
            .map_err(|error| error.to_string())?;
        let mut shown = Vec::new();
        while !String::from_utf8_lossy(&shown).contains("ready") {
            let read = terminal.read_buf(&mut shown).await;
            if read.map_err(|error| error.to_string())? == 0 {
                return Err("a program's output in it does not come".to_owned());
            }
        }
        child.end(Duration::ZERO).await;
        Ok(())
    };
    match tokio::time::timeout(TRY, tried).await {
        Ok(tried) => tried.err(),
        Err(_) => Some(format!("a program's output in it does not come in {} s", TRY.as_secs())),
    }
}

/// Runs a command and looks at all it gave.
pub(super) async fn command(stream: Stream) -> Result<(), String> {
    let body = execute(scripts().command);
    let answer = exchange(stream, Method::POST, EXECUTE, full(body)).await?;
    let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
    let said: Executed =
        serde_json::from_slice(&body.to_bytes()).map_err(|error| error.to_string())?;
    let said = (said.exit, text(&said.stdout_b64)?, text(&said.stderr_b64)?);
    same(said, (3, "out".into(), "err".into()))
}

/// Runs a command whose output comes line by line.
pub(super) async fn stream(stream: Stream) -> Result<(), String> {
    let body = execute(scripts().stream);
    let answer = exchange(stream, Method::POST, EXECUTE_STREAM, full(body)).await?;
    let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
    let (mut shown, mut code) = (String::new(), None);
    for line in body.to_bytes().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line).map_err(|error| error.to_string())? {
            StreamLine::Start { .. } => {}
            StreamLine::Stdout { chunk_b64 } | StreamLine::Stderr { chunk_b64 } => {
                shown.push_str(&text(&chunk_b64)?);
                shown.push(' ');
            }
            StreamLine::Exit { exit, .. } => code = Some(exit),
            StreamLine::Error { message } => return Err(message),
        }
    }
    let words: Vec<&str> = shown.split_whitespace().collect();
    same((code, words), (Some(0), vec!["one", "two", "three"]))
}

/// Opens a terminal of 80 by 24, makes it 120 by 40, and interrupts what runs in it.
pub(super) async fn terminal(stream: Stream) -> Result<(), String> {
    let scripts = scripts();
    let opened = client_async(format!("ws://localhost{TERMINAL}"), stream).await;
    let mut terminal = Terminal {
        socket: opened.map_err(|error| error.to_string())?.0,
        shown: String::new(),
        code: None,
    };
    let start = Start { cmd: scripts.terminal.to_owned(), cols: 80, rows: 24, ..Start::default() };
    terminal.send(ClientMessage::Start(start)).await?;
    terminal.until(if scripts.tells_size { "[24 80]" } else { "[ready]" }).await?;
    terminal.send(ClientMessage::Resize { cols: 120, rows: 40 }).await?;
    if scripts.tells_size {
        terminal.until("[40 120]").await?;
    }
    terminal.send(ClientMessage::Signal { sig: "INT".into() }).await?;
    if scripts.tells_size {
        terminal.until(INTERRUPTED).await?;
    }
    let code = terminal.end().await?;
    // What cmd.exe exits with is its own affair.
    if scripts.tells_size { same(code, BY_CTRL_C) } else { Ok(()) }
}

struct Terminal {
    socket: WebSocketStream<Stream>,
    shown: String,
    code: Option<i32>,
}

impl Terminal {
    async fn send(&mut self, message: ClientMessage) -> Result<(), String> {
        let text = serde_json::to_string(&message).expect("it has nothing that JSON lacks");
        let sent = self.socket.send(Message::text(text)).await;
        sent.map_err(|error| error.to_string())
    }

    /// Reads until the terminal has shown `text`.
    async fn until(&mut self, text: &str) -> Result<(), String> {
        while !self.shown.contains(text) {
            if !self.read().await? {
                return Err(format!("the terminal ended without {text}: {:?}", self.shown));
            }
        }
        Ok(())
    }

    /// The exit code, after the closing handshake.
    async fn end(&mut self) -> Result<i32, String> {
        while self.read().await? {}
        self.code.ok_or_else(|| "the terminal closed without an exit code".into())
    }

    /// Takes one message; whether there was one.
    async fn read(&mut self) -> Result<bool, String> {
        let message = match self.socket.next().await {
            Some(Ok(Message::Text(message))) => message,
            Some(Ok(_)) => return Ok(true),
            Some(Err(error)) if self.code.is_none() => return Err(error.to_string()),
            Some(Err(_)) | None => return Ok(false),
        };
        match serde_json::from_str(&message).map_err(|error| error.to_string())? {
            AgentMessage::Stdout { data_b64 } => {
                let data = decode(&data_b64).map_err(|error| error.to_string())?;
                self.shown.push_str(&String::from_utf8_lossy(&data));
            }
            AgentMessage::Exit { code } => self.code = Some(code),
            AgentMessage::Error { message, .. } => return Err(message),
            other => return Err(format!("{other:?} came")),
        }
        Ok(true)
    }
}

fn execute(cmd: &str) -> Vec<u8> {
    let execute = Execute { cmd: cmd.to_owned(), ..Execute::default() };
    serde_json::to_vec(&execute).expect("it has nothing that JSON lacks")
}

/// Output as text, without the end of its last line.
fn text(base64: &str) -> Result<String, String> {
    let data = decode(base64).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&data).trim_end().to_owned())
}

fn same<T: PartialEq + std::fmt::Debug>(came: T, expected: T) -> Result<(), String> {
    if came == expected { Ok(()) } else { Err(format!("{came:?} came, not {expected:?}")) }
}
