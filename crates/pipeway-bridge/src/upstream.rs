//! The one way to the upstream.

use std::pin::Pin;
use std::sync::OnceLock;

use pipeway_transport::link::{FIRST_MAX, Link, Opening};
use pipeway_transport::{ConnectOptions, Endpoint, Error, Stream, connect};

use crate::routes::{HopText, UpstreamText};

/// What a bridge connects to on its clients' behalf, and how.
#[derive(Debug)]
pub(crate) struct Upstream {
    way: Way,
    /// As events tell it. Through a link it is known when the guest has connected first: one
    /// guest and the next run as the same user, so what an endpoint leads to stays.
    hop: OnceLock<HopText>,
}

/// How an upstream is reached.
#[derive(Debug)]
enum Way {
    Here { endpoint: Endpoint, options: ConnectOptions },
    Through { link: Link, opening: Opening },
}

impl Upstream {
    /// An upstream at `endpoint`. One that can never be reached with these options on this system
    /// is an error now, not at each session.
    pub(crate) fn new(endpoint: &Endpoint, options: ConnectOptions) -> Result<Self, Error> {
        let endpoint = options.check(endpoint)?;
        let hop = HopText::of(&endpoint).into();
        Ok(Upstream { way: Way::Here { endpoint, options }, hop })
    }

    /// An upstream at the other side of `link`.
    pub(crate) fn through(link: Link, opening: Opening) -> Self {
        Upstream { way: Way::Through { link, opening }, hop: OnceLock::new() }
    }

    /// A new connection. Cancel safe: a dropped future leaves none behind.
    ///
    /// Boxed: a session has room for it only while it connects.
    pub(crate) fn connect(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send + '_>> {
        Box::pin(self.connecting(&[]))
    }

    /// As [`connect`](Self::connect), with the first bytes, no more than
    /// [`first_max`](Self::first_max).
    pub(crate) fn connect_with<'a>(
        &'a self,
        first: &'a [u8],
    ) -> Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send + 'a>> {
        Box::pin(self.connecting(first))
    }

    /// How many bytes may go along with the wish for a connection.
    pub(crate) fn first_max(&self) -> usize {
        match self.way {
            Way::Here { .. } => 0,
            Way::Through { .. } => FIRST_MAX,
        }
    }

    async fn connecting(&self, first: &[u8]) -> Result<Stream, Error> {
        match &self.way {
            Way::Here { endpoint, options } => connect(endpoint, options).await,
            Way::Through { link, opening } => {
                let stream = link.connect_with(opening, first).await?;
                if let Some(endpoint) = stream.server_endpoint() {
                    self.hop.get_or_init(|| HopText::new(stream.mode(), &endpoint));
                }
                Ok(stream)
            }
        }
    }

    /// As events tell it; known once there was a connection.
    pub(crate) fn text(&self) -> Option<UpstreamText<'_>> {
        let link = match &self.way {
            Way::Here { .. } => None,
            Way::Through { link, .. } => Some(link.name()),
        };
        self.hop.get().map(|hop| UpstreamText { hop, link })
    }

    pub(crate) fn is_through_link(&self) -> bool {
        matches!(self.way, Way::Through { .. })
    }
}
