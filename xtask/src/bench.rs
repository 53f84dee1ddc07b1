//! `cargo xtask bench`: the bridge beside other proxies, in one run. docs/benchmarks.md tells
//! what is measured and how.

mod directline;
mod link;
mod machine;
mod mux;
mod processes;
mod report;
mod way;
mod wine;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use processes::{Folder, Processors, Usage, end, pinned};
use way::{Server, Way};

const HELP: &str = "\
cargo xtask bench [OPTION...]
cargo xtask bench directline [OPTION...]   DirectLine instead: `bench directline --help`
cargo xtask bench mux [OPTION...]   the multiplexer instead: `bench mux --help`
cargo xtask bench link [OPTION...]  links instead: `bench link --help`
cargo xtask bench wine [OPTION...]  named pipes under Wine instead: `bench wine --help`

  --rounds N        how often everything is measured; the medians are told [default: 5]
  --seconds N       how long each measurement of small exchanges takes [default: 3]
  --quick           a smoke run: one round, one second, small bodies, few sessions
  --events          measure the bridge a second time, writing its events to a file
  --pipeway FILE    measure this program instead of building it
  --without WAY     leave out direct, pipeway, nginx or haproxy; may be given more than once
  --markdown FILE   write the tables into this page, between its `bench` marks
";

/// Reads the arguments and runs.
///
/// # Errors
///
/// A sentence that says what could not be measured.
pub fn run(arguments: &[String]) -> Result<(), String> {
    match arguments.split_first().map(|(first, rest)| (&**first, rest)) {
        Some(("directline", rest)) => return directline::run(rest),
        Some(("mux", rest)) => return mux::run(rest),
        Some(("link", rest)) => return link::run(rest),
        // As `bench link` has it, too.
        Some(("wine" | "--wine", rest)) => return wine::run(rest),
        _ => {}
    }
    let Some(options) = Options::parse(arguments)? else {
        print!("{HELP}");
        return Ok(());
    };
    if !cfg!(target_os = "linux") {
        return Err("the benchmark runs on Linux: it needs /proc, taskset and epoll".to_owned());
    }
    let bench = Bench::set_up(options)?;
    let results = bench.measure()?;
    let report = report::markdown(&bench.options, &bench.ways, &results)?;
    print!("{report}");
    if let Some(page) = &bench.options.markdown {
        report::write_into(page, "bench", &report)?;
        eprintln!("written into {}", page.display());
    }
    Ok(())
}

#[derive(Debug)]
struct Options {
    rounds: usize,
    seconds: u64,
    body_bytes: u64,
    idle_sessions: u64,
    events: bool,
    pipeway: Option<PathBuf>,
    without: Vec<String>,
    markdown: Option<PathBuf>,
    /// Of the machine, before anything was built or measured.
    load_average: String,
}

impl Options {
    /// `None` where only help was asked for.
    fn parse(arguments: &[String]) -> Result<Option<Self>, String> {
        let mut options = Options {
            rounds: 5,
            seconds: 3,
            body_bytes: 1 << 30,
            idle_sessions: 2000,
            events: false,
            pipeway: None,
            without: Vec::new(),
            markdown: None,
            load_average: machine::load_average(),
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().ok_or_else(|| format!("`{argument}` wants a value\n\n{HELP}"));
            let number = |text: &String| match text.parse::<u32>() {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(format!("`{text}` after `{argument}` is no number from 1")),
            };
            match argument.as_str() {
                "--rounds" => options.rounds = number(value()?)? as usize,
                "--seconds" => options.seconds = u64::from(number(value()?)?),
                "--quick" => {
                    options.rounds = 1;
                    options.seconds = 1;
                    options.body_bytes = 64 << 20;
                    options.idle_sessions = 200;
                }
                "--events" => options.events = true,
                "--pipeway" => options.pipeway = Some(PathBuf::from(value()?)),
                "--without" => {
                    let way = value()?;
                    if !matches!(way.as_str(), "direct" | "pipeway" | "nginx" | "haproxy") {
                        return Err(format!("there is no way called `{way}`\n\n{HELP}"));
                    }
                    options.without.push(way.clone());
                }
                "--markdown" => options.markdown = Some(PathBuf::from(value()?)),
                "help" | "-h" | "--help" => return Ok(None),
                other => return Err(format!("there is no option `{other}`\n\n{HELP}")),
            }
        }
        Ok(Some(options))
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Workload {
    /// Small GETs over so many connections that are kept.
    Get(u32),
    /// Small GETs, each over a connection of its own, so many at once.
    Close(u32),
    /// Small WebSocket messages and their echoes over so many connections.
    WebSocket(u32),
    /// A large body from the upstream.
    Down,
    /// A large body to the upstream.
    Up,
    /// WebSockets that do nothing.
    Idle,
}

const WORKLOADS: &[Workload] = &[
    Workload::Get(1),
    Workload::Get(16),
    Workload::Get(64),
    Workload::Close(16),
    Workload::WebSocket(16),
    Workload::Down,
    Workload::Up,
    Workload::Idle,
];

/// One measurement. What a workload does not have is not a number.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Exchanges a second, or bytes a second.
    rate: f64,
    p50_us: f64,
    p99_us: f64,
    /// The proxy's processor time: microseconds an exchange, or seconds a GiB.
    cpu: f64,
    /// The proxy's resident memory, in bytes a session.
    memory: f64,
}

impl Sample {
    const NOTHING: Sample = Sample {
        rate: f64::NAN,
        p50_us: f64::NAN,
        p99_us: f64::NAN,
        cpu: f64::NAN,
        memory: f64::NAN,
    };
}

/// Everything that was measured: which way, what, and once for each round.
type Results = Vec<(Way, Workload, Vec<Sample>)>;

struct Bench {
    options: Options,
    processors: Processors,
    folder: Folder,
    load: PathBuf,
    ways: Vec<Way>,
    upstream: Server,
}

impl Bench {
    fn set_up(options: Options) -> Result<Self, String> {
        let processors = Processors::choose()?;
        let with = |way: &str| !options.without.iter().any(|without| without == way);
        let mut built = vec!["--package", "pipeway-bridge", "--example", "load"];
        if with("pipeway") && options.pipeway.is_none() {
            built.extend(["--package", "pipeway", "--bin", "pipeway"]);
        }
        let built = build(&built)?;
        let program = options.pipeway.clone().unwrap_or_else(|| built.join("pipeway"));
        let mut ways = Vec::new();
        if with("direct") {
            ways.push(Way::Direct);
        }
        if with("pipeway") {
            ways.push(Way::Pipeway { program: program.clone(), events: false });
            if options.events {
                ways.push(Way::Pipeway { program, events: true });
            }
        }
        for (name, make) in [("nginx", Way::Nginx as fn(PathBuf) -> Way), ("haproxy", Way::Haproxy)]
        {
            match machine::find(name) {
                _ if !with(name) => {}
                Some(program) => ways.push(make(program)),
                None => {
                    eprintln!("{name} is not installed and left out (Debian's package: {name})")
                }
            }
        }
        let folder = Folder::make()?;
        let load = built.join("examples").join("load");
        let upstream = folder.path().join("upstream.sock");
        let mut command = pinned(processors.load, &load);
        command.arg("serve").arg(&upstream);
        let server = Server::start(command, upstream, folder.path().join("upstream.log"))?;
        let bench = Bench { options, processors, folder, load, ways, upstream: server };
        bench.warm_up(bench.upstream.socket())?;
        Ok(bench)
    }

    fn measure(&self) -> Result<Results, String> {
        let mut servers = Vec::new();
        for way in &self.ways {
            servers.push(self.start(way)?);
        }
        let mut results: Results = Vec::new();
        for &workload in WORKLOADS {
            results.extend(self.ways.iter().map(|way| (way.clone(), workload, Vec::new())));
        }
        for round in 0..self.options.rounds {
            for &workload in WORKLOADS {
                eprintln!("round {} of {}: {workload:?}", round + 1, self.options.rounds);
                for at in 0..self.ways.len() {
                    // Each way comes first in its turn.
                    let at = (at + round) % self.ways.len();
                    let way = &self.ways[at];
                    let sample =
                        self.sample(workload, way, servers[at].as_ref()).map_err(|error| {
                            let log = servers[at].as_ref().map(Server::log).unwrap_or_default();
                            let upstream = self.upstream.log();
                            format!("{way}, {workload:?}: {error}\n{log}{upstream}")
                        })?;
                    let (_, _, samples) = results
                        .iter_mut()
                        .find(|result| result.0 == *way && result.1 == workload)
                        .expect("every way and workload has its place");
                    samples.push(sample);
                }
            }
        }
        Ok(results)
    }

    fn sample(
        &self,
        workload: Workload,
        way: &Way,
        server: Option<&Server>,
    ) -> Result<Sample, String> {
        if workload == Workload::Idle {
            return self.idle(way);
        }
        let socket = server.map_or(self.upstream.socket(), Server::socket);
        let seconds = self.options.seconds.to_string();
        let bytes = self.options.body_bytes.to_string();
        let arguments = |name: &str, connections: u32| {
            vec![name.to_owned(), connections.to_string(), seconds.clone()]
        };
        let arguments = match workload {
            Workload::Get(connections) => arguments("get", connections),
            Workload::Close(connections) => arguments("close", connections),
            Workload::WebSocket(connections) => arguments("ws", connections),
            Workload::Down => vec!["down".to_owned(), bytes],
            Workload::Up => vec!["up".to_owned(), bytes],
            Workload::Idle => unreachable!("it was measured above"),
        };
        let before = server.map(Usage::of).transpose()?;
        let told = self.load(socket, &arguments)?;
        let after = server.map(Usage::of).transpose()?;
        let cpu = match (before, after) {
            (Some(before), Some(after)) => (after.cpu - before.cpu).as_secs_f64(),
            _ => f64::NAN,
        };
        let seconds = told.number("seconds")?;
        Ok(match workload {
            Workload::Down | Workload::Up => {
                let bytes = self.options.body_bytes as f64;
                let gibibytes = bytes / (1_u64 << 30) as f64;
                Sample { rate: bytes / seconds, cpu: cpu / gibibytes, ..Sample::NOTHING }
            }
            _ => {
                let exchanges = told.number("exchanges")?;
                Sample {
                    rate: exchanges / seconds,
                    p50_us: told.number("p50_us")?,
                    p99_us: told.number("p99_us")?,
                    cpu: cpu * 1e6 / exchanges,
                    ..Sample::NOTHING
                }
            }
        })
    }

    /// What idle WebSockets take, in a process that has served nothing else.
    fn idle(&self, way: &Way) -> Result<Sample, String> {
        let Some(server) =
            way.start(self.processors.proxy, self.upstream.socket(), self.folder.path())?
        else {
            return Ok(Sample::NOTHING);
        };
        // One session alone: memory that more had used would be used again, and not be seen.
        Self::until_served(|| self.load(server.socket(), &["idle".to_owned(), "1".to_owned()]))?;
        let before = Usage::of(&server)?;
        let mut command = pinned(self.processors.load, &self.load);
        command.arg("idle").arg(server.socket()).arg(self.options.idle_sessions.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(command)?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line).map_err(|error| error.to_string())?;
        let ready = line.starts_with("ready ");
        let after = Usage::of(&server)?;
        drop(child.stdin.take());
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).map_err(|error| error.to_string())?;
        let status = child.wait().map_err(|error| error.to_string())?;
        if !ready || !status.success() || !rest.starts_with("alive ") {
            return Err(format!("the idle sessions did not live: {line}{rest}{}", server.log()));
        }
        let grown = after.memory as f64 - before.memory as f64;
        Ok(Sample { memory: grown / self.options.idle_sessions as f64, ..Sample::NOTHING })
    }

    /// `None` for the way without a proxy.
    fn start(&self, way: &Way) -> Result<Option<Server>, String> {
        let server =
            way.start(self.processors.proxy, self.upstream.socket(), self.folder.path())?;
        if let Some(server) = &server {
            self.warm_up(server.socket())
                .map_err(|error| format!("{way} does not serve: {error}\n{}", server.log()))?;
        }
        Ok(server)
    }

    fn warm_up(&self, socket: &Path) -> Result<(), String> {
        let arguments = ["get".to_owned(), "4".to_owned(), "1".to_owned()];
        Self::until_served(|| self.load(socket, &arguments))
    }

    /// Tries until it works: a socket's file is there before anybody listens.
    fn until_served(load: impl Fn() -> Result<Told, String>) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match load() {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Runs the load: `arguments` without the socket, which stands after the first of them.
    fn load(&self, socket: &Path, arguments: &[String]) -> Result<Told, String> {
        let mut command = pinned(self.processors.load, &self.load);
        command.arg(&arguments[0]).arg(socket).args(&arguments[1..]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = command.output().map_err(|error| format!("taskset: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        Ok(Told(String::from_utf8_lossy(&output.stdout).into_owned()))
    }
}

/// What the load printed.
struct Told(String);

impl Told {
    fn number(&self, name: &str) -> Result<f64, String> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
            .ok_or_else(|| format!("the load told no `{name}`: {}", self.0))
    }
}

fn spawn(mut command: Command) -> Result<Child, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.spawn().map_err(|error| format!("`{program}` can't be started: {error}"))
}

/// Builds what is measured, and returns the folder that it is in.
fn build(what: &[&str]) -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a folder");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["build", "--release"]).args(what);
    let status = command.status().map_err(|error| format!("cargo can't be started: {error}"))?;
    if !status.success() {
        return Err("what is measured can't be built".to_owned());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    Ok(root.join(target.unwrap_or_else(|| "target".into())).join("release"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let options = parse("--quick --rounds 2 --without nginx --markdown a.md");
        let options = options.unwrap().unwrap();
        assert_eq!((options.rounds, options.seconds, options.idle_sessions), (2, 1, 200));
        assert_eq!(options.without, ["nginx"]);
        assert_eq!(options.markdown, Some(PathBuf::from("a.md")));
        assert!(parse("--help").unwrap().is_none());
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for line in ["--fast", "--rounds", "--rounds 0", "--rounds x", "--without apache"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_loads_numbers_are_read() {
        let told = Told("exchanges 12\nseconds 1.5\n".to_owned());
        assert_eq!(told.number("seconds"), Ok(1.5));
        assert!(told.number("second").is_err());
    }
}
