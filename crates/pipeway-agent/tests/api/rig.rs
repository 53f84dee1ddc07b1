//! An agent in this process, and a client that writes HTTP out by hand.

use std::path::PathBuf;
use std::time::Duration;

use pipeway_agent::{Agent, AgentConfig};
use pipeway_transport::{ConnectOptions, Endpoint, Stream, connect};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long anything may take before the test fails.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A running agent.
pub struct Rig {
    pub endpoint: Endpoint,
    pub folder: tempfile::TempDir,
    stop_tx: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// What a refusal says.
    #[track_caller]
    pub fn refusal(&self, status: u16, error: &str) -> String {
        let body = self.json();
        assert_eq!((self.status, body["error"].as_str()), (status, Some(error)), "{body}");
        body["message"].as_str().expect("a message").to_owned()
    }
}

/// Runs a test with a deadline.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(WATCHDOG, test).await });
    ended.expect("the test ends in time");
}

impl Rig {
    pub fn start() -> Self {
        Rig::with(|_, _| {})
    }

    pub fn with(change: impl FnOnce(&mut AgentConfig, &std::path::Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = AgentConfig::new(own_endpoint(&folder));
        change(&mut config, folder.path());
        let agent = Agent::bind(config).unwrap();
        let endpoint = agent.endpoint().clone();
        let (stop_tx, stop_rx) = oneshot::channel();
        let running = tokio::spawn(agent.run(async { drop(stop_rx.await) }));
        Rig { endpoint, folder, stop_tx: Some(stop_tx), running }
    }

    pub async fn stop(mut self) {
        drop(self.stop_tx.take());
        (&mut self.running).await.unwrap();
    }

    pub async fn connect(&self) -> Stream {
        connect(&self.endpoint, &ConnectOptions::default()).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n"), b"").await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n");
        self.send(&head, body.to_string().as_bytes()).await
    }

    /// Sends a request, whose `head` lacks its length and its end, and reads the whole answer.
    pub async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        let head = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        // An agent that refuses the head need not read the body.
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let body = answer.split_off(end);
        let head = String::from_utf8(answer).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body }
    }

    /// Runs a command and gives what `/v1/execute` says of it.
    pub async fn execute(&self, cmd: &str) -> Value {
        let answer = self.post("/v1/execute", json!({ "cmd": cmd })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Begins a stream.
    pub async fn stream(&self, body: Value) -> Lines {
        let mut stream = self.connect().await;
        let body = body.to_string();
        let head = format!(
            "POST /v1/execute/stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut lines = Lines { stream: BufReader::new(stream) };
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(lines.stream.read_line(&mut head).await.unwrap(), 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("content-type: application/x-ndjson\r\n"), "{head}");
        lines
    }

    /// A path below the test's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A stream of lines that is read line by line.
pub struct Lines {
    stream: BufReader<Stream>,
}

impl Lines {
    /// The next line, or nothing where the answer is whole.
    pub async fn next(&mut self) -> Option<Value> {
        let mut size = String::new();
        self.stream.read_line(&mut size).await.unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or_else(|_| panic!("{size:?}"));
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).await.unwrap();
        chunk.truncate(size);
        (size > 0).then(|| serde_json::from_slice(&chunk).expect("each chunk is one line"))
    }

    /// The next line, which has this type.
    #[track_caller]
    pub fn expect(&mut self, kind: &str) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        async move {
            let line = self.next().await.unwrap_or_else(|| panic!("{at}: the stream has ended"));
            assert_eq!(line["type"], kind, "{at}: {line}");
            line
        }
    }
}

/// What base64 in a field stands for.
#[track_caller]
pub fn text(value: &Value) -> String {
    let bytes = pipeway_agent::protocol::decode(value.as_str().expect("base64")).unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Waits until there is no process `pid` any more, or only what is left of one.
pub async fn gone(pid: u32) {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // pid (name) state: Z is a dead one that nobody has waited for.
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next());
        if matches!(state, None | Some('Z')) {
            return;
        }
        tokio::task::yield_now().await;
    }
}

fn own_endpoint(folder: &tempfile::TempDir) -> Endpoint {
    format!("unix:{}", folder.path().join("agent.sock").display()).parse().unwrap()
}
