//! The connector's end.

use std::future::poll_fn;
use std::time::Duration;

use pipeway_transport::{
    ConnectOptions, Direction, Endpoint, ErrorKind, HalfClose, Peer, Stream, connect,
};
use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use super::error::is_lasting;
use super::pair::{Pair, Reader, SessionHold};
use super::usher::Unused;
use super::{PipesError, Place};

/// The least time between the end of a session and the next attempt to connect: an agent that is
/// about to close its listener would take the connection and drop it.
pub const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// The first pause between two attempts.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long one attempt may wait for a busy pipe.
const ATTEMPT_MAX: Duration = Duration::from_secs(1);

/// Waits until [`RECONNECT_PAUSE`] has passed since a session's end.
pub async fn reconnect_pause(ended: Instant) {
    sleep_until(ended + RECONNECT_PAUSE).await;
}

/// How a connector connects.
#[derive(Clone, Debug)]
pub struct PairConnectOptions {
    /// How long connecting may take in all, waiting for an agent that has not started included.
    /// Default: 30 seconds.
    pub timeout: Duration,
    /// How long `.outgoing` may take to appear once `.incoming` is connected; then `.incoming` is
    /// closed and all begins anew. Default: 10 seconds.
    pub outgoing_timeout: Duration,
    /// Whether both pipes must be served by this user or the system. Default: yes. Without it
    /// whoever takes the names first gets what the connector sends.
    pub verify_server: bool,
}

impl Default for PairConnectOptions {
    fn default() -> Self {
        PairConnectOptions {
            timeout: Duration::from_secs(30),
            outgoing_timeout: Duration::from_secs(10),
            verify_server: true,
        }
    }
}

/// Connects to an agent: `.incoming` first, and only then `.outgoing`, as some agents make them one
/// after another.
///
/// A pipe that does not exist yet, is busy, or is closed before its counterpart is there, is tried
/// again until the deadline. A session that ends before its first frame was not meant to be: the
/// caller takes it for a failed attempt, and leaves [`RECONNECT_PAUSE`] between a session's end and
/// the next call. Cancel safe: nothing is left behind.
///
/// # Errors
///
/// At the deadline, the last attempt's failure; at once what waiting can't mend, see
/// [`PipesError::is_lasting`].
pub async fn connect_pair(place: &Place, options: &PairConnectOptions) -> Result<Pair, PipesError> {
    let attempt = Attempt { place, options, deadline: Instant::now() + options.timeout };
    let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
    loop {
        let mut incoming = Unused::new(
            attempt.half(place.incoming(), Direction::WriteOnly, attempt.deadline).await?,
        );
        let limit = attempt.deadline.min(Instant::now() + options.outgoing_timeout);
        let outgoing = tokio::select! {
            biased;
            outgoing = attempt.half(place.outgoing(), Direction::ReadOnly, limit) => outgoing,
            () = poll_fn(|cx| incoming.poll_lost(cx)) => Err(PipesError::new(
                ErrorKind::Refused,
                format!("{} was closed before {} was there", place.incoming(), place.outgoing()),
            )),
        };
        let error = match outgoing {
            Ok(outgoing) => {
                let (hold, _) = SessionHold::new();
                return Ok(Pair::new(
                    Reader::new(outgoing),
                    incoming.stream,
                    Peer::default(),
                    hold,
                ));
            }
            Err(error) => error,
        };
        drop(incoming);
        let again = Instant::now() + backoff.pause().max(RECONNECT_PAUSE);
        if error.is_lasting() || again >= attempt.deadline {
            return Err(error);
        }
        sleep_until(again).await;
    }
}

struct Attempt<'a> {
    place: &'a Place,
    options: &'a PairConnectOptions,
    deadline: Instant,
}

impl Attempt<'_> {
    /// One pipe, as soon as it is there.
    async fn half(
        &self,
        endpoint: &Endpoint,
        direction: Direction,
        limit: Instant,
    ) -> Result<Stream, PipesError> {
        let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        loop {
            let mut result = self.once(endpoint, direction, limit).await;
            // An agent may refuse either: a pipe that goes one way refuses a client that wants both.
            if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Permission) {
                result = self.once(endpoint, Direction::Both, limit).await;
            }
            let error = match result {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            let again = Instant::now() + backoff.pause();
            if is_lasting(error.kind()) || again >= limit {
                let message = format!("could not connect to the pipes at {}: {error}", self.place);
                return Err(PipesError::from_transport(message, error));
            }
            sleep_until(again).await;
        }
    }

    async fn once(
        &self,
        endpoint: &Endpoint,
        direction: Direction,
        limit: Instant,
    ) -> Result<Stream, pipeway_transport::Error> {
        let connecting = ConnectOptions {
            timeout: limit.saturating_duration_since(Instant::now()).min(ATTEMPT_MAX),
            verify_server: Some(self.options.verify_server),
            half_close: HalfClose::None,
            direction,
            ..ConnectOptions::default()
        };
        connect(endpoint, &connecting).await
    }
}
