//! A gateway from its start to its end.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pipeway_directline::pipes::{PairListenOptions, PipesError, Place};
use pipeway_directline::{
    Limits, Observer, Server, ServerOptions, SessionEvent, Warning, service_url,
};
use pipeway_telemetry::EventKind;
use pipeway_transport::{Endpoint, ErrorKind, ListenOptions, Listener, Mode};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::agent::Agent;
use super::callback::Callback;
use super::config::GatewayConfig;
use super::origins::Origins;
use super::service::Front;
use super::shared::{Setup, Shared, Ways};
use super::telling;
use crate::routes::{HopText, Routes};
use crate::server::{BindError, Summary};
use crate::shared::Stage;
use crate::upstream::Upstream;
use crate::{ConfigError, Shutdown};

/// How often names that are in use are tried, every 250 milliseconds: a gateway that was just
/// stopped may still hold them.
const BIND_ATTEMPTS: u32 = 8;

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    server: Server,
    place: Place,
    warnings: Vec<String>,
    callback: Callback,
    listener: Listener,
    stem: String,
}

/// Why a gateway's pipes can't be listened on.
#[derive(Clone, Debug)]
pub struct PipesFailure {
    kind: ErrorKind,
    message: String,
    advice: Option<String>,
    source: Option<Cause>,
}

/// What the system said.
#[derive(Clone, Debug)]
struct Cause(Arc<str>);

impl PipesFailure {
    fn new(error: &PipesError) -> Self {
        use std::error::Error as _;
        let cause: Option<Arc<str>> =
            error.source().and_then(|source| source.source()).map(|os| os.to_string().into());
        PipesFailure {
            kind: error.kind(),
            message: error.to_string(),
            advice: error.advice().map(str::to_owned),
            source: cause.map(Cause),
        }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, where that is known.
    pub fn advice(&self) -> Option<&str> {
        self.advice.as_deref()
    }
}

impl fmt::Display for PipesFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PipesFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|cause| cause as _)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

/// What the pipes' end has to say when it begins: what the user should know, or why it can't.
type Begun = Result<Vec<String>, PipesFailure>;

impl Gateway {
    /// Checks the configuration and listens, on the pipes and for calls back. Must be called inside
    /// a tokio runtime with I/O and time enabled. A dropped future stops listening.
    ///
    /// # Errors
    ///
    /// [`BindError::Config`] for what contradicts itself; [`BindError::Pipes`] where the pipes can't
    /// be listened on, names that stay in use for 2 seconds included; [`BindError::Transport`] where
    /// the callback's endpoint can't be listened on, or the agent's can't be connected to on this
    /// system, whoever listens there.
    pub async fn bind(config: GatewayConfig) -> Result<Gateway, BindError> {
        config.check()?;
        let options = config.connect_options();
        let upstream = match &config.through {
            Some(link) => Upstream::through(link.clone(), config.opening()?),
            None => Upstream::new(&config.upstream, options)?,
        };
        let listener = Listener::bind(
            &config.callback,
            &ListenOptions { allow_remote: config.allow_remote, ..ListenOptions::default() },
        )?;
        let stem = match (&config.service_url, listener.endpoint()) {
            (Some(url), _) => url.to_string(),
            (None, Endpoint::Tcp(address)) => format!("http://{address}"),
            (None, other) => return Err(no_url(other).into()),
        };
        let default = format!("{}{}", service_url::PREFIX, name_in(&config.pipe));
        let origins = Origins::new(stem.clone(), default).map_err(|error| {
            ConfigError::new(format!("the system gives no random bytes: {error}"))
        })?;
        let callback = HopText::new(listener.mode(), listener.endpoint());
        let ways = Ways {
            activities: Routes::new(&config.name, HopText::of(config.pipe.incoming()), false),
            calls: Routes::new(&config.name, callback, false),
            outgoing: HopText::of(config.pipe.outgoing()),
        };
        let timeouts = config.timeouts;
        let shared = Arc::new(Shared::new(Setup {
            name: config.name,
            agent: Agent::new(upstream, timeouts.connect, timeouts.keep_alive),
            origins,
            limits: config.limits,
            timeouts,
            ways,
            events: config.events,
        }));
        let (begun_tx, begun_rx) = oneshot::channel();
        let options = ServerOptions {
            // The gateway's own times bound the agent.
            limits: Limits { handler_timeout: None, ..shared.limits.pipe.clone() },
            listen: PairListenOptions {
                access: config.access,
                bind_attempts: BIND_ATTEMPTS,
                ..PairListenOptions::default()
            },
            observer: observer(&shared, begun_tx),
            ..ServerOptions::default()
        };
        let front = Front::new(Arc::clone(&shared), config.path);
        let server = Server::new(config.pipe.clone(), options, front)
            .map_err(|error| ConfigError::new(error.to_string()))?;
        server.start();
        let begun = begun_rx.await.expect("the observer lives as long as the server");
        let warnings = match begun {
            Ok(warnings) => warnings,
            Err(failure) => {
                server.stop().await;
                return Err(BindError::Pipes(failure));
            }
        };
        let callback = Callback {
            shared: Arc::clone(&shared),
            client: server.client().clone(),
            loopback_names_only: listener.mode() == Mode::Tcp && !config.allow_remote,
            service_url: config.service_url,
        };
        Ok(Gateway { shared, server, place: config.pipe, warnings, callback, listener, stem })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The pipes that the platform connects to.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What the agent is told to call, without the secret that stands behind it.
    pub fn callback(&self) -> &str {
        &self.stem
    }

    /// What the user should know about the access that was asked for.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Serves the platform and the agent until `shutdown` is ordered, lets what runs finish, and
    /// cuts what is left at the drain deadline. Dropping the future cuts everything at once.
    ///
    /// The summary counts the sessions of the pipes, and the activities and calls that were cut.
    pub async fn run(self, mut shutdown: Shutdown) -> Summary {
        let Gateway { shared, server, callback, listener, .. } = self;
        let serving = Serving(tokio::spawn(async move {
            callback.serve(listener).await;
        }));
        telling::life(&shared, EventKind::Start);
        shutdown.ordered().await;
        shared.advance(Stage::Drain);
        let drained = async {
            // The agent calls back while it works on an activity.
            shared.until_idle().await;
            server.client().settled().await;
        };
        let drain: Duration = shared.timeouts.drain;
        let drained = tokio::select! {
            drained = timeout(drain, drained) => drained.is_ok(),
            () = shutdown.insisted() => false,
        };
        let mut cut = 0;
        if !drained {
            cut = shared.active() as u64;
            shared.advance(Stage::Cut);
        }
        server.stop().await;
        drop(serving);
        shared.agent.close();
        telling::life(&shared, EventKind::Stop);
        Summary { sessions: shared.sessions(), cut }
    }
}

/// The callback's task, which ends when this is dropped.
struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Tells what becomes of the pipes: once to who starts the gateway, then as events.
fn observer(shared: &Arc<Shared>, begun_tx: oneshot::Sender<Begun>) -> Observer {
    let shared = Arc::clone(shared);
    let begun_tx = Mutex::new(Some(begun_tx));
    let begin = move |begun: Begun| {
        let begun_tx = begun_tx.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Who has gone does not want to know.
        begun_tx.is_some_and(|begun_tx| begun_tx.send(begun).is_ok())
    };
    Observer::new(move |event| match event {
        SessionEvent::Listening { warnings } => {
            begin(Ok(warnings.to_vec()));
        }
        SessionEvent::NotConnected { error, .. } => {
            let is_known = begin(Err(PipesFailure::new(error)));
            later_failure(&shared, is_known);
        }
        SessionEvent::Connected => shared.begin_session(),
        SessionEvent::Disconnected { error, lasted } => telling::session(&shared, *error, *lasted),
        SessionEvent::Warning(Warning::Refused { why, .. }) => telling::kept_out(&shared, *why),
        _ => {}
    })
}

/// Tells a failure to listen or accept as an event, unless who starts the gateway was told.
fn later_failure(shared: &Shared, is_known: bool) {
    if !is_known {
        telling::accept_error(shared);
    }
}

fn no_url(callback: &Endpoint) -> ConfigError {
    ConfigError::new(format!("{callback} is no URL that an agent could call; write service_url"))
}

/// The name in a place: what stands behind its folder or kind.
fn name_in(place: &Place) -> String {
    let text = place.to_string();
    text.rsplit(['/', ':', '\\']).next().unwrap_or_default().to_owned()
}
