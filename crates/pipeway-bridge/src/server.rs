//! Accepting clients until the order to stop.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pipeway_telemetry::{Event, EventKind, Fault, Side};
use pipeway_transport::{Endpoint, ErrorKind, HalfClose, IoLoop, ListenOptions, Listener, Mode};
use tokio::time::{Instant, sleep, timeout_at};

use crate::gateway::PipesFailure;
use crate::head::RequestRules;
use crate::policy::PolicyRules;
use crate::raw::RawSession;
use crate::routes::{HopText, Routes};
use crate::session::Session;
use crate::shared::{Setup, Shared, Stage};
use crate::upstream::Upstream;
use crate::{BridgeConfig, ConfigError, HostRule, Protocol, Shutdown};
use pipeway_transport::Token;

/// The pause after a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The most headers that a head may be allowed to have.
const HEADERS_MAX: usize = 1024;

/// A bridge that listens.
#[derive(Debug)]
pub struct Bridge {
    listener: Listener,
    io_loop: Option<IoLoop>,
    shared: Arc<Shared>,
}

/// Why a bridge could not start.
#[derive(Debug)]
pub enum BindError {
    /// The configuration contradicts itself or asks for what there is not.
    Config(ConfigError),
    /// The endpoint can't be listened on, or the upstream's can't be connected to here.
    Transport(pipeway_transport::Error),
    /// A gateway's pipes can't be listened on.
    Pipes(PipesFailure),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Config(error) => error.fmt(f),
            BindError::Transport(error) => error.fmt(f),
            BindError::Pipes(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BindError::Config(_) => None,
            BindError::Transport(error) => error.source(),
            BindError::Pipes(error) => error.source(),
        }
    }
}

impl From<ConfigError> for BindError {
    fn from(error: ConfigError) -> Self {
        BindError::Config(error)
    }
}

impl From<pipeway_transport::Error> for BindError {
    fn from(error: pipeway_transport::Error) -> Self {
        BindError::Transport(error)
    }
}

/// What a bridge did in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sessions accepted.
    pub sessions: u64,
    /// Sessions cut at the drain deadline.
    pub cut: u64,
}

impl BridgeConfig {
    /// Checks everything that can be checked without listening or connecting.
    ///
    /// # Errors
    ///
    /// What is wrong, as a sentence that says what to write instead.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.rules(self.listen.mode() == Some(Mode::Tcp)).map(|_| ())
    }

    fn rules(&self, listens_on_tcp: bool) -> Result<RequestRules, ConfigError> {
        let limits = &self.limits;
        if limits.max_headers == 0 || limits.max_headers > HEADERS_MAX {
            return Err(ConfigError::new(format!(
                "limits.max_headers is {}; it must be from 1 to {HEADERS_MAX}",
                limits.max_headers
            )));
        }
        if limits.max_head_bytes < 256 || limits.max_head_bytes > 1 << 20 {
            return Err(ConfigError::new(format!(
                "limits.max_head_size is {}; it must be from 256 to 1048576",
                limits.max_head_bytes
            )));
        }
        if limits.max_sessions == 0 {
            return Err(ConfigError::new("limits.max_sessions is 0; it must be at least 1"));
        }
        if limits.max_sessions_per_peer == Some(0) {
            return Err(ConfigError::new(
                "limits.max_sessions_per_peer is 0; it must be at least 1, or be left out",
            ));
        }
        if self.through.is_none() && self.listen == self.upstream {
            return Err(ConfigError::new(format!(
                "{} is both where clients connect and what is connected to",
                self.listen
            )));
        }
        for (what, endpoint) in [("listen on", &self.listen), ("connect to", &self.upstream)] {
            if *endpoint == Endpoint::Stdio {
                return Err(ConfigError::new(format!(
                    "a bridge can't {what} stdio; name a pipe, a socket or a port"
                )));
            }
        }
        self.check_protocol(listens_on_tcp)?;
        let token = match (&self.token_file, listens_on_tcp) {
            (Some(path), true) => Some(read_token(path)?),
            (None, false) => None,
            (None, true) => {
                return Err(ConfigError::new(format!(
                    "{} can be reached by every user of this system, so it needs a token_file; \
                     or listen on local:NAME, which is yours alone",
                    self.listen
                )));
            }
            (Some(_), false) => {
                return Err(ConfigError::new(format!(
                    "token_file is for listening on TCP; {} is protected by access",
                    self.listen
                )));
            }
        };
        Ok(RequestRules {
            max_headers: limits.max_headers,
            max_body_bytes: limits.max_body_bytes,
            policy: PolicyRules::new(&self.policy)?,
            token,
            upstream_token: self.upstream_token_file.as_deref().map(read_token).transpose()?,
            loopback_names_only: listens_on_tcp && !self.allow_remote,
            spans: self.events.is_enabled(),
        })
    }

    /// What is for one protocol is refused with the other: a rule that nothing keeps would look
    /// like one that is kept.
    fn check_protocol(&self, listens_on_tcp: bool) -> Result<(), ConfigError> {
        if self.protocol == Protocol::Http {
            return match self.half_close {
                HalfClose::Auto => Ok(()),
                other => Err(ConfigError::new(format!(
                    "half_close = \"{other}\" is for protocol = \"raw\"; HTTP says by itself where a message ends"
                ))),
            };
        }
        let policy = &self.policy;
        let for_http = [
            ("methods", !policy.methods.is_empty()),
            ("paths", !policy.paths.is_empty()),
            ("upgrades", !policy.upgrades.is_empty()),
            ("host", policy.host != HostRule::Localhost),
            ("token_file", self.token_file.is_some()),
            ("to_token_file", self.upstream_token_file.is_some()),
            ("limits.max_body_size", self.limits.max_body_bytes.is_some()),
        ];
        if let Some((name, _)) = for_http.iter().find(|(_, is_set)| *is_set) {
            return Err(ConfigError::new(format!(
                "{name} is for HTTP, and with protocol = \"raw\" nothing is read; \
                 leave it out, or leave protocol at \"http\""
            )));
        }
        if listens_on_tcp {
            return Err(ConfigError::new(format!(
                "{} can be reached by every user of this system, and raw bytes have no place for \
                 a token; listen on local:NAME, which is yours alone",
                self.listen
            )));
        }
        let pipe_or_local = matches!(self.listen, Endpoint::Pipe(_) | Endpoint::Local(_));
        if self.half_close == HalfClose::Message && !pipe_or_local {
            return Err(ConfigError::new(format!(
                "half_close = \"message\" is for listening on a named pipe; {} has a half-close of its own",
                self.listen
            )));
        }
        Ok(())
    }
}

impl Bridge {
    /// Checks the configuration and listens. Must be called inside a tokio runtime with I/O and
    /// time enabled.
    ///
    /// # Errors
    ///
    /// [`BindError::Config`] for a glob that is none, a TCP listener without a token and so on;
    /// [`BindError::Transport`] where the endpoint can't be listened on, or the upstream's can't
    /// be connected to on this system, whoever listens there.
    pub fn bind(config: BridgeConfig) -> Result<Bridge, BindError> {
        let rules = config.rules(config.listen.mode() == Some(Mode::Tcp))?;
        // An upstream that can never be reached is told now, not at each request.
        let upstream = match &config.through {
            Some(link) => Upstream::through(link.clone(), config.opening()?),
            None => Upstream::new(&config.upstream, config.connect_options())?,
        };
        let listener = Listener::bind(
            &config.listen,
            &ListenOptions {
                access: config.access.clone(),
                allow_remote: config.allow_remote,
                // One more than may be served waits; the rest wait in the system's queue.
                max_instances: u32::try_from(config.limits.max_sessions)
                    .unwrap_or(u32::MAX)
                    .saturating_add(1),
                half_close: config.half_close,
                io_loop: config.io_loop.clone(),
                ..ListenOptions::default()
            },
        )?;
        let client = HopText::new(listener.mode(), listener.endpoint());
        let shared = Shared::new(Setup {
            routes: Routes::new(&config.name, client, listener.is_activated()),
            protocol: config.protocol,
            half_close: config.half_close,
            busy_poll: config.busy_poll,
            rules,
            limits: config.limits,
            timeouts: config.timeouts,
            upstream,
            events: config.events,
        });
        Ok(Bridge { listener, io_loop: config.io_loop, shared: Arc::new(shared) })
    }

    /// The endpoint that clients connect to, as observed.
    pub fn endpoint(&self) -> &Endpoint {
        self.listener.endpoint()
    }

    /// What the user should know about the access that was asked for; see
    /// [`Listener::warnings`].
    pub fn warnings(&self) -> &[String] {
        self.listener.warnings()
    }

    /// Whether the listening socket was handed over by the service manager.
    pub fn is_activated(&self) -> bool {
        self.listener.is_activated()
    }

    /// Serves clients until `shutdown` is ordered, lets the sessions finish, and cuts what is
    /// left at the drain deadline. Dropping the future cuts everything at once.
    pub async fn run(mut self, shutdown: Shutdown) -> Summary {
        match self.io_loop.take() {
            Some(io_loop) => io_loop.run(self.run_here(shutdown)).await,
            None => self.run_here(shutdown).await,
        }
    }

    async fn run_here(self, mut shutdown: Shutdown) -> Summary {
        let Bridge { mut listener, shared, .. } = self;
        // However this future ends, no session outlives it.
        let _cut = CutOnDrop(Arc::clone(&shared));
        tell(&shared, EventKind::Start);
        let sessions = tokio::select! {
            () = shutdown.ordered() => None,
            never = accept(&mut listener, &shared) => Some(never),
            never = shared.pool.watch() => Some(never),
        };
        debug_assert!(sessions.is_none(), "accepting never ends by itself");
        // The name is free from here on: a successor may listen while these sessions finish.
        drop(listener);
        shared.advance(Stage::Drain);
        let deadline = Instant::now() + shared.timeouts.drain;
        let drained = tokio::select! {
            drained = timeout_at(deadline, shared.until_fewer_than(1)) => drained.is_ok(),
            () = shutdown.insisted() => false,
        };
        if !drained {
            shared.advance(Stage::Cut);
            shared.until_fewer_than(1).await;
        }
        tell(&shared, EventKind::Stop);
        Summary { sessions: shared.accepted(), cut: shared.was_cut() }
    }
}

/// Accepts clients for ever.
async fn accept(listener: &mut Listener, shared: &Arc<Shared>) -> std::convert::Infallible {
    loop {
        shared.until_fewer_than(shared.limits.max_sessions).await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                let place = shared.enter(&peer);
                match shared.protocol {
                    Protocol::Http => {
                        listener.spawn(Session::new(place, stream, peer).serve());
                    }
                    Protocol::Raw => {
                        listener.spawn(RawSession::new(place, stream, peer).serve());
                    }
                }
            }
            Err(error) => {
                let rejected = error.kind() == ErrorKind::PeerRejected;
                let mut event = Event::new(EventKind::AcceptError, shared.route(false));
                event.error = Some(Fault {
                    kind: if rejected { "peer_rejected" } else { "accept_failed" },
                    side: if rejected { Side::Client } else { Side::Bridge },
                });
                shared.events.emit(&event);
                if !rejected {
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn tell(shared: &Shared, kind: EventKind) {
    shared.events.emit(&Event::new(kind, shared.route(false)));
}

fn read_token(path: &Path) -> Result<Token, ConfigError> {
    use std::error::Error as _;
    Token::from_file(path).map_err(|error| {
        let source = error.source().map_or(String::new(), |source| format!(": {source}"));
        ConfigError::new(format!("{error}{source}"))
    })
}

struct CutOnDrop(Arc<Shared>);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.advance(Stage::Cut);
    }
}
