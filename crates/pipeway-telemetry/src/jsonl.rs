//! An event as a line.

use std::time::SystemTime;

use crate::clock::Clock;
use crate::json::{Object, write_decimal, write_hex};
use crate::redact::{Target, hash};
use crate::{Event, EventKind, Http, PeerInfo, SinkOptions};

/// What a line tells beyond its event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) options: SinkOptions,
    /// Distinguishes this process's connections from those of others.
    pub(crate) process: u32,
    pub(crate) now: SystemTime,
    /// Identical events that were left out before this one.
    pub(crate) repeated: u64,
    /// Events that were dropped since the sink began, where no line has told that number yet.
    pub(crate) dropped: Option<u64>,
}

/// Appends `event` to `out`, without a newline.
pub(crate) fn write(out: &mut Vec<u8>, clock: &mut Clock, event: &Event<'_>, context: &Context) {
    let mut line = Object::open(out, "time", |out| clock.write(context.now, out));
    line.word("event", event.kind.as_str());
    if !event.bridge.is_empty() {
        line.string("bridge", event.bridge.as_bytes());
    }
    if let Some(connection) = event.connection {
        let id = connection_id(context.process, connection);
        line.string_with("connection.id", |out| write_hex(out, &id));
        if let Some(request) = event.request {
            line.string_with("request.id", |out| {
                write_hex(out, &id);
                out.push(b'-');
                write_decimal(out, request);
            });
        }
    }
    if let Some(trace) = &event.trace {
        line.string_with("trace_id", |out| write_hex(out, &trace.trace_id));
        line.string_with("span_id", |out| write_hex(out, &trace.span_id));
    }
    if let Some(direction) = event.direction {
        line.word("direction", direction.as_str());
    }
    if let Some(hop) = &event.transport {
        line.string("transport.mode", hop.mode.as_bytes());
        line.string("transport.endpoint", hop.endpoint.as_bytes());
    }
    if event.socket_activation {
        line.truth("transport.socket_activation");
    }
    if let Some(hop) = &event.upstream {
        line.string("upstream.mode", hop.mode.as_bytes());
        line.string("upstream.endpoint", hop.endpoint.as_bytes());
    }
    if let Some(link) = &event.link {
        line.string("link.name", link.name.as_bytes());
        line.string("link.mode", link.mode.as_bytes());
    }
    if let Some(change) = &event.link_change {
        line.integer("link.attempt", u64::from(change.attempt));
        if let Some(guest) = change.guest {
            line.string("link.guest", guest.as_bytes());
        }
        if let Some(reason) = change.reason {
            line.string("link.reason", reason.as_bytes());
        }
        if let Some(retry_in) = change.retry_in {
            line.milliseconds("link.retry_ms", retry_in);
        }
    }
    if let Some(http) = &event.http {
        write_http(&mut line, event.kind, http, context.options);
    }
    if matches!(event.kind, EventKind::Session | EventKind::Request | EventKind::Upgrade) {
        line.integer("bytes.received", event.bytes_received);
        line.integer("bytes.sent", event.bytes_sent);
    }
    for (field, duration) in [
        ("duration.total_ms", event.total),
        ("duration.connect_ms", event.connect),
        ("duration.first_byte_ms", event.first_byte),
    ] {
        if let Some(duration) = duration {
            line.milliseconds(field, duration);
        }
    }
    write_peer(&mut line, &event.peer, context.options);
    if let Some(end) = event.end {
        line.word("end", end.as_str());
    }
    if let Some(fault) = &event.error {
        line.string("error.type", fault.kind.as_bytes());
        line.word("error.side", fault.side.as_str());
    }
    if context.repeated > 0 {
        line.integer("repeated", context.repeated);
    }
    if let Some(dropped) = context.dropped {
        line.integer("events.dropped", dropped);
    }
    line.close();
}

fn write_http(line: &mut Object<'_>, kind: EventKind, http: &Http<'_>, options: SinkOptions) {
    // The names that OpenTelemetry knows; others are a client's free text and would be one group
    // each to whoever groups by method.
    match http.method {
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => {
            line.string("http.request.method", http.method.as_bytes());
        }
        other => {
            line.word("http.request.method", "_OTHER");
            line.string("http.request.method_original", other.as_bytes());
        }
    }
    let target = Target::parse(http.target);
    line.string("url.path", target.path.as_bytes());
    if options.show_query
        && let Some(query) = target.query
    {
        line.string("url.query", query.as_bytes());
    }
    if let Some(status) = http.status {
        line.integer("http.response.status_code", u64::from(status));
    }
    if let Some(user_agent) = http.user_agent {
        line.string("user_agent.original", user_agent);
    }
    match http.upgrade.filter(|_| kind == EventKind::Upgrade) {
        // The version of the upgraded protocol is not known here.
        Some(token) => {
            let mut name = [0; 64];
            let name = &mut name[..token.len().min(64)];
            name.copy_from_slice(&token.as_bytes()[..name.len()]);
            name.make_ascii_lowercase();
            line.string("network.protocol.name", name);
        }
        None => {
            line.word("network.protocol.name", "http");
            line.string("network.protocol.version", http.version.as_bytes());
        }
    }
}

fn write_peer(line: &mut Object<'_>, peer: &PeerInfo<'_>, options: SinkOptions) {
    if let Some(pid) = peer.pid {
        line.integer("peer.pid", u64::from(pid));
    }
    if let Some(uid) = peer.uid {
        line.integer("peer.uid", u64::from(uid));
    }
    match peer.sid {
        Some(sid) if options.show_sid => line.string("peer.sid", sid.as_bytes()),
        Some(sid) => line.string_with("peer.sid", |out| {
            out.extend_from_slice(b"fnv1a:");
            write_hex(out, &hash(sid).to_be_bytes());
        }),
        None => {}
    }
}

/// Process and number share eight bytes, so that an id stays short and two processes that write
/// to one place seldom meet.
fn connection_id(process: u32, connection: u64) -> [u8; 8] {
    (u64::from(process) << 32).wrapping_add(connection).to_be_bytes()
}
