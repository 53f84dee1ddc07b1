//! The agent's end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use crate::body::Body;
use crate::client::Client;
use crate::message::BodyError;
use crate::observe::{Observer, SessionEvent};
use crate::pipes::{Pair, PairListenOptions, PairListener, PipesError, Place};
use crate::run::{BUSY_POLL, Pairs, Runner, Setup, handler};
use crate::telemetry::Telemetry;
use crate::turn::ReplyLimits;
use crate::{Error, Limits};

/// How an agent's end behaves.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// What bounds a session. Default: [`Limits::agent`].
    pub limits: Limits,
    /// How it listens.
    pub listen: PairListenOptions,
    /// Whether it listens again after a session, and tries again after a failure. Otherwise it ends
    /// with the first of either. Default: yes.
    pub reconnect: bool,
    /// How long after a session the next one is accepted; who connects meanwhile waits in the
    /// system's queue. Default: 1 second.
    pub pause: Duration,
    /// What bounds the replies of its turns.
    pub replies: ReplyLimits,
    /// How long, after a small exchange, the session's task looks for more before it lets its
    /// thread sleep; where that is in vain it is tried ever more seldom, and while nothing moves,
    /// never. It spares a conversation the waking of a processor and costs its thread this much
    /// processor time for each exchange at the most. Zero: never. Default: 100 microseconds.
    pub busy_poll: Duration,
    /// Who is told what happens. Default: nobody.
    pub observer: Observer,
}

impl Default for ServerOptions {
    fn default() -> Self {
        ServerOptions {
            limits: Limits::agent(),
            listen: PairListenOptions::default(),
            reconnect: true,
            pause: Duration::from_secs(1),
            replies: ReplyLimits::default(),
            busy_poll: BUSY_POLL,
            observer: Observer::default(),
        }
    }
}

/// The agent's end: listens on a pair of pipes and serves one session after another.
///
/// Clones are the same end. When the last is dropped it stops by itself.
#[derive(Clone)]
pub struct Server {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    options: ServerOptions,
    runner: Runner,
}

impl Server {
    /// An agent's end at `place` whose requests `service` answers: [`Messages`](crate::Messages), or
    /// an axum `Router`. It does nothing until it is [started](Self::start).
    ///
    /// Each request has a [`Client`] for calls to the connector among its extensions, and its
    /// [`Attachments`](crate::Attachments) if it has some; those among a response's extensions go
    /// with the response. The path `/api/messages` is told in lower case, whatever the case it came
    /// in.
    ///
    /// # Errors
    ///
    /// What [`Limits::check`] and [`ReplyLimits::check`] say.
    pub fn new<S, B>(place: Place, options: ServerOptions, service: S) -> Result<Self, Error>
    where
        S: tower_service::Service<Request<Body>, Response = Response<B>>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Error: Into<BodyError>,
        S::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        options.limits.check()?;
        options.replies.check()?;
        let telemetry = Telemetry::agent(&place);
        let (replies, observer) = (options.replies.clone(), &options.observer);
        let client = Client::new(replies, observer.clone(), telemetry.clone());
        let setup = Setup {
            limits: options.limits.clone(),
            reconnect: options.reconnect,
            busy_poll: options.busy_poll,
            observer: observer.clone(),
            handler: handler(service, client.clone(), telemetry.clone(), observer.clone()),
            telemetry,
        };
        let runner = Runner::new(setup, client);
        Ok(Server { inner: Arc::new(Inner { place, options, runner }) })
    }

    /// Begins to listen, unless it does, and returns at once. Must be called in a tokio runtime with
    /// I/O and time enabled.
    pub fn start(&self) {
        let Inner { place, options, runner } = &*self.inner;
        runner.start(Listening {
            place: place.clone(),
            options: options.listen.clone(),
            pause: options.pause,
            observer: options.observer.clone(),
            listener: None,
        });
    }

    /// Waits for the first session since the [start](Self::start). What becomes of it later changes
    /// nothing. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`StoppedBeforeConnecting`](crate::ErrorKind::StoppedBeforeConnecting) where it was stopped
    /// before; [`ConnectionFailed`](crate::ErrorKind::ConnectionFailed) for a failure after which
    /// it does not try again.
    pub async fn ready(&self) -> Result<(), Error> {
        self.inner.runner.ready().await
    }

    /// Whether a connector is connected, with both pipes.
    pub fn is_connected(&self) -> bool {
        self.client().is_connected()
    }

    /// Calls the connector.
    pub fn client(&self) -> &Client {
        self.inner.runner.client()
    }

    /// Stops: the connector is told, requests that run are cancelled, calls fail, both pipes and
    /// their names are given up. Takes 2 seconds at the most, whatever the connector does. It may
    /// be started again. Nothing happens where it does not run.
    pub async fn stop(&self) {
        self.inner.runner.stop().await;
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("place", &self.inner.place).finish_non_exhaustive()
    }
}

struct Listening {
    place: Place,
    options: PairListenOptions,
    pause: Duration,
    observer: Observer,
    /// Held from session to session, and so are the names.
    listener: Option<PairListener>,
}

impl Pairs for Listening {
    async fn next(&mut self) -> Result<Pair, PipesError> {
        let listener = match &mut self.listener {
            Some(listener) => listener,
            none => {
                let listener = none.insert(PairListener::bind(&self.place, &self.options).await?);
                self.observer.tell(&SessionEvent::Listening { warnings: listener.warnings() });
                listener
            }
        };
        listener.accept().await
    }

    fn pause(&self) -> Duration {
        self.pause
    }

    async fn close(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.close().await;
        }
    }
}
