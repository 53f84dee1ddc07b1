//! The HTTP agent: requests to it over connections that are kept.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep_until, timeout};

use crate::respond::{Kind, Refusal};
use crate::routes::UpstreamText;
use crate::upstream::Upstream;

/// The HTTP agent, and the connections to it that wait for the next request.
#[derive(Debug)]
pub(super) struct Agent {
    upstream: Upstream,
    connect: Duration,
    keep_alive: Duration,
    idle: Arc<Mutex<Idle>>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one that was used last is at the end.
    connections: Vec<(Connection, Instant)>,
    /// Closes those that have waited too long.
    sweeper: Option<JoinHandle<()>>,
}

/// A connection. It is closed when this is dropped.
#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

/// What is on its way at an agent: its connection is closed when this is dropped before the answer
/// was read whole, which is how an HTTP server learns that nobody waits any more.
#[derive(Debug)]
pub(super) struct Asked {
    connection: Connection,
}

/// An answer's head, and what its body comes over.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) asked: Asked,
}

impl Agent {
    pub(super) fn new(upstream: Upstream, connect: Duration, keep_alive: Duration) -> Self {
        Agent { upstream, connect, keep_alive, idle: Arc::default() }
    }

    /// Sends a request, over a connection that is there or a new one, and waits for the answer's
    /// head. `reached` is told when there is a connection, and how long it took to make. Dropping the future closes it.
    ///
    /// A request is sent a second time only where none of it was sent before.
    pub(super) async fn ask(
        &self,
        mut request: Request<Full<Bytes>>,
        mut reached: impl FnMut(Option<Duration>),
    ) -> Result<Answer, Refusal> {
        while let Some(mut connection) = self.kept() {
            reached(None);
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    return Ok(Answer { response, asked: Asked { connection } });
                }
                Err(mut error) => match error.take_message() {
                    // The agent closed it while it waited.
                    Some(unsent) => request = unsent,
                    None => return Err(of_http(error.error())),
                },
            }
        }
        let began = Instant::now();
        let mut connection = self.connected().await?;
        reached(Some(began.elapsed()));
        let response = connection.sender.send_request(request).await;
        let response = response.map_err(|error| of_http(&error))?;
        Ok(Answer { response, asked: Asked { connection } })
    }

    async fn connected(&self) -> Result<Connection, Refusal> {
        let stream = timeout(self.connect, self.upstream.connect()).await;
        let stream = stream.map_err(|_| {
            Refusal::new(
                Kind::UpstreamTimeout,
                "the agent could not be connected to in time",
                "see whether it runs and is not overloaded, or raise timeouts.connect",
            )
        })?;
        let stream = stream.map_err(|error| Refusal::from_connect(&error))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| of_http(&error))?;
        let driver = tokio::spawn(async move {
            // What goes wrong is told to who waits for an answer.
            let _ = connection.await;
        });
        let driver = driver.abort_handle();
        let connected = sender.ready().await.map_err(|error| of_http(&error));
        let connection = Connection { sender, driver };
        connected.map(|()| connection)
    }

    /// A connection that waits, if there is one.
    fn kept(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while let Some((connection, until)) = idle.connections.pop() {
            if until > now && connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps the connection of an answer that was read whole for the next request, if it lasts.
    pub(super) fn keep(&self, asked: Asked) {
        let Asked { mut connection } = asked;
        let (idle, keep_alive) = (Arc::clone(&self.idle), self.keep_alive);
        tokio::spawn(async move {
            // It is ready when it has seen the answer's end; never where it does not last.
            if connection.sender.ready().await.is_err() {
                return;
            }
            let until = Instant::now() + keep_alive;
            let shared = Arc::clone(&idle);
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.connections.push((connection, until));
            if idle.sweeper.as_ref().is_none_or(JoinHandle::is_finished) {
                idle.sweeper = Some(tokio::spawn(sweep(shared)));
            }
        });
    }

    /// Closes the connections that wait.
    pub(super) fn close(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.connections.clear();
        if let Some(sweeper) = idle.sweeper.take() {
            sweeper.abort();
        }
    }

    /// As events tell it; known once there was a connection.
    pub(super) fn text(&self) -> Option<UpstreamText<'_>> {
        self.upstream.text()
    }
}

/// Closes connections that have waited too long, until there are none.
async fn sweep(idle: Arc<Mutex<Idle>>) {
    loop {
        let next = {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            idle.connections.retain(|(_, until)| *until > now);
            match idle.connections.iter().map(|(_, until)| *until).min() {
                Some(next) => next,
                None => {
                    // Under the lock: who keeps the next one starts another.
                    idle.sweeper = None;
                    return;
                }
            }
        };
        sleep_until(next).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What a failure of HTTP's means to who asked.
pub(super) fn of_http(error: &hyper::Error) -> Refusal {
    if error.is_parse() || error.is_parse_too_large() {
        return Refusal::new(
            Kind::UpstreamProtocol,
            format!("the agent's answer is no HTTP: {error}"),
            "see whether an HTTP service listens there",
        );
    }
    Refusal::new(
        Kind::UpstreamClosed,
        format!("the agent closed the connection without an answer: {error}"),
        "see the agent's own log",
    )
}
