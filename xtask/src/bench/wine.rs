//! `cargo xtask bench wine`: a named pipe of Windows before a loopback port, under Wine, beside
//! relays that do without this workspace. docs/benchmarks.md tells what is measured and how.

mod report;

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::processes::{Folder, Processors, end, pinned};
use super::{Told, machine, spawn};
use crate::windows::Release;
use crate::words::Words;

const HELP: &str = "\
cargo xtask bench wine [OPTION...]

  --rounds N        how often everything is measured; the medians are told [default: 5]
  --seconds N       how long each measurement of GETs takes [default: 3]
  --sessions N      how many idle sessions there are [default: 1000]
  --quick           a smoke run: one round, one second, few bytes and sessions
  --windows FOLDER  measure this folder's pipeway.exe, with its examples/load.exe and
                    examples/pipe_relay.exe, instead of building them
  --markdown FILE   write the table into this page, between its `bench wine` marks
";

/// How long a program may take to serve.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the arguments and runs.
///
/// # Errors
///
/// A sentence that says what could not be measured.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::parse(arguments)? else {
        print!("{HELP}");
        return Ok(());
    };
    if !cfg!(target_os = "linux") {
        return Err("the benchmark runs on Linux: it needs taskset, epoll and Wine".to_owned());
    }
    let run = Run::set_up(&options)?;
    let report = report::markdown(&options, &run.release.version(), &run.measure()?)?;
    super::report::tell(&report, options.markdown.as_deref(), "bench wine")
}

#[derive(Debug)]
struct Options {
    rounds: usize,
    seconds: u64,
    bytes: u64,
    idle_sessions: u64,
    windows: Option<PathBuf>,
    markdown: Option<PathBuf>,
    /// Of the machine, before anything was built or measured.
    load_average: String,
}

impl Options {
    /// `None` where only help was asked for.
    fn parse(arguments: &[String]) -> Result<Option<Self>, String> {
        let mut words = Words::new(arguments, HELP);
        if words.ask_for_help() {
            return Ok(None);
        }
        let mut options = Options {
            rounds: 5,
            seconds: 3,
            bytes: 256 << 20,
            idle_sessions: 1000,
            windows: None,
            markdown: None,
            load_average: machine::load_average(),
        };
        while let Some(option) = words.next() {
            match option {
                "--rounds" => options.rounds = words.number()? as usize,
                "--seconds" => options.seconds = u64::from(words.number()?),
                "--quick" => {
                    (options.rounds, options.seconds) = (1, 1);
                    (options.bytes, options.idle_sessions) = (16 << 20, 50);
                }
                "--sessions" => options.idle_sessions = u64::from(words.number()?),
                "--windows" => options.windows = Some(words.path()?),
                "--markdown" => options.markdown = Some(words.path()?),
                _ => return Err(words.unknown()),
            }
        }
        Ok(Some(options))
    }
}

/// What stands between the pipe and the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// `pipeway.exe bridge --raw`.
    Raw,
    /// `pipeway.exe bridge`, which reads the HTTP.
    Http,
    /// tokio's named pipes and `copy_bidirectional`.
    Runtime,
    /// Blocking calls, two threads for each connection.
    Threads,
}

const WAYS: [Way; 4] = [Way::Raw, Way::Http, Way::Runtime, Way::Threads];

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Raw => "pipeway, raw",
            Way::Http => "pipeway",
            Way::Runtime => "tokio's pipes",
            Way::Threads => "blocking threads",
        })
    }
}

/// One round of a way.
#[derive(Clone, Copy, Debug)]
struct Sample {
    p50_us: f64,
    /// The time of all, through how many there were.
    mean_us: f64,
    p99_us: f64,
    /// Bytes a second.
    down: f64,
    up: f64,
    /// Resident bytes for each idle session.
    idle: f64,
}

/// Everything that was measured, once for each round.
type Results = Vec<(Way, Vec<Sample>)>;

/// A process that ends with this value.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(mut command: Command, log: PathBuf) -> Result<Self, String> {
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        Ok(Process { child: spawn(command)?, log })
    }

    /// Resident memory, in bytes.
    fn memory(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes: Option<f64> =
            value.and_then(|value| value.split_whitespace().next()?.parse().ok());
        Ok(1024.0 * kibibytes.ok_or_else(|| format!("{path} tells no memory"))?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

struct Run<'a> {
    options: &'a Options,
    processors: Processors,
    /// The upstream's.
    address: String,
    _upstream: Process,
    release: Release,
    // After the programs that use it.
    folder: Folder,
}

impl<'a> Run<'a> {
    fn set_up(options: &'a Options) -> Result<Self, String> {
        let processors = Processors::choose()?;
        let built = super::build(&["--package", "pipeway-bridge", "--example", "load"])?;
        let folder = Folder::make()?;
        let release = Release::find(options.windows.as_deref())?;
        // Free a moment ago, and the system gives such ports out in turn.
        let address = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .map_err(|error| format!("there is no free port: {error}"))?
            .to_string();
        let mut command = pinned(processors.load, &built.join("examples/load"));
        command.args(["serve", &address]);
        let upstream = Process::start(command, folder.path().join("upstream.log"))?;
        Ok(Run { options, processors, address, _upstream: upstream, release, folder })
    }

    fn measure(&self) -> Result<Results, String> {
        let mut results: Results = WAYS.iter().map(|&way| (way, Vec::new())).collect();
        for round in 0..self.options.rounds {
            for at in 0..WAYS.len() {
                // Each comes first in its turn.
                let (way, samples) = &mut results[(at + round) % WAYS.len()];
                eprintln!("round {} of {}: {way}", round + 1, self.options.rounds);
                let sample = self.sample(*way, round).map_err(|error| format!("{way}: {error}"))?;
                samples.push(sample);
            }
        }
        Ok(results)
    }

    /// A way's process of its own, measured in every respect; idle sessions first, since memory
    /// that others had used would be used again.
    fn sample(&self, way: Way, round: usize) -> Result<Sample, String> {
        let pipe = format!("pipeway-bench-{}-{way:?}-{round}", std::process::id());
        let name = |what: &str| self.release.folder().join(what);
        let mut command = pinned(self.processors.proxy, self.release.wine());
        match way {
            Way::Raw | Way::Http => {
                command.arg(name("pipeway.exe")).arg("bridge");
                command.args(["--listen", &format!("npipe:{pipe}")]);
                command.args(["--to", &format!("tcp:{}", self.address)]);
                command.args((way == Way::Raw).then_some("--raw"));
            }
            Way::Runtime | Way::Threads => {
                command.arg(name("examples/pipe_relay.exe"));
                command.arg(if way == Way::Runtime { "runtime" } else { "threads" });
                command.args([&pipe, &self.address]);
            }
        }
        self.release.environment(&mut command);
        let process = Process::start(command, self.folder.path().join("relay.log"))?;
        self.measured(&process, &pipe).map_err(|error| {
            format!("{error}\n{}", fs::read_to_string(&process.log).unwrap_or_default())
        })
    }

    fn measured(&self, process: &Process, pipe: &str) -> Result<Sample, String> {
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = self.load("idle", pipe, 1) {
            if Instant::now() > deadline {
                return Err(format!("it does not serve: {error}"));
            }
        }
        let idle = self.idle(process, pipe)?;
        let get = self.load("get", pipe, self.options.seconds)?;
        let bytes = self.options.bytes;
        let rate = |what| Ok(bytes as f64 / self.load(what, pipe, bytes)?.number("seconds")?);
        Ok(Sample {
            p50_us: get.number("p50_us")?,
            mean_us: 1e6 * get.number("seconds")? / get.number("exchanges")?,
            p99_us: get.number("p99_us")?,
            down: rate("down").map_err(|error: String| format!("down: {error}"))?,
            up: rate("up").map_err(|error: String| format!("up: {error}"))?,
            idle,
        })
    }

    fn command(&self, what: &str, pipe: &str, amount: u64) -> Command {
        let load = self.release.folder().join("examples/load.exe");
        let mut command = pinned(self.processors.load, self.release.wine());
        command.arg(load).args([what, pipe, &amount.to_string()]);
        self.release.environment(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn load(&self, what: &str, pipe: &str, amount: u64) -> Result<Told, String> {
        let output = self.command(what, pipe, amount).output();
        let output = output.map_err(|error| format!("taskset: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(Told(String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// The memory that each of many sessions takes that do nothing.
    fn idle(&self, process: &Process, pipe: &str) -> Result<f64, String> {
        let before = process.memory()?;
        let mut command = self.command("idle", pipe, self.options.idle_sessions);
        command.stdin(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = spawn(command)?;
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        let after = process.memory()?;
        drop(child.stdin.take());
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).map_err(|error| error.to_string())?;
        let status = child.wait().map_err(|error| error.to_string())?;
        if !line.starts_with("ready ") || !status.success() || !rest.starts_with("alive ") {
            return Err(format!("the idle sessions did not live: {line}{rest}"));
        }
        Ok((after - before) / self.options.idle_sessions as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options = parse("--quick --rounds 2 --sessions 9 --windows w --markdown a.md");
        let options = options.unwrap().unwrap();
        assert_eq!(options.idle_sessions, 9);
        assert_eq!((options.rounds, options.seconds, options.bytes), (2, 1, 16 << 20));
        assert_eq!(options.windows, Some(PathBuf::from("w")));
        assert!(parse("--help").unwrap().is_none());
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for line in ["--fast", "--rounds", "--seconds 0", "--wine"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
