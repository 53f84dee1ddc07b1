//! A gateway's configuration.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use http::uri::PathAndQuery;
use pipeway_directline::pipes::Place;
use pipeway_telemetry::Sink;
use pipeway_transport::link::{Link, Opening};
use pipeway_transport::{Access, ConnectOptions, Endpoint, Mode};

use crate::ConfigError;

/// One gateway: the pipes it listens on, the agent that it asks, and where that agent calls back.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The name, in events and messages.
    pub name: String,
    /// The pair of pipes that the platform connects to.
    pub pipe: Place,
    /// The HTTP agent.
    pub upstream: Endpoint,
    /// The link at whose other side the agent is. It must have been started with
    /// [`opening`](GatewayConfig::opening) among its openings. Default: none, the agent is on this
    /// system.
    pub through: Option<Link>,
    /// Where the agent takes activities. Default: `/api/messages`.
    pub path: AgentPath,
    /// Where the agent calls back. Default: any free port of 127.0.0.1.
    pub callback: Endpoint,
    /// What the agent is told to call in place of the callback's own address. Required where that
    /// is no port. Default: `http://127.0.0.1:PORT`.
    pub service_url: Option<ServiceUrl>,
    /// Who may connect to the pipes. Default: the owner alone. The callback's socket or pipe is
    /// always the owner's alone.
    pub access: Access,
    /// Whether the agent's server must be this user's own (or the system's) before the first byte is
    /// sent. Default: yes, where it is no TCP port.
    pub verify_server: bool,
    /// Whether addresses other than loopback may be connected to or called back at. Default: no.
    pub allow_remote: bool,
    /// How much of everything there may be.
    pub limits: GatewayLimits,
    /// How long everything may take.
    pub timeouts: GatewayTimeouts,
    /// Where events go.
    pub events: Sink,
}

impl GatewayConfig {
    /// A gateway with every default.
    pub fn new(name: impl Into<String>, pipe: Place, upstream: Endpoint) -> Self {
        GatewayConfig {
            name: name.into(),
            pipe,
            upstream,
            through: None,
            path: AgentPath::default(),
            callback: default_callback(),
            service_url: None,
            access: Access::Owner,
            verify_server: true,
            allow_remote: false,
            limits: GatewayLimits::default(),
            timeouts: GatewayTimeouts::default(),
            events: Sink::disabled(),
        }
    }

    /// What a link must be started with to lead to the agent.
    ///
    /// # Errors
    ///
    /// For an agent that no link can lead to.
    pub fn opening(&self) -> Result<Opening, pipeway_transport::Error> {
        Opening::new(&self.upstream, &self.connect_options())
    }

    /// Checks everything that can be checked without listening or connecting.
    ///
    /// # Errors
    ///
    /// What is wrong, as a sentence that says what to write instead.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (what, endpoint) in [("connect to", &self.upstream), ("listen on", &self.callback)] {
            if *endpoint == Endpoint::Stdio {
                return Err(ConfigError::new(format!(
                    "a gateway can't {what} stdio; name a pipe, a socket or a port"
                )));
            }
        }
        if self.callback.mode() != Some(Mode::Tcp) && self.service_url.is_none() {
            return Err(ConfigError::new(format!(
                "{} is no URL that an agent could call; write what it is to call as service_url, \
                 or leave callback out",
                self.callback
            )));
        }
        if self.limits.max_connections == 0 {
            return Err(ConfigError::new("limits.max_connections is 0; it must be at least 1"));
        }
        self.limits.pipe.check().map_err(|error| ConfigError::new(error.to_string()))
    }

    /// How the agent is connected to.
    pub(crate) fn connect_options(&self) -> ConnectOptions {
        ConnectOptions {
            timeout: self.timeouts.connect,
            verify_server: Some(self.verify_server),
            allow_remote: self.allow_remote,
            ..ConnectOptions::default()
        }
    }
}

/// Any free port of this system's own.
fn default_callback() -> Endpoint {
    "tcp:127.0.0.1:0".parse().expect("it is written as an endpoint")
}

/// How much of everything there may be.
#[derive(Clone, Debug)]
pub struct GatewayLimits {
    /// What bounds a session of the pipes. Its `memory_bytes_max` bounds a second time what is held
    /// outside of the pipes: activities that are changed, answers, and the bodies of calls. Its
    /// `stream_bytes_max` bounds each of these. Its `handler_timeout` is not used: the agent is
    /// bounded by [`GatewayTimeouts`]. Default: those of an agent.
    pub pipe: pipeway_directline::Limits,
    /// Connections to the callback at once; one more waits in the system's queue. Default: 1,024.
    pub max_connections: usize,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        GatewayLimits { pipe: pipeway_directline::Limits::agent(), max_connections: 1024 }
    }
}

/// How long everything may take. How long a call waits for the platform is
/// [`response_timeout`](pipeway_directline::Limits::response_timeout) of the pipes' limits.
#[derive(Clone, Debug)]
pub struct GatewayTimeouts {
    /// Connecting to the agent. Default: 5 s; then 504.
    pub connect: Duration,
    /// From an activity to the first byte of the agent's answer. `None`: no limit. Default: 300 s;
    /// then 504.
    pub first_byte: Option<Duration>,
    /// No progress in the body of an answer, or of a call. Default: 60 s.
    pub body_idle: Duration,
    /// How long a connection to the agent is kept for the next activity: shorter than the agent
    /// keeps it, which may be 5 s. Default: 4 s.
    pub keep_alive: Duration,
    /// From the order to stop to the cut of what is still running. Default: 10 s.
    pub drain: Duration,
}

impl Default for GatewayTimeouts {
    fn default() -> Self {
        GatewayTimeouts {
            connect: Duration::from_secs(5),
            first_byte: Some(Duration::from_secs(300)),
            body_idle: Duration::from_secs(60),
            keep_alive: Duration::from_secs(4),
            drain: Duration::from_secs(10),
        }
    }
}

/// A path of the agent, with a query if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentPath(PathAndQuery);

impl AgentPath {
    pub(crate) fn uri(&self) -> Uri {
        Uri::from(self.0.clone())
    }
}

impl Default for AgentPath {
    /// `/api/messages`.
    fn default() -> Self {
        AgentPath(PathAndQuery::from_static("/api/messages"))
    }
}

impl fmt::Display for AgentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AgentPath {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            ConfigError::new(format!(
                "`{}` is no path; write one such as /api/messages",
                text.escape_debug()
            ))
        };
        if !text.starts_with('/') || text.contains('#') {
            return Err(wrong());
        }
        PathAndQuery::try_from(text).map(AgentPath).map_err(|_| wrong())
    }
}

/// What an agent is told to call: `http://` or `https://`, a host, and a path if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceUrl(String);

impl ServiceUrl {
    /// The URL, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host with its port, as an agent sends it in `Host`.
    pub(crate) fn authority(&self) -> &str {
        let behind = self.0.split_once("://").map_or("", |(_, behind)| behind);
        behind.split_once('/').map_or(behind, |(authority, _)| authority)
    }

    /// The path; empty where there is none.
    pub(crate) fn path(&self) -> &str {
        let behind = self.0.split_once("://").map_or("", |(_, behind)| behind);
        behind.find('/').map_or("", |at| &behind[at..])
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceUrl {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_good = Uri::try_from(text).is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
                && uri.query().is_none()
        });
        if !is_good || text.contains('#') {
            return Err(ConfigError::new(format!(
                "`{}` is no URL to call back; write one such as http://127.0.0.1:3979, without a query",
                text.escape_debug()
            )));
        }
        Ok(ServiceUrl(text.trim_end_matches('/').to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_url_is_http_with_a_host_and_perhaps_a_path() {
        let parts = |text: &str| {
            let url: ServiceUrl = text.parse().ok()?;
            Some((url.to_string(), url.authority().to_owned(), url.path().to_owned()))
        };
        let owned = |a: &str, b: &str, c: &str| Some((a.into(), b.into(), c.into()));
        assert_eq!(parts("http://a:1/"), owned("http://a:1", "a:1", ""));
        assert_eq!(parts("https://a/b/c"), owned("https://a/b/c", "a", "/b/c"));
        for wrong in
            ["", "a:1", "unix:/x", "urn:a:b", "http://", "http://a?b", "http://a#b", "http://u@a"]
        {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_agents_path_is_absolute() {
        assert_eq!("/a?b=c".parse::<AgentPath>().unwrap().to_string(), "/a?b=c");
        for wrong in ["", "api", "http://a/b", "/a b", "/a#b"] {
            assert!(wrong.parse::<AgentPath>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_callback_without_a_url_of_its_own_wants_one() {
        let pipe = "gateway-test".parse().unwrap();
        let mut config = GatewayConfig::new("g", pipe, "local:agent".parse().unwrap());
        config.check().unwrap();
        config.callback = "local:callback".parse().unwrap();
        assert!(config.check().unwrap_err().to_string().contains("service_url"));
        config.service_url = Some("http://agent.test".parse().unwrap());
        config.check().unwrap();
        config.limits.pipe.chunk_bytes = 0;
        assert!(config.check().unwrap_err().to_string().contains("chunk_bytes"));
    }
}
