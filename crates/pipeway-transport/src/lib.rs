//! Named pipes, Unix sockets and loopback TCP behind one [`Listener`], one [`Stream`] and one
//! [`connect`], private by default.
//!
//! An [`Endpoint`] is the address of one end, as text. [`Listener::bind`] makes the server's end
//! of it with the [`Access`] that was asked for, reads the applied access back and refuses to
//! start where it differs; [`connect`] makes the client's end, with a deadline, and can verify
//! who serves it before the first byte is sent.
//!
//! | endpoint | Windows | Linux, macOS |
//! |---|---|---|
//! | `npipe:NAME` and its other spellings | yes | no |
//! | `unix:/path` | no | yes |
//! | `tcp:127.0.0.1:PORT` | yes | yes |
//! | `local:NAME` | a named pipe | a Unix socket in a private folder |
//!
//! ```
//! use pipeway_transport::{ConnectOptions, Endpoint, ListenOptions, Listener, connect};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let name = format!("local:pipeway-doc-{}", std::process::id());
//! # let endpoint: Endpoint = name.parse()?;
//! # if false {
//! let endpoint: Endpoint = "local:greeter".parse()?;
//! # }
//! let mut listener = Listener::bind(&endpoint, &ListenOptions::default())?;
//! let served = async {
//!     let (mut stream, peer) = listener.accept().await?;
//!     println!("process {:?} connected", peer.pid);
//!     stream.write_all(b"hello").await?;
//!     stream.shutdown().await?;
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! };
//! let asked = async {
//!     let mut stream = connect(&endpoint, &ConnectOptions::default()).await?;
//!     let mut text = String::new();
//!     stream.read_to_string(&mut text).await?;
//!     Ok::<_, Box<dyn std::error::Error>>(text)
//! };
//! let (served, text) = tokio::join!(served, asked);
//! served?;
//! assert_eq!(text?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! None is on by default, and each brings only what it names.
//!
//! | feature | module | brings |
//! |---|---|---|
//! | `hyper` | [`hyper`](mod@hyper) | a connector for hyper-util's client, with pooling; for tonic's too |
//! | `axum` | [`axum`](mod@axum) | a listener for `axum::serve`, and [`Peer`] as an extractor |
//! | `tungstenite` | [`websocket`] | handshakes with a deadline and bounds; a WebSocket as a stream of bytes |
//! | `child` | [`child`] | child processes, with pipes or in a terminal |
//! | `link` | [`link`] | one process at the other side of a border (WSL and Windows, `ssh`, a container) that opens endpoints there, for any number of streams at once |
//! | `console` | [`console`] | the user's own terminal: raw mode that is always taken back, its size, its keys |
//! | `stdio` | [`stdio`] | this process's own standard input and output as one stream |
//!
//! [`join`] needs none: one stream of a reader and a writer.

#![cfg_attr(docsrs, feature(doc_cfg))]
// The page names every feature's items, also where it is built without them.
#![cfg_attr(
    not(all(
        feature = "axum",
        feature = "child",
        feature = "console",
        feature = "hyper",
        feature = "link",
        feature = "stdio",
        feature = "tungstenite"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

mod access;
#[cfg(feature = "axum")]
pub mod axum;
mod backoff;
mod busy;
#[cfg(feature = "child")]
pub mod child;
mod connect;
#[cfg(feature = "console")]
pub mod console;
mod count;
mod direction;
mod endpoint;
mod error;
#[cfg(feature = "child")]
mod fifo;
mod half_close;
#[cfg(feature = "hyper")]
pub mod hyper;
mod io_loop;
mod joined;
mod limit;
#[cfg(feature = "link")]
pub mod link;
mod listen;
mod mode;
mod pages;
#[cfg(any(feature = "hyper", feature = "tungstenite"))]
mod path;
mod peer;
#[cfg(feature = "link")]
mod spawned;
mod splice;
#[cfg(feature = "stdio")]
pub mod stdio;
mod stream;
mod sys;
#[cfg(any(feature = "console", feature = "stdio"))]
mod text;
mod token;
#[cfg(feature = "tungstenite")]
pub mod websocket;
mod wide;

pub use access::{Access, AccessParseError};
pub use busy::BusyPoll;
pub use connect::{ConnectOptions, connect};
pub use direction::Direction;
pub use endpoint::{Endpoint, EndpointParseError, LocalName, PipeName, UnixPath, local_folder};
pub use error::{Error, ErrorKind};
pub use half_close::{HalfClose, HalfCloseParseError};
pub use io_loop::IoLoop;
pub use joined::{Joined, join};
pub use limit::raise_file_limit;
pub use listen::{ListenOptions, Listener};
pub use mode::Mode;
pub use pages::prefer_large_pages;
pub use peer::Peer;
pub use splice::Splice;
pub use stream::{Probe, Stream};
pub use token::Token;
pub use wide::Wide;

/// The documentation's page for Rust programmers, whose examples are tests of this crate.
#[cfg(all(doctest, feature = "axum", feature = "hyper", feature = "tungstenite"))]
#[doc = include_str!("../../../docs/library.md")]
struct LibraryPage;
