//! A listener for `axum::serve`, and the peer as an extractor (feature `axum`).
//!
//! [`ServeListener`] wraps a [`Listener`]. Served with
//! `into_make_service_with_connect_info::<Peer>()`, every handler may take a [`Peer`] as an
//! argument: who the client is, as the system says.
//!
//! ```
//! use axum::{Router, routing::get};
//! use pipeway_transport::axum::ServeListener;
//! use pipeway_transport::{Endpoint, ListenOptions, Listener, Peer};
//!
//! async fn whoami(peer: Peer) -> String {
//!     format!("you are process {:?}", peer.pid)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let endpoint: Endpoint = format!("local:pipeway-doc-axum-{}", std::process::id()).parse()?;
//! # if false {
//! let endpoint: Endpoint = "local:greeter".parse()?;
//! # }
//! let listener = Listener::bind(&endpoint, &ListenOptions::default())?;
//! let listener = ServeListener::new(listener, |error| eprintln!("not accepted: {error}"));
//! let app = Router::new()
//!     .route("/whoami", get(whoami))
//!     .into_make_service_with_connect_info::<Peer>();
//! # let serving = std::future::IntoFuture::into_future(axum::serve(listener, app));
//! # assert!(tokio::time::timeout(std::time::Duration::ZERO, serving).await.is_err());
//! # if false {
//! # let listener = Listener::bind(&endpoint, &ListenOptions::default())?;
//! # let listener = ServeListener::new(listener, |_| ());
//! # let app: Router = Router::new();
//! axum::serve(listener, app).await?;
//! # }
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::serve::IncomingStream;

use crate::{Endpoint, Error, ErrorKind, Listener, Peer, Stream};

/// A [`Listener`] for `axum::serve`.
///
/// `axum::serve` wants a listener that never fails, so each failure to accept is given to the
/// callback, and accepting goes on:
///
/// - after a client that was turned away ([`ErrorKind::PeerRejected`]) at once;
/// - after any other failure, such as too many open files, when a pause has passed: 5
///   milliseconds, twice that at each failure in a row, at most a second.
///
/// Accepting is cancel safe: a connection is either returned or left in the queue, and a pause
/// that was cut short begins anew with the next failure.
pub struct ServeListener {
    listener: Listener,
    report: Box<dyn FnMut(&Error) + Send>,
    pauses: Pauses,
}

impl ServeListener {
    /// A listener that tells `report` of each failure to accept.
    ///
    /// `report` is called between two connections and should not block. Who may open the endpoint
    /// decides how often: each client that is turned away is one call.
    pub fn new(listener: Listener, report: impl FnMut(&Error) + Send + 'static) -> Self {
        ServeListener { listener, report: Box::new(report), pauses: Pauses::default() }
    }

    /// The listener inside: its endpoint, its mode, its warnings.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }
}

impl fmt::Debug for ServeListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeListener").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl axum::serve::Listener for ServeListener {
    type Io = Stream;
    type Addr = Address;

    async fn accept(&mut self) -> (Stream, Address) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    self.pauses = Pauses::default();
                    return (stream, Address::Peer(peer));
                }
                Err(error) => {
                    (self.report)(&error);
                    if let Some(pause) = self.pauses.after(error.kind()) {
                        tokio::time::sleep(pause).await;
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(Address::Endpoint(self.listener.endpoint().clone()))
    }
}

/// How long to wait after a failure.
#[derive(Debug)]
struct Pauses {
    next: Duration,
}

impl Pauses {
    const MOST: Duration = Duration::from_secs(1);

    /// The pause after a failure of this kind; none where only one client was concerned.
    fn after(&mut self, kind: ErrorKind) -> Option<Duration> {
        if kind == ErrorKind::PeerRejected {
            return None;
        }
        let pause = self.next;
        self.next = (pause * 2).min(Self::MOST);
        Some(pause)
    }
}

impl Default for Pauses {
    fn default() -> Self {
        Pauses { next: Duration::from_millis(5) }
    }
}

/// One end of a connection. axum has one type for the listener's address and the client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The listener's: what clients connect to, as [`Listener::endpoint`] says it.
    Endpoint(Endpoint),
    /// The client's: who it is.
    Peer(Peer),
}

/// For `into_make_service_with_connect_info::<Peer>()`.
impl Connected<IncomingStream<'_, ServeListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, ServeListener>) -> Self {
        match stream.remote_addr() {
            Address::Peer(peer) => peer.clone(),
            Address::Endpoint(_) => Peer::default(),
        }
    }
}

/// For `into_make_service_with_connect_info::<Address>()`. It is what is left where axum's
/// `tap_io` stands around the listener.
impl Connected<IncomingStream<'_, ServeListener>> for Address {
    fn connect_info(stream: IncomingStream<'_, ServeListener>) -> Self {
        stream.remote_addr().clone()
    }
}

/// The client of the request's connection.
///
/// A process id is fit for a log, not for a decision; who may connect at all is decided by the
/// listener's [`Access`](crate::Access).
///
/// # Errors
///
/// [`PeerMissing`], a 500, where the router was not served with connect info.
impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = PeerMissing;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, PeerMissing> {
        if let Some(ConnectInfo(peer)) = parts.extensions.get::<ConnectInfo<Peer>>() {
            return Ok(peer.clone());
        }
        match parts.extensions.get::<ConnectInfo<Address>>() {
            Some(ConnectInfo(Address::Peer(peer))) => Ok(peer.clone()),
            _ => Err(PeerMissing),
        }
    }
}

/// The peer of a request is not known, because the router was served without connect info.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerMissing;

impl fmt::Display for PeerMissing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "who the client is was not passed on; serve the router with into_make_service_with_connect_info::<Peer>()",
        )
    }
}

impl std::error::Error for PeerMissing {}

/// A 500: the mistake is the program's, and the client is not told what it is.
impl IntoResponse for PeerMissing {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_was_turned_away_makes_no_pause() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.after(ErrorKind::PeerRejected), None);
        assert_eq!(pauses.after(ErrorKind::Io), Some(Duration::from_millis(5)));
    }

    #[test]
    fn pauses_double_up_to_a_second() {
        let mut pauses = Pauses::default();
        let first: Vec<_> = (0..9).filter_map(|_| pauses.after(ErrorKind::Io)).collect();
        assert_eq!(
            first.iter().map(Duration::as_millis).collect::<Vec<_>>(),
            [5, 10, 20, 40, 80, 160, 320, 640, 1000]
        );
        assert_eq!(pauses.after(ErrorKind::Io), Some(Duration::from_secs(1)));
    }
}
