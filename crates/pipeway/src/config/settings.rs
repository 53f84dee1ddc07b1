//! Every key of the configuration: its name in a file, its flag, its environment variable and
//! its default, stated once.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use pipeway_bridge::{
    AgentPath, GatewayLimits, GatewayTimeouts, HostRule, Limits, Protocol, ServiceUrl, Timeouts,
};
use pipeway_directline::pipes::Place;
use pipeway_transport::link::{LinkConfig, LinkSpec};
use pipeway_transport::{Access, BusyPoll, Endpoint, HalfClose};
use toml::de::DeValue;

use super::through::Through;
use super::value::{
    Count, Environment, EventsTo, List, MethodItem, Name, NoneOr, PathItem, Size, Time, TimeOrZero,
    TomlFault, UpgradeItem, Value, Verify, Word,
};
use crate::env;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// This flag.
    Flag(&'static str),
    /// This environment variable.
    Env(&'static str),
    /// The configuration file: the line, from 1, and the place of the value in bytes.
    File { line: usize, span: Range<usize> },
    /// Nobody said anything.
    Default,
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sourced<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it comes from.
    pub(crate) source: Source,
}

impl<T> Sourced<T> {
    /// Another value from the same source.
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced { value: change(self.value), source: self.source }
    }
}

/// One key, for lists of keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its name in a file, with its table's: `timeouts.connect`.
    pub(crate) name: &'static str,
    /// Its flag.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests hold flags and pages against it"))]
    pub(crate) flag: &'static str,
    /// Its environment variable.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests hold pages against it"))]
    pub(crate) env: Option<&'static str>,
}

/// One resolved value, for `check`.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The key's name.
    pub(crate) key: &'static str,
    /// The value as TOML; `None` where it is not set.
    pub(crate) value: Option<String>,
    /// Where it comes from.
    pub(crate) source: Source,
}

macro_rules! settings {
    (
        $(#[$layer_doc:meta])+ $layer:ident;
        $(#[$settings_doc:meta])+ $settings:ident;
        $keys:ident;
        $($field:ident: $type:ty = $default:expr, $key:literal, $flag:literal, $env:expr;)+
    ) => {
        $(#[$layer_doc])+
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $layer {
            $(pub(crate) $field: Option<Sourced<$type>>,)+
        }

        $(#[$settings_doc])+
        #[derive(Clone, Debug)]
        pub(crate) struct $settings {
            $(pub(crate) $field: Sourced<$type>,)+
        }

        /// The keys, in the order of the documentation.
        pub(crate) const $keys: &[Key] =
            &[$(Key { name: $key, flag: $flag, env: $env },)+];

        impl $layer {
            /// This layer's values, and those of `lower` where this one has none.
            #[allow(dead_code, reason = "a link's values come from one place")]
            pub(crate) fn over(self, lower: &Self) -> Self {
                $layer { $($field: self.$field.or_else(|| lower.$field.clone()),)+ }
            }

            /// Reads the value of `key`; `None` if there is no such key.
            pub(crate) fn read(
                &mut self,
                key: &str,
                value: &DeValue<'_>,
                source: Source,
                folder: &Path,
            ) -> Option<Result<(), TomlFault>> {
                match key {
                    $($key => Some(<$type as Value>::from_toml(value).map(|mut value| {
                        value.anchor(folder);
                        self.$field = Some(Sourced { value, source });
                    })),)+
                    _ => None,
                }
            }

            /// The values of the environment, and what is wrong with them.
            #[allow(dead_code, reason = "no value of a link is taken from the environment")]
            pub(crate) fn from_env() -> (Self, Vec<(Source, String)>) {
                let mut layer = $layer::default();
                let mut wrong = Vec::new();
                $(let name: Option<&'static str> = $env;
                if let Some(name) = name
                    && let Some(text) = std::env::var_os(name).filter(|text| !text.is_empty())
                {
                    match <$type as Value>::from_text(&text.to_string_lossy()) {
                        Ok(value) => {
                            layer.$field = Some(Sourced { value, source: Source::Env(name) });
                        }
                        Err(message) => wrong.push((Source::Env(name), message)),
                    }
                })+
                (layer, wrong)
            }

            /// The values, with the default where this layer has none.
            pub(crate) fn resolve(self) -> $settings {
                $settings {
                    $($field: self.$field.unwrap_or_else(|| Sourced {
                        value: $default,
                        source: Source::Default,
                    }),)+
                }
            }
        }

        impl $settings {
            /// Every value as TOML, with its source.
            pub(crate) fn rows(&self) -> Vec<Row> {
                vec![$(Row {
                    key: $key,
                    value: self.$field.value.show(),
                    source: self.$field.source.clone(),
                },)+]
            }
        }
    };
}

settings! {
    /// What one place (the flags, a table of the file) says about a bridge.
    BridgeLayer;
    /// A bridge's resolved values.
    BridgeSettings;
    BRIDGE_KEYS;
    name: Option<Name> = None, "name", "--name", None;
    listen: Option<Endpoint> = None, "listen", "--listen", None;
    to: Option<Endpoint> = None, "to", "--to", None;
    protocol: Protocol = Protocol::Http, "protocol", "--raw", None;
    half_close: HalfClose = HalfClose::Auto, "half_close", "--half-close", None;
    through: Option<Through> = None, "through", "--through", None;
    access: Access = Access::Owner, "access", "--access", None;
    host: HostRule = HostRule::Localhost, "host", "--host", None;
    methods: List<MethodItem> = List::default(), "methods", "--allow-method", None;
    paths: List<PathItem> = List::default(), "paths", "--allow-path", None;
    upgrades: List<UpgradeItem> = List::default(), "upgrades", "--allow-upgrade", None;
    verify_server: Verify = Verify(None), "verify_server", "--verify-server", None;
    allow_remote: bool = false, "allow_remote", "--allow-remote", None;
    token_file: Option<PathBuf> = None, "token_file", "--token-file", None;
    to_token_file: Option<PathBuf> = None, "to_token_file", "--to-token-file", None;
    max_sessions: Count = Count(Limits::default().max_sessions),
        "limits.max_sessions", "--max-sessions", Some(env::MAX_SESSIONS);
    max_sessions_per_peer: NoneOr<Count> =
        NoneOr(Limits::default().max_sessions_per_peer.map(Count)),
        "limits.max_sessions_per_peer", "--max-sessions-per-peer", Some(env::MAX_SESSIONS_PER_PEER);
    max_head_size: Size = Size(Limits::default().max_head_bytes as u64),
        "limits.max_head_size", "--max-head-size", Some(env::MAX_HEAD_SIZE);
    max_headers: Count = Count(Limits::default().max_headers),
        "limits.max_headers", "--max-headers", Some(env::MAX_HEADERS);
    max_body_size: NoneOr<Size> = NoneOr(Limits::default().max_body_bytes.map(Size)),
        "limits.max_body_size", "--max-body-size", Some(env::MAX_BODY_SIZE);
    connect: Time = Time(Timeouts::default().connect),
        "timeouts.connect", "--connect-timeout", Some(env::CONNECT_TIMEOUT);
    first_request: Time = Time(Timeouts::default().first_request),
        "timeouts.first_request", "--first-request-timeout", Some(env::FIRST_REQUEST_TIMEOUT);
    head: Time = Time(Timeouts::default().head),
        "timeouts.head", "--head-timeout", Some(env::HEAD_TIMEOUT);
    first_byte: NoneOr<Time> = NoneOr(Timeouts::default().first_byte.map(Time)),
        "timeouts.first_byte", "--first-byte-timeout", Some(env::FIRST_BYTE_TIMEOUT);
    body_idle: Time = Time(Timeouts::default().body_idle),
        "timeouts.body_idle", "--body-idle-timeout", Some(env::BODY_IDLE_TIMEOUT);
    answer_idle: NoneOr<Time> = NoneOr(Timeouts::default().answer_idle.map(Time)),
        "timeouts.answer_idle", "--answer-idle-timeout", Some(env::ANSWER_IDLE_TIMEOUT);
    keep_alive: Time = Time(Timeouts::default().keep_alive),
        "timeouts.keep_alive", "--keep-alive-timeout", Some(env::KEEP_ALIVE_TIMEOUT);
    upstream_idle: TimeOrZero = TimeOrZero(Timeouts::default().upstream_idle),
        "timeouts.upstream_idle", "--upstream-idle-timeout", Some(env::UPSTREAM_IDLE_TIMEOUT);
    upgrade_idle: NoneOr<Time> = NoneOr(Timeouts::default().upgrade_idle.map(Time)),
        "timeouts.upgrade_idle", "--upgrade-idle-timeout", Some(env::UPGRADE_IDLE_TIMEOUT);
    half_close_idle: Time = Time(Timeouts::default().half_close_idle),
        "timeouts.half_close_idle", "--half-close-idle-timeout", Some(env::HALF_CLOSE_IDLE_TIMEOUT);
    drain: TimeOrZero = TimeOrZero(Timeouts::default().drain),
        "timeouts.drain", "--drain-timeout", Some(env::DRAIN_TIMEOUT);
    busy_poll: bool = BusyPoll::PAYS, "busy_poll", "--busy-poll", None;
}

settings! {
    /// What one place says about a gateway.
    GatewayLayer;
    /// A gateway's resolved values.
    GatewaySettings;
    GATEWAY_KEYS;
    name: Option<Name> = None, "name", "--name", None;
    pipe: Option<Place> = None, "pipe", "--pipe", None;
    to: Option<Endpoint> = None, "to", "--to", None;
    through: Option<Through> = None, "through", "--through", None;
    path: AgentPath = AgentPath::default(), "path", "--path", None;
    callback: Endpoint = CALLBACK.clone(), "callback", "--callback", None;
    service_url: Option<ServiceUrl> = None, "service_url", "--service-url", None;
    access: Access = Access::Owner, "access", "--access", None;
    verify_server: Verify = Verify(None), "verify_server", "--verify-server", None;
    allow_remote: bool = false, "allow_remote", "--allow-remote", None;
    lenient: bool = false, "lenient", "--lenient", None;
    chunk_size: Size = Size(DEFAULT.pipe.chunk_bytes.into()),
        "limits.chunk_size", "--chunk-size", None;
    max_requests: Count = Count(DEFAULT.pipe.requests_max),
        "limits.max_requests", "--max-requests", None;
    max_streams: Count = Count(DEFAULT.pipe.streams_max),
        "limits.max_streams", "--max-streams", None;
    max_stream_size: Size = Size(DEFAULT.pipe.stream_bytes_max),
        "limits.max_stream_size", "--max-stream-size", None;
    max_memory: Size = Size(DEFAULT.pipe.memory_bytes_max as u64),
        "limits.max_memory", "--max-memory", None;
    max_outgoing: Size = Size(DEFAULT.pipe.outgoing_bytes_max as u64),
        "limits.max_outgoing", "--max-outgoing", None;
    max_connections: Count = Count(DEFAULT.max_connections),
        "limits.max_connections", "--max-connections", None;
    connect: Time = Time(GatewayTimeouts::default().connect),
        "timeouts.connect", "--connect-timeout", Some(env::CONNECT_TIMEOUT);
    first_byte: NoneOr<Time> = NoneOr(GatewayTimeouts::default().first_byte.map(Time)),
        "timeouts.first_byte", "--first-byte-timeout", Some(env::FIRST_BYTE_TIMEOUT);
    body_idle: Time = Time(GatewayTimeouts::default().body_idle),
        "timeouts.body_idle", "--body-idle-timeout", Some(env::BODY_IDLE_TIMEOUT);
    keep_alive: Time = Time(GatewayTimeouts::default().keep_alive),
        "timeouts.keep_alive", "--keep-alive-timeout", None;
    response: Time = Time(DEFAULT.pipe.response_timeout),
        "timeouts.response", "--response-timeout", None;
    drain: TimeOrZero = TimeOrZero(GatewayTimeouts::default().drain),
        "timeouts.drain", "--drain-timeout", Some(env::DRAIN_TIMEOUT);
}

/// A gateway's default limits.
static DEFAULT: LazyLock<GatewayLimits> = LazyLock::new(GatewayLimits::default);

/// Where an agent calls back by default.
static CALLBACK: LazyLock<Endpoint> =
    LazyLock::new(|| "tcp:127.0.0.1:0".parse().expect("it is written as an endpoint"));

settings! {
    /// What one place says about a link.
    LinkLayer;
    /// A link's resolved values.
    LinkSettings;
    LINK_KEYS;
    name: Option<Name> = None, "name", "--through", None;
    to: Option<LinkSpec> = None, "to", "--through", None;
    user: Option<Word> = None, "user", "--link-user", None;
    guest: Option<Word> = None, "guest", "--link-guest", None;
    environment: Environment = Environment::default(), "environment", "--link-env", None;
    start_timeout: Time = Time(link_default().start_timeout),
        "start_timeout", "--link-start-timeout", None;
    heartbeat: Time = Time(link_default().heartbeat), "heartbeat", "--link-heartbeat", None;
}

/// A link's defaults are the transport's.
fn link_default() -> LinkConfig {
    LinkConfig::new("", LinkSpec::Windows)
}

settings! {
    /// What one place says about events.
    EventsLayer;
    /// The resolved values about events.
    EventsSettings;
    EVENTS_KEYS;
    to: EventsTo = EventsTo::None, "to", "--events", Some(env::EVENTS);
    max_size: Size = Size(10 << 20), "max_size", "--events-max-size", Some(env::EVENTS_MAX_SIZE);
    max_files: Count = Count(5), "max_files", "--events-max-files", Some(env::EVENTS_MAX_FILES);
    show_query: bool = false, "show_query", "--events-show-query", None;
    show_sid: bool = false, "show_sid", "--events-show-sid", None;
}

impl BridgeLayer {
    /// The protocol that these values come to.
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol.as_ref().map_or(Protocol::default(), |said| said.value)
    }

    /// These values as defaults of a bridge of `protocol`: without the measures that mean nothing
    /// to it. A rule (`paths`, a token's file) stays, to be refused: it would not be kept.
    pub(crate) fn as_defaults(&self, protocol: Protocol) -> Self {
        let mut layer = self.clone();
        match protocol {
            Protocol::Http => layer.half_close = None,
            Protocol::Raw => {
                layer.host = None;
                layer.max_head_size = None;
                layer.max_headers = None;
                layer.max_body_size = None;
                layer.first_request = None;
                layer.head = None;
                layer.first_byte = None;
                layer.body_idle = None;
                layer.answer_idle = None;
                layer.keep_alive = None;
            }
        }
        layer
    }
}

impl BridgeSettings {
    /// Whether the bridge's protocol knows `key`.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        match self.protocol.value {
            Protocol::Http => key != "half_close",
            Protocol::Raw => self.for_http().iter().all(|(name, _)| *name != key),
        }
    }

    /// What was said for HTTP alone: the keys, and where each was said.
    pub(crate) fn said_for_http(&self) -> impl Iterator<Item = (&'static str, &Source)> {
        self.for_http().into_iter().filter(|(_, source)| **source != Source::Default)
    }

    /// The keys that are for HTTP alone, and where each was said.
    fn for_http(&self) -> [(&'static str, &Source); 16] {
        [
            ("host", &self.host.source),
            ("methods", &self.methods.source),
            ("paths", &self.paths.source),
            ("upgrades", &self.upgrades.source),
            ("token_file", &self.token_file.source),
            ("to_token_file", &self.to_token_file.source),
            ("limits.max_head_size", &self.max_head_size.source),
            ("limits.max_headers", &self.max_headers.source),
            ("limits.max_body_size", &self.max_body_size.source),
            ("timeouts.first_request", &self.first_request.source),
            ("timeouts.head", &self.head.source),
            ("timeouts.first_byte", &self.first_byte.source),
            ("timeouts.body_idle", &self.body_idle.source),
            ("timeouts.answer_idle", &self.answer_idle.source),
            ("timeouts.keep_alive", &self.keep_alive.source),
            ("timeouts.upstream_idle", &self.upstream_idle.source),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_layer_wins_and_the_rest_is_default() {
        let said = |time, source| Some(Sourced { value: Time(time), source });
        let second = std::time::Duration::from_secs(1);
        let flags =
            BridgeLayer { head: said(second, Source::Flag("--head-timeout")), ..<_>::default() };
        let file = BridgeLayer {
            head: said(2 * second, Source::File { line: 1, span: 0..1 }),
            connect: said(3 * second, Source::File { line: 2, span: 2..3 }),
            ..<_>::default()
        };
        let settings = flags.over(&file).resolve();
        assert_eq!(settings.head.value.0, second);
        assert_eq!(settings.head.source, Source::Flag("--head-timeout"));
        assert_eq!(settings.connect.value.0, 3 * second);
        assert_eq!(settings.body_idle.source, Source::Default);
    }

    #[test]
    fn every_key_is_documented_with_its_default() {
        let page = include_str!("../../../../docs/reference/config.md");
        let mut rows = BridgeLayer::default().resolve().rows();
        rows.extend(GatewayLayer::default().resolve().rows());
        rows.extend(LinkLayer::default().resolve().rows());
        rows.extend(EventsLayer::default().resolve().rows());
        let keys = BRIDGE_KEYS.iter().chain(GATEWAY_KEYS).chain(LINK_KEYS).chain(EVENTS_KEYS);
        for (row, key) in rows.iter().zip(keys) {
            assert_eq!(row.key, key.name);
            let default = match (key.name, row.value.as_deref()) {
                // The one that is not the same on all systems.
                ("busy_poll", Some(value)) => {
                    assert_eq!(value == "true", BusyPoll::PAYS);
                    "`true`, on Windows `false`".into()
                }
                (_, Some(value)) => format!("`{value}`"),
                (_, None) => "none set".into(),
            };
            let start = format!("| `{}` | `{}` | {default} |", key.name, key.flag);
            assert!(page.contains(&start), "docs/reference/config.md has no row {start}");
            if let Some(env) = key.env {
                assert!(page.contains(&format!("`{env}`")), "{env} is not in config.md");
            }
        }
        let documented = page.lines().filter(|line| line.contains("| `--")).count();
        assert_eq!(documented, rows.len(), "config.md lists a key that is none");
    }
}
