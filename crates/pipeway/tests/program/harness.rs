//! Starts the built program and what it talks to. Nothing here waits without an end.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long anything may take before the test fails.
pub const WATCHDOG: Duration = Duration::from_secs(30);

/// A folder of this test's own: its runtime folder, its configuration folder.
pub struct Room {
    folder: tempfile::TempDir,
}

/// What a program that ended has said.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    code_is_lost: bool,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// A program that runs. It is ended when this is dropped.
pub struct Running {
    child: Child,
    under_wine: bool,
    stdout_rx: mpsc::Receiver<String>,
    stderr_rx: mpsc::Receiver<Vec<u8>>,
}

impl Room {
    pub fn new() -> Self {
        Room { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where a portable endpoint's socket is, on systems that have one.
    pub fn socket(&self, local: &str) -> PathBuf {
        let name = local.strip_prefix("local:").unwrap();
        self.path("run").join(format!("{name}.sock"))
    }

    /// Writes a file.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The program, with no environment variable of this test's runner.
    pub fn pipeway<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipeway"));
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if name_text.starts_with("PIPEWAY_") || name_text == "NOTIFY_SOCKET" {
                command.env_remove(&name);
            }
        }
        command.args(args).current_dir(self.folder.path());
        for name in ["XDG_CONFIG_HOME", "APPDATA"] {
            command.env(name, self.folder.path());
        }
        // The program makes this one itself, for its owner alone.
        command.env("XDG_RUNTIME_DIR", self.path("run"));
        command
    }

    /// Runs the program to its end, with nothing on its standard input.
    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ended {
        run(self.pipeway(args), b"")
    }

    /// Runs a bridge to `to`; the endpoint where it listens, and the running program.
    pub fn bridge(&self, to: &str, more: &[&str]) -> (String, Running) {
        let listen = unique_local();
        let args = ["bridge", "--listen", &listen, "--to", to];
        let running = Running::start(self.pipeway(args.iter().chain(more)));
        let line = running.line();
        assert!(line.starts_with("ready "), "{line}");
        (listen, running)
    }

    /// Runs an agent; the endpoint where it listens, and the running program.
    pub fn agent(&self) -> (String, Running) {
        let listen = unique_local();
        let mut command = self.pipeway(["agent", "--listen", &listen]);
        // What `shell` starts when it is told nothing else.
        command.env("SHELL", "/bin/sh");
        let running = Running::start(command);
        let line = running.line();
        assert!(line.starts_with("ready "), "{line}");
        (listen, running)
    }
}

/// A portable endpoint that no other test uses.
pub fn unique_local() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("local:pw-test-{}-{number}", std::process::id())
}

/// Starts a command with all of its streams in our hands.
#[track_caller]
fn spawn(command: &mut Command) -> Child {
    // ERROR_INTERNAL_ERROR: Wine 8 fails to start a process so, once in a few thousand times.
    // Nothing has run then.
    const NOT_STARTED: i32 = 1359;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut attempts = 0;
    loop {
        attempts += 1;
        match command.spawn() {
            Err(error)
                if cfg!(windows) && attempts < 3 && error.raw_os_error() == Some(NOT_STARTED) => {}
            spawned => return spawned.unwrap(),
        }
    }
}

/// Runs a command to its end.
#[track_caller]
pub fn run(mut command: Command, stdin: &[u8]) -> Ended {
    let mut child = spawn(&mut command);
    let mut to_stdin = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // A program that does not read its input to the end is none of this thread's business.
    thread::spawn(move || to_stdin.write_all(&stdin));
    let stdout = all_of(child.stdout.take().unwrap());
    let stderr = all_of(child.stderr.take().unwrap());
    let Ok(stdout) = stdout.recv_timeout(WATCHDOG) else {
        child.kill().unwrap();
        panic!("{command:?} did not end: {}", text(stderr.recv().unwrap()));
    };
    let stderr = text(stderr.recv_timeout(WATCHDOG).unwrap());
    let status = child.wait().unwrap();
    let code_is_lost = code_is_lost(under_wine(&command), status);
    Ended { status, code_is_lost, stdout, stderr }
}

impl Ended {
    /// What it exited with; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    pub fn stdout(&self) -> String {
        text(self.stdout.clone())
    }

    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        let said = || {
            let stdout = String::from_utf8_lossy(&self.stdout);
            format!("{}\nstdout:\n{stdout}\nstderr:\n{}", self.status, self.stderr)
        };
        if self.code_is_lost {
            eprintln!("Wine lost the code, which should be {code}: {}", said());
        } else {
            assert_eq!(self.status.code(), Some(code), "{}", said());
        }
        self
    }

    #[track_caller]
    pub fn says(self, part: &str) -> Self {
        assert!(self.stderr.contains(part), "{part:?} is not in:\n{}", self.stderr);
        self
    }
}

impl Running {
    /// Starts a command, with an input that never ends.
    pub fn start(mut command: Command) -> Self {
        let mut child = spawn(&mut command);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (line_tx, stdout_rx) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if line_tx.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr_rx = all_of(child.stderr.take().unwrap());
        Running { child, under_wine: under_wine(&command), stdout_rx, stderr_rx }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line of its standard output.
    #[track_caller]
    pub fn line(&self) -> String {
        self.stdout_rx.recv_timeout(WATCHDOG).unwrap_or_else(|error| {
            let said = self.stderr_rx.recv_timeout(Duration::from_secs(1)).map(text);
            panic!("the program printed no line ({error}); it said: {said:?}")
        })
    }

    /// Writes to its standard input.
    pub fn write(&mut self, data: &[u8]) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(data).unwrap();
        stdin.flush().unwrap();
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.child.stdin.take();
    }

    /// Sends it a signal by name: INT, TERM.
    pub fn signal(&self, name: &str) {
        assert!(kill(name, self.child.id()), "{name}");
    }

    /// Whether its standard output, which says no more, is closed within `time`.
    pub fn is_closed_within(&self, time: Duration) -> bool {
        self.stdout_rx.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Disconnected)
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let mut stdout = String::new();
        loop {
            match self.stdout_rx.recv_timeout(WATCHDOG) {
                Ok(line) => stdout.push_str(&format!("{line}\n")),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("the program does not end"),
            }
        }
        let stderr = text(self.stderr_rx.recv_timeout(WATCHDOG).expect("the program ends"));
        let status = self.child.wait().unwrap();
        let code_is_lost = code_is_lost(self.under_wine, status);
        Ended { status, code_is_lost, stdout: stdout.into_bytes(), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether a command is a Windows program.
pub fn under_wine(command: &Command) -> bool {
    command.get_program() == "wine"
}

/// Whether a Windows program's exit code never came to us.
///
/// Wine's server sends SIGKILL to a process that is still there half a second after its last thread
/// has ended (`process_sigkill`), as can be on a busy machine. No test asks for the code of a program
/// that it killed itself.
#[cfg(unix)]
pub fn code_is_lost(under_wine: bool, status: ExitStatus) -> bool {
    const SIGKILL: i32 = 9;
    under_wine && std::os::unix::process::ExitStatusExt::signal(&status) == Some(SIGKILL)
}

/// On Windows a code always comes.
#[cfg(windows)]
pub fn code_is_lost(_: bool, _: ExitStatus) -> bool {
    false
}

/// Sends a process a signal by name; whether there was such a process.
pub fn kill(name: &str, pid: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null());
    kill.status().unwrap().success()
}

/// Waits until a process is gone.
#[cfg(unix)]
#[track_caller]
pub fn until_gone(pid: u32) {
    let begin = std::time::Instant::now();
    while kill("0", pid) {
        assert!(begin.elapsed() < WATCHDOG, "process {pid} does not end");
    }
}

/// Whether a test can't be, for want of a program, which it says. On a machine that has everything that the tests
/// need (`PIPEWAY_REQUIRE_INTEROP=1`), as a Debian is made to, that is a failure.
#[cfg(unix)]
#[track_caller]
pub fn is_left_out(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |name: &&&str| !std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
    let missing: Vec<_> = programs.iter().filter(has).collect();
    let is_required = std::env::var("PIPEWAY_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
    let is_required = is_required && Path::new("/etc/debian_version").exists();
    assert!(missing.is_empty() || !is_required, "missing: {missing:?}");
    if !missing.is_empty() {
        eprintln!("left out, for want of {missing:?}");
    }
    !missing.is_empty()
}

/// OpenSSH's agent in this room, and where it listens.
#[cfg(unix)]
pub fn ssh_agent(room: &Room) -> (Running, String) {
    let socket = room.path("agent.sock");
    let mut agent = Command::new("ssh-agent");
    agent.arg("-D").arg("-a").arg(&socket);
    let agent = Running::start(agent);
    wait_for(&socket);
    (agent, format!("unix:{}", socket.display()))
}

/// Waits until somebody listens at a socket, for a program that does not tell: the path alone is there
/// a moment earlier. The program sees a client that leaves at once.
#[cfg(unix)]
#[track_caller]
pub fn wait_for(path: &Path) {
    let begin = std::time::Instant::now();
    while std::os::unix::net::UnixStream::connect(path).is_err() {
        assert!(begin.elapsed() < WATCHDOG, "nobody listens at {}", path.display());
        std::thread::yield_now();
    }
}

/// Everything that a program writes there, when it has closed it, which it does by ending.
fn all_of(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (all_tx, all_rx) = mpsc::channel();
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        all_tx.send(all)
    });
    all_rx
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
}

/// A request that came to a [`Service`].
pub struct Request {
    /// The request line and the headers, with their line ends.
    pub head: String,
    /// The rest of the connection.
    pub stream: BufReader<TcpStream>,
}

/// A service on a loopback port that answers as the test says.
pub struct Service {
    pub address: SocketAddr,
}

impl Service {
    /// Calls `answer` for each connection with its first request.
    pub fn start(answer: impl Fn(Request) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                stream.set_read_timeout(Some(WATCHDOG)).unwrap();
                let answer = answer.clone();
                thread::spawn(move || {
                    let mut stream = BufReader::new(stream);
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if stream.read_line(&mut head).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    answer(Request { head, stream });
                });
            }
        });
        Service { address }
    }

    /// One that answers every request with what it was sent: the head, then the body.
    pub fn mirror() -> Self {
        Service::start(|mut request| {
            let body = request.body();
            let answer = [request.head.as_bytes(), &body].concat();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
            request.reply(head.as_bytes());
            request.reply(if request.head.starts_with("HEAD ") { b"" } else { &answer });
        })
    }

    /// One that answers every request with these bytes, and closes.
    pub fn fixed(answer: &'static [u8]) -> Self {
        Service::start(move |mut request| {
            request.body();
            request.reply(answer);
        })
    }

    pub fn endpoint(&self) -> String {
        format!("tcp:{}", self.address)
    }
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body, by its length or in chunks.
    pub fn body(&mut self) -> Vec<u8> {
        if self.header("transfer-encoding") == Some("chunked") {
            let mut body = Vec::new();
            loop {
                let mut line = String::new();
                self.stream.read_line(&mut line).unwrap();
                let length = usize::from_str_radix(line.trim(), 16).unwrap();
                let start = body.len();
                body.resize(start + length, 0);
                self.stream.read_exact(&mut body[start..]).unwrap();
                self.stream.read_line(&mut line).unwrap();
                if length == 0 {
                    return body;
                }
            }
        }
        let length = self.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        body
    }

    /// Sends bytes back. A client that is gone is no fault of the service's.
    pub fn reply(&mut self, bytes: &[u8]) {
        let _ = self.stream.get_mut().write_all(bytes);
    }
}

/// The text of a path, as TOML wants it in quotes.
pub fn toml_text(path: &Path) -> String {
    path.display().to_string().replace('\\', "\\\\")
}
