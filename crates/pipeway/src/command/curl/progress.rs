//! How far a transfer is, and a line on a terminal that shows it.

use std::io::{IsTerminal, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::args::CurlArgs;
use crate::output::bytes_text;

/// A transfer that is shorter shows nothing.
const QUIET: Duration = Duration::from_secs(1);

/// How often the line is written.
const TICK: Duration = Duration::from_millis(250);

/// No length was told.
const UNKNOWN: u64 = u64::MAX;

/// How far a transfer is. Cheap to clone; all clones count together.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    up: AtomicU64,
    up_length: AtomicU64,
    down: AtomicU64,
    down_length: AtomicU64,
}

/// Whether a line is wanted: standard error is a terminal, and nothing else is written to it.
pub(super) fn is_wanted(args: &CurlArgs) -> bool {
    let to_file = args.output.as_deref().is_some_and(|path| !super::body::is_stdin(path));
    let elsewhere = to_file || !std::io::stdout().is_terminal();
    std::io::stderr().is_terminal() && elsewhere && !args.silent && !args.client.verbose
}

impl Progress {
    /// Nothing done yet.
    pub(super) fn new() -> Self {
        Progress {
            counts: Arc::new(Counts {
                up: AtomicU64::new(0),
                up_length: AtomicU64::new(UNKNOWN),
                down: AtomicU64::new(0),
                down_length: AtomicU64::new(UNKNOWN),
            }),
        }
    }

    /// So many bytes of the request's body went.
    pub(super) fn sent(&self, count: usize) {
        self.counts.up.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// So many bytes of the answer's body came.
    pub(super) fn received(&self, count: usize) {
        self.counts.down.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The length of the answer's body.
    pub(super) fn expect(&self, length: Option<u64>) {
        self.counts.down_length.store(length.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// The length of the request's body.
    pub(super) fn expect_up(&self, length: Option<u64>) {
        self.counts.up_length.store(length.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// The bytes of the answer's body so far.
    pub(super) fn came(&self) -> u64 {
        self.counts.down.load(Ordering::Relaxed)
    }

    /// The bytes of the request's body so far.
    pub(super) fn went(&self) -> u64 {
        self.counts.up.load(Ordering::Relaxed)
    }

    /// What was done, for the message that it took too long.
    pub(super) fn so_far(&self) -> String {
        let length = self.counts.down_length.load(Ordering::Relaxed);
        let of = if length == UNKNOWN { String::new() } else { format!(" of {length}") };
        match self.went() {
            0 => format!(", with {}{of} bytes received", self.came()),
            went => format!(", with {went} bytes sent and {}{of} received", self.came()),
        }
    }

    /// Runs `work`, with the line on standard error.
    pub(super) async fn shown_during<T>(&self, work: impl Future<Output = T>) -> T {
        let begin = Instant::now();
        let mut work = std::pin::pin!(work);
        let mut ticks = tokio::time::interval(TICK);
        let mut shown = 0;
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = ticks.tick() => {
                    if begin.elapsed() >= QUIET {
                        let line = self.line(begin.elapsed());
                        // Spaces cover what is left of a longer line.
                        let mut stderr = std::io::stderr().lock();
                        let _ = write!(stderr, "\r{line:shown$}");
                        let _ = stderr.flush();
                        shown = line.chars().count();
                    }
                }
            }
        };
        if shown > 0 {
            let line = self.line(begin.elapsed());
            let _ = writeln!(std::io::stderr().lock(), "\r{line:shown$}");
        }
        ended
    }

    fn line(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let half = |verb: &str, done: u64, length: u64| {
            let rate = bytes_text((done as f64 / seconds) as u64);
            let done_text = bytes_text(done);
            match length {
                UNKNOWN => format!("{verb} {done_text}, {rate}/s"),
                length => {
                    let percent = (done.min(length) * 100).checked_div(length).unwrap_or(100);
                    let length = bytes_text(length);
                    format!("{verb} {done_text} of {length} ({percent}%), {rate}/s")
                }
            }
        };
        let (up, down) = (self.went(), self.came());
        let mut halves = Vec::new();
        if up > 0 {
            halves.push(half("sent", up, self.counts.up_length.load(Ordering::Relaxed)));
        }
        if down > 0 || up == 0 {
            halves.push(half("received", down, self.counts.down_length.load(Ordering::Relaxed)));
        }
        halves.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_shows_bytes_percent_and_rate() {
        let progress = Progress::new();
        assert_eq!(progress.line(Duration::from_secs(1)), "received 0 B, 0 B/s");
        progress.expect(Some(4096));
        progress.received(1024);
        let second = Duration::from_secs(2);
        assert_eq!(progress.line(second), "received 1.0 KiB of 4.0 KiB (25%), 512 B/s");
        progress.sent(2048);
        assert_eq!(
            progress.line(second),
            "sent 2.0 KiB, 1.0 KiB/s; received 1.0 KiB of 4.0 KiB (25%), 512 B/s"
        );
        assert_eq!(progress.so_far(), ", with 2048 bytes sent and 1024 of 4096 received");
    }
}
