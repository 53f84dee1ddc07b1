//! A script of `interop/directline` as a child process, and what it is told to do.

use std::collections::HashMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use pipeway_directline::pipes::Place;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};

/// Names Windows' own Node, for the tests' Windows build.
const WINDOWS_NODE: &str = "PIPEWAY_WINDOWS_NODE";

fn interop() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop")
}

fn node() -> PathBuf {
    let named = std::env::var_os(WINDOWS_NODE).filter(|_| cfg!(windows));
    named.map_or_else(|| "node".into(), PathBuf::from)
}

/// Whether Node and the packages are here; says so where they are not.
pub fn is_here() -> bool {
    let package = interop().join("node_modules/botframework-streaming/package.json").is_file();
    if std::env::var("PIPEWAY_REQUIRE_INTEROP").is_ok_and(|value| value == "1") {
        assert!(package, "missing: interop/node_modules (npm ci)");
        // That Node can't be started is told, with what the system says, where it is.
        return true;
    }
    let mut version = std::process::Command::new(node());
    version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if package && version.status().is_ok_and(|status| status.success()) {
        return true;
    }
    eprintln!("left out, for want of Node with interop/node_modules (npm ci)");
    false
}

/// Where the scripts of one test have their pipes.
pub struct Scene {
    folder: tempfile::TempDir,
    name: String,
}

impl Scene {
    pub fn new() -> Scene {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pipeway-interop-{}-{count}", std::process::id());
        Scene { folder: tempfile::tempdir().unwrap(), name }
    }

    /// Where the packages have the pipes of this name: elsewhere than on Windows these are files
    /// whose names have backslashes, in the current folder.
    pub fn place(&self) -> Place {
        if cfg!(windows) {
            return self.name.parse().unwrap();
        }
        let stem = self.folder.path().join(format!(r"\\.\pipe\{}", self.name));
        Place::of_stem(&stem).unwrap()
    }

    /// Removes the sockets that a killed process left.
    pub fn clear(&self) {
        for file in std::fs::read_dir(self.folder.path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }

    /// Starts a script with these words, the pipes' name and these options, and waits for its first
    /// line.
    pub async fn start(&self, words: &[&str], options: &[&str]) -> Script {
        let script = interop().join("directline").join(words[0]);
        let mut command = Command::new(node());
        command.arg(script).args(&words[1..]).arg(&self.name);
        command.arg("--in").arg(self.folder.path()).args(options);
        Script::start(command).await
    }
}

type Answers = Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>;

/// The child process. It ends when this is dropped.
pub struct Script {
    lines_tx: mpsc::UnboundedSender<String>,
    answers: Answers,
    events_rx: mpsc::UnboundedReceiver<Value>,
    next: AtomicU64,
    child: Child,
}

impl Script {
    async fn start(mut command: Command) -> Script {
        command.kill_on_drop(true);
        // Wine gives a Windows Node nothing of these that it could use.
        let (mut child, lines, mut commands): (Child, Lines, Commands) = if cfg!(windows) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port().to_string();
            command.args(["--control", &port]).stdin(Stdio::null()).stdout(Stdio::null());
            let mut child = command.spawn().unwrap();
            let connected = tokio::select! {
                connected = listener.accept() => connected.unwrap().0,
                ended = child.wait() => panic!("the script ended before it connected: {ended:?}"),
            };
            let (read, write) = connected.into_split();
            (child, Box::new(read), Box::new(write))
        } else {
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (read, write) = (child.stdout.take().unwrap(), child.stdin.take().unwrap());
            (child, Box::new(read), Box::new(write))
        };
        let mut lines = BufReader::new(lines).lines();
        let ready = lines.next_line().await.unwrap();
        let is_ready = ready.as_ref().is_some_and(|line| line.starts_with("ready "));
        assert!(is_ready, "{ready:?}, {:?}", child.try_wait());
        let (lines_tx, mut lines_rx) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(line) = lines_rx.recv().await {
                // A process that has ended is known by the end of its lines.
                let _ = commands.write_all(line.as_bytes()).await;
            }
        });
        let (events_tx, events_rx) = mpsc::unbounded_channel();
        let answers = Answers::default();
        let waiting = Arc::clone(&answers);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let said: Value = serde_json::from_str(&line).unwrap();
                match said["id"].as_u64() {
                    // A test may not care for either.
                    Some(id) => {
                        let answer_tx = waiting.lock().unwrap().remove(&id).unwrap();
                        let _ = answer_tx.send(said);
                    }
                    None => drop(events_tx.send(said)),
                }
            }
            // Whoever still waits is told that the process is gone.
            waiting.lock().unwrap().clear();
        });
        Script { lines_tx, answers, events_rx, next: AtomicU64::new(0), child }
    }

    /// Tells it to do something, at once; the answer comes when it is done, or says what failed.
    pub fn tell(
        &self,
        what: &str,
        mut command: Value,
    ) -> impl Future<Output = Result<Value, String>> + use<> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        command["id"] = json!(id);
        command["do"] = json!(what);
        let (answer_tx, answer_rx) = oneshot::channel();
        self.answers.lock().unwrap().insert(id, answer_tx);
        self.lines_tx.send(format!("{command}\n")).unwrap();
        async move {
            let answer = answer_rx.await.map_err(|_| "Node is gone".to_owned())?;
            match answer.get("error") {
                Some(error) => Err(error.as_str().unwrap_or_default().to_owned()),
                None => Ok(answer),
            }
        }
    }

    /// The next event of this name.
    pub async fn event(&mut self, name: &str) -> Value {
        loop {
            let event = self.events_rx.recv().await.expect("Node is gone");
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Ends it as the system does.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

type Lines = Box<dyn AsyncRead + Send + Unpin>;
type Commands = Box<dyn AsyncWrite + Send + Unpin>;
