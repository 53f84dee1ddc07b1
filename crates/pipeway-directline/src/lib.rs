//! DirectLine over named pipes: what a bot's process and the App Service's connector say to each
//! other, over a pair of pipes.
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

mod connection;
mod error;
mod header;
mod id;
mod limits;
mod name;
mod payload;
pub mod service_url;

pub use connection::{
    Connection, Content, Event, IncomingRequest, IncomingResponse, Refusal, RequestKey, StreamHead,
    StreamHeads, StreamKey, StreamKeys, Warning,
};
pub use error::{Error, ErrorKind, code};
pub use header::{HEADER_LENGTH, Header, HeaderDefect, Kind, PayloadLength};
pub use id::Id;
pub use limits::{Limits, Strictness, Watchdog};
pub use name::BaseName;
