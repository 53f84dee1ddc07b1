//! Many channels over one stream of bytes: the MultiplexingStream of Nerdbank.Streams, wire
//! versions 1, 2 and 3.
//!
//! A [`Mux`] is one end of a connection, over any stream. Both ends offer and accept channels, by
//! name or without one; each [`Channel`] is a stream of bytes of its own, with windows that hold
//! its sender back where nobody reads, ends for each direction, and errors.
//!
//! ```
//! use pipeway_mux::{ChannelOptions, Mux, Options};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (here, there) = tokio::io::duplex(64 * 1024);
//! let here = Mux::create(here, Options::default())?;
//! let there = Mux::create(there, Options::default())?;
//!
//! let served = async {
//!     let mut channel = there.accept("greeting", ChannelOptions::default()).await?;
//!     channel.write_all(b"hello").await?;
//!     channel.shutdown().await?;
//!     Ok::<_, Box<dyn std::error::Error>>(channel)
//! };
//! let asked = async {
//!     let mut channel = here.offer("greeting", ChannelOptions::default()).await?;
//!     let mut text = String::new();
//!     channel.read_to_string(&mut text).await?;
//!     Ok::<_, Box<dyn std::error::Error>>(text)
//! };
//! let (served, text) = tokio::join!(served, asked);
//! served?;
//! assert_eq!(text?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # How it is built
//!
//! The protocol is a state machine that does no input or output; one task for each connection moves
//! the bytes. What a channel writes is put behind what is to be sent already, at once and in
//! frames; what is received lies where it was read until its reader takes it, which is its only
//! copy. (Pieces under 4 KiB that wait for their readers are put together where they would hold
//! many times their own memory.)
//!
//! # What bounds memory
//!
//! | what | by |
//! |---|---|
//! | content that was received and not read | the channel's window; [`Options`] and [`Limits`] |
//! | content to be sent | about 128 KiB for the connection, and as much again on its way |
//! | offers that nobody accepts, channels | [`Limits`] |
//! | answers that the other end causes and does not read | 4 MiB, then nothing more is read from it |
//! | a frame that is not content | [`Limits::payload_bytes_max`] |
//!
//! In version 1 there are no windows: a channel that nobody reads stops the whole connection once
//! [`Limits::v1_buffer_bytes`] are kept for it, until it is read. An offer with content that nobody
//! accepts can do the same.

mod busy;
mod channel;
mod connection;
mod driver;
mod error;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod hold;
mod id;
mod input;
mod msgpack;
mod mux;
mod options;
mod shared;
mod simplex;
mod substream;

pub use channel::{Channel, ReadHalf, WriteHalf};
pub use error::{ChannelError, Ended, Error, ErrorKind, OfferError};
pub use id::{ChannelId, Source};
pub use mux::{IncomingOffer, Mux};
pub use options::{ChannelOptions, FIRST_MAX, Limits, Options, Version};
pub use simplex::{SimplexReader, SimplexWriter, simplex};
pub use substream::{SubstreamReader, SubstreamWriter};
