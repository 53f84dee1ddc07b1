//! Typed events of sessions and requests, as JSON lines, and W3C trace context.

mod event;
mod sink;
mod trace;

pub use event::{End, Event, EventKind, Fault, Hop, Http, PeerInfo, Side};
pub use sink::{FileOptions, Sink, SinkOptions};
pub use trace::TraceContext;
