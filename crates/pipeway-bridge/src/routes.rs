//! The ways that events tell of.

use std::sync::{Arc, OnceLock};

use pipeway_telemetry::{Hop, Hops, LinkHop, Route};
use pipeway_transport::{Endpoint, Mode};

/// A hop as events tell it.
#[derive(Clone, Debug)]
pub(crate) struct HopText {
    mode: Mode,
    endpoint: String,
}

impl HopText {
    pub(crate) fn new(mode: Mode, endpoint: &Endpoint) -> Self {
        HopText { mode, endpoint: endpoint.to_string() }
    }

    /// An endpoint that is resolved, and so has a mode.
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        Self::new(endpoint.mode().expect("a resolved endpoint has a mode"), endpoint)
    }

    fn hop(&self) -> Hop<'_> {
        Hop { mode: self.mode.as_str(), endpoint: &self.endpoint }
    }
}

/// The upstream's side as events tell it, with the link that leads there.
#[derive(Debug)]
pub(crate) struct UpstreamText<'a> {
    pub(crate) hop: &'a HopText,
    pub(crate) link: Option<&'a str>,
}

/// The ways of a bridge's requests: to the upstream, and to nowhere.
#[derive(Debug)]
pub(crate) struct Routes {
    name: String,
    client: HopText,
    is_activated: bool,
    nowhere: Arc<Route>,
    /// Made when the upstream is known, which stays the same.
    upstream: OnceLock<Arc<Route>>,
}

impl Routes {
    /// Of the bridge `name`, whose clients come by `client`.
    pub(crate) fn new(name: &str, client: HopText, is_activated: bool) -> Self {
        let hops = Hops {
            transport: Some(client.hop()),
            socket_activation: is_activated,
            ..Hops::default()
        };
        let nowhere = Arc::new(Route::new(name, hops));
        let upstream = OnceLock::new();
        Routes { name: name.to_owned(), client, is_activated, nowhere, upstream }
    }

    /// Of what has reached no upstream.
    pub(crate) fn nowhere(&self) -> &Arc<Route> {
        &self.nowhere
    }

    /// Of what has reached the upstream, if that is known.
    pub(crate) fn to<'a>(
        &self,
        upstream: impl FnOnce() -> Option<UpstreamText<'a>>,
    ) -> &Arc<Route> {
        if let Some(known) = self.upstream.get() {
            return known;
        }
        let Some(upstream) = upstream() else { return &self.nowhere };
        self.upstream.get_or_init(|| {
            let mode = Mode::Stdio.as_str();
            let hops = Hops {
                transport: Some(self.client.hop()),
                socket_activation: self.is_activated,
                upstream: Some(upstream.hop.hop()),
                link: upstream.link.map(|name| LinkHop { name, mode }),
            };
            Arc::new(Route::new(&self.name, hops))
        })
    }
}
