//! Connectors for hyper-util's client, and through it for tonic and whatever else takes a
//! `tower_service::Service<http::Uri>` (feature `hyper`).
//!
//! - [`Connector`] is bound to one endpoint: every request goes there, whatever its URI's host.
//!   This is the one to use where a client speaks to one service, and with tonic.
//! - [`UriConnector`] finds the endpoint in the URI, which [`endpoint_uri`] makes: one client for
//!   many endpoints, with a pool of connections for each.
//!
//! Both connect by [`connect`](crate::connect), with its deadline and its verification of the
//! server. The response's extensions hold the [`Mode`](crate::Mode) of the connection that it
//! came by.
//!
//! # One endpoint
//!
//! The URI's host is not looked up; it becomes the request's `Host` header, so `localhost` is the
//! right one for most services. Connections are pooled by scheme, host and port of the URI: write
//! the same ones in each request.
//!
//! ```
//! use http_body_util::{BodyExt, Empty};
//! use hyper_util::client::legacy::Client;
//! use hyper_util::rt::TokioExecutor;
//! use pipeway_transport::hyper::Connector;
//! use pipeway_transport::{ConnectOptions, Endpoint, Mode};
//! # use pipeway_transport::{ListenOptions, Listener};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let endpoint: Endpoint = format!("local:pipeway-doc-hyper-{}", std::process::id()).parse()?;
//! # let mut listener = Listener::bind(&endpoint, &ListenOptions::default())?;
//! # tokio::spawn(async move {
//! #     let (stream, _) = listener.accept().await.unwrap();
//! #     let answer = hyper::service::service_fn(|request: hyper::Request<_>| async move {
//! #         let host = request.headers()["host"].to_str().unwrap().to_owned();
//! #         let _: hyper::body::Incoming = request.into_body();
//! #         Ok::<_, std::convert::Infallible>(hyper::Response::new(host))
//! #     });
//! #     let io = hyper_util::rt::TokioIo::new(stream);
//! #     let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, answer).await;
//! # });
//! # if false {
//! let endpoint: Endpoint = "local:greeter".parse()?;
//! # }
//! let connector = Connector::new(endpoint, ConnectOptions::default());
//! let client: Client<_, Empty<&[u8]>> = Client::builder(TokioExecutor::new()).build(connector);
//!
//! let response = client.get("http://localhost/hello".parse()?).await?;
//! println!("came by {}", response.extensions().get::<Mode>().expect("the connector says it"));
//! let body = response.into_body().collect().await?.to_bytes();
//! # assert_eq!(body, "localhost");
//! # Ok(())
//! # }
//! ```
//!
//! # Many endpoints
//!
//! The endpoint stands in the URI's user information, hex-encoded, and the host is `localhost`:
//!
//! ```text
//! pipeway://6c6f63616c3a67726565746572@localhost/hello
//!           the text `local:greeter`   Host header
//! ```
//!
//! hyper pools by scheme and authority, user information included, so each endpoint has its own
//! connections; it makes the `Host` header of the host alone, so the service sees `localhost`. (Set
//! the request's `Host` header for another.) The scheme is one that nobody else connects to: given
//! to another client by mistake, such a URI fails instead of reaching port 80.
//!
//! HTTP/2 sends the whole authority as `:authority` and `pipeway` as `:scheme`, which strict
//! servers refuse: use [`Connector`] for HTTP/2.

mod connector;
mod uri;

pub use connector::{Connecting, Connector, UriConnector};
pub use uri::{SCHEME, UriError, endpoint_uri, uri_endpoint};

use hyper_util::client::legacy::connect::{Connected, Connection};

use crate::Stream;

/// Says nothing but the [`Mode`](crate::Mode), which hyper-util puts into the response's
/// extensions.
impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.mode())
    }
}
