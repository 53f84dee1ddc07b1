//! Whether a command, or anything that it started, still lives.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Room, WATCHDOG};

/// A FIFO that a command and its children hold open: its end is theirs, told at once.
pub struct Presence {
    path: PathBuf,
    ready_rx: mpsc::Receiver<()>,
    gone_rx: mpsc::Receiver<Instant>,
}

impl Presence {
    pub fn new(room: &Room, name: &str) -> Self {
        let path = room.path(name);
        make_fifo(&path);
        let (ready_tx, ready_rx) = mpsc::channel();
        let (gone_tx, gone_rx) = mpsc::channel();
        let to_open = path.clone();
        thread::spawn(move || {
            // Waits for the command to open the other end.
            let mut fifo = BufReader::new(File::open(to_open).unwrap());
            let mut line = String::new();
            fifo.read_line(&mut line).unwrap();
            // A test that has failed does not listen.
            let _ = ready_tx.send(());
            fifo.read_to_end(&mut Vec::new()).unwrap();
            let _ = gone_tx.send(Instant::now());
        });
        Presence { path, ready_rx, gone_rx }
    }

    /// `cmd` with the FIFO open in it and in all that it starts; at its `@` it says that it is
    /// ready.
    pub fn of(&self, cmd: &str) -> String {
        let cmd = cmd.replace('@', "echo $$ >&9; echo \"[ready]\"");
        format!("exec 9>'{}'; {cmd}", self.path.display())
    }

    /// Waits until the command says that it is ready.
    #[track_caller]
    pub fn ready(&self) {
        self.ready_rx.recv_timeout(WATCHDOG).expect("the command runs");
    }

    /// Waits until everything of the command is gone; how long that took.
    #[track_caller]
    pub fn gone_after(&self, since: Instant) -> Duration {
        let at = self.gone_rx.recv_timeout(WATCHDOG).expect("the command is gone");
        at.saturating_duration_since(since)
    }
}

/// What a command waits for in a loop of its own, three times.
pub struct Go {
    folder: PathBuf,
}

impl Go {
    /// Makes one FIFO for each time: in one for all, the reader may meet the writer of the time
    /// before, and be told of its end.
    pub fn new(room: &Room) -> Self {
        let folder = room.path("go");
        std::fs::create_dir(&folder).unwrap();
        (1..=3).for_each(|number| make_fifo(&folder.join(number.to_string())));
        Go { folder }
    }

    /// The shell's command that waits for the `$n`th time.
    pub fn wait(&self) -> String {
        format!("read -r word < '{}'/$n", self.folder.display())
    }

    /// Lets the command go on.
    pub fn on(&self, number: u32) {
        std::fs::write(self.folder.join(number.to_string()), "on\n").unwrap();
    }
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Looks until `what` is so, at most until the watchdog barks.
#[track_caller]
pub fn until<T: std::fmt::Debug>(mut look: impl FnMut() -> T, is_so: impl Fn(&T) -> bool) -> T {
    let begun = Instant::now();
    loop {
        let seen = look();
        if is_so(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < WATCHDOG, "it is still {seen:?}");
        thread::yield_now();
    }
}

/// How many descriptors a process has open.
pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// The children of a process, ended ones that nobody waited for included.
pub fn children(pid: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// The memory that a process holds, in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    kib(pid, "VmRSS:")
}

/// The most that it has held, in KiB.
pub fn peak_kib(pid: u32) -> u64 {
    kib(pid, "VmHWM:")
}

fn kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
