//! The server's life: the endpoint, its connections, the stop.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use pipeway_transport::{Endpoint, ErrorKind, ListenOptions, Listener, Stream, Token};
use tokio::sync::watch;

use crate::api::router;
use crate::config::{AgentConfig, Limits};
use crate::error::BindError;
use crate::span::Spans;

/// How long a failure to accept is waited out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// From a connection's start, or its last answer, to the next whole head. Longer than a bridge
/// keeps an upstream connection that nobody uses, so that it is the bridge which closes it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(330);

/// The most that is buffered of a connection's input.
const READ_BUFFER: usize = 64 * 1024;

/// How long the rest may take once every command was told to end, beyond the grace period.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The service inside, ready to accept.
#[derive(Debug)]
pub struct Agent {
    listener: Listener,
    shared: Arc<Shared>,
    stop_tx: watch::Sender<bool>,
}

/// What every connection and command needs.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) spans: Arc<Spans>,
    pub(crate) limits: Limits,
    pub(crate) grace: Duration,
    pub(crate) stop: Stop,
    /// What a client of a port must show.
    pub(crate) token: Option<Token>,
    /// Connections that are open, terminals' included.
    connections: watch::Sender<usize>,
    /// Commands that run, but for those of terminals.
    commands: watch::Sender<usize>,
}

impl Agent {
    /// Listens. Must be called inside a tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    ///
    /// [`BindError::Config`] for a port without a token file, a token file without a port, and
    /// standard input and output as the endpoint; [`BindError::Transport`] for an endpoint that
    /// can't be listened on and a token file that can't be used.
    pub fn bind(config: AgentConfig) -> Result<Agent, BindError> {
        let token = token(&config.listen, config.token_file.as_deref())?;
        let listener = Listener::bind(&config.listen, &ListenOptions::default())?;
        let (stop_tx, stop_rx) = watch::channel(false);
        let shared = Shared {
            spans: Spans::new(config.limits.max_traces),
            limits: config.limits,
            grace: config.grace,
            stop: Stop(stop_rx),
            token,
            connections: watch::Sender::new(0),
            commands: watch::Sender::new(0),
        };
        Ok(Agent { listener, shared: Arc::new(shared), stop_tx })
    }

    /// The endpoint that clients connect to, as observed.
    pub fn endpoint(&self) -> &Endpoint {
        self.listener.endpoint()
    }

    /// What the user should know about the endpoint, one sentence each.
    pub fn warnings(&self) -> &[String] {
        self.listener.warnings()
    }

    /// Serves until `stop` is ready; then accepts no more, ends every command and terminal
    /// (SIGHUP, and SIGKILL after the grace period), gives their clients the last word, and
    /// returns. A dropped future gives the same order, and waits for nothing.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let service = TowerToHyperService::new(router(self.shared.clone()));
        let serving = serve(&mut self.listener, &self.shared, &service);
        tokio::select! {
            never = serving => match never {},
            () = stop => {}
        }
        self.stop_tx.send_replace(true);
        drop(self.listener);
        let all = async {
            until_fewer_than(1, &self.shared.commands).await;
            until_fewer_than(1, &self.shared.connections).await;
        };
        // What does not end by then has a client that does not read.
        let _ = tokio::time::timeout(self.shared.grace + STOP_TIMEOUT, all).await;
    }
}

fn token(listen: &Endpoint, file: Option<&Path>) -> Result<Option<Token>, BindError> {
    match (listen, file) {
        (Endpoint::Stdio, _) => Err(BindError::Config(
            "an agent can't listen on stdio; name a socket, a pipe or a port".into(),
        )),
        (Endpoint::Tcp(_), Some(path)) => Ok(Some(Token::from_file(path)?)),
        (Endpoint::Tcp(_), None) => Err(BindError::Config(format!(
            "{listen} can be reached by every user of this system, so it needs a token file \
             (--token-file); or listen on local:NAME, which is yours alone"
        ))),
        (_, Some(_)) => Err(BindError::Config(format!(
            "a token file is for listening on TCP; {listen} is yours alone without one"
        ))),
        (_, None) => Ok(None),
    }
}

type Service = TowerToHyperService<axum::Router>;

/// Accepts clients for ever.
async fn serve(listener: &mut Listener, shared: &Arc<Shared>, service: &Service) -> Infallible {
    loop {
        until_fewer_than(shared.limits.max_connections, &shared.connections).await;
        match listener.accept().await {
            Ok((stream, _)) => shared.spawn_connection(connection(
                stream,
                service.clone(),
                shared.stop.clone(),
                shared.grace,
            )),
            // That one client is closed; the next may be another user.
            Err(error) if error.kind() == ErrorKind::PeerRejected => {}
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(stream: Stream, service: Service, mut stop: Stop, grace: Duration) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // How a connection failed is seen at its client's end.
    tokio::select! {
        _ = &mut connection => return,
        () = stop.ordered() => connection.as_mut().graceful_shutdown(),
    }
    // A client that does not read must not keep what it asked for.
    let _ = tokio::time::timeout(grace + STOP_TIMEOUT, connection).await;
}

impl Shared {
    /// Runs a command as a task that the end of [`Agent::run`] waits for.
    pub(crate) fn spawn_command(&self, work: impl Future<Output = ()> + Send + 'static) {
        spawn(&self.commands, work);
    }

    /// Runs a connection as a task that is counted as one, and that the end of [`Agent::run`]
    /// waits for.
    pub(crate) fn spawn_connection(&self, work: impl Future<Output = ()> + Send + 'static) {
        spawn(&self.connections, work);
    }
}

fn spawn(count: &watch::Sender<usize>, work: impl Future<Output = ()> + Send + 'static) {
    let task = Task::new(count);
    tokio::spawn(async move {
        work.await;
        drop(task);
    });
}

async fn until_fewer_than(most: usize, count: &watch::Sender<usize>) {
    // An error can't be: the sender is here.
    let _ = count.subscribe().wait_for(|count| *count < most).await;
}

/// One task's place in the count, which it leaves however it ends.
struct Task(watch::Sender<usize>);

impl Task {
    fn new(tasks: &watch::Sender<usize>) -> Self {
        tasks.send_modify(|tasks| *tasks += 1);
        Task(tasks.clone())
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.send_modify(|tasks| *tasks -= 1);
    }
}

/// Receives the order to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits for the order. Cancel safe.
    pub(crate) async fn ordered(&mut self) {
        // An error is an agent that was dropped, which is the order too.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
