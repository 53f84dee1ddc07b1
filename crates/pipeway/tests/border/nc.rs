//! `pipeway.exe nc` as WSL's interop starts it: its standard streams are pipes of Linux programs.
//! The pipe at its other end is Windows Node's.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::harness::{Room, Running, WATCHDOG, run, unique_local};
use crate::wine::{pipeway_exe, windows_path, windows_program};

/// Windows Node with a server at a pipe.
struct Pipe {
    name: String,
    _node: Running,
}

impl Pipe {
    /// `serve` is what the script does with each connection.
    fn start(room: &Room, serve: &str) -> Self {
        let name = unique_local().replace("local:", "");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop/windows/pipe.cjs");
        let ready = room.path("ready");
        let mut node = windows_program("PIPEWAY_WINDOWS_NODE");
        node.arg(windows_path(&script.canonicalize().unwrap()));
        node.args([format!(r"\\.\pipe\{name}"), serve.to_owned(), windows_path(&ready)]);
        let node = Running::start(node);
        let begin = Instant::now();
        while !ready.exists() {
            assert!(begin.elapsed() < WATCHDOG, "Windows Node does not listen");
            std::thread::yield_now();
        }
        Pipe { name, _node: node }
    }

    /// The pipe as npiperelay's users write it.
    fn nc(&self, more: &[&str]) -> Command {
        let mut command = pipeway_exe();
        command.arg("nc").args(more).arg(format!("//./pipe/{}", self.name));
        command
    }
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn bytes_go_both_ways_and_the_servers_end_is_the_end() {
    let room = Room::new();
    let pipe = Pipe::start(&room, "lines");
    let mut nc = Running::start(pipe.nc(&["-v"]));
    for _ in 0..3 {
        nc.write(b"hello\n");
        assert_eq!(nc.line(), "heard hello");
    }
    nc.write(b"bye\n");
    assert_eq!(nc.line(), "heard bye");
    // The server closed; standard input is open.
    nc.end().exits_with(0).says("(named_pipe)").says("the endpoint closed");
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn much_goes_through_a_pipe_whole() {
    const SIZE: usize = 4 << 20;
    let room = Room::new();
    let pipe = Pipe::start(&room, &format!("echo:{SIZE}"));
    let data: Vec<u8> = (0..SIZE as u32).map(|n| (n % 251) as u8).collect();
    let ended = run(pipe.nc(&[]), &data).exits_with(0);
    assert!(ended.stdout == data, "{} bytes", ended.stdout.len());
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn with_ei_the_last_byte_of_input_is_there_and_nothing_is_waited_for() {
    let room = Room::new();
    let pipe = Pipe::start(&room, &format!("file:{}", windows_path(&room.path("came"))));
    let data: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    run(pipe.nc(&["-ei", "-s"]), &data).exits_with(0);
    let begin = Instant::now();
    while std::fs::read(room.path("came")).unwrap_or_default() != data {
        assert!(begin.elapsed() < WATCHDOG, "not all of it came");
        std::thread::yield_now();
    }
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_pipe_that_is_not_there_is_told_and_waited_for() {
    let room = Room::new();
    let missing = unique_local().replace("local:", "//./pipe/");
    let mut nc = pipeway_exe();
    nc.args(["nc", &missing]);
    run(nc, b"").exits_with(7).says("does not exist");
    let mut nc = pipeway_exe();
    nc.args(["nc", "-p", "--timeout", "100ms", &missing]);
    run(nc, b"").exits_with(8).says("could not be connected to for 100ms");
    let _ = room;
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn socat_starts_it_for_each_client() {
    let room = Room::new();
    let pipe = Pipe::start(&room, "lines");
    let nc = pipe.nc(&["-s"]);
    let words: Vec<_> = std::iter::once(nc.get_program()).chain(nc.get_args()).collect();
    let words: Vec<_> = words.into_iter().map(|word| word.to_str().unwrap()).collect();
    let mut socat = Command::new("socat");
    // -t: how long it waits for the rest after its client's end.
    socat.args(["-t", "20", "UNIX-LISTEN:front.sock,fork"]);
    socat.arg(format!("EXEC:\"{}\"", words.join(" ")));
    let socat = Running::start({
        socat.current_dir(room.path(""));
        socat
    });
    let front = room.path("front.sock");
    let begin = Instant::now();
    while !front.exists() {
        assert!(begin.elapsed() < WATCHDOG, "socat does not listen");
        std::thread::yield_now();
    }
    for _ in 0..2 {
        let endpoint = format!("unix:{}", front.display());
        let ended = run(room.pipeway(["nc", &endpoint]), b"hello\nbye\n").exits_with(0);
        assert_eq!(ended.stdout(), "heard hello\nheard bye\n");
    }
    drop(socat);
}
