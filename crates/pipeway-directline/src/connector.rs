//! The connector's end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

use crate::body::Body;
use crate::client::Client;
use crate::message::BodyError;
use crate::observe::Observer;
use crate::pipes::{Pair, PairConnectOptions, PipesError, Place, RECONNECT_PAUSE, connect_pair};
use crate::run::{BUSY_POLL, Pairs, Runner, Setup, handler};
use crate::telemetry::Telemetry;
use crate::turn::ReplyLimits;
use crate::{Error, Limits};

/// How a connector's end behaves.
#[derive(Clone, Debug)]
pub struct ConnectorOptions {
    /// What bounds a session. Default: [`Limits::connector`].
    pub limits: Limits,
    /// How it connects.
    pub connect: PairConnectOptions,
    /// Whether it connects again after a session, and tries again after a failure. Otherwise it
    /// ends with the first of either. Default: yes.
    pub reconnect: bool,
    /// The pause between a session's end and the next attempt; at least 250 milliseconds, so that
    /// an agent that is about to close its listener does not take the connection. Default: 250
    /// milliseconds.
    pub pause: Duration,
    /// How long, after a small exchange, the session's task looks for more before it lets its
    /// thread sleep; where that is in vain it is tried ever more seldom, and while nothing moves,
    /// never. It spares a conversation the waking of a processor and costs its thread this much
    /// processor time for each exchange at the most. Zero: never. Default: 100 microseconds.
    pub busy_poll: Duration,
    /// Who is told what happens. Default: nobody.
    pub observer: Observer,
}

impl Default for ConnectorOptions {
    fn default() -> Self {
        ConnectorOptions {
            limits: Limits::connector(),
            connect: PairConnectOptions::default(),
            reconnect: true,
            pause: RECONNECT_PAUSE,
            busy_poll: BUSY_POLL,
            observer: Observer::default(),
        }
    }
}

/// The connector's end: connects to an agent, as the platform does, and serves its calls.
///
/// Clones are the same end. When the last is dropped it stops by itself.
#[derive(Clone)]
pub struct Connector {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    options: ConnectorOptions,
    runner: Runner,
}

impl Connector {
    /// A connector's end to `place`, where `service` answers what the agent asks for. It does
    /// nothing until it is [started](Self::start).
    ///
    /// # Errors
    ///
    /// What [`Limits::check`] says.
    pub fn new<S, B>(place: Place, options: ConnectorOptions, service: S) -> Result<Self, Error>
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
        let telemetry = Telemetry::none();
        let observer = &options.observer;
        let client = Client::new(ReplyLimits::default(), observer.clone(), telemetry.clone());
        let setup = Setup {
            limits: options.limits.clone(),
            reconnect: options.reconnect,
            busy_poll: options.busy_poll,
            observer: observer.clone(),
            handler: handler(service, client.clone(), telemetry.clone(), observer.clone()),
            telemetry,
        };
        let runner = Runner::new(setup, client);
        Ok(Connector { inner: Arc::new(Inner { place, options, runner }) })
    }

    /// Begins to connect, unless it does, and returns at once. Must be called in a tokio runtime
    /// with I/O and time enabled.
    pub fn start(&self) {
        let Inner { place, options, runner } = &*self.inner;
        runner.start(Connecting {
            place: place.clone(),
            options: options.connect.clone(),
            pause: options.pause.max(RECONNECT_PAUSE),
        });
    }

    /// Waits for the first session since the [start](Self::start). Cancel safe.
    ///
    /// # Errors
    ///
    /// [`StoppedBeforeConnecting`](crate::ErrorKind::StoppedBeforeConnecting) where it was stopped
    /// before; [`ConnectionFailed`](crate::ErrorKind::ConnectionFailed) for a failure after which
    /// it does not try again.
    pub async fn ready(&self) -> Result<(), Error> {
        self.inner.runner.ready().await
    }

    /// Whether the agent is connected, with both pipes.
    pub fn is_connected(&self) -> bool {
        self.client().is_connected()
    }

    /// Calls the agent.
    pub fn client(&self) -> &Client {
        self.inner.runner.client()
    }

    /// Stops: the agent is told, requests that run are cancelled, calls fail, both pipes are closed.
    /// Takes 2 seconds at the most. It may be started again. Nothing happens where it does not run.
    pub async fn stop(&self) {
        self.inner.runner.stop().await;
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("place", &self.inner.place).finish_non_exhaustive()
    }
}

struct Connecting {
    place: Place,
    options: PairConnectOptions,
    pause: Duration,
}

impl Pairs for Connecting {
    async fn next(&mut self) -> Result<Pair, PipesError> {
        connect_pair(&self.place, &self.options).await
    }

    fn pause(&self) -> Duration {
        self.pause
    }

    async fn close(&mut self) {}
}
