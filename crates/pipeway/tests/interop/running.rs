//! Starts the built program and the programs of others, and finds out which are here.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a program may take to say that it is ready, and a client to be done.
pub const DEADLINE: Duration = Duration::from_secs(130);

/// A program that runs until the test is over.
pub struct Running {
    child: Child,
    /// Hears the end of its output: of everything that it started, too.
    over_rx: mpsc::Receiver<()>,
    /// Whether it has to end what it started, and so is asked to stop rather than killed.
    has_children: bool,
}

impl Running {
    /// Asks it to stop, and waits until it has, and all that it started.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        assert!(self.stops_within(DEADLINE), "{} does not stop", self.child.id());
        self.child.wait().expect("waited for")
    }

    fn stops_within(&mut self, time: Duration) -> bool {
        let id = self.child.id().to_string();
        // It may have ended by itself; nobody has waited for it, so the number is still its own.
        let _ = Command::new("kill").arg(id).stderr(Stdio::null()).status();
        self.over_rx.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Disconnected)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.has_children && !self.stops_within(DEADLINE / 4) {
            eprintln!("{} does not stop, and is killed", self.child.id());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program, and waits for its first line, which must begin with `ready`.
pub fn started(command: &mut Command) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = child.stdout.take().expect("a pipe");
    let (over_tx, over_rx) = mpsc::channel();
    let running = Running { child, over_rx, has_children: false };
    let (line_tx, line_rx) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout);
        let mut first = String::new();
        let _ = lines.read_line(&mut first);
        let _ = line_tx.send(first);
        // What it says further must not stop it.
        let _ = std::io::copy(&mut lines, &mut std::io::sink());
        drop(over_tx);
    });
    let first = line_rx.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{command:?} is silent"));
    assert!(first.starts_with("ready"), "{command:?} said {first:?}");
    running
}

/// Starts a program that starts others, and waits until a line of its log, which is its standard
/// error, has `ready` in it.
pub fn started_with_log(command: &mut Command, ready: &'static str) -> Running {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let log = BufReader::new(child.stderr.take().expect("a pipe"));
    let (over_tx, over_rx) = mpsc::channel();
    let running = Running { child, over_rx, has_children: true };
    let (ready_tx, ready_rx) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            if line.contains(ready) {
                let _ = ready_tx.send(());
            }
            // Shown if the test fails.
            eprintln!("{line}");
        }
        drop(over_tx);
    });
    let heard = ready_rx.recv_timeout(DEADLINE);
    assert!(heard.is_ok(), "{command:?} is not ready: {heard:?}");
    running
}

/// Runs a client to its end with `input`.
pub fn finished(command: &mut Command, input: Vec<u8>) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (_, over_rx) = mpsc::channel();
    let mut running = Running { child, over_rx, has_children: false };
    let (mut stdin, mut stdout, mut stderr) = (
        running.child.stdin.take().expect("a pipe"),
        running.child.stdout.take().expect("a pipe"),
        running.child.stderr.take().expect("a pipe"),
    );
    std::thread::spawn(move || stdin.write_all(&input));
    let (said_tx, said_rx) = mpsc::channel();
    let also_said_tx = said_tx.clone();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        said_tx.send((true, bytes))
    });
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.read_to_end(&mut bytes);
        also_said_tx.send((false, bytes))
    });
    let (mut out, mut err) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        match said_rx.recv_timeout(DEADLINE) {
            Ok((true, bytes)) => out = bytes,
            Ok((false, bytes)) => err = bytes,
            Err(_) => panic!("{command:?} is not done"),
        }
    }
    let status = running.child.wait().expect("waited for");
    Output { status, stdout: out, stderr: err }
}

/// Fails unless a client ended well, and shows what it said.
#[track_caller]
pub fn succeeds(command: &mut Command) -> String {
    let output = finished(command, Vec::new());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// How a bridge reaches its service.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Straight,
    /// By the guest of a link.
    Link,
}

pub const WAYS: [Way; 2] = [Way::Straight, Way::Link];

/// The built program from `bridge-NAME.sock` to `NAME.sock`.
pub fn bridge(folder: &Path, name: &str, way: Way) -> Running {
    let guest = format!(r#"command:["{}","guest"]"#, env!("CARGO_BIN_EXE_pipeway"));
    let through = match way {
        Way::Straight => vec![],
        Way::Link => vec!["--through", &guest],
    };
    let listen = format!("unix:{}/bridge-{name}.sock", folder.display());
    let to = format!("unix:{}/{name}.sock", folder.display());
    started(
        Command::new(env!("CARGO_BIN_EXE_pipeway"))
            .args(["bridge", "--listen", &listen, "--to", &to, "--events"])
            .arg(events(folder, name))
            .args(through)
            .env_remove("PIPEWAY_CONFIG"),
    )
}

/// Where the bridge `name` writes its events.
pub fn events(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("events-{name}.jsonl"))
}

pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop")
}

pub fn runs(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether everything that a test needs is here; says what is not.
pub fn have(needs: &[(&str, bool)]) -> bool {
    let missing: Vec<_> = needs.iter().filter(|(_, here)| !here).map(|(what, _)| *what).collect();
    if missing.is_empty() {
        return true;
    }
    let missing = missing.join(", ");
    let required = std::env::var("PIPEWAY_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
    assert!(!required, "missing: {missing}");
    eprintln!("left out, for want of {missing}");
    false
}

pub fn python() -> PathBuf {
    std::env::var_os("PIPEWAY_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

pub fn have_python() -> (&'static str, bool) {
    let here = runs(
        python(),
        &[
            "-c",
            "from importlib.util import find_spec; assert all(map(find_spec, ['aiohttp', 'ipykernel', 'jupyter_server', 'websockets']))",
        ],
    );
    ("Python with interop/requirements.txt (PIPEWAY_PYTHON)", here)
}
