//! Links: one process at the other side of a border that opens endpoints there, for any number of
//! streams at once.
//!
//! A [`Link`] starts its guest (inside WSL, on the Windows side, by `ssh`, in a container), speaks
//! with it over its standard input and output, and keeps the link up. [`Link::connect`] opens a
//! stream at the other side, which is a [`Stream`](crate::Stream) like any other. The guest runs
//! [`serve`], and opens nothing but what was named before it was started.
//!
//! ```no_run
//! use pipeway_transport::ConnectOptions;
//! use pipeway_transport::link::{Link, LinkConfig, Opening};
//! use tokio::io::AsyncWriteExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let docker = Opening::new(&"unix:/var/run/docker.sock".parse()?, &ConnectOptions::default())?;
//! let mut config = LinkConfig::new("box", r#"command:["ssh","box","pipeway","guest"]"#.parse()?);
//! config.openings = vec![docker.clone()];
//! let link = Link::start(config)?;
//! let mut stream = link.connect(&docker).await?;
//! stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n").await?;
//! # Ok(())
//! # }
//! ```

mod config;
mod guest;
mod handshake;
mod hold;
mod lines;
mod opening;
mod pauses;
mod pieces;
mod preface;
mod program;
mod relay;
mod report;
mod said;
mod spec;
mod start;
mod state;
mod stream;
mod wsl;

pub use config::{LinkConfig, OnLine};
pub use guest::{GuestOptions, serve};
pub use hold::Link;
pub use opening::Opening;
pub(crate) use pieces::Pieces;
pub use pipeway_mux::FIRST_MAX;
pub use spec::{CommandLine, Distribution, LinkSpec, LinkSpecParseError};
pub use state::{LinkDown, LinkDownReason, LinkState, LinkUp, LinkWatch};
pub(crate) use stream::LinkStream;

#[cfg(test)]
mod tests;
