//! `pipeway bridge`.

use std::path::PathBuf;

use clap::Args;
use pipeway_bridge::{HostRule, Protocol};
use pipeway_transport::{Access, Endpoint, HalfClose};

use super::{EventsArgs, flag, value};
use crate::config::{
    BridgeLayer, Count, Environment, EventsLayer, Item, LinkLayer, List, MethodItem, Name, NoneOr,
    PathItem, Size, Sourced, Through, Time, TimeOrZero, UpgradeItem, Verify, Word,
};

const HELP: &str = "\
Prints `ready ENDPOINT` on standard output once it accepts. Ctrl-C (or SIGTERM) stops it: requests
that run may finish within the drain time; a second Ctrl-C cuts them at once.

Times are written 500ms, 10s, 2m or 1h; sizes 64KiB or 5MB; where there may be no limit, `none`.
Each limit and time can be set by a variable too: PIPEWAY_ and the flag's name, such as
PIPEWAY_DRAIN_TIMEOUT.

Examples:
  pipeway bridge --listen local:my-service --to tcp:127.0.0.1:8080
  pipeway bridge --listen local:docker --to unix:/var/run/docker.sock --allow-method GET
  pipeway bridge --listen local:api --to tcp:127.0.0.1:8080 --allow-path '/v1/**' --events stderr
  pipeway bridge --raw --listen local:agent --to unix:/run/user/1000/ssh-agent.sock
  pipeway bridge --listen npipe:api --through wsl:Ubuntu --to unix:/run/user/1000/api.sock";

/// One bridge, from flags.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct BridgeArgs {
    /// Where clients connect: local:NAME, npipe:NAME, unix:/path or tcp:127.0.0.1:PORT
    #[arg(long, value_name = "ENDPOINT", value_parser = value::<Endpoint>)]
    listen: Endpoint,

    /// Where the service listens
    #[arg(long, value_name = "ENDPOINT", value_parser = value::<Endpoint>)]
    to: Endpoint,

    /// The bridge's name in events and messages [default: from --listen]
    #[arg(long, value_name = "NAME", value_parser = value::<Name>)]
    name: Option<Name>,

    /// Carry plain bytes instead of HTTP: each connection gets one to the service, and nothing is
    /// read in between
    #[arg(long)]
    raw: bool,

    /// With --raw, how named pipes tell the end of one direction: auto (byte type; to the service
    /// as its pipe has it), message (message type, as Go's programs have it) or none (the end of
    /// either direction ends both) [default: auto]
    #[arg(long, value_name = "WHEN", value_parser = value::<HalfClose>)]
    half_close: Option<HalfClose>,

    #[command(flatten)]
    link: LinkArgs,

    #[command(flatten)]
    access: AccessArgs,

    #[command(flatten)]
    policy: PolicyArgs,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    timeouts: TimeoutArgs,

    #[command(flatten)]
    events: EventsArgs,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "On the other side")]
pub(super) struct LinkArgs {
    /// Where --to is, if not on this system: wsl:DISTRIBUTION, windows (from inside WSL), or
    /// command:[\"PROGRAM\",\"ARGUMENT\"] that runs `pipeway guest` there. One process carries all
    /// sessions
    #[arg(long, value_name = "LINK", value_parser = value::<Through>)]
    through: Option<Through>,

    /// The user that the guest runs as in WSL [default: the distribution's]
    #[arg(long = "link-user", value_name = "USER", value_parser = value::<Word>, requires = "through")]
    user: Option<Word>,

    /// The guest's program in WSL or on Windows [default: pipeway in its PATH]
    #[arg(long = "link-guest", value_name = "PROGRAM", value_parser = value::<Word>, requires = "through")]
    guest: Option<Word>,

    /// A variable of the guest's environment, NAME=VALUE; may be given more than once
    #[arg(long = "link-env", value_name = "VARIABLE", value_parser = Environment::variable, requires = "through")]
    environment: Vec<(String, String)>,

    /// From the guest's start to its answer [default: 30s]
    #[arg(long = "link-start-timeout", value_name = "TIME", value_parser = value::<Time>, requires = "through")]
    start_timeout: Option<Time>,

    /// How often a sign of life is asked of the guest; one without an answer is a lost link
    /// [default: 10s]
    #[arg(long = "link-heartbeat", value_name = "TIME", value_parser = value::<Time>, requires = "through")]
    heartbeat: Option<Time>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Who may connect, and to whom")]
struct AccessArgs {
    /// Who may connect: owner, group:NAME, administrators or sddl:TEXT [default: owner]
    #[arg(long, value_name = "RULE", value_parser = value::<Access>)]
    access: Option<Access>,

    /// Whether the service must be your own before the first byte is sent: yes, no or auto
    /// (where access is owner and the service is no TCP port) [default: auto]
    #[arg(long, value_name = "WHEN", value_parser = value::<Verify>)]
    verify_server: Option<Verify>,

    /// Allow addresses other than loopback; other machines can then connect, or be connected to
    #[arg(long)]
    allow_remote: bool,

    /// A file with the token that clients of a TCP listener must send as `Authorization: Bearer`
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// A file with the token that the service wants; it is sent in place of the client's own
    #[arg(long, value_name = "FILE")]
    to_token_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What may pass")]
struct PolicyArgs {
    /// What the service sees as Host: localhost, preserve, or a name [default: localhost]
    #[arg(long, value_name = "RULE", value_parser = value::<HostRule>)]
    host: Option<HostRule>,

    /// A method that may pass; may be given more than once [default: all but CONNECT]
    #[arg(long = "allow-method", value_name = "METHOD", value_parser = item::<MethodItem>)]
    methods: Vec<String>,

    /// A glob of paths that may pass, such as '/v1/**'; may be given more than once [default: all]
    #[arg(long = "allow-path", value_name = "GLOB", value_parser = item::<PathItem>)]
    paths: Vec<String>,

    /// What a connection may be upgraded to, such as websocket; may be given more than once
    /// [default: all but h2c]
    #[arg(long = "allow-upgrade", value_name = "TOKEN", value_parser = item::<UpgradeItem>)]
    upgrades: Vec<String>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Sessions at once; one more waits in the system's queue [default: 10000]
    #[arg(long, value_name = "COUNT", value_parser = value::<Count>)]
    max_sessions: Option<Count>,

    /// Sessions at once of one user, or none; one more is answered 503 [default: none]
    #[arg(long, value_name = "COUNT", value_parser = value::<NoneOr<Count>>)]
    max_sessions_per_peer: Option<NoneOr<Count>>,

    /// The size of a request's or an answer's head; more is answered 431 or 502 [default: 64KiB]
    #[arg(long, value_name = "SIZE", value_parser = value::<Size>)]
    max_head_size: Option<Size>,

    /// The number of headers in a head [default: 128]
    #[arg(long, value_name = "COUNT", value_parser = value::<Count>)]
    max_headers: Option<Count>,

    /// The size of a request's body, or none; more is answered 413 [default: none]
    #[arg(long, value_name = "SIZE", value_parser = value::<NoneOr<Size>>)]
    max_body_size: Option<NoneOr<Size>>,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Times")]
struct TimeoutArgs {
    /// Connecting to the service; then 504 [default: 5s]
    #[arg(long = "connect-timeout", value_name = "TIME", value_parser = value::<Time>)]
    connect: Option<Time>,

    /// From a session's start to its first request [default: 1m]
    #[arg(long = "first-request-timeout", value_name = "TIME", value_parser = value::<Time>)]
    first_request: Option<Time>,

    /// From the first byte of a request's head to the last; then 408 [default: 15s]
    #[arg(long = "head-timeout", value_name = "TIME", value_parser = value::<Time>)]
    head: Option<Time>,

    /// From a request's end to the answer's first byte, or none; then 504 [default: 5m]
    #[arg(long = "first-byte-timeout", value_name = "TIME", value_parser = value::<NoneOr<Time>>)]
    first_byte: Option<NoneOr<Time>>,

    /// No progress in a request's body, or a client that does not read [default: 1m]
    #[arg(long = "body-idle-timeout", value_name = "TIME", value_parser = value::<Time>)]
    body_idle: Option<Time>,

    /// No byte of an answer's body, or none [default: none]
    #[arg(long = "answer-idle-timeout", value_name = "TIME", value_parser = value::<NoneOr<Time>>)]
    answer_idle: Option<NoneOr<Time>>,

    /// Between two requests of a session [default: 5m]
    #[arg(long = "keep-alive-timeout", value_name = "TIME", value_parser = value::<Time>)]
    keep_alive: Option<Time>,

    /// How long a connection to the service waits for another client; 0s: each has its own [default: 4s]
    #[arg(long = "upstream-idle-timeout", value_name = "TIME", value_parser = value::<TimeOrZero>)]
    upstream_idle: Option<TimeOrZero>,

    /// No byte in an upgraded session (a WebSocket) or a raw one, or none [default: none]
    #[arg(long = "upgrade-idle-timeout", value_name = "TIME", value_parser = value::<NoneOr<Time>>)]
    upgrade_idle: Option<NoneOr<Time>>,

    /// No byte in an upgraded or raw session of which one direction has ended [default: 1m]
    #[arg(long = "half-close-idle-timeout", value_name = "TIME", value_parser = value::<Time>)]
    half_close_idle: Option<Time>,

    /// From the order to stop to the cut of what still runs [default: 10s]
    #[arg(long = "drain-timeout", value_name = "TIME", value_parser = value::<TimeOrZero>)]
    drain: Option<TimeOrZero>,

    /// Look for a quick answer for up to 200 µs before sleeping: yes or no [default: yes, on
    /// Windows no]
    #[arg(long, value_name = "WHETHER", value_parser = value::<bool>)]
    busy_poll: Option<bool>,
}

impl LinkArgs {
    /// What is gone through, and what these flags say of it.
    pub(super) fn layers(self) -> (Option<Sourced<Option<Through>>>, LinkLayer) {
        let environment = (!self.environment.is_empty()).then_some(self.environment);
        let through = flag("--through", self.through.map(Some));
        let link = LinkLayer {
            // Where the link leads is told by who goes through it.
            name: None,
            to: None,
            user: flag("--link-user", self.user.map(Some)),
            guest: flag("--link-guest", self.guest.map(Some)),
            environment: flag("--link-env", environment.map(Environment::new)),
            start_timeout: flag("--link-start-timeout", self.start_timeout),
            heartbeat: flag("--link-heartbeat", self.heartbeat),
        };
        (through, link)
    }
}

impl BridgeArgs {
    /// What these flags say.
    pub(crate) fn layers(self) -> (BridgeLayer, LinkLayer, EventsLayer) {
        let BridgeArgs { access, policy, limits, timeouts, .. } = self;
        let (through, link) = self.link.layers();
        let list = |name, items: Vec<String>| flag(name, (!items.is_empty()).then_some(items));
        let bridge = BridgeLayer {
            name: flag("--name", self.name.map(Some)),
            listen: flag("--listen", Some(Some(self.listen))),
            to: flag("--to", Some(Some(self.to))),
            protocol: flag("--raw", self.raw.then_some(Protocol::Raw)),
            half_close: flag("--half-close", self.half_close),
            through,
            access: flag("--access", access.access),
            verify_server: flag("--verify-server", access.verify_server),
            allow_remote: flag("--allow-remote", access.allow_remote.then_some(true)),
            token_file: flag("--token-file", access.token_file.map(Some)),
            to_token_file: flag("--to-token-file", access.to_token_file.map(Some)),
            host: flag("--host", policy.host),
            methods: list("--allow-method", policy.methods).map(|list| list.map(List::new)),
            paths: list("--allow-path", policy.paths).map(|list| list.map(List::new)),
            upgrades: list("--allow-upgrade", policy.upgrades).map(|list| list.map(List::new)),
            max_sessions: flag("--max-sessions", limits.max_sessions),
            max_sessions_per_peer: flag("--max-sessions-per-peer", limits.max_sessions_per_peer),
            max_head_size: flag("--max-head-size", limits.max_head_size),
            max_headers: flag("--max-headers", limits.max_headers),
            max_body_size: flag("--max-body-size", limits.max_body_size),
            connect: flag("--connect-timeout", timeouts.connect),
            first_request: flag("--first-request-timeout", timeouts.first_request),
            head: flag("--head-timeout", timeouts.head),
            first_byte: flag("--first-byte-timeout", timeouts.first_byte),
            body_idle: flag("--body-idle-timeout", timeouts.body_idle),
            answer_idle: flag("--answer-idle-timeout", timeouts.answer_idle),
            keep_alive: flag("--keep-alive-timeout", timeouts.keep_alive),
            upstream_idle: flag("--upstream-idle-timeout", timeouts.upstream_idle),
            upgrade_idle: flag("--upgrade-idle-timeout", timeouts.upgrade_idle),
            half_close_idle: flag("--half-close-idle-timeout", timeouts.half_close_idle),
            drain: flag("--drain-timeout", timeouts.drain),
            busy_poll: flag("--busy-poll", timeouts.busy_poll),
        };
        (bridge, link, self.events.layer())
    }
}

/// Checks one item of a list.
fn item<T: Item>(text: &str) -> Result<String, String> {
    T::check(text).map(|()| text.to_owned())
}
