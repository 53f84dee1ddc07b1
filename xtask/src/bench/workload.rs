//! What is measured, and what comes of it.

use std::fmt;

use super::report::median;
use super::way::Way;

/// How a proxy reaches the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Unix,
    Tcp,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Unix => "a Unix socket",
            Mode::Tcp => "loopback TCP",
        })
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Small GETs over so many connections that are kept.
    Get(u32, Mode),
    /// Small GETs, each over a connection of its own, so many at once.
    Close(u32),
    /// Small WebSocket messages and their echoes over so many connections.
    WebSocket(u32),
    /// A large body from the upstream.
    Down(Mode),
    /// A large body to the upstream.
    Up(Mode),
    /// As many bytes from the upstream in an upgraded session.
    UpgradedDown,
    /// As many bytes to the upstream in an upgraded session.
    UpgradedUp,
    /// WebSockets that do nothing.
    Idle,
}

pub const WORKLOADS: &[Workload] = &[
    Workload::Get(1, Mode::Unix),
    Workload::Get(16, Mode::Unix),
    Workload::Get(64, Mode::Unix),
    Workload::Get(1, Mode::Tcp),
    Workload::Get(16, Mode::Tcp),
    Workload::Get(64, Mode::Tcp),
    Workload::Close(16),
    Workload::WebSocket(16),
    Workload::Down(Mode::Unix),
    Workload::Up(Mode::Unix),
    Workload::Down(Mode::Tcp),
    Workload::Up(Mode::Tcp),
    Workload::UpgradedDown,
    Workload::UpgradedUp,
    Workload::Idle,
];

impl Workload {
    pub fn mode(self) -> Mode {
        match self {
            Workload::Get(_, mode) | Workload::Down(mode) | Workload::Up(mode) => mode,
            _ => Mode::Unix,
        }
    }

    /// In how many turns with the other ways a round measures it: what the rest of the machine does
    /// lasts longer than a turn.
    pub fn turns(self) -> usize {
        match self {
            Workload::Get(..) | Workload::Close(_) | Workload::WebSocket(_) => 5,
            _ => 1,
        }
    }

    /// Whether it is one session with many bytes.
    pub fn is_bytes(self) -> bool {
        match self {
            Workload::Down(_) | Workload::Up(_) => true,
            Workload::UpgradedDown | Workload::UpgradedUp => true,
            Workload::Get(..) | Workload::Close(_) | Workload::WebSocket(_) => false,
            Workload::Idle => false,
        }
    }
}

/// One measurement. What a workload does not have is not a number.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Exchanges a second, or bytes a second.
    pub rate: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    /// The proxy's processor time: microseconds an exchange, or seconds a GiB.
    pub cpu: f64,
    /// The proxy's resident memory, in bytes a session.
    pub memory: f64,
}

impl Sample {
    pub const NOTHING: Sample = Sample {
        rate: f64::NAN,
        p50_us: f64::NAN,
        p99_us: f64::NAN,
        cpu: f64::NAN,
        memory: f64::NAN,
    };
}

/// A number of a sample.
pub type Field = fn(&Sample) -> f64;

/// Everything that was measured: which way, what, and once for each turn of each round.
pub type Results = Vec<(Way, Workload, Vec<Sample>)>;

/// The samples of a way, or none where it was left out.
pub fn samples<'a>(results: &'a Results, way: &Way, workload: Workload) -> &'a [Sample] {
    let found = results.iter().find(|result| result.0 == *way && result.1 == workload);
    found.map(|(_, _, samples)| &samples[..]).unwrap_or_default()
}

pub fn median_of(results: &Results, way: &Way, workload: Workload, field: Field) -> f64 {
    median(samples(results, way, workload).iter().map(field).collect())
}

/// The median of the turns' own ratios: what the rest of the machine does in a turn, it does to
/// both.
pub fn ratio(results: &Results, way: &Way, other: &Way, workload: Workload, field: Field) -> f64 {
    let own = samples(results, way, workload).iter().map(field);
    let others = samples(results, other, workload).iter().map(field);
    median(own.zip(others).map(|(own, other)| own / other).collect())
}
