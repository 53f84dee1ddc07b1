//! What all events of one way have in common.

use crate::event::{Hop, LinkHop};
use crate::json::{Object, field};
use crate::jsonl::MAX_LINE_BYTES;

/// The way that requests take: the bridge, and both its sides.
///
/// Made once for all the requests that go that way, and shared: an event names its route, and
/// what a line says of it was put together when the route was made.
#[derive(Debug)]
pub struct Route {
    /// The bridge's name, as a field of a line.
    bridge: Box<[u8]>,
    /// Both sides, as fields of a line.
    hops: Box<[u8]>,
}

/// The sides of a [`Route`], as far as there are any.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hops<'a> {
    /// The client's side, as observed.
    pub transport: Option<Hop<'a>>,
    /// Whether the listener was handed over by the service manager.
    pub socket_activation: bool,
    /// The upstream's side, as observed; absent if no connection was made.
    pub upstream: Option<Hop<'a>>,
    /// The link that leads to the upstream, where there is one.
    pub link: Option<LinkHop<'a>>,
}

impl Route {
    /// A route through the bridge of that name, which is empty where an event is not of one
    /// bridge.
    pub fn new(bridge: &str, hops: Hops<'_>) -> Self {
        let name = fields(|line| {
            if !bridge.is_empty() {
                line.string(field!("bridge"), bridge.as_bytes());
            }
        });
        Route { bridge: name, hops: fields(|line| write_hops(line, &hops)) }
    }

    /// The bridge, as a field with the comma before it, or nothing.
    pub(crate) fn bridge(&self) -> &[u8] {
        &self.bridge
    }

    /// The sides, as fields with a comma before each.
    pub(crate) fn hops(&self) -> &[u8] {
        &self.hops
    }

    /// How much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.bridge.len() + self.hops.len()
    }
}

fn write_hops(line: &mut Object<'_>, hops: &Hops<'_>) {
    if let Some(hop) = &hops.transport {
        line.string(field!("transport.mode"), hop.mode.as_bytes());
        line.string(field!("transport.endpoint"), hop.endpoint.as_bytes());
    }
    if hops.socket_activation {
        line.truth(field!("transport.socket_activation"));
    }
    if let Some(hop) = &hops.upstream {
        line.string(field!("upstream.mode"), hop.mode.as_bytes());
        line.string(field!("upstream.endpoint"), hop.endpoint.as_bytes());
    }
    if let Some(link) = &hops.link {
        line.string(field!("link.name"), link.name.as_bytes());
        line.string(field!("link.mode"), link.mode.as_bytes());
    }
}

/// What `write` writes. No line is longer than the room that it has.
fn fields(write: impl FnOnce(&mut Object<'_>)) -> Box<[u8]> {
    let mut out = vec![0; MAX_LINE_BYTES];
    let mut line = Object::part(&mut out);
    write(&mut line);
    let length = line.end();
    out[..length].into()
}
