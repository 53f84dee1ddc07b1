//! The pair of pipes that a session goes over.
//!
//! | pipe | made by | written by | read by |
//! |---|---|---|---|
//! | `<base>.incoming` | the agent | the connector | the agent |
//! | `<base>.outgoing` | the agent | the agent | the connector |
//!
//! [`PairListener`] is the agent's end, [`connect_pair`] the connector's. Both give a [`Pair`]: a
//! [`Reader`], a [`Writer`] and a [`Watch`] that tells when the pipe that is written to is lost
//! while nothing is written.
//!
//! ```
//! use pipeway_directline::pipes::{PairConnectOptions, PairListenOptions, PairListener, Place, connect_pair};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let name = format!("pipeway-doc-{}", std::process::id());
//! let place: Place = name.parse()?;
//! let mut listener = PairListener::bind(&place, &PairListenOptions::default()).await?;
//! let options = PairConnectOptions::default();
//! let (agent, connector) = tokio::join!(listener.accept(), connect_pair(&place, &options));
//! let (mut agent, mut connector) = (agent?, connector?);
//! connector.writer.write_all(b"A").await?;
//! assert_eq!(agent.reader.read_u8().await?, b'A');
//!
//! drop(connector);
//! agent.watch.closed().await;
//! # Ok(())
//! # }
//! ```

mod backoff;
mod connect;
mod error;
mod listen;
mod pair;
mod place;
mod usher;

pub(crate) use backoff::Backoff;
pub use connect::{PairConnectOptions, RECONNECT_PAUSE, connect_pair, reconnect_pause};
pub use error::PipesError;
pub use listen::{PairCounts, PairListenOptions, PairListener};
pub use pair::{Pair, Reader, Watch, Writer};
pub use place::{Place, PlaceParseError};
