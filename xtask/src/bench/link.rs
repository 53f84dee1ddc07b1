//! `cargo xtask bench link`: the bridge with a link beside a process for each connection, in one
//! run; with `--wine` across the border to Windows. docs/benchmarks.md tells what is measured and
//! how.

mod linux;
mod report;
mod wine;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use linux::Linux;
use wine::Wine;

use super::processes::{Folder, Processors, pinned, settle};
use super::way::Server;
use super::{Bench, Told, machine};
use crate::words::Words;

const HELP: &str = "\
cargo xtask bench link [OPTION...]

  --rounds N        how often everything is measured; the medians are told [default: 5]
  --seconds N       how long each measurement of set-ups takes [default: 2]
  --quick           a smoke run: one round, one second, few bytes
  --wine            to a named pipe of Windows, under Wine; with fewer bytes
  --windows FOLDER  with --wine: measure this folder's pipeway.exe, with its examples/load.exe
                    as the upstream, instead of building them
  --pipeway FILE    measure this program instead of building it
  --markdown FILE   write the tables into this page, between its `bench link` or
                    `bench link wine` marks
";

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
        return Err("the benchmark runs on Linux: it needs taskset and epoll".to_owned());
    }
    let run = Run::set_up(&options)?;
    let report = report::markdown(&options, &run.versions(), &run.measure()?)?;
    let mark = if options.wine { "bench link wine" } else { "bench link" };
    super::report::tell(&report, options.markdown.as_deref(), mark)
}

#[derive(Debug)]
struct Options {
    rounds: usize,
    seconds: u64,
    bytes: u64,
    /// Across the border to Windows.
    wine: bool,
    /// Where the Windows programs are, if they are not to be built.
    windows: Option<PathBuf>,
    pipeway: Option<PathBuf>,
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
            bytes: 256 << 20,
            wine: false,
            windows: None,
            pipeway: None,
            markdown: None,
            load_average: machine::load_average(),
        };
        while let Some(option) = words.next() {
            match option {
                "--rounds" => options.rounds = words.number()? as usize,
                "--seconds" => options.seconds = u64::from(words.number()?),
                "--quick" => {
                    (options.rounds, options.seconds, options.bytes) = (1, 1, 16 << 20);
                }
                // Wine's pipes are slow: more bytes would only take longer.
                "--wine" => (options.wine, options.bytes) = (true, options.bytes.min(64 << 20)),
                "--windows" => options.windows = Some(words.path()?),
                "--pipeway" => options.pipeway = Some(words.path()?),
                "--markdown" => options.markdown = Some(words.path()?),
                _ => return Err(words.unknown()),
            }
        }
        if options.windows.is_some() && !options.wine {
            return Err(words.wrong("`--windows` is about `--wine`"));
        }
        Ok(Some(options))
    }

    fn ways(&self) -> &'static [Way] {
        if self.wine { Wine::WAYS } else { Linux::WAYS }
    }
}

/// How a connection gets to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    /// A bridge, and one guest that carries all connections.
    Link,
    /// A process of `pipeway nc` for each.
    Nc(Buffer),
    /// A process of socat for each.
    Socat(Buffer),
    /// A Windows process of `pipeway.exe nc` for each.
    WindowsNc,
}

/// How much socat moves at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Buffer {
    /// 8 KiB, its own choice.
    Own,
    /// As much as the bridge.
    Large,
}

impl Buffer {
    /// socat's options for it.
    fn options(self) -> &'static str {
        match self {
            Buffer::Own => "",
            Buffer::Large => "-b 131072",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Direct => "direct",
            Way::Link => "link",
            Way::Nc(Buffer::Own) => "a `pipeway nc` each",
            Way::Nc(Buffer::Large) => "a `pipeway nc` each, 128 KiB",
            Way::Socat(Buffer::Own) => "a `socat` each",
            Way::Socat(Buffer::Large) => "a `socat` each, 128 KiB",
            Way::WindowsNc => "a `pipeway.exe nc` each, 128 KiB",
        })
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workload {
    /// Connections for a byte there and back, so many at once.
    SetUp(u32),
    /// Many bytes from the upstream over one connection.
    Down,
    /// Many bytes to the upstream over one connection.
    Up,
}

const WORKLOADS: [Workload; 4] =
    [Workload::SetUp(1), Workload::SetUp(16), Workload::Down, Workload::Up];

impl Workload {
    /// How many turns the ways take in a round: the shorter each is, the more alike is what the rest
    /// of the machine does to them.
    fn turns(self) -> usize {
        match self {
            Workload::SetUp(_) => 1,
            Workload::Down | Workload::Up => 4,
        }
    }
}

/// One measurement. What a workload does not have is not a number.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Set-ups a second, or bytes a second.
    rate: f64,
    p50_us: f64,
    p99_us: f64,
}

/// Everything that was measured, once for each round.
type Results = Vec<(Way, Workload, Vec<Sample>)>;

/// Where the upstream is.
enum Place {
    Linux(Linux),
    Wine(Wine),
}

struct Run<'a> {
    options: &'a Options,
    processors: Processors,
    load: PathBuf,
    program: PathBuf,
    socat: PathBuf,
    place: Place,
    // After the programs that use it.
    folder: Folder,
}

impl<'a> Run<'a> {
    fn set_up(options: &'a Options) -> Result<Self, String> {
        let socat = machine::find("socat").ok_or(
            "socat is not installed, which starts the processes (Debian's package: socat)",
        )?;
        let processors = Processors::choose()?;
        let load = super::build(&["--package", "pipeway-bridge", "--example", "load"])?;
        let load = load.join("examples/load");
        let program = match &options.pipeway {
            Some(program) => std::path::absolute(program)
                .map_err(|error| format!("{}: {error}", program.display()))?,
            // By itself: together with the load, its runtime has what only tests need.
            None => super::build(&["--package", "pipeway", "--bin", "pipeway"])?.join("pipeway"),
        };
        let folder = Folder::make()?;
        let place = if options.wine {
            let windows = options.windows.as_deref();
            Place::Wine(Wine::start(&program, windows, &socat, processors, &folder)?)
        } else {
            Place::Linux(Linux::start(&program, &socat, &load, processors, &folder)?)
        };
        Ok(Run { options, processors, load, program, socat, place, folder })
    }

    /// The programs' own words on their versions.
    fn versions(&self) -> String {
        let told = |program: &Path, flag: &str| {
            let output = Command::new(program).arg(flag).output().ok();
            output
                .map(|told| String::from_utf8_lossy(&told.stdout).into_owned())
                .unwrap_or_default()
        };
        let pipeway = told(&self.program, "--version");
        let socat = told(&self.socat, "-V");
        let socat = socat.lines().find_map(|line| line.strip_prefix("socat version "));
        let socat = socat.and_then(|rest| rest.split_whitespace().next()).unwrap_or("unknown");
        let wine = match &self.place {
            Place::Linux(_) => String::new(),
            Place::Wine(wine) => format!("; {}", wine.version()),
        };
        format!("{}; socat {socat}{wine}", pipeway.lines().next().unwrap_or("pipeway"))
    }

    fn measure(&self) -> Result<Results, String> {
        let ways = self.options.ways();
        let mut servers = Vec::new();
        for &way in ways {
            servers.push(self.start(way)?);
        }
        let mut results: Results = Vec::new();
        for workload in WORKLOADS {
            results.extend(ways.iter().map(|&way| (way, workload, Vec::new())));
        }
        for round in 0..self.options.rounds {
            for (those, workload) in results.chunks_mut(ways.len()).zip(WORKLOADS) {
                eprintln!("round {} of {}: {workload:?}", round + 1, self.options.rounds);
                for turn in 0..workload.turns() {
                    for at in 0..ways.len() {
                        // Each comes first in its turn.
                        let at = (at + round + turn) % ways.len();
                        let (way, _, samples) = &mut those[at];
                        let reached = self.reached(servers[at].as_ref())?;
                        samples.push(self.sample_anew(*way, workload, reached)?);
                        if !matches!(way, Way::Direct | Way::Link) {
                            // What still starts or ends would be measured with the next way.
                            settle(reached)?;
                        }
                    }
                }
            }
        }
        Ok(results)
    }

    /// A sample, made once more where Wine has failed.
    fn sample_anew(
        &self,
        way: Way,
        workload: Workload,
        reached: &Server,
    ) -> Result<Sample, String> {
        let mut sample = self.sample(workload, reached.socket());
        // Wine 8 fails to start a program once in a few thousand times.
        for _ in 1..if way == Way::WindowsNc { ATTEMPTS } else { 1 } {
            let Err(error) = &sample else { break };
            eprintln!("{way}, {workload:?}: {error}; once more");
            settle(reached)?;
            sample = self.sample(workload, reached.socket());
        }
        sample.map_err(|error| format!("{way}, {workload:?}: {error}\n{}", reached.log()))
    }

    /// What the load connects to: the way's own server, or the upstream.
    fn reached<'b>(&'b self, server: Option<&'b Server>) -> Result<&'b Server, String> {
        match (server, &self.place) {
            (Some(server), _) => Ok(server),
            (None, Place::Linux(linux)) => Ok(linux.upstream()),
            (None, Place::Wine(_)) => Err("a pipe of Windows is not reached from here".to_owned()),
        }
    }

    /// `None` for the way with nothing between.
    fn start(&self, way: Way) -> Result<Option<Server>, String> {
        // socat takes parentheses for its own.
        let name = format!("{way:?}").replace(['(', ')'], "");
        let own = |ending: &str| self.folder.path().join(format!("{name}.{ending}"));
        let socket = own("sock");
        let command = match &self.place {
            Place::Linux(linux) => linux.command(way, &socket),
            Place::Wine(wine) => wine.command(way, &socket),
        };
        let server =
            command.map(|command| Server::start(command, socket, own("log"))).transpose()?;
        let reached = self.reached(server.as_ref())?;
        // A socket's file is there before anybody listens, and the bridge before its link is up.
        Bench::until_served(|| self.load(reached.socket(), &["byte", "1", "1"]))
            .map_err(|error| format!("{way} does not serve: {error}\n{}", reached.log()))?;
        Ok(server)
    }

    fn sample(&self, workload: Workload, socket: &Path) -> Result<Sample, String> {
        let (what, amounts) = match workload {
            Workload::SetUp(at_once) => ("byte", vec![u64::from(at_once), self.options.seconds]),
            Workload::Down => ("down", vec![self.options.bytes]),
            Workload::Up => ("up", vec![self.options.bytes]),
        };
        let amounts: Vec<String> = amounts.iter().map(u64::to_string).collect();
        let mut arguments = vec![what];
        arguments.extend(amounts.iter().map(String::as_str));
        let told = self.load(socket, &arguments)?;
        let seconds = told.number("seconds")?;
        Ok(match workload {
            Workload::SetUp(_) => Sample {
                rate: told.number("exchanges")? / seconds,
                p50_us: told.number("p50_us")?,
                p99_us: told.number("p99_us")?,
            },
            Workload::Down | Workload::Up => Sample {
                rate: self.options.bytes as f64 / seconds,
                p50_us: f64::NAN,
                p99_us: f64::NAN,
            },
        })
    }

    /// Runs the load: its first argument, the socket, and the rest.
    fn load(&self, socket: &Path, arguments: &[&str]) -> Result<Told, String> {
        let mut command = pinned(self.processors.load, &self.load);
        command.arg(arguments[0]).arg(socket).args(&arguments[1..]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().map_err(|error| format!("taskset: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(Told(String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

/// How often a measurement is tried whose processes Wine may not have started.
const ATTEMPTS: u32 = 3;

/// socat at a socket, with a process of `command` for each connection.
fn each(processor: u32, socat: &Path, buffer: Buffer, socket: &Path, command: &str) -> Command {
    let mut each = pinned(processor, socat);
    each.args(buffer.options().split_whitespace());
    // With its own five, connections that come at once would wait for the listener.
    each.arg(format!("UNIX-LISTEN:{},fork,backlog=128", socket.display()));
    each.arg(format!("EXEC:\"{command}\""));
    each
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options = parse("--quick --rounds 2 --pipeway p --markdown a.md").unwrap().unwrap();
        assert_eq!((options.rounds, options.seconds, options.bytes), (2, 1, 16 << 20));
        assert_eq!(options.pipeway, Some(PathBuf::from("p")));
        assert!(parse("--help").unwrap().is_none());
        let options = parse("--wine").unwrap().unwrap();
        assert_eq!((options.wine, options.bytes), (true, 64 << 20));
        assert_eq!(parse("--wine --quick").unwrap().unwrap().bytes, 16 << 20);
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for line in ["--fast", "--rounds", "--seconds 0", "--without socat", "--windows f"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
