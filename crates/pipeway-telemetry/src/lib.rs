//! Typed events of sessions and requests, as JSON lines, and W3C trace context.
//!
//! An [`Event`] is borrowed from whoever tells it; a [`Sink`] copies it on the caller's thread,
//! without allocating, and a thread of the sink's own makes lines and writes them in batches.
//! Nothing that goes wrong with the writing reaches a session: it is counted ([`Sink::dropped`])
//! and told in the next line that can be written. `docs/reference/events.md` is the schema of the
//! lines.

mod clock;
mod event;
mod file;
mod hex;
mod json;
mod jsonl;
mod kept;
mod record;
mod redact;
mod repeats;
mod route;
mod sink;
mod sys;
mod telling;
mod trace;
mod writer;

pub use event::{
    Direction, End, Event, EventKind, Fault, Hop, Http, LinkChange, LinkHop, PeerInfo, Side,
};
pub use file::FileOptions;
pub use json::MAX_VALUE_BYTES;
pub use route::{Hops, Route};
pub use sink::{FLUSH_DEADLINE, Sink, SinkOptions};
pub use trace::TraceContext;
