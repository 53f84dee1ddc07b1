//! What is told of a session or a request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::{Route, TraceContext};

/// A set of words that stand in lines.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$of_variant:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$of_variant])* $variant,)+
        }

        impl $name {
            /// All of them, in their order.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The word that stands in the line.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }
    };
}

/// One event. Borrowed, so that telling it allocates nothing.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// What happened.
    pub kind: EventKind,
    /// When, if whoever tells it knows that already: it was just now. Without it the clock is read.
    pub at: Option<Instant>,
    /// The way that it is told of.
    pub route: &'a Arc<Route>,
    /// The session's number, unique in this process.
    pub connection: Option<u64>,
    /// The request's number in its session, from 1.
    pub request: Option<u64>,
    /// The trace that the request belongs to, and the span that this bridge made for it.
    pub trace: Option<TraceContext>,
    /// Which way a gateway's request went.
    pub direction: Option<Direction>,
    /// What became of the link, in its own events.
    pub link_change: Option<LinkChange<'a>>,
    /// The HTTP part.
    pub http: Option<Http<'a>>,
    /// Bytes received from the client, heads included.
    pub bytes_received: u64,
    /// Bytes sent to the client, heads included.
    pub bytes_sent: u64,
    /// From the first byte (or the accept) to the end; of a link, how long it was up.
    pub total: Option<Duration>,
    /// Connecting to the upstream, where this request did; of a link, how long it took to come up.
    pub connect: Option<Duration>,
    /// From the request's first byte to the answer's first byte.
    pub first_byte: Option<Duration>,
    /// The client's identity.
    pub peer: PeerInfo<'a>,
    /// How it ended.
    pub end: Option<End>,
    /// What went wrong, and whose fault it was.
    pub error: Option<Fault<'a>>,
}

impl<'a> Event<'a> {
    /// An event of `kind` with everything else absent.
    pub fn new(kind: EventKind, route: &'a Arc<Route>) -> Self {
        Event {
            kind,
            at: None,
            route,
            connection: None,
            request: None,
            trace: None,
            direction: None,
            link_change: None,
            http: None,
            bytes_received: 0,
            bytes_sent: 0,
            total: None,
            connect: None,
            first_byte: None,
            peer: PeerInfo::default(),
            end: None,
            error: None,
        }
    }
}

words! {
    /// The kind of an event.
    EventKind {
        /// A bridge accepts.
        Start = "start",
        /// A bridge has stopped.
        Stop = "stop",
        /// A client's connection ended.
        Session = "session",
        /// A request was answered, or failed.
        Request = "request",
        /// An upgraded connection (a WebSocket) ended.
        Upgrade = "upgrade",
        /// Accepting failed.
        AcceptError = "accept_error",
        /// A link is up.
        LinkUp = "link_up",
        /// A link is down.
        LinkDown = "link_down",
    }
}

words! {
    /// Which way a request of a DirectLine gateway went.
    Direction {
        /// From the platform to the agent: an activity.
        ToAgent = "to_agent",
        /// From the agent to the platform: a call back.
        ToPlatform = "to_platform",
    }
}

/// One hop.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The mode: `named_pipe`, `unix`, `tcp` or `stdio`.
    pub mode: &'a str,
    /// The endpoint as text that the endpoint parser reads back.
    pub endpoint: &'a str,
}

/// A link, as a part of the way.
#[derive(Clone, Copy, Debug)]
pub struct LinkHop<'a> {
    /// The link's name.
    pub name: &'a str,
    /// The mode of what carries it: `stdio`.
    pub mode: &'a str,
}

/// What became of a link.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkChange<'a> {
    /// How many attempts it took, or have failed since it was up.
    pub attempt: u32,
    /// The version of the guest's program, where the link is up.
    pub guest: Option<&'a str>,
    /// Why it is down.
    pub reason: Option<&'a str>,
    /// When it is tried again.
    pub retry_in: Option<Duration>,
}

/// The HTTP part of an event.
#[derive(Clone, Copy, Debug)]
pub struct Http<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The request's target as sent; the sink redacts its query.
    pub target: &'a str,
    /// The status sent to the client.
    pub status: Option<u16>,
    /// The `User-Agent` header.
    pub user_agent: Option<&'a [u8]>,
    /// `1.0` or `1.1`.
    pub version: &'a str,
    /// The upgrade's token (`websocket`), where the connection was upgraded.
    pub upgrade: Option<&'a str>,
}

/// The client's identity.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerInfo<'a> {
    /// The process id.
    pub pid: Option<u32>,
    /// The user id.
    pub uid: Option<u32>,
    /// The SID; hashed unless the sink was told otherwise.
    pub sid: Option<&'a str>,
}

words! {
    /// How a session or a request ended.
    End {
        /// As it should.
        Complete = "complete",
        /// The client closed early.
        ClientClosed = "client_closed",
        /// The upstream closed early, or died.
        UpstreamClosed = "upstream_closed",
        /// Refused by policy, limits or the upstream's absence: the bridge answered.
        Refused = "refused",
        /// A deadline passed.
        Timeout = "timeout",
        /// The bridge was stopping, and let it finish.
        Drained = "drained",
        /// The drain deadline passed, and it was cut.
        Cut = "cut",
    }
}

/// What went wrong, and whose fault it was.
#[derive(Clone, Copy, Debug)]
pub struct Fault<'a> {
    /// The kind, as in the JSON body of the answer: `upstream_refused`.
    pub kind: &'a str,
    /// Whose fault.
    pub side: Side,
}

words! {
    /// A side of a bridge.
    Side {
        /// Who connected to us.
        Client = "client",
        /// What we connected to.
        Upstream = "upstream",
        /// This program.
        Bridge = "bridge",
    }
}
