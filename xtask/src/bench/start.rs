//! From a program's start until it serves.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::report::{median, number, row, table};
use super::way::{Start, Way};
use super::workload::Mode;
use super::{Bench, Options, end};

/// Nobody takes longer, or it does not come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A program and how it starts. Medians, in milliseconds.
pub struct Started {
    pub way: Way,
    /// Until its line that says that it is ready; not a number where it has none.
    pub ready_ms: f64,
    /// Until the first request is answered.
    pub answer_ms: f64,
    /// Of the program's file.
    pub bytes: u64,
}

/// Starts each of the HTTP proxies so many times, in turns.
pub fn measure(bench: &Bench) -> Result<Vec<Started>, String> {
    let ways: Vec<&Way> = bench.ways.iter().filter(|way| is_started(way)).collect();
    eprintln!("{} starts of each", bench.options.starts);
    let mut times = vec![(Vec::new(), Vec::new()); ways.len()];
    for _ in 0..bench.options.starts {
        for (way, (ready, answer)) in ways.iter().zip(&mut times) {
            let upstream = bench.upstream(Mode::Unix);
            let launch = |program: &Path| Command::new(program);
            let Some(start) = way.prepare(launch, &upstream, bench.folder.path())? else {
                continue;
            };
            let (a, b) = once(start).map_err(|error| format!("{way} does not start: {error}"))?;
            ready.push(a);
            answer.push(b);
        }
    }
    let started = ways.into_iter().zip(times).map(|(way, (ready, answer))| {
        let file = way.program().and_then(|program| program.metadata().ok());
        Started {
            way: way.clone(),
            ready_ms: median(ready),
            answer_ms: median(answer),
            bytes: file.map_or(0, |file| file.len()),
        }
    });
    Ok(started.collect())
}

fn is_started(way: &Way) -> bool {
    match way {
        Way::Pipeway { events, .. } => !events,
        Way::Nginx { own_buffers, .. } => !own_buffers,
        Way::Haproxy(_) => true,
        Way::Direct | Way::Systemd { .. } => false,
    }
}

/// Milliseconds until the line and until the answer.
fn once(start: Start) -> Result<(f64, f64), String> {
    let Start { mut command, socket, log } = start;
    let stderr = std::fs::File::create(log).map_err(|error| error.to_string())?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr);
    let began = Instant::now();
    let mut running = Running(super::spawn(command)?);
    let stdout = running.0.stdout.take().expect("stdout is piped");
    let line_rx = ready_line(stdout, began);
    loop {
        if answers(&socket) {
            break;
        }
        if began.elapsed() > PATIENCE {
            return Err("it does not answer".to_owned());
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    let answer = began.elapsed();
    drop(running);
    // Its end closes stdout, with the line or without.
    let ready = line_rx.join().map_err(|_| "its stdout can't be read".to_owned())?;
    let ready = ready.map_or(f64::NAN, |ready| ready.as_secs_f64() * 1e3);
    Ok((ready, answer.as_secs_f64() * 1e3))
}

/// When the line came that says that it is ready.
fn ready_line(
    stdout: impl Read + Send + 'static,
    began: Instant,
) -> std::thread::JoinHandle<Option<Duration>> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines.find(|line| line.starts_with("ready ")).map(|_| began.elapsed())
    })
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        end(&mut self.0);
    }
}

/// Whether a request through the proxy is answered by the upstream.
#[cfg(unix)]
fn answers(socket: &Path) -> bool {
    use std::io::Write as _;
    let Ok(mut stream) = std::os::unix::net::UnixStream::connect(socket) else { return false };
    let request = b"GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = Vec::new();
    stream.set_read_timeout(Some(PATIENCE)).is_ok()
        && stream.write_all(request).is_ok()
        && stream.read_to_end(&mut answer).is_ok()
        && answer.starts_with(b"HTTP/1.1 200 ")
}

/// The benchmark does not run where this would be asked.
#[cfg(not(unix))]
fn answers(_: &Path) -> bool {
    false
}

pub fn report(out: &mut String, options: &Options, starts: &[Started]) {
    let head = format!("From start to ready, medians of {} starts", options.starts);
    table(out, &head, "ready line ms | first answer ms | program MiB");
    for started in starts {
        row(
            out,
            &started.way,
            &[
                number(started.ready_ms, 1),
                number(started.answer_ms, 1),
                number(started.bytes as f64 / (1_u64 << 20) as f64, 1),
            ],
        );
    }
}
