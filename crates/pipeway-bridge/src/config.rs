//! A bridge's configuration.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use pipeway_telemetry::Sink;
use pipeway_transport::link::{Link, Opening};
use pipeway_transport::{Access, BusyPoll, ConnectOptions, Endpoint, HalfClose, IoLoop};

/// One bridge: where it listens, what it connects to, and the rules between.
#[derive(Clone, Debug)]
pub struct BridgeConfig {
    /// The name, in events and messages.
    pub name: String,
    /// Where clients connect.
    pub listen: Endpoint,
    /// What is connected to on their behalf.
    pub upstream: Endpoint,
    /// The link at whose other side the upstream is. It must have been started with
    /// [`opening`](BridgeConfig::opening) among its openings. Default: none, the upstream is on
    /// this system.
    pub through: Option<Link>,
    /// What is carried. Default: HTTP.
    pub protocol: Protocol,
    /// How named pipes tell the end of one direction, in a raw session. With [`HalfClose::None`]
    /// the end of either direction ends the session, over sockets too. Default: each end as its
    /// kind has it.
    pub half_close: HalfClose,
    /// Who may connect. Default: the owner alone.
    pub access: Access,
    /// Whether addresses other than loopback may be listened on or connected to. Default: no.
    pub allow_remote: bool,
    /// A file with the token that clients of a TCP listener must send
    /// (`Authorization: Bearer TOKEN`). A TCP listener without one does not start.
    pub token_file: Option<PathBuf>,
    /// A file with the token that the upstream is shown (`Authorization: Bearer TOKEN`), in place
    /// of any that the client sent. For a service on a loopback port that wants one: whoever may
    /// connect to this bridge may then use it without knowing the token.
    pub upstream_token_file: Option<PathBuf>,
    /// Whether the upstream's server must be this user's own (or the system's) before the first
    /// byte is sent. Default: where `access` is `owner` and the upstream is no TCP port.
    pub verify_server: Option<bool>,
    /// What requests may pass, and how they are changed.
    pub policy: Policy,
    /// How much of everything there may be.
    pub limits: Limits,
    /// How long everything may take.
    pub timeouts: Timeouts,
    /// Whether a session that has its thread to itself looks for what comes next for up to 200 µs
    /// before the thread sleeps; ever more seldom where that is in vain. Default:
    /// [as it pays](BusyPoll::PAYS) on this system, which is not on Windows.
    pub busy_poll: bool,
    /// The loop that the bridge is served on; with [`through`](Self::through), best that of the link.
    /// Default: tokio's runtime serves it.
    pub io_loop: Option<IoLoop>,
    /// Where events go.
    pub events: Sink,
}

impl BridgeConfig {
    /// A bridge with every default.
    pub fn new(name: impl Into<String>, listen: Endpoint, upstream: Endpoint) -> Self {
        BridgeConfig {
            name: name.into(),
            listen,
            upstream,
            through: None,
            protocol: Protocol::Http,
            half_close: HalfClose::Auto,
            access: Access::Owner,
            allow_remote: false,
            token_file: None,
            upstream_token_file: None,
            verify_server: None,
            policy: Policy::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            busy_poll: BusyPoll::PAYS,
            io_loop: None,
            events: Sink::disabled(),
        }
    }
}

impl BridgeConfig {
    /// What a link must be started with to lead to the upstream.
    ///
    /// # Errors
    ///
    /// For an upstream that no link can lead to.
    pub fn opening(&self) -> Result<Opening, pipeway_transport::Error> {
        Opening::new(&self.upstream, &self.connect_options())
    }

    /// How the upstream is connected to.
    pub(crate) fn connect_options(&self) -> ConnectOptions {
        ConnectOptions {
            timeout: self.timeouts.connect,
            verify_server: Some(self.verify_server.unwrap_or(self.access == Access::Owner)),
            allow_remote: self.allow_remote,
            half_close: self.half_close,
            ..ConnectOptions::default()
        }
    }
}

/// What a bridge carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1, and what it is upgraded to.
    #[default]
    Http,
    /// Bytes, unread: each connection gets one of the upstream's.
    Raw,
}

impl Protocol {
    /// The word in a configuration: `http` or `raw`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Raw => "raw",
        }
    }
}

impl FromStr for Protocol {
    type Err = crate::ConfigError;

    /// `http` or `raw`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "http" => Ok(Protocol::Http),
            "raw" => Ok(Protocol::Raw),
            other => Err(crate::ConfigError::new(format!(
                "`{}` is no protocol; write http or raw",
                other.escape_debug()
            ))),
        }
    }
}

/// What requests may pass, and how they are changed.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The methods that may pass; empty: all but CONNECT. Anything else is answered 405.
    pub methods: Vec<String>,
    /// Globs of the paths that may pass (`/v1/**`), compared after decoding and normalising;
    /// empty: all. Anything else is answered 403.
    pub paths: Vec<String>,
    /// The tokens that a connection may be upgraded to; empty: all but `h2c`, which would carry
    /// requests past this policy. A request for another is passed without its upgrade.
    pub upgrades: Vec<String>,
    /// What the upstream sees as `Host`.
    pub host: HostRule,
}

/// What the upstream sees as `Host`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostRule {
    /// `localhost`: what a client of a pipe sends there is seldom a host's name.
    #[default]
    Localhost,
    /// What the client sent.
    Preserve,
    /// This name.
    Fixed(String),
}

impl FromStr for HostRule {
    type Err = crate::ConfigError;

    /// `localhost`, `preserve`, or a host's name with an optional port.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "localhost" => Ok(HostRule::Localhost),
            "preserve" => Ok(HostRule::Preserve),
            name if !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b)) =>
            {
                Ok(HostRule::Fixed(name.to_owned()))
            }
            other => Err(crate::ConfigError::new(format!(
                "`{}` is not a host's name; write localhost, preserve, or a name with an optional port",
                other.escape_debug()
            ))),
        }
    }
}

/// How much of everything there may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions at once; one more waits in the system's queue. Default: 10,000.
    pub max_sessions: usize,
    /// Sessions at once of one user (uid or SID); one more is answered 503. Default: no limit
    /// of its own.
    pub max_sessions_per_peer: Option<usize>,
    /// The size of a head (request line or status line, and headers), in bytes. More is answered
    /// 431 (a request) or 502 (an answer). Default: 64 KiB.
    pub max_head_bytes: usize,
    /// The number of headers in a head, at most 1,024. Default: 128.
    pub max_headers: usize,
    /// The size of a request's body, in bytes; more is answered 413. Default: no limit.
    pub max_body_bytes: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_sessions: 10_000,
            max_sessions_per_peer: None,
            max_head_bytes: 64 * 1024,
            max_headers: 128,
            max_body_bytes: None,
        }
    }
}

/// How long everything may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// Connecting to the upstream. Default: 5 s; then 504.
    pub connect: Duration,
    /// From a session's start to the first byte of its first request. Default: 60 s.
    pub first_request: Duration,
    /// From a head's first byte to its last. Default: 15 s; then 408.
    pub head: Duration,
    /// From the request's last byte to the answer's first. `None`: no limit. Default: 300 s;
    /// then 504.
    pub first_byte: Option<Duration>,
    /// No progress in a body, while bytes are wanted or have been offered. Default: 60 s for a
    /// request's body or a client that does not read. An answer's body may be silent for ever
    /// (an event stream) unless `answer_idle` is set.
    pub body_idle: Duration,
    /// No byte of an answer's body. Default: no limit.
    pub answer_idle: Option<Duration>,
    /// Between two requests of a session. Default: 300 s.
    pub keep_alive: Duration,
    /// How long a connection to the upstream that a session has left whole waits for another
    /// session, which takes it for a request of a safe method (GET, HEAD, OPTIONS, TRACE) without
    /// a body; zero: each session has connections of its own. Through a link that is always so.
    /// Default: 4 s, less than servers are known to wait. Risk of more than the upstream's own
    /// time: a request that is sent while it closes is answered 502.
    pub upstream_idle: Duration,
    /// No byte in either direction of an upgraded or a raw session. Default: no limit.
    pub upgrade_idle: Option<Duration>,
    /// After one direction of an upgraded or a raw session has ended: no byte in the other.
    /// Default: 60 s.
    pub half_close_idle: Duration,
    /// From the order to stop to the cut of what is still running. Default: 10 s.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Timeouts {
            connect: seconds(5),
            first_request: seconds(60),
            head: seconds(15),
            first_byte: Some(seconds(300)),
            body_idle: seconds(60),
            answer_idle: None,
            keep_alive: seconds(300),
            upstream_idle: seconds(4),
            upgrade_idle: None,
            half_close_idle: seconds(60),
            drain: seconds(10),
        }
    }
}
