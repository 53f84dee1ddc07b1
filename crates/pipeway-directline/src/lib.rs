//! DirectLine over named pipes: what a bot's process and the App Service's connector say to each
//! other, over a pair of pipes.
//!
//! A [`Server`] is the agent's end: it listens, and serves what comes with a
//! [`tower_service::Service`] of [`http`] requests, such as an axum `Router`. A [`Connector`] is the
//! other end: it connects to an agent, as the platform does. Through a [`Client`] either end calls
//! the other. Both run over a [pair of pipes](pipes), named pipes on Windows and Unix sockets
//! elsewhere.
//!
//! A bot is a function of a [`Turn`] and an [`Activity`], served by [`Messages`]:
//!
//! ```no_run
//! use pipeway_directline::{Activity, Messages, Server, ServerOptions, Turn, TurnResult};
//!
//! async fn echo(turn: Turn, activity: Activity) -> TurnResult {
//!     let text = activity.text.unwrap_or_default();
//!     turn.reply(format!("you said {text}"))?;
//!     Ok(())
//! }
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let place = "bfv4.pipes".parse()?;
//! let server = Server::new(place, ServerOptions::default(), Messages::new(echo))?;
//! server.start();
//! server.ready().await?;
//! # Ok(())
//! # }
//! ```
//!
//! The bytes are frames with a [`Header`] of 48 bytes. A [`Connection`] is one end of a session, of
//! either role, without input and output: requests and their answers both ways, with bodies and
//! attachments as streams. The wire is told in `docs/reference/directline.md`.
//!
//! # What bounds memory
//!
//! Whatever the other end sends, a session keeps no more than its [`Limits`] allow:
//! [`memory_bytes_max`](Limits::memory_bytes_max) counts every buffer that any received content is
//! a slice of, until the last slice of it is dropped, wherever that is.

mod activity;
mod body;
mod client;
mod connection;
mod connector;
mod error;
mod header;
mod id;
mod limits;
mod message;
mod name;
mod observe;
mod payload;
pub mod pipes;
mod run;
mod server;
pub mod service_url;
mod session;
mod telemetry;
mod turn;

pub use activity::{Account, Activity, ActivityAttachment, AttachmentContent, Conversation};
pub use body::{Attachment, Attachments, Body};
pub use client::{CallTimeout, Client};
pub use connection::{
    Connection, Content, Event, IncomingRequest, IncomingResponse, Refusal, RequestKey, StreamHead,
    StreamHeads, StreamKey, StreamKeys, Warning,
};
pub use connector::{Connector, ConnectorOptions};
pub use error::{Error, ErrorKind, code};
pub use header::{HEADER_LENGTH, Header, HeaderDefect, Kind, PayloadLength};
pub use id::Id;
pub use limits::{Limits, Pace, Strictness, Watchdog};
pub use message::{RawPath, RequestId};
pub use name::BaseName;
pub use observe::{FrameWay, Observer, SessionEvent};
pub use server::{Server, ServerOptions};
pub use turn::{ErrorHook, HttpClient, Messages, MessagesOptions, ReplyLimits, Turn, TurnResult};

/// The documentation's page for those who write bots, whose examples are tests of this crate.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/directline-agent.md")]
struct AgentPage;
