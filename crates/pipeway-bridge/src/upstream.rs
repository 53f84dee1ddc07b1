//! The one way to the upstream.

use pipeway_transport::{ConnectOptions, Endpoint, Error, Stream, connect};

use crate::shared::HopText;

/// What a bridge connects to on its clients' behalf, and how.
#[derive(Debug)]
pub(crate) struct Upstream {
    endpoint: Endpoint,
    options: ConnectOptions,
    hop: HopText,
}

impl Upstream {
    /// An upstream at `endpoint`. One that can never be reached with these options on this system
    /// is an error now, not at each session.
    pub(crate) fn new(endpoint: &Endpoint, options: ConnectOptions) -> Result<Self, Error> {
        let endpoint = options.check(endpoint)?;
        let mode = endpoint.mode().expect("a resolved endpoint has a mode");
        let hop = HopText { mode, endpoint: endpoint.to_string() };
        Ok(Upstream { endpoint, options, hop })
    }

    /// A new connection. Cancel safe: a dropped future leaves none behind.
    pub(crate) async fn connect(&self) -> Result<Stream, Error> {
        connect(&self.endpoint, &self.options).await
    }

    /// The upstream's side, as events tell it.
    pub(crate) fn hop(&self) -> pipeway_telemetry::Hop<'_> {
        self.hop.hop()
    }
}
