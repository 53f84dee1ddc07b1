//! The child process, its connections, and what it is told to do.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pipeway_mux::{Channel, ChannelOptions, Mux, Options, Version};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

use crate::support::run;

fn interop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop")
}

/// Whether Node and the package are here; says so where they are not.
fn is_here() -> bool {
    let package = interop().join("node_modules/nerdbank-streams/package.json").is_file();
    let mut node = std::process::Command::new("node");
    node.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    if package && node.status().is_ok_and(|status| status.success()) {
        return true;
    }
    let missing = "Node with interop/node_modules (npm ci)";
    let required = std::env::var("PIPEWAY_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
    assert!(!required, "missing: {missing}");
    eprintln!("left out, for want of {missing}");
    false
}

type Answers = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// The child process.
pub struct Npm {
    lines_tx: mpsc::UnboundedSender<String>,
    answers: Answers,
    next: AtomicU64,
    folder: tempfile::TempDir,
    _child: Child,
}

impl Npm {
    fn start() -> Npm {
        let mut command = Command::new("node");
        command.arg(interop().join("mux/peer.mjs")).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let (lines_tx, mut lines_rx) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(line) = lines_rx.recv().await {
                stdin.write_all(line.as_bytes()).await.unwrap();
            }
        });
        let answers = Answers::default();
        let waiting = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Some(line) = stdout.next_line().await.unwrap() {
                let answer: Value = serde_json::from_str(&line).unwrap();
                let id = answer["id"].as_u64().unwrap();
                let answer_tx = waiting.lock().unwrap().remove(&id).unwrap();
                // A test may not care for it.
                let _ = answer_tx.send(answer);
            }
            // Whoever still waits is told that the process is gone.
            waiting.lock().unwrap().clear();
        });
        let folder = tempfile::tempdir().unwrap();
        Npm { lines_tx, answers, next: AtomicU64::new(0), folder, _child: child }
    }

    /// Tells it to do something, at once; the answer comes when it is done, or says what failed.
    pub fn tell(
        &self,
        what: &str,
        arguments: Value,
    ) -> impl Future<Output = Result<Value, String>> + use<> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let Value::Object(mut command) = arguments else { panic!("an object") };
        command.insert("id".to_owned(), id.into());
        command.insert("do".to_owned(), what.into());
        let (answer_tx, answer_rx) = oneshot::channel();
        self.answers.lock().unwrap().insert(id, answer_tx);
        self.lines_tx.send(format!("{}\n", Value::Object(command))).unwrap();
        async move {
            let answer = answer_rx.await.expect("Node is gone");
            match answer.get("error") {
                Some(error) => Err(error.as_str().unwrap_or_default().to_owned()),
                None => Ok(answer),
            }
        }
    }
}

/// A version, and which end is odd where that is told by a handshake.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub version: Version,
    /// Every byte of the package's random value: 0 makes it the even end, 255 the odd one.
    random: Option<u8>,
}

/// All that the protocol knows.
pub const CASES: [Case; 5] = [
    Case { version: Version::V1, random: Some(0) },
    Case { version: Version::V1, random: Some(255) },
    Case { version: Version::V2, random: Some(0) },
    Case { version: Version::V2, random: Some(255) },
    Case { version: Version::V3, random: None },
];

impl Case {
    pub fn has_windows(self) -> bool {
        self.version != Version::V1
    }
}

/// A connection: this crate at one end, the package at the other.
pub struct Pair {
    pub case: Case,
    pub mux: Mux,
    pub npm: Arc<Npm>,
    name: String,
}

impl Pair {
    /// Connects, with `options` here (but for the version) and what `settings` says there.
    pub async fn connect(npm: &Arc<Npm>, case: Case, options: Options, settings: Value) -> Pair {
        let name = npm.next.load(Ordering::Relaxed).to_string();
        let socket = npm.folder.path().join(&name);
        let listener = UnixListener::bind(&socket).unwrap();
        let mut told = settings;
        told["mux"] = json!(name);
        told["socket"] = json!(socket);
        told["version"] = json!(case.version.number());
        told["random"] = json!(case.random);
        if case.random.is_none() {
            told.as_object_mut().unwrap().remove("random");
        }
        let connecting = npm.tell("connect", told);
        let (stream, _) = listener.accept().await.unwrap();
        let options = Options { version: case.version, ..options };
        let (mux, connected) = tokio::join!(Mux::connect(stream, options), connecting);
        let odd = connected.unwrap()["odd"].as_bool();
        assert_eq!(odd, case.random.map(|random| random == 255), "{case:?}");
        Pair { case, mux: mux.unwrap(), npm: Arc::clone(npm), name }
    }

    /// Tells the package to do something on this connection.
    pub fn npm(
        &self,
        what: &str,
        arguments: Value,
    ) -> impl Future<Output = Result<Value, String>> + use<> {
        let Value::Object(mut arguments) = arguments else { panic!("an object") };
        arguments.insert("mux".to_owned(), json!(self.name));
        if let Some(channel) = arguments.get("as") {
            let own = format!("{}/{}", self.name, channel.as_str().unwrap());
            arguments.insert("as".to_owned(), own.into());
        }
        self.npm.tell(what, Value::Object(arguments))
    }

    /// A channel that `by` offers and the other accepts; the package knows it as `name`.
    pub async fn channel(&self, by: By, name: &str) -> Channel {
        self.channel_with(by, name, ChannelOptions::default(), Map::new()).await
    }

    /// The same, echoed by the package.
    pub async fn echoed(&self, by: By, name: &str) -> Channel {
        let then = Map::from_iter([("then".to_owned(), json!("echo"))]);
        self.channel_with(by, name, ChannelOptions::default(), then).await
    }

    /// The same, with options for either end.
    pub async fn channel_with(
        &self,
        by: By,
        name: &str,
        options: ChannelOptions,
        mut settings: Map<String, Value>,
    ) -> Channel {
        settings.insert("as".to_owned(), json!(name));
        settings.insert("name".to_owned(), json!(name));
        let settings = Value::Object(settings);
        let (channel, told) = match by {
            By::Us => {
                let (channel, told) =
                    tokio::join!(self.mux.offer(name, options), self.npm("accept", settings));
                (channel.unwrap(), told)
            }
            By::Npm => {
                let (channel, told) =
                    tokio::join!(self.mux.accept(name, options), self.npm("offer", settings));
                (channel.unwrap(), told)
            }
        };
        assert_eq!(told.unwrap()["channel"], json!(channel.id().number()), "{:?}", self.case);
        channel
    }

    /// Waits until the package has forgotten every channel.
    pub async fn is_forgotten(&self) {
        let nothing = json!({ "offeredHere": 0, "offeredThere": 0 });
        loop {
            let mut open = self.npm("open", json!({})).await.unwrap();
            open.as_object_mut().unwrap().remove("id");
            if open == nothing {
                return;
            }
        }
    }
}

/// Who offers a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Us,
    Npm,
}

/// Runs a test over one child process, where the package is here.
pub fn with_npm<F: Future<Output = ()>>(test: impl FnOnce(Arc<Npm>) -> F) {
    if is_here() {
        run(async { test(Arc::new(Npm::start())).await });
    }
}

/// Runs a test over a connection of each kind.
pub fn over_all<F: Future<Output = ()>>(test: impl Fn(Pair) -> F) {
    with_npm(async |npm| {
        for case in CASES {
            let pair = Pair::connect(&npm, case, Options::default(), json!({})).await;
            // Shown if the test fails.
            eprintln!("{case:?}");
            test(pair).await;
        }
    });
}

/// The same, twice: with channels offered by either end.
pub fn over_all_both_ways<F: Future<Output = ()>>(test: impl Fn(Pair, By) -> F) {
    with_npm(async |npm| {
        for case in CASES {
            for by in [By::Us, By::Npm] {
                let pair = Pair::connect(&npm, case, Options::default(), json!({})).await;
                eprintln!("{case:?}, offered by {by:?}");
                test(pair, by).await;
            }
        }
    });
}
