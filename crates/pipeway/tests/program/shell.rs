//! `shell`, sat at as a person does: in a terminal of the test's own.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use pipeway_transport::child::{Child, Program, Terminal, TerminalSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::harness::{Room, WATCHDOG, kill, run};

/// Runs `$0` and its arguments as a shell would, and tells what it did to the terminal.
const AROUND: &str = "\
    echo tty=$(tty).; stty -g > before; \
    sh -c 'echo pid=$$.; exec \"$0\" \"$@\"' \"$0\" \"$@\"; \
    echo code=$?.; stty -g > after";

/// What is waited for: started before the test is told anything, since dash loses a signal that
/// comes while it starts a program. It outlives the signals.
const SLEEP: &str = "trap '' INT TERM; sleep 60 > /dev/null 2>&1 & trap - INT TERM;";

/// Waits for it, whatever traps are sprung meanwhile.
const WAIT: &str = "while kill -0 $! 2> /dev/null; do wait; done";

/// A terminal with `pipeway shell` in it.
struct Seat<'a> {
    room: &'a Room,
    runtime: Runtime,
    child: Child,
    terminal: Terminal,
    seen: String,
    /// Up to where it was looked at.
    at: usize,
}

impl<'a> Seat<'a> {
    fn new(room: &'a Room, args: &[&str]) -> Self {
        let size = TerminalSize { columns: 100, rows: 30 };
        let mut program = Program::new("/bin/sh").arg("-c").arg(AROUND);
        program = program.arg(env!("CARGO_BIN_EXE_pipeway")).arg("shell");
        program = args.iter().fold(program, |program, arg| program.arg(*arg));
        program = program.folder(room.path("")).variable("TERM", "vt220");
        program = program.variable("XDG_RUNTIME_DIR", room.path("run"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (child, terminal) = {
            let _entered = runtime.enter();
            Child::in_terminal(&program, size).unwrap()
        };
        Seat { room, runtime, child, terminal, seen: String::new(), at: 0 }
    }

    /// Reads until it says `text`; what it said before that.
    #[track_caller]
    fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(found) = self.seen[self.at..].find(text) {
                let before = self.seen[self.at..self.at + found].to_owned();
                self.at += found + text.len();
                return before;
            }
            let more = self.read();
            assert!(more, "{text:?} did not come in {:?}", self.seen);
        }
    }

    /// The value of `name=VALUE.`
    #[track_caller]
    fn value(&mut self, name: &str) -> String {
        self.until(&format!("{name}="));
        self.until(".")
    }

    /// Reads something; whether there was something.
    #[track_caller]
    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let terminal = &mut self.terminal;
        let read = async { timeout(WATCHDOG, terminal.read(&mut buffer)).await };
        let count = self.runtime.block_on(read).unwrap_or_else(|_| {
            panic!("nothing more came after {:?}", self.seen);
        });
        let count = count.unwrap();
        self.seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        count > 0
    }

    fn keys(&mut self, keys: &str) {
        self.runtime.block_on(self.terminal.write_all(keys.as_bytes())).unwrap();
    }

    fn resize(&self, columns: u16, rows: u16) {
        self.terminal.resize(TerminalSize { columns, rows }).unwrap();
    }

    /// Waits for the end: the exit code, once the terminal is found as it was before.
    #[track_caller]
    fn end(mut self) -> (i32, String) {
        let code = self.value("code").parse().unwrap();
        while self.read() {}
        let wait = async { timeout(WATCHDOG, self.child.wait()).await };
        self.runtime.block_on(wait).unwrap().unwrap();
        let modes = |name| std::fs::read_to_string(self.room.path(name)).unwrap();
        assert!(modes("before").contains(':'), "{}", modes("before"));
        assert_eq!(modes("before"), modes("after"), "the terminal was not restored");
        (code, self.seen)
    }
}

/// Whether the terminal there is in raw mode, looked at from outside.
fn is_raw(tty: &str) -> bool {
    let modes = Command::new("stty").args(["-F", tty, "-a"]).output().unwrap();
    let modes = String::from_utf8(modes.stdout).unwrap();
    let has = |mode: &str| modes.split([' ', ';', '\n']).any(|word| word == mode);
    let cooked = ["icanon", "echo", "isig", "opost"].map(has);
    assert!(cooked == [true; 4] || cooked == [false; 4], "neither raw nor cooked: {modes}");
    !cooked[0]
}

#[track_caller]
fn until_raw(tty: &str, raw: bool) {
    let begin = Instant::now();
    while is_raw(tty) != raw {
        assert!(begin.elapsed() < WATCHDOG, "{tty} does not become raw={raw}");
    }
}

#[test]
fn keys_go_to_the_other_side_and_its_echo_comes_back() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let mut seat = Seat::new(&room, &[&listen, "--", "echo ready.; cat"]);
    seat.until("ready.");
    seat.keys("grüße\r");
    // The other side's terminal echoes, and cat answers; ours echoes nothing.
    seat.until("grüße\r\ngrüße\r\n");
    seat.keys("\x04");
    assert_eq!(seat.end().0, 0);
}

#[test]
fn the_terminal_is_raw_while_it_runs_and_as_before_after_it() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let mut seat = Seat::new(&room, &[&listen, "--", "echo ready.; read line; exit 7"]);
    let tty = seat.value("tty");
    seat.until("ready.");
    assert!(is_raw(&tty));
    seat.keys("\r");
    assert_eq!(seat.end().0, 7);
}

#[test]
fn the_size_is_told_and_followed() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let script =
        format!("{SLEEP} trap 'stty size; exit 0' WINCH; stty size; echo term=$TERM.; {WAIT}");
    let mut seat = Seat::new(&room, &[&listen, "--", &script]);
    seat.until("30 100");
    assert_eq!(seat.value("term"), "vt220");
    seat.resize(120, 40);
    seat.until("40 120");
    assert_eq!(seat.end().0, 0);
}

#[test]
fn a_typed_ctrl_c_is_a_key_of_the_other_side() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let script = format!("{SLEEP} trap 'echo caught.; exit 5' INT; echo ready.; {WAIT}");
    let mut seat = Seat::new(&room, &[&listen, "--", &script]);
    seat.until("ready.");
    seat.keys("\x03");
    seat.until("caught.");
    assert_eq!(seat.end().0, 5);
}

#[test]
fn a_signal_that_we_get_is_passed_on() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    for name in ["INT", "TERM", "QUIT", "HUP"] {
        let script = format!("{SLEEP} trap 'echo got-{name}.; exit 6' {name}; echo ready.; {WAIT}");
        let mut seat = Seat::new(&room, &[&listen, "--", &script]);
        let pid = seat.value("pid").parse().unwrap();
        seat.until("ready.");
        assert!(kill(name, pid));
        seat.until(&format!("got-{name}."));
        assert_eq!(seat.end().0, 6, "{name}");
    }
}

#[test]
fn a_second_order_to_end_leaves() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let script = format!("{SLEEP} trap 'echo got-term.' TERM; echo ready.; {WAIT}");
    let mut seat = Seat::new(&room, &[&listen, "--", &script]);
    let pid = seat.value("pid").parse().unwrap();
    seat.until("ready.");
    assert!(kill("TERM", pid));
    seat.until("got-term.");
    assert!(kill("TERM", pid));
    let (code, seen) = seat.end();
    assert_eq!(code, 143);
    assert!(seen.contains("\x1b[?25h"), "the cursor may be left invisible: {seen:?}");
}

#[test]
fn a_lost_connection_is_told_and_the_terminal_restored() {
    let room = Room::new();
    let (listen, agent) = room.agent();
    let mut seat = Seat::new(&room, &[&listen, "--", "echo ready.; exec sleep 60"]);
    seat.until("ready.");
    agent.signal("KILL");
    seat.until(&format!("error: the connection to {listen} was lost\r\n"));
    assert_eq!(seat.end().0, 255);
}

#[test]
fn an_agent_that_hangs_can_be_left() {
    let room = Room::new();
    let (listen, agent) = room.agent();
    let mut seat = Seat::new(&room, &[&listen, "--", "echo ready.; cat > /dev/null"]);
    seat.until("ready.");
    agent.signal("STOP");
    seat.keys("nobody reads this\r~.");
    seat.until(&format!("left {listen}\r\n"));
    assert_eq!(seat.end().0, 255);
    agent.signal("CONT");
}

#[test]
fn escapes_are_told_and_can_be_switched_off() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let mut seat = Seat::new(&room, &[&listen, "--", "echo ready.; cat"]);
    seat.until("ready.");
    seat.keys("~?~~.\r\x04");
    seat.until("~.   leave at once\r\n");
    seat.until("~.\r\n~.\r\n");
    assert_eq!(seat.end().0, 0);

    let mut seat = Seat::new(&room, &["--no-escape", &listen, "--", "echo ready.; cat"]);
    seat.until("ready.");
    seat.keys("~.\r\x04");
    seat.until("~.\r\n~.\r\n");
    assert_eq!(seat.end().0, 0);
}

#[test]
fn it_can_be_suspended_and_continued() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let mut seat = Seat::new(&room, &[&listen, "--", "echo ready.; cat"]);
    let tty = seat.value("tty");
    let pid = seat.value("pid").parse().unwrap();
    seat.until("ready.");
    for by_key in [false, true] {
        until_raw(&tty, true);
        if by_key {
            seat.keys("~\x1a");
        } else {
            assert!(kill("TSTP", pid));
        }
        until_raw(&tty, false);
        until_stopped(pid);
        assert!(kill("CONT", pid));
        until_raw(&tty, true);
    }
    seat.keys("on\r");
    seat.until("on\r\non\r\n");
    seat.keys("\x04");
    assert_eq!(seat.end().0, 0);
}

#[track_caller]
fn until_stopped(pid: u32) {
    let begin = Instant::now();
    let stat = format!("/proc/{pid}/stat");
    while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
        assert!(begin.elapsed() < WATCHDOG, "process {pid} does not stop");
    }
}

#[test]
fn the_login_shell_is_started_where_nothing_else_is_named() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let mut seat = Seat::new(&room, &[&listen]);
    seat.keys("echo a$((20+3))b; exit 4\r");
    seat.until("a23b");
    assert_eq!(seat.end().0, 4);
}

#[test]
fn a_terminal_goes_through_a_bridge() {
    let room = Room::new();
    let (inside, _agent) = room.agent();
    let (listen, bridge) = room.bridge(&inside, &["--drain-timeout", "0s"]);
    let script = format!("{SLEEP} trap 'stty size' WINCH; echo ready.; {WAIT}");
    let mut seat = Seat::new(&room, &[&listen, "--", &script]);
    seat.until("ready.");
    seat.resize(120, 40);
    seat.until("40 120");
    bridge.signal("TERM");
    seat.until("was lost");
    assert_eq!(seat.end().0, 255);
}

#[test]
fn a_refusal_leaves_the_terminal_as_it_was() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let mut seat = Seat::new(&room, &[&listen, "--cwd", "/no/such/folder", "--", "pwd"]);
    seat.until("refused: the folder /no/such/folder does not exist");
    assert_eq!(seat.end().0, 255);
}

#[test]
fn without_a_terminal_input_is_typed_and_its_end_too() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    // A line that was begun is handed on before the end.
    for input in ["one\ntwo\n", "one\ntwo"] {
        let args = ["shell", &listen, "--", "stty -echo; echo ready; cat; echo end"];
        let ended = run(room.pipeway(args), input.as_bytes()).exits_with(0);
        assert!(ended.stdout().ends_with("end\n"), "{:?}", ended.stdout());
        assert!(ended.stdout().contains("two"), "{:?}", ended.stdout());
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn without_a_terminal_the_size_is_that_of_the_environment() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let mut command = room.pipeway(["shell", &listen, "--", "stty size"]);
    command.env("COLUMNS", "90").env("LINES", "no number");
    assert_eq!(run(command, b"").exits_with(0).stdout(), "24 90\n");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it() {
    let room = Room::new();
    let (listen, _agent) = room.agent();
    let mut shell = Command::new("sh");
    let script = "{ \"$0\" shell \"$1\" -- yes </dev/null; echo code=$? >&2; } | head -n 1";
    shell.args(["-c", script]).arg(Path::new(env!("CARGO_BIN_EXE_pipeway"))).arg(&listen);
    shell.env("XDG_RUNTIME_DIR", room.path("run"));
    assert_eq!(run(shell, b"").exits_with(0).stderr, "code=141\n");
}
