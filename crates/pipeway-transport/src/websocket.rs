//! WebSocket over a stream: the handshakes of tokio-tungstenite with a deadline and bounds, and a
//! WebSocket seen as a stream of bytes (feature `tungstenite`).
//!
//! [`connect`] connects to an endpoint and makes the client's handshake; [`client`] makes it over a
//! stream that is there already. [`accept`] makes the server's, and [`accept_with`] lets the caller
//! look at the request before it is answered. All give a [`WebSocketStream`] of messages, which
//! [`ByteStream`] makes a stream of bytes.
//!
//! What differs from tungstenite's own functions and defaults: the handshake has a deadline;
//! messages, frames and what waits to be sent are bounded ([`Options`]); and a handshake that names
//! an `Origin` is refused, for only browsers send one, and a page of any site could otherwise
//! reach a port of the user's machine.
//!
//! ```
//! use futures_util::{SinkExt, StreamExt};
//! use pipeway_transport::websocket::{self, Options, tungstenite::Message};
//! use pipeway_transport::{ConnectOptions, Endpoint, ListenOptions, Listener};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let endpoint: Endpoint = format!("local:pipeway-doc-websocket-{}", std::process::id()).parse()?;
//! # if false {
//! let endpoint: Endpoint = "local:echo".parse()?;
//! # }
//! let mut listener = Listener::bind(&endpoint, &ListenOptions::default())?;
//! tokio::spawn(async move {
//!     let (stream, _peer) = listener.accept().await.expect("the listener is alive");
//!     let (mut messages, request) =
//!         websocket::accept(stream, &Options::default()).await.expect("a WebSocket's handshake");
//!     println!("asked for {}", request.uri().path());
//!     while let Some(Ok(message)) = messages.next().await {
//!         if message.is_text() && messages.send(message).await.is_err() {
//!             break;
//!         }
//!     }
//! });
//!
//! let (connect, options) = (ConnectOptions::default(), Options::default());
//! let (mut messages, _response) =
//!     websocket::connect(&endpoint, &connect, "/echo", &Default::default(), &options).await?;
//! messages.send(Message::text("hello")).await?;
//! assert_eq!(messages.next().await.expect("an answer")?, Message::text("hello"));
//! messages.close(None).await?;
//! # Ok(())
//! # }
//! ```

mod bytes;
mod error;
mod handshake;
mod options;

pub use bytes::ByteStream;
pub use error::{Error, ErrorKind};
pub use handshake::{accept, accept_with, client, connect};
pub use options::Options;
/// tokio-tungstenite's stream of messages.
pub use tokio_tungstenite::WebSocketStream;
/// The messages and their errors, in the version that this crate uses.
pub use tokio_tungstenite::tungstenite;
