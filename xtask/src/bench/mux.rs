//! `cargo xtask bench mux`: the multiplexer beside the npm package `nerdbank-streams` and the crate
//! `yamux`, in one run. docs/benchmarks.md tells what is measured and how.

mod report;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::processes::{Folder, Processors, pinned};
use super::way::Server;
use super::{Bench, Told, machine};
use crate::words::Words;

const HELP: &str = "\
cargo xtask bench mux [OPTION...]

  --rounds N        how often everything is measured; the medians are told [default: 5]
  --seconds N       how long each measurement of small exchanges takes [default: 2]
  --quick           a smoke run: one round, one second, few bytes
  --without MUX     leave out npm or yamux; may be given more than once
  --markdown FILE   write the tables into this page, between its `bench mux` marks
";

const VERSIONS: [u8; 3] = [1, 2, 3];

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
        return Err("the benchmark runs on Linux: it needs taskset".to_owned());
    }
    let results = Run::set_up(&options)?.measure()?;
    let report = report::markdown(&options, &results)?;
    super::report::tell(&report, options.markdown.as_deref(), "bench mux")
}

#[derive(Debug)]
struct Options {
    rounds: usize,
    seconds: u64,
    bytes: u64,
    npm: bool,
    yamux: bool,
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
            seconds: 2,
            bytes: 1 << 30,
            npm: true,
            yamux: true,
            markdown: None,
            load_average: machine::load_average(),
        };
        while let Some(option) = words.next() {
            match option {
                "--rounds" => options.rounds = words.number()? as usize,
                "--seconds" => options.seconds = u64::from(words.number()?),
                "--quick" => {
                    (options.rounds, options.seconds, options.bytes) = (1, 1, 64 << 20);
                }
                "--without" => match words.value()? {
                    "npm" => options.npm = false,
                    "yamux" => options.yamux = false,
                    other => return Err(words.wrong(&format!("`{other}` can't be left out"))),
                },
                "--markdown" => options.markdown = Some(words.path()?),
                _ => return Err(words.unknown()),
            }
        }
        Ok(Some(options))
    }
}

/// Who multiplexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mux {
    /// This crate, in a version of the protocol.
    Ours(u8),
    /// The npm package, in a version of the protocol.
    Npm(u8),
    Yamux,
}

impl fmt::Display for Mux {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mux::Ours(version) => write!(f, "pipeway-mux, version {version}"),
            Mux::Npm(version) => write!(f, "npm, version {version}"),
            Mux::Yamux => f.write_str("yamux"),
        }
    }
}

/// Over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A Unix socket between two processes.
    Socket,
    /// A stream in memory, both ends in one thread.
    Memory,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workload {
    /// Many bytes over so many channels at once.
    Bytes(u32),
    /// Channels opened and terminated again, so many in flight.
    Opens(u32),
    /// Channels opened for a byte there and back, so many in flight.
    Calls(u32),
    /// A byte there and back over one channel.
    Echo,
}

const WORKLOADS: [Workload; 7] = [
    Workload::Bytes(1),
    Workload::Bytes(100),
    Workload::Opens(1),
    Workload::Opens(100),
    Workload::Calls(1),
    Workload::Calls(100),
    Workload::Echo,
];

impl Workload {
    /// yamux opens a stream without a word to the other end: there is nothing to wait for.
    fn is_measured(self, mux: Mux) -> bool {
        mux != Mux::Yamux || !matches!(self, Workload::Opens(_))
    }

    fn arguments(self, options: &Options) -> [String; 3] {
        let (what, amount, count) = match self {
            Workload::Bytes(channels) => ("many", options.bytes, channels),
            Workload::Opens(in_flight) => ("opens", options.seconds, in_flight),
            Workload::Calls(in_flight) => ("calls", options.seconds, in_flight),
            Workload::Echo => ("echo", options.seconds, 1),
        };
        [what.to_owned(), amount.to_string(), count.to_string()]
    }
}

/// One measurement. What a workload does not have is not a number.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Exchanges a second, or bytes a second.
    rate: f64,
    p50_us: f64,
    p99_us: f64,
}

/// Everything that was measured, once for each round.
type Results = Vec<(Place, Workload, Mux, Vec<Sample>)>;

struct Run<'a> {
    options: &'a Options,
    processors: Processors,
    folder: Folder,
    load: PathBuf,
    script: PathBuf,
}

impl<'a> Run<'a> {
    fn set_up(options: &'a Options) -> Result<Self, String> {
        let root = crate::workspace();
        let package = root.join("interop/node_modules/nerdbank-streams/package.json");
        if options.npm && (machine::find("node").is_none() || !package.is_file()) {
            return Err("Node with interop/node_modules is missing: `npm ci` in interop/, or \
                        --without npm"
                .to_owned());
        }
        let arguments = ["--package", "pipeway-mux", "--example", "mux_load"];
        let load = super::build(&arguments)?.join("examples/mux_load");
        let script = root.join("interop/mux/load.mjs");
        let processors = Processors::choose()?;
        Ok(Run { options, processors, folder: Folder::make()?, load, script })
    }

    fn muxes(&self, place: Place) -> Vec<Mux> {
        let mut muxes = Vec::new();
        for version in VERSIONS {
            muxes.push(Mux::Ours(version));
            if self.options.npm && place == Place::Socket {
                muxes.push(Mux::Npm(version));
            }
        }
        if self.options.yamux {
            muxes.push(Mux::Yamux);
        }
        muxes
    }

    fn measure(&self) -> Result<Results, String> {
        let mut servers = Vec::new();
        for mux in self.muxes(Place::Socket) {
            servers.push((mux, self.start(mux)?));
        }
        let mut results: Results = Vec::new();
        for place in [Place::Socket, Place::Memory] {
            for workload in WORKLOADS {
                let muxes = self.muxes(place).into_iter().filter(|mux| workload.is_measured(*mux));
                results.extend(muxes.map(|mux| (place, workload, mux, Vec::new())));
            }
        }
        for round in 0..self.options.rounds {
            for place in [Place::Socket, Place::Memory] {
                for workload in WORKLOADS {
                    eprintln!("round {}: {place:?}, {workload:?}", round + 1);
                    let mut those: Vec<_> = results
                        .iter_mut()
                        .filter(|result| result.0 == place && result.1 == workload)
                        .collect();
                    // Each comes first in its turn.
                    let first = round % those.len();
                    those.rotate_left(first);
                    for (_, _, mux, samples) in those {
                        let server = servers.iter().find(|server| server.0 == *mux);
                        let (_, server) = server.expect("every one was started");
                        let socket = match place {
                            Place::Socket => server.socket(),
                            Place::Memory => Path::new("memory"),
                        };
                        let sample = self.sample(workload, *mux, socket).map_err(|error| {
                            format!("{mux}, {place:?}, {workload:?}: {error}\n{}", server.log())
                        })?;
                        samples.push(sample);
                    }
                }
            }
        }
        Ok(results)
    }

    /// The program of one end, with its first argument still to come.
    fn command(&self, processor: u32, mux: Mux) -> Command {
        match mux {
            Mux::Npm(_) => {
                let mut command = pinned(processor, Path::new("node"));
                command.arg(&self.script);
                command
            }
            Mux::Ours(_) | Mux::Yamux => pinned(processor, &self.load),
        }
    }

    fn start(&self, mux: Mux) -> Result<Server, String> {
        let name = name(mux);
        let socket = self.folder.path().join(format!("{mux}.sock"));
        let mut command = self.command(self.processors.proxy, mux);
        command.arg("serve").arg(&socket).arg(name);
        let log = self.folder.path().join(format!("{mux}.log"));
        let server = Server::start(command, socket, log)?;
        // A socket's file is there before anybody listens.
        Bench::until_served(|| self.load(mux, server.socket(), &["echo", "1", "1"]))?;
        Ok(server)
    }

    fn sample(&self, workload: Workload, mux: Mux, socket: &Path) -> Result<Sample, String> {
        let arguments = workload.arguments(self.options);
        let told = self.load(mux, socket, &arguments.each_ref().map(String::as_str))?;
        let seconds = told.number("seconds")?;
        Ok(match workload {
            Workload::Bytes(_) => Sample {
                rate: self.options.bytes as f64 / seconds,
                p50_us: f64::NAN,
                p99_us: f64::NAN,
            },
            _ => Sample {
                rate: told.number("exchanges")? / seconds,
                p50_us: told.number("p50_us")?,
                p99_us: told.number("p99_us")?,
            },
        })
    }

    fn load(&self, mux: Mux, socket: &Path, arguments: &[&str; 3]) -> Result<Told, String> {
        let mut command = self.command(self.processors.load, mux);
        command.arg(arguments[0]).arg(socket).arg(name(mux)).args(&arguments[1..]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().map_err(|error| format!("taskset: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(Told(String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

/// What the loads call it.
fn name(mux: Mux) -> String {
    match mux {
        Mux::Ours(version) | Mux::Npm(version) => version.to_string(),
        Mux::Yamux => "yamux".to_owned(),
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
        let options = parse("--quick --rounds 2 --without npm --markdown a.md").unwrap().unwrap();
        assert_eq!((options.rounds, options.seconds, options.bytes), (2, 1, 64 << 20));
        assert!(!options.npm && options.yamux);
        assert!(parse("--help").unwrap().is_none());
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for line in ["--fast", "--rounds", "--seconds 0", "--without ours"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
