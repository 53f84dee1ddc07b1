//! An event as a line.

use crate::clock::Clock;
use crate::json::{Object, field};
use crate::record::Told;
use crate::redact::{Target, hash};
use crate::{Event, EventKind, Http, PeerInfo, SinkOptions, trace};

/// No line is longer: some twenty values of at most [`crate::MAX_VALUE_BYTES`] bytes, each of
/// which becomes six at most.
pub(crate) const MAX_LINE_BYTES: usize = 256 << 10;

/// Makes lines.
#[derive(Debug)]
pub(crate) struct LineWriter {
    options: SinkOptions,
    /// Distinguishes this process's connections from those of others.
    process: u32,
    clock: Clock,
}

impl LineWriter {
    pub(crate) fn new(options: SinkOptions) -> Self {
        let process = trace::random() as u32;
        LineWriter { options, process, clock: Clock::default() }
    }

    /// Writes a line to the start of `out`, without a newline, and returns its length. There is
    /// room for [`MAX_LINE_BYTES`].
    pub(crate) fn write(&mut self, out: &mut [u8], event: &Event<'_>, told: &Told) -> usize {
        let time = self.clock.text(told.time);
        let mut line = Object::open(out, field!("time"), |out| out.put(time));
        line.word(field!("event"), event.kind.as_str());
        line.again(event.route.bridge());
        if let Some(connection) = event.connection {
            let id = connection_id(self.process, connection);
            line.string_with(field!("connection.id"), |out| out.hex(&id));
            if let Some(request) = event.request {
                line.string_with(field!("request.id"), |out| {
                    out.hex(&id);
                    out.put(b"-");
                    out.decimal(request);
                });
            }
        }
        if let Some(trace) = &event.trace {
            line.string_with(field!("trace_id"), |out| out.hex(&trace.trace_id));
            line.string_with(field!("span_id"), |out| out.hex(&trace.span_id));
        }
        if let Some(direction) = event.direction {
            line.word(field!("direction"), direction.as_str());
        }
        line.again(event.route.hops());
        if let Some(change) = &event.link_change {
            line.integer(field!("link.attempt"), u64::from(change.attempt));
            if let Some(guest) = change.guest {
                line.string(field!("link.guest"), guest.as_bytes());
            }
            if let Some(reason) = change.reason {
                line.string(field!("link.reason"), reason.as_bytes());
            }
            if let Some(retry_in) = change.retry_in {
                line.milliseconds(field!("link.retry_ms"), retry_in);
            }
        }
        if let Some(http) = &event.http {
            write_http(&mut line, event.kind, http, self.options);
        }
        if matches!(event.kind, EventKind::Session | EventKind::Request | EventKind::Upgrade) {
            line.integer(field!("bytes.received"), event.bytes_received);
            line.integer(field!("bytes.sent"), event.bytes_sent);
        }
        for (field, duration) in [
            (field!("duration.total_ms"), event.total),
            (field!("duration.connect_ms"), event.connect),
            (field!("duration.first_byte_ms"), event.first_byte),
        ] {
            if let Some(duration) = duration {
                line.milliseconds(field, duration);
            }
        }
        write_peer(&mut line, &event.peer, self.options);
        if let Some(end) = event.end {
            line.word(field!("end"), end.as_str());
        }
        if let Some(fault) = &event.error {
            line.string(field!("error.type"), fault.kind.as_bytes());
            line.word(field!("error.side"), fault.side.as_str());
        }
        if told.repeated > 0 {
            line.integer(field!("repeated"), told.repeated);
        }
        if let Some(dropped) = told.dropped {
            line.integer(field!("events.dropped"), dropped);
        }
        line.close()
    }
}

fn write_http(line: &mut Object<'_>, kind: EventKind, http: &Http<'_>, options: SinkOptions) {
    // The names that OpenTelemetry knows; others are a client's free text and would be one group
    // each to whoever groups by method.
    match http.method {
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => {
            line.word(field!("http.request.method"), http.method);
        }
        other => {
            line.word(field!("http.request.method"), "_OTHER");
            line.string(field!("http.request.method_original"), other.as_bytes());
        }
    }
    let target = Target::parse(http.target);
    line.string(field!("url.path"), target.path.as_bytes());
    if options.show_query
        && let Some(query) = target.query
    {
        line.string(field!("url.query"), query.as_bytes());
    }
    if let Some(status) = http.status {
        line.integer(field!("http.response.status_code"), u64::from(status));
    }
    if let Some(user_agent) = http.user_agent {
        line.string(field!("user_agent.original"), user_agent);
    }
    match http.upgrade.filter(|_| kind == EventKind::Upgrade) {
        // The version of the upgraded protocol is not known here.
        Some(token) => {
            let mut name = [0; 64];
            let name = &mut name[..token.len().min(64)];
            name.copy_from_slice(&token.as_bytes()[..name.len()]);
            name.make_ascii_lowercase();
            line.string(field!("network.protocol.name"), name);
        }
        None => {
            line.word(field!("network.protocol.name"), "http");
            match http.version {
                "1.1" => line.word(field!("network.protocol.version"), "1.1"),
                other => line.string(field!("network.protocol.version"), other.as_bytes()),
            }
        }
    }
}

fn write_peer(line: &mut Object<'_>, peer: &PeerInfo<'_>, options: SinkOptions) {
    if let Some(pid) = peer.pid {
        line.integer(field!("peer.pid"), u64::from(pid));
    }
    if let Some(uid) = peer.uid {
        line.integer(field!("peer.uid"), u64::from(uid));
    }
    match peer.sid {
        Some(sid) if options.show_sid => line.string(field!("peer.sid"), sid.as_bytes()),
        Some(sid) => line.string_with(field!("peer.sid"), |out| {
            out.put(b"fnv1a:");
            out.hex(&hash(sid).to_be_bytes());
        }),
        None => {}
    }
}

/// Process and number share eight bytes, so that an id stays short and two processes that write
/// to one place seldom meet.
fn connection_id(process: u32, connection: u64) -> [u8; 8] {
    (u64::from(process) << 32).wrapping_add(connection).to_be_bytes()
}
