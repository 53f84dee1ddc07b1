//! An event as a line.

use crate::clock::{Clock, micros};
use crate::event::LinkChange;
use crate::json::{Object, field};
use crate::kept::{Found, Kept, PARTS};
use crate::record::{Own, Record, Told};
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
    kept: Kept,
}

impl LineWriter {
    pub(crate) fn new(options: SinkOptions) -> Self {
        let process = trace::random() as u32;
        LineWriter { options, process, clock: Clock::default(), kept: Kept::default() }
    }

    /// Writes the line of an event to the start of `out`, without a newline, and returns its
    /// length. There is room for [`MAX_LINE_BYTES`].
    pub(crate) fn write(&mut self, out: &mut [u8], event: &Event<'_>, told: &Told) -> usize {
        let LineWriter { options, process, clock, .. } = self;
        let own = Own::of(event, told.time);
        compose(out, clock, *process, event.kind, &own, |part, line| {
            write_part(part, line, event, told, *options);
        })
    }

    /// As [`write`](Self::write), of an event that was recorded.
    pub(crate) fn write_recorded(&mut self, out: &mut [u8], record: &Record<'_>) -> usize {
        let LineWriter { options, process, clock, kept } = self;
        let Record { own, kind, route, likeness, .. } = record;
        let found = match likeness {
            Some(likeness) => kept.find(likeness, route),
            None => Found::Nothing,
        };
        if let Found::Parts(parts) = found {
            return compose(out, clock, *process, *kind, own, |part, line| {
                line.again(parts.part(part as usize));
            });
        }
        let (event, told) = record.event();
        let mut ranges = [const { 0..0 }; PARTS];
        let length = compose(out, clock, *process, *kind, own, |part, line| {
            let start = line.end();
            write_part(part, line, &event, &told, *options);
            ranges[part as usize] = start..line.end();
        });
        if let Found::Wanted(vacancy) = found {
            vacancy.keep(ranges.map(|range| &out[range]));
        }
        length
    }
}

/// What of a line does not depend on what its event has of its own.
#[derive(Clone, Copy)]
enum Part {
    /// What happened, at which bridge.
    Subject,
    /// Which way it went, and what was asked.
    Way,
    /// Who asked, and how it ended.
    Rest,
}

/// Writes a line of what its event has of its own and of parts that `write` writes.
#[inline(always)]
fn compose(
    out: &mut [u8],
    clock: &mut Clock,
    process: u32,
    kind: EventKind,
    own: &Own,
    mut write: impl FnMut(Part, &mut Object<'_>),
) -> usize {
    let time = clock.text(own.time);
    let mut line = Object::open(out, field!("time"), |out| out.put(time));
    write(Part::Subject, &mut line);
    if let Some(connection) = own.connection {
        let id = connection_id(process, connection);
        line.string_with(field!("connection.id"), |out| out.hex(&id));
        if let Some(request) = own.request {
            line.string_with(field!("request.id"), |out| {
                out.hex(&id);
                out.put(b"-");
                out.decimal(request);
            });
        }
    }
    if let Some(trace) = &own.trace {
        line.string_with(field!("trace_id"), |out| out.hex(&trace.trace_id));
        line.string_with(field!("span_id"), |out| out.hex(&trace.span_id));
    }
    write(Part::Way, &mut line);
    if matches!(kind, EventKind::Session | EventKind::Request | EventKind::Upgrade) {
        line.integer(field!("bytes.received"), own.bytes_received);
        line.integer(field!("bytes.sent"), own.bytes_sent);
    }
    for (field, micros) in [
        (field!("duration.total_ms"), own.total),
        (field!("duration.connect_ms"), own.connect),
        (field!("duration.first_byte_ms"), own.first_byte),
    ] {
        if let Some(micros) = micros {
            line.milliseconds(field, micros);
        }
    }
    write(Part::Rest, &mut line);
    line.close()
}

fn write_part(
    part: Part,
    line: &mut Object<'_>,
    event: &Event<'_>,
    told: &Told,
    options: SinkOptions,
) {
    match part {
        Part::Subject => {
            line.word(field!("event"), event.kind.as_str());
            line.again(event.route.bridge());
        }
        Part::Way => {
            if let Some(direction) = event.direction {
                line.word(field!("direction"), direction.as_str());
            }
            line.again(event.route.hops());
            if let Some(change) = &event.link_change {
                write_change(line, change);
            }
            if let Some(http) = &event.http {
                write_http(line, event.kind, http, options);
            }
        }
        Part::Rest => {
            write_peer(line, &event.peer, options);
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
        }
    }
}

fn write_change(line: &mut Object<'_>, change: &LinkChange<'_>) {
    line.integer(field!("link.attempt"), u64::from(change.attempt));
    if let Some(guest) = change.guest {
        line.string(field!("link.guest"), guest.as_bytes());
    }
    if let Some(reason) = change.reason {
        line.string(field!("link.reason"), reason.as_bytes());
    }
    if let Some(retry_in) = change.retry_in {
        line.milliseconds(field!("link.retry_ms"), micros(retry_in));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{self, tests as records};

    /// Each of many events again and again, among others, with other numbers each time.
    #[test]
    fn a_recorded_event_has_the_line_that_it_would_have_by_itself() {
        let routes = records::routes();
        let mut events: Vec<_> = routes.iter().flat_map(records::all_kinds).collect();
        let mut lines = LineWriter::new(SinkOptions { show_query: true, ..SinkOptions::default() });
        let (mut out, mut again) = (vec![0; MAX_LINE_BYTES], vec![0; MAX_LINE_BYTES]);
        let mut found = 0;
        // Behind one another, so that they are known, and in turns, so that they are forgotten.
        for (round, times) in [1, 4, 1, 1, 1].into_iter().enumerate() {
            for event in &mut events {
                for time in 0..times {
                    let number = (round * 10 + time) as u64;
                    event.bytes_sent = number;
                    event.request = event.request.map(|_| number * 1000);
                    let dropped = (number == 12).then_some(3);
                    let told = Told { time: number, repeated: number % 2, dropped };
                    let mut record = Vec::new();
                    let route = u32::from(std::sync::Arc::ptr_eq(event.route, &routes[1]));
                    assert!(record::write(&mut record, usize::MAX, event, &told, route));
                    let record = Record::take_off(&mut record.as_slice(), &routes);
                    if let Some(likeness) = record.likeness {
                        let parts = lines.kept.find(likeness, record.route);
                        found += usize::from(matches!(parts, Found::Parts(_)));
                    }
                    let length = lines.write_recorded(&mut out, &record);
                    let expected = lines.write(&mut again, event, &told);
                    assert_eq!(
                        str::from_utf8(&out[..length]).unwrap(),
                        str::from_utf8(&again[..expected]).unwrap(),
                    );
                }
            }
        }
        assert!(found > 10, "{found}");
    }
}
