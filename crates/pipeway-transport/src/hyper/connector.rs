//! The connectors.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::uri_endpoint;
use crate::{ConnectOptions, Endpoint, Error, ErrorKind, Stream, connect};

/// Connects to one endpoint, whatever the URI says; see the [module](super).
///
/// A URI that asks for TLS (`https`, `wss`) is refused with [`ErrorKind::Unsupported`] unless a
/// TLS connector stands on top: nothing here encrypts. The other errors are
/// [`connect`](crate::connect)'s.
#[derive(Clone, Debug)]
pub struct Connector {
    place: Arc<(Endpoint, ConnectOptions)>,
    below_tls: bool,
}

impl Connector {
    /// A connector to `endpoint`. `local:NAME` is resolved at each connection.
    pub fn new(endpoint: Endpoint, options: ConnectOptions) -> Self {
        Connector { place: Arc::new((endpoint, options)), below_tls: false }
    }

    /// The same, below a connector that speaks TLS: URIs that ask for it are taken. Default: they
    /// are refused, for without such a connector the request would go in the clear.
    #[must_use]
    pub fn below_tls(mut self) -> Self {
        self.below_tls = true;
        self
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.place.0
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let place = Arc::clone(&self.place);
        let refused = if self.below_tls { None } else { tls_refused(&uri) };
        Connecting::new(async move {
            match refused {
                Some(error) => Err(error),
                None => connect(&place.0, &place.1).await,
            }
        })
    }
}

fn tls_refused(uri: &Uri) -> Option<Error> {
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "https" | "wss"))?;
    let message = format!("{scheme}://{} asks for TLS", uri.host().unwrap_or_default());
    Some(Error::new(ErrorKind::Unsupported, message).hint(
        "write http: access is the endpoint's, and no other machine sees the bytes; or put a TLS connector on top, and say below_tls()",
    ))
}

/// Connects to the endpoint that the URI carries; see [`endpoint_uri`](super::endpoint_uri).
///
/// Its errors are [`connect`](crate::connect)'s, and [`ErrorKind::Unsupported`] for a URI that
/// carries no endpoint.
///
/// What may be connected to is the caller's choice: do not make URIs of what a stranger sent.
#[derive(Clone, Debug, Default)]
pub struct UriConnector {
    options: Arc<ConnectOptions>,
}

impl UriConnector {
    /// A connector with these options for every endpoint.
    pub fn new(options: ConnectOptions) -> Self {
        UriConnector { options: Arc::new(options) }
    }
}

impl Service<Uri> for UriConnector {
    type Response = TokioIo<Stream>;
    type Error = Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let options = Arc::clone(&self.options);
        Connecting::new(async move {
            let endpoint = uri_endpoint(&uri).map_err(|why| {
                let message = match std::error::Error::source(&why) {
                    Some(source) => format!("{why}: {source}"),
                    None => why.to_string(),
                };
                Error::new(ErrorKind::Unsupported, message)
                    .hint("make the URI with endpoint_uri, or use a Connector for one endpoint")
            })?;
            connect(&endpoint, &options).await
        })
    }
}

/// A connection in the making, of a [`Connector`] or a [`UriConnector`].
///
/// Cancel safe: dropped, it leaves no connection behind.
pub struct Connecting(Pin<Box<dyn Future<Output = Result<Stream, Error>> + Send>>);

impl Connecting {
    fn new(connecting: impl Future<Output = Result<Stream, Error>> + Send + 'static) -> Self {
        Connecting(Box::pin(connecting))
    }
}

impl Future for Connecting {
    type Output = Result<TokioIo<Stream>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map_ok(TokioIo::new)
    }
}

impl fmt::Debug for Connecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connecting")
    }
}
