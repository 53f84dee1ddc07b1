//! What both ends have in common: sessions one after another, until it is stopped.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::response::Parts;
use http::{Request, Response, StatusCode};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::body::{Attachments, Body};
use crate::client::Client;
use crate::message::{BodyError, Outgoing, request};
use crate::observe::{Observer, SessionEvent};
use crate::pipes::{Backoff, Pair, PipesError};
use crate::session::{Handler, Session, drive, within};
use crate::telemetry::{Dispatch, Telemetry};
use crate::{Error, ErrorKind, Id, Limits, RequestKey};

/// A session that lasted so long was a sound one: pauses begin anew.
const SOUND: Duration = Duration::from_secs(10);

/// The first pause after a failure to listen or connect.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// How long stopping may take, whatever the other end does.
const STOP: Duration = Duration::from_secs(2);

/// How long an end looks for more before its thread sleeps, unless it is told otherwise: longer than
/// the other end takes for a few dozen calls that came together.
pub(crate) const BUSY_POLL: Duration = Duration::from_micros(100);

/// Where pairs come from.
pub(crate) trait Pairs: Send + 'static {
    /// The next pair. What it holds between two pairs it holds on to.
    fn next(&mut self) -> impl Future<Output = Result<Pair, PipesError>> + Send;

    /// The pause after a session.
    fn pause(&self) -> Duration;

    /// Lets go what it holds.
    fn close(&mut self) -> impl Future<Output = ()> + Send;
}

/// How it stands with an end's first session since it was started.
#[derive(Clone, Debug)]
enum Ready {
    Waiting,
    Up,
    Failed(Error),
}

/// What an end is made of.
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) reconnect: bool,
    pub(crate) busy_poll: Duration,
    pub(crate) observer: Observer,
    pub(crate) telemetry: Telemetry,
    pub(crate) handler: Handler,
}

/// An end that can be started and stopped.
pub(crate) struct Runner {
    setup: Arc<Setup>,
    client: Client,
    ready_tx: watch::Sender<Ready>,
    cycle: Mutex<Option<Cycle>>,
}

/// One time from a start to a stop.
struct Cycle {
    stop_tx: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Runner {
    pub(crate) fn new(setup: Setup, client: Client) -> Self {
        let (ready_tx, _) = watch::channel(Ready::Waiting);
        Runner { setup: Arc::new(setup), client, ready_tx, cycle: Mutex::new(None) }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Starts it, unless it runs.
    pub(crate) fn start(&self, pairs: impl Pairs) {
        let mut cycle = self.cycle.lock().unwrap_or_else(PoisonError::into_inner);
        if cycle.as_ref().is_some_and(|cycle| !cycle.task.is_finished()) {
            return;
        }
        self.ready_tx.send_replace(Ready::Waiting);
        let (stop_tx, stop_rx) = watch::channel(false);
        let turns = Turns {
            setup: Arc::clone(&self.setup),
            client: self.client.clone(),
            ready_tx: self.ready_tx.clone(),
            stop_rx,
        };
        *cycle = Some(Cycle { stop_tx, task: tokio::spawn(turns.run(pairs)) });
    }

    pub(crate) async fn ready(&self) -> Result<(), Error> {
        let mut ready_rx = self.ready_tx.subscribe();
        let decided = ready_rx.wait_for(|ready| !matches!(ready, Ready::Waiting)).await;
        match decided.as_deref() {
            Ok(Ready::Failed(error)) => Err(error.clone()),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::Cancelled, "the end was dropped")),
        }
    }

    /// Stops it and waits for that, if it runs.
    pub(crate) async fn stop(&self) {
        let cycle = self.cycle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Cycle { stop_tx, mut task }) = cycle else { return };
        stop_tx.send_replace(true);
        if timeout(STOP, &mut task).await.is_err() {
            task.abort();
            // It was aborted, or had ended.
            let _ = task.await;
            self.client.detach();
        }
        self.ready_tx.send_if_modified(|ready| {
            let waits = matches!(ready, Ready::Waiting);
            if waits {
                let why = "it was stopped before its first session";
                *ready = Ready::Failed(Error::new(ErrorKind::StoppedBeforeConnecting, why));
            }
            waits
        });
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let cycle = self.cycle.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Cycle { stop_tx, .. }) = cycle {
            // The task says goodbye by itself.
            stop_tx.send_replace(true);
        }
    }
}

/// The task of a cycle.
struct Turns {
    setup: Arc<Setup>,
    client: Client,
    ready_tx: watch::Sender<Ready>,
    stop_rx: watch::Receiver<bool>,
}

impl Turns {
    async fn run(mut self, mut pairs: impl Pairs) {
        let observer = self.setup.observer.clone();
        let mut stop_rx = self.stop_rx.clone();
        let mut backoff = Backoff::new(PAUSE, PAUSE_MAX);
        while !*self.stop_rx.borrow() {
            observer.tell(&SessionEvent::Connecting);
            let connecting = self.setup.telemetry.connect();
            let pair = tokio::select! {
                biased;
                // It is told once, and then this end is over.
                _ = stop_rx.wait_for(|stop| *stop) => break,
                pair = pairs.next() => pair,
            };
            let pause = match pair {
                Ok(pair) => {
                    connecting.up();
                    let lasted = self.session(pair).await;
                    if !self.setup.reconnect {
                        break;
                    }
                    if lasted >= SOUND {
                        backoff = Backoff::new(PAUSE, PAUSE_MAX);
                    }
                    pairs.pause()
                }
                Err(error) => {
                    connecting.failed(&error);
                    let again = self.setup.reconnect && !error.is_lasting();
                    let pause = backoff.pause();
                    let retry_in = again.then_some(pause);
                    observer.tell(&SessionEvent::NotConnected { error: &error, retry_in });
                    if !again {
                        self.fail(Error::from_pipes(error));
                        break;
                    }
                    pause
                }
            };
            tokio::select! {
                biased;
                _ = stop_rx.wait_for(|stop| *stop) => break,
                () = sleep(pause) => {}
            }
        }
        pairs.close().await;
    }

    /// One session; how long it lasted.
    async fn session(&mut self, pair: Pair) -> Duration {
        let Setup { limits, observer, handler, busy_poll, .. } = &*self.setup;
        let began = Instant::now();
        let session = match Session::new(limits.clone()) {
            Ok(session) => session,
            Err(error) => {
                self.fail(error);
                return Duration::ZERO;
            }
        };
        self.client.attach(session.clone());
        self.ready_tx.send_if_modified(|ready| {
            let waits = matches!(ready, Ready::Waiting);
            if waits {
                *ready = Ready::Up;
            }
            waits
        });
        observer.tell(&SessionEvent::Connected);
        let client = self.client.clone();
        let driving = drive(
            session.clone(),
            pair,
            Arc::clone(handler),
            observer.clone(),
            *busy_poll,
            move || client.detach(),
        );
        let mut driving = std::pin::pin!(driving);
        let stopped = async {
            // It is told once, and then this end is over.
            let _ = self.stop_rx.wait_for(|stop| *stop).await;
        };
        let ended = tokio::select! {
            ended = &mut driving => ended,
            () = stopped => {
                session.shutdown();
                driving.await
            }
        };
        let lasted = began.elapsed();
        observer.tell(&SessionEvent::Disconnected { error: ended.error.as_ref(), lasted });
        if ended.spoke { lasted } else { Duration::ZERO }
    }

    fn fail(&self, error: Error) {
        self.ready_tx.send_if_modified(|ready| {
            let waits = matches!(ready, Ready::Waiting);
            if waits {
                *ready = Ready::Failed(error);
            }
            waits
        });
    }
}

/// What `service` makes of requests. `client` is given to it among their extensions.
pub(crate) fn handler<S, B>(
    service: S,
    client: Client,
    telemetry: Telemetry,
    observer: Observer,
) -> Handler
where
    S: tower_service::Service<Request<Body>, Response = Response<B>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Error: Into<BodyError>,
    S::Future: Send,
    B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<BodyError>,
{
    Arc::new(move |incoming, session| {
        let (service, client, observer) = (service.clone(), client.clone(), observer.clone());
        let dispatch = telemetry.dispatch(&incoming.verb, &incoming.path);
        Box::pin(async move {
            let (id, limit) = (incoming.id, session.handler_timeout());
            let answering = Answering { session, key: incoming.key, id, observer };
            let mut request = match request(incoming) {
                Ok(request) => request,
                Err(status) => {
                    answering.status(status).await;
                    return dispatch.answered(status.as_u16());
                }
            };
            request.extensions_mut().insert(client);
            let mut service = service;
            let bytes_max = answering.session.collected_max();
            let answer = dispatch.around(async move {
                let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).await;
                ready.map_err(Into::into)?;
                let response = service.call(request).await.map_err(Into::into)?;
                let (mut parts, body) = response.into_parts();
                let attachments = parts.extensions.remove::<Attachments>();
                let outgoing = Outgoing::prepare(&parts.headers, attachments, body, bytes_max);
                Ok::<_, BodyError>((outgoing.await, parts))
            });
            match within(limit, "has not answered", answer).await {
                Ok(Ok((outgoing, parts))) => answering.with(outgoing, parts, dispatch).await,
                Ok(Err(error)) => answering.failed::<S::Error>(FAILED, &*error, dispatch).await,
                Err(error) => {
                    answering.timed_out(&error);
                    answering.failed::<Error>(StatusCode::GATEWAY_TIMEOUT, &error, dispatch).await;
                }
            }
        })
    })
}

/// The status of a request whose answer failed.
const FAILED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;

/// A request that gets an answer, whatever becomes of the work on it.
struct Answering {
    session: Session,
    key: RequestKey,
    id: Id,
    observer: Observer,
}

impl Answering {
    async fn with(self, outgoing: Result<Outgoing, Error>, parts: Parts, dispatch: Dispatch) {
        let status = parts.status.as_u16();
        match outgoing {
            Ok(outgoing) => match self.session.respond(self.key, status, outgoing).await {
                Ok(()) => dispatch.answered(status),
                // One that was cancelled meanwhile gets no answer, and one that can't be written none
                // that is right.
                Err(error) => {
                    if error.kind() == ErrorKind::HandlerTimedOut {
                        self.timed_out(&error);
                    }
                    dispatch.failed::<Error>(status, &error);
                }
            },
            Err(error) => self.failed::<Error>(FAILED, &error, dispatch).await,
        }
        // Among the extensions is what lets a turn's replies go, and not before the answer.
        drop(parts);
    }

    /// Tells the other end no more than that it failed.
    async fn failed<E>(
        self,
        status: StatusCode,
        error: &(dyn std::error::Error + Send + Sync + 'static),
        dispatch: Dispatch,
    ) {
        self.status(status).await;
        dispatch.failed::<E>(status.as_u16(), error);
    }

    fn timed_out(&self, error: &Error) {
        self.observer.tell(&SessionEvent::HandlerTimedOut { id: self.id, error });
    }

    async fn status(self, status: StatusCode) {
        let _ = self.session.respond(self.key, status.as_u16(), Outgoing::empty()).await;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // Nothing is left to be done after an answer, nor after a cancel.
        self.session.give_up(self.key);
    }
}
