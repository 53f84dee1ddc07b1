//! `cargo xtask bench directline`: DirectLine's ends beside the npm package `botframework-streaming`,
//! in one run. docs/benchmarks.md tells what is measured and how.

mod report;

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::processes::{Folder, Processors, end, pinned};
use super::{Told, machine, spawn};
use crate::words::Words;

const HELP: &str = "\
cargo xtask bench directline [OPTION...]

  --rounds N        how often everything is measured; the medians are told [default: 5]
  --quick           a smoke run: one round, few calls, small bodies
  --without npm     leave out the npm package
  --markdown FILE   write the tables into this page, between its `bench directline` marks
";

/// The name of the pair in its folder.
const NAME: &str = "pair";

/// For peers of today: many frames in one write, of the length that they take. With the defaults an
/// end begins as for older ones, until it knows the other one for this project's.
const MODERN: [&str; 4] = ["--pace", "modern", "--chunk", "65536"];

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
    super::report::tell(&report, options.markdown.as_deref(), "bench directline")
}

#[derive(Debug)]
struct Options {
    rounds: usize,
    calls: u64,
    bytes: u64,
    npm: bool,
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
            calls: 20_000,
            bytes: 100 << 20,
            npm: true,
            markdown: None,
            load_average: machine::load_average(),
        };
        while let Some(option) = words.next() {
            match option {
                "--rounds" => options.rounds = words.number()? as usize,
                "--quick" => (options.rounds, options.calls, options.bytes) = (1, 2_000, 4 << 20),
                "--without" => match words.value()? {
                    "npm" => options.npm = false,
                    other => return Err(words.wrong(&format!("`{other}` can't be left out"))),
                },
                "--markdown" => options.markdown = Some(words.path()?),
                _ => return Err(words.unknown()),
            }
        }
        Ok(Some(options))
    }
}

/// One end of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// This project's, with its defaults.
    Ours,
    /// This project's, set for peers of today.
    Modern,
    /// The npm package, mended.
    Npm,
}

/// The two ends of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    connector: End,
    agent: End,
}

impl Ends {
    const OURS: Ends = Ends { connector: End::Ours, agent: End::Ours };
    const MODERN: Ends = Ends { connector: End::Modern, agent: End::Modern };
    const NPM: Ends = Ends { connector: End::Npm, agent: End::Npm };
    const TO_NPM: Ends = Ends { connector: End::Ours, agent: End::Npm };
    const FROM_NPM: Ends = Ends { connector: End::Npm, agent: End::Ours };

    const ALL: [Ends; 5] = [Ends::OURS, Ends::MODERN, Ends::NPM, Ends::TO_NPM, Ends::FROM_NPM];

    fn has_npm(self) -> bool {
        self.connector == End::Npm || self.agent == End::Npm
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.connector, self.agent) {
            (End::Ours, End::Ours) => "pipeway",
            (End::Modern, _) | (_, End::Modern) => "pipeway, modern pace, chunks of 65,536",
            (End::Npm, End::Npm) => "npm",
            (End::Ours, End::Npm) => "pipeway's connector, npm's agent",
            (End::Npm, End::Ours) => "npm's connector, pipeway's agent",
        })
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workload {
    /// Small calls, so many in flight.
    Calls(u32),
    /// One body to the agent.
    Upload,
    /// One body from the agent.
    Download,
}

const WORKLOADS: [Workload; 5] = [
    Workload::Calls(1),
    Workload::Calls(16),
    Workload::Calls(64),
    Workload::Upload,
    Workload::Download,
];

impl Workload {
    fn arguments(self, options: &Options) -> Vec<String> {
        match self {
            Workload::Calls(in_flight) => {
                vec!["calls".to_owned(), options.calls.to_string(), in_flight.to_string()]
            }
            Workload::Upload => vec!["upload".to_owned(), options.bytes.to_string()],
            Workload::Download => vec!["download".to_owned(), options.bytes.to_string()],
        }
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
type Results = Vec<(Workload, Ends, Vec<Sample>)>;

struct Run<'a> {
    options: &'a Options,
    processors: Processors,
    load: PathBuf,
    script: PathBuf,
}

impl<'a> Run<'a> {
    fn set_up(options: &'a Options) -> Result<Self, String> {
        let root = crate::workspace();
        let package = root.join("interop/node_modules/botframework-streaming/package.json");
        if options.npm && (machine::find("node").is_none() || !package.is_file()) {
            return Err("Node with interop/node_modules is missing: `npm ci` in interop/, or \
                        --without npm"
                .to_owned());
        }
        let arguments = ["--package", "pipeway-directline", "--example", "directline_load"];
        let load = super::build(&arguments)?.join("examples/directline_load");
        let script = root.join("interop/directline/load.mjs");
        Ok(Run { options, processors: Processors::choose()?, load, script })
    }

    fn measure(&self) -> Result<Results, String> {
        let mut results: Results = Vec::new();
        for workload in WORKLOADS {
            let ends = Ends::ALL.into_iter().filter(|ends| self.options.npm || !ends.has_npm());
            results.extend(ends.map(|ends| (workload, ends, Vec::new())));
        }
        for round in 0..self.options.rounds {
            for workload in WORKLOADS {
                eprintln!("round {}: {workload:?}", round + 1);
                let mut those: Vec<_> =
                    results.iter_mut().filter(|result| result.0 == workload).collect();
                // Each comes first in its turn.
                let first = round % those.len();
                those.rotate_left(first);
                for (_, ends, samples) in those {
                    let sample = self.sample(workload, *ends);
                    samples.push(sample.map_err(|error| format!("{ends}, {workload:?}: {error}"))?);
                }
            }
        }
        Ok(results)
    }

    /// Measures once, between two fresh processes: the npm package keeps something of every request.
    fn sample(&self, workload: Workload, ends: Ends) -> Result<Sample, String> {
        let folder = Folder::make()?;
        let _agent =
            Agent::start(self.command(self.processors.proxy, ends.agent, "agent", &folder, &[]))?;
        let arguments = workload.arguments(self.options);
        let mut command =
            self.command(self.processors.load, ends.connector, "connector", &folder, &arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().map_err(|error| format!("taskset: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let told = Told(String::from_utf8_lossy(&output.stdout).into_owned());
        let seconds = told.number("seconds")?;
        Ok(match workload {
            Workload::Calls(_) => Sample {
                rate: told.number("exchanges")? / seconds,
                p50_us: told.number("p50_us")?,
                p99_us: told.number("p99_us")?,
            },
            Workload::Upload | Workload::Download => {
                let rate = told.number("bytes")? / seconds;
                Sample { rate, p50_us: f64::NAN, p99_us: f64::NAN }
            }
        })
    }

    fn command(
        &self,
        processor: u32,
        end: End,
        role: &str,
        folder: &Folder,
        arguments: &[String],
    ) -> Command {
        let folder = folder.path().display();
        match end {
            End::Npm => {
                let mut command = pinned(processor, Path::new("node"));
                command.arg(&self.script).arg(role).arg(NAME).args(arguments);
                command.arg("--prefix").arg(format!("{folder}/")).args(["--mended", "yes"]);
                command
            }
            End::Ours | End::Modern => {
                let mut command = pinned(processor, &self.load);
                command.arg(role).arg(format!("unix:{folder}/{NAME}")).args(arguments);
                if end == End::Modern {
                    command.args(MODERN);
                }
                command
            }
        }
    }
}

/// An agent that runs. It ends with this value.
struct Agent(Child);

impl Agent {
    /// Waits until it says that it is ready.
    fn start(mut command: Command) -> Result<Self, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut agent = Agent(spawn(command)?);
        let stdout = agent.0.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        match line.trim() {
            "ready agent" => Ok(agent),
            other => Err(format!("the agent said `{other}`")),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        end(&mut self.0);
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
        assert_eq!((options.rounds, options.calls, options.bytes), (2, 2_000, 4 << 20));
        assert!(!options.npm);
        assert!(parse("--help").unwrap().is_none());
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for line in ["--fast", "--rounds", "--rounds 0", "--without ours"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
