//! `cargo xtask bench`: the bridge beside other proxies, in one run. docs/benchmarks.md tells
//! what is measured and how.

mod aims;
mod directline;
mod link;
mod machine;
mod mux;
mod options;
mod processes;
mod report;
mod settings;
mod start;
mod way;
mod wine;
mod workload;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use options::Options;
pub use processes::{Folder, end};
use processes::{Processors, Usage, pinned};
use way::{Server, Upstream, Way};
use workload::{Mode, Results, Sample, WORKLOADS, Workload};

const HELP: &str = "\
cargo xtask bench [OPTION...]
cargo xtask bench directline [OPTION...]   DirectLine instead: `bench directline --help`
cargo xtask bench mux [OPTION...]   the multiplexer instead: `bench mux --help`
cargo xtask bench link [OPTION...]  links instead: `bench link --help`
cargo xtask bench wine [OPTION...]  named pipes under Wine instead: `bench wine --help`

  --rounds N        how often everything is measured; the medians are told [default: 5]
  --seconds N       how long each measurement of small exchanges takes, in five turns [default: 3]
  --quick           a smoke run: one round, one second, small bodies, few sessions
  --pipeway FILE    measure this program instead of building it
  --without WAY     leave out direct, pipeway, events (of pipeway), nginx, haproxy or systemd; may
                    be given more than once
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
    let starts = start::measure(&bench)?;
    let results = bench.measure()?;
    let report = report::markdown(&bench.options, &bench.ways, &results, &starts)?;
    report::tell(&report, bench.options.markdown.as_deref(), "bench")
}

struct Bench {
    options: Options,
    processors: Processors,
    folder: Folder,
    load: PathBuf,
    ways: Vec<Way>,
    /// At a Unix socket and at a port, as [`Mode`] counts them.
    upstreams: [Server; 2],
}

impl Bench {
    fn set_up(mut options: Options) -> Result<Self, String> {
        let processors = Processors::choose()?;
        options.fit()?;
        let load = build(&["--package", "pipeway-bridge", "--example", "load"])?;
        let load = load.join("examples").join("load");
        let mut ways = Vec::new();
        if options.with("direct") {
            ways.push(Way::Direct);
        }
        if options.with("pipeway") {
            // By itself, as the README says it: built together with the load, the runtime has what
            // only tests need, and that costs.
            let program = match &options.pipeway {
                Some(program) => program.clone(),
                None => build(&["--package", "pipeway", "--bin", "pipeway"])?.join("pipeway"),
            };
            ways.push(Way::Pipeway { program: program.clone(), events: false });
            if options.with("events") {
                ways.push(Way::Pipeway { program, events: true });
            }
        }
        ways.extend(others(&options));
        let folder = Folder::make()?;
        let serve = |address: &str, name: &str| {
            let mut command = pinned(processors.load, &load);
            command.arg("serve").arg(address);
            Server::start(command, PathBuf::from(address), folder.path().join(name))
        };
        let upstreams = [
            serve(&folder.path().join("upstream.sock").display().to_string(), "upstream.log")?,
            serve(&free_port()?, "upstream-tcp.log")?,
        ];
        let bench = Bench { options, processors, folder, load, ways, upstreams };
        for upstream in &bench.upstreams {
            bench.warm_up(upstream.socket())?;
        }
        Ok(bench)
    }

    fn measure(&self) -> Result<Results, String> {
        let mut results: Results = Vec::new();
        for &workload in WORKLOADS {
            let ways = self.ways.iter().filter(|way| way.takes(workload));
            results.extend(ways.map(|way| (way.clone(), workload, Vec::new())));
        }
        for round in 0..self.options.rounds {
            // Each round has processes of its own: where the system puts one makes a tenth of its time.
            let mut servers = Vec::new();
            for way in &self.ways {
                servers.push([self.start(way, Mode::Unix)?, self.start(way, Mode::Tcp)?]);
            }
            for &workload in WORKLOADS {
                eprintln!("round {} of {}: {workload:?}", round + 1, self.options.rounds);
                for turn in 0..workload.turns() {
                    for at in 0..self.ways.len() {
                        // Each way comes first in its turn.
                        let at = (at + round + turn) % self.ways.len();
                        let way = &self.ways[at];
                        if !way.takes(workload) {
                            continue;
                        }
                        let server = servers[at][workload.mode() as usize].as_ref();
                        let sample = self.sample(workload, way, server).map_err(|error| {
                            let log = server.map(Server::log).unwrap_or_default();
                            let upstream = self.upstreams[workload.mode() as usize].log();
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
        }
        Ok(results)
    }

    fn sample(
        &self,
        workload: Workload,
        way: &Way,
        server: Option<&Server>,
    ) -> Result<Sample, String> {
        let seconds = self.options.seconds as f64 / workload.turns() as f64;
        let seconds = seconds.to_string();
        let bytes = self.options.body_bytes.to_string();
        let exchanges = |name: &str, connections: u32| {
            vec![name.to_owned(), connections.to_string(), seconds.clone()]
        };
        let body = |name: &str| vec![name.to_owned(), bytes.clone()];
        let arguments = match workload {
            Workload::Get(connections, _) => exchanges("get", connections),
            Workload::Close(connections) => exchanges("close", connections),
            Workload::WebSocket(connections) => exchanges("ws", connections),
            Workload::Down(_) => body("down"),
            Workload::Up(_) => body("up"),
            Workload::UpgradedDown => body("upgraded-down"),
            Workload::UpgradedUp => body("upgraded-up"),
            Workload::Idle => return self.idle(way),
        };
        let upstream = &self.upstreams[workload.mode() as usize];
        let socket = server.map_or(upstream.socket(), Server::socket);
        let before = server.map(Usage::of).transpose()?;
        let told = self.load(socket, &arguments)?;
        let after = server.map(Usage::of).transpose()?;
        let cpu = match (before, after) {
            (Some(before), Some(after)) => (after.cpu - before.cpu).as_secs_f64(),
            _ => f64::NAN,
        };
        let seconds = told.number("seconds")?;
        if workload.is_bytes() {
            let bytes = self.options.body_bytes as f64;
            let gibibytes = bytes / (1_u64 << 30) as f64;
            return Ok(Sample { rate: bytes / seconds, cpu: cpu / gibibytes, ..Sample::NOTHING });
        }
        let exchanges = told.number("exchanges")?;
        Ok(Sample {
            rate: exchanges / seconds,
            p50_us: told.number("p50_us")?,
            p99_us: told.number("p99_us")?,
            cpu: cpu * 1e6 / exchanges,
            ..Sample::NOTHING
        })
    }

    /// What idle WebSockets take, in a process that has served nothing else.
    fn idle(&self, way: &Way) -> Result<Sample, String> {
        let Some(server) = self.spawn(way, Mode::Unix)? else { return Ok(Sample::NOTHING) };
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

    fn upstream(&self, mode: Mode) -> Upstream {
        let address = self.upstreams[mode as usize].socket().display().to_string();
        Upstream { mode, address }
    }

    /// `None` for the way without a proxy.
    fn spawn(&self, way: &Way, mode: Mode) -> Result<Option<Server>, String> {
        let launch = |program: &Path| pinned(self.processors.proxy, program);
        let start = way.prepare(launch, &self.upstream(mode), self.folder.path())?;
        start.map(|start| Server::start(start.command, start.socket, start.log)).transpose()
    }

    /// `None` for the way without a proxy, and where it is not measured with this upstream.
    fn start(&self, way: &Way, mode: Mode) -> Result<Option<Server>, String> {
        if !WORKLOADS.iter().any(|&workload| workload.mode() == mode && way.takes(workload)) {
            return Ok(None);
        }
        let server = self.spawn(way, mode)?;
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

/// The other proxies that are installed.
fn others(options: &Options) -> Vec<Way> {
    let found = |way: &str, package: &str, program: &str| {
        let found = machine::find(program);
        if found.is_none() && options.with(way) {
            eprintln!("{program} is not installed and left out (Debian's package: {package})");
        }
        found.filter(|_| options.with(way))
    };
    let mut ways = Vec::new();
    if let Some(program) = found("nginx", "nginx", "nginx") {
        ways.push(Way::Nginx { program: program.clone(), own_buffers: false });
        ways.push(Way::Nginx { program, own_buffers: true });
    }
    ways.extend(found("haproxy", "haproxy", "haproxy").map(Way::Haproxy));
    if let (Some(activate), Some(program)) = (
        found("systemd", "systemd", "systemd-socket-activate"),
        found("systemd", "systemd", "systemd-socket-proxyd"),
    ) {
        ways.push(Way::Systemd { activate, program });
    }
    ways
}

/// A loopback port that nobody listens at; the system does not give it to the next who asks.
fn free_port() -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    listener.local_addr().map(|address| address.to_string()).map_err(|error| error.to_string())
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
pub fn build(what: &[&str]) -> Result<PathBuf, String> {
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

    #[test]
    fn the_loads_numbers_are_read() {
        let told = Told("exchanges 12\nseconds 1.5\n".to_owned());
        assert_eq!(told.number("seconds"), Ok(1.5));
        assert!(told.number("second").is_err());
    }
}
