//! An event on its way from who tells it to the thread that makes a line of it.
//!
//! Who tells it is serving somebody: it copies what the event says, and the line is made where
//! many are made in a row. That takes less of the processor's time in all, too: between a request
//! and the next there is little in its caches of what makes lines.
//!
//! A record is a part of fixed length, a second one for what few events say, and the texts. Its
//! route stands beside it, as a number. It never leaves the process.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::micros;
use crate::event::{Direction, End, EventKind, Fault, Http, LinkChange, Side};
use crate::{Event, PeerInfo, Route, TraceContext};

/// What a line tells beyond its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The wall-clock time, in microseconds since 1970.
    pub(crate) time: u64,
    /// Identical events that were left out before this one.
    pub(crate) repeated: u64,
    /// Events that were dropped since the sink began, where no line has told that number yet.
    pub(crate) dropped: Option<u64>,
}

/// Eight numbers of eight bytes, seven of four, one of two, four of one byte each, and a trace.
const FIXED: usize = 8 * 8 + 7 * 4 + 2 + 4 + 25;

/// The texts of which most events have none.
const RARE_TEXTS: usize = 6;

/// What follows the fixed part where [`has::RARE`] says so: three numbers of eight bytes, one of
/// four, and the lengths of the texts.
const RARE: usize = 3 * 8 + 4 + RARE_TEXTS * 4;

/// The length of a text that is not there.
const ABSENT: u32 = u32::MAX;

/// The version of HTTP that nearly every request has.
const HTTP_11: &str = "1.1";

/// Which of the fields that may be absent are there.
mod has {
    pub(super) const CONNECTION: u32 = 1;
    pub(super) const REQUEST: u32 = 1 << 1;
    pub(super) const TRACE: u32 = 1 << 2;
    pub(super) const CHANGE: u32 = 1 << 3;
    pub(super) const RETRY: u32 = 1 << 4;
    pub(super) const HTTP: u32 = 1 << 5;
    pub(super) const STATUS: u32 = 1 << 6;
    pub(super) const USER_AGENT: u32 = 1 << 7;
    pub(super) const TOTAL: u32 = 1 << 8;
    pub(super) const CONNECT: u32 = 1 << 9;
    pub(super) const FIRST_BYTE: u32 = 1 << 10;
    pub(super) const PID: u32 = 1 << 11;
    pub(super) const UID: u32 = 1 << 12;
    pub(super) const DROPPED: u32 = 1 << 13;
    pub(super) const RARE: u32 = 1 << 14;
}

/// Appends a record with the number of its route, if `out` is no longer than `max` bytes then;
/// `false` if it would be.
#[inline]
pub(crate) fn write(
    out: &mut Vec<u8>,
    max: usize,
    event: &Event<'_>,
    told: &Told,
    route: u32,
) -> bool {
    let (method, target, user_agent) = match &event.http {
        Some(http) => (http.method, http.target, http.user_agent),
        None => ("", "", None),
    };
    let agent = user_agent.unwrap_or_default();
    let is_rare = is_rare(event, told);
    let rare = if is_rare {
        RARE + rare_texts(event).iter().flatten().map(|text| text.len()).sum::<usize>()
    } else {
        0
    };
    let length = FIXED + rare + method.len() + target.len() + agent.len();
    if out.len() + length > max {
        return false;
    }
    out.reserve(length);

    let mut flags = 0;
    let mut flag = |bit: u32, is: bool| flags |= if is { bit } else { 0 };
    let status = event.http.and_then(|http| http.status);
    flag(has::CONNECTION, event.connection.is_some());
    flag(has::REQUEST, event.request.is_some());
    flag(has::TRACE, event.trace.is_some());
    flag(has::CHANGE, event.link_change.is_some());
    flag(has::RETRY, event.link_change.is_some_and(|change| change.retry_in.is_some()));
    flag(has::HTTP, event.http.is_some());
    flag(has::STATUS, status.is_some());
    flag(has::USER_AGENT, user_agent.is_some());
    flag(has::TOTAL, event.total.is_some());
    flag(has::CONNECT, event.connect.is_some());
    flag(has::FIRST_BYTE, event.first_byte.is_some());
    flag(has::PID, event.peer.pid.is_some());
    flag(has::UID, event.peer.uid.is_some());
    flag(has::DROPPED, told.dropped.is_some());
    flag(has::RARE, is_rare);

    // Lines tell microseconds.
    let micros = |duration: Option<Duration>| duration.map_or(0, micros);
    let mut fixed = Fixed::<FIXED>::new();
    for number in [
        told.time,
        event.connection.unwrap_or(0),
        event.request.unwrap_or(0),
        event.bytes_received,
        event.bytes_sent,
        micros(event.total),
        micros(event.connect),
        micros(event.first_byte),
    ] {
        fixed.put(number.to_ne_bytes());
    }
    for number in [
        flags,
        route,
        event.peer.pid.unwrap_or(0),
        event.peer.uid.unwrap_or(0),
        length_of(method.as_bytes()),
        length_of(target.as_bytes()),
        length_of(agent),
    ] {
        fixed.put(number.to_ne_bytes());
    }
    fixed.put(status.unwrap_or(0).to_ne_bytes());
    fixed.put([
        event.kind as u8,
        event.direction.map_or(0, |direction| direction as u8 + 1),
        event.end.map_or(0, |end| end as u8 + 1),
        event.error.map_or(0, |fault| fault.side as u8 + 1),
    ]);
    let trace = event.trace.unwrap_or(NO_TRACE);
    fixed.put(trace.trace_id);
    fixed.put(trace.span_id);
    fixed.put([trace.flags]);

    out.extend_from_slice(fixed.whole());
    if is_rare {
        write_rare(out, event, told);
    }
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(agent);
    true
}

const NO_TRACE: TraceContext = TraceContext { trace_id: [0; 16], span_id: [0; 8], flags: 0 };

/// Whether there is anything to say that most events do not say.
#[inline]
fn is_rare(event: &Event<'_>, told: &Told) -> bool {
    let rare_http = |http: Http<'_>| http.upgrade.is_some() || http.version != HTTP_11;
    told.repeated > 0
        || told.dropped.is_some()
        || event.link_change.is_some()
        || event.peer.sid.is_some()
        || event.error.is_some()
        || event.http.is_some_and(rare_http)
}

/// In the order in which [`read`] knows them.
fn rare_texts<'a>(event: &Event<'a>) -> [Option<&'a [u8]>; RARE_TEXTS] {
    let change = event.link_change.unwrap_or_default();
    [
        change.guest,
        change.reason,
        event.http.map(|http| http.version),
        event.http.and_then(|http| http.upgrade),
        event.peer.sid,
        event.error.map(|fault| fault.kind),
    ]
    .map(|text| text.map(str::as_bytes))
}

#[cold]
fn write_rare(out: &mut Vec<u8>, event: &Event<'_>, told: &Told) {
    let change = event.link_change.unwrap_or_default();
    let texts = rare_texts(event);
    let mut fixed = Fixed::<RARE>::new();
    for number in [told.repeated, told.dropped.unwrap_or(0), change.retry_in.map_or(0, micros)] {
        fixed.put(number.to_ne_bytes());
    }
    fixed.put(change.attempt.to_ne_bytes());
    for text in texts {
        fixed.put(text.map_or(ABSENT, length_of).to_ne_bytes());
    }
    out.extend_from_slice(fixed.whole());
    for text in texts.into_iter().flatten() {
        out.extend_from_slice(text);
    }
}

/// The length of a text, which is part of a head or of a message: far less than 4 GiB.
fn length_of(text: &[u8]) -> u32 {
    u32::try_from(text.len()).expect("a text is shorter than what may wait")
}

/// What few events say.
#[derive(Default)]
struct Rare<'a> {
    repeated: u64,
    dropped: u64,
    retry_in: u64,
    attempt: u32,
    texts: [Option<&'a str>; RARE_TEXTS],
}

/// Takes the first record off `records`; its route is one of `routes`.
pub(crate) fn read<'a>(records: &mut &'a [u8], routes: &'a [Arc<Route>]) -> (Event<'a>, Told) {
    let mut rest = *records;
    let mut fixed = Fixed::<FIXED>::take_off(&mut rest);
    let [time, connection, request, bytes_received, bytes_sent, total, connect, first_byte] =
        std::array::from_fn(|_| u64::from_ne_bytes(fixed.take()));
    let [flags, route, pid, uid, method, target, user_agent] =
        std::array::from_fn(|_| u32::from_ne_bytes(fixed.take()));
    let status = u16::from_ne_bytes(fixed.take());
    let [kind, direction, end, side] = fixed.take();
    let trace =
        TraceContext { trace_id: fixed.take(), span_id: fixed.take(), flags: fixed.take::<1>()[0] };
    let given = |bit: u32| flags & bit != 0;
    let rare = if given(has::RARE) { read_rare(&mut rest) } else { Rare::default() };
    let method = text(&mut rest, method);
    let target = text(&mut rest, target);
    let user_agent = bytes(&mut rest, user_agent);
    *records = rest;

    let duration = |bit: u32, micros: u64| given(bit).then(|| Duration::from_micros(micros));
    let [guest, reason, version, upgrade, sid, error] = rare.texts;
    let event = Event {
        kind: EventKind::ALL[usize::from(kind)],
        at: None,
        route: &routes[route as usize],
        connection: given(has::CONNECTION).then_some(connection),
        request: given(has::REQUEST).then_some(request),
        trace: given(has::TRACE).then_some(trace),
        direction: named(Direction::ALL, direction),
        link_change: given(has::CHANGE).then(|| LinkChange {
            attempt: rare.attempt,
            guest,
            reason,
            retry_in: duration(has::RETRY, rare.retry_in),
        }),
        http: given(has::HTTP).then(|| Http {
            method,
            target,
            status: given(has::STATUS).then_some(status),
            user_agent: given(has::USER_AGENT).then_some(user_agent),
            version: version.unwrap_or(HTTP_11),
            upgrade,
        }),
        bytes_received,
        bytes_sent,
        total: duration(has::TOTAL, total),
        connect: duration(has::CONNECT, connect),
        first_byte: duration(has::FIRST_BYTE, first_byte),
        peer: PeerInfo {
            pid: given(has::PID).then_some(pid),
            uid: given(has::UID).then_some(uid),
            sid,
        },
        end: named(End::ALL, end),
        error: error.zip(named(Side::ALL, side)).map(|(kind, side)| Fault { kind, side }),
    };
    let dropped = given(has::DROPPED).then_some(rare.dropped);
    (event, Told { time, repeated: rare.repeated, dropped })
}

#[cold]
fn read_rare<'a>(rest: &mut &'a [u8]) -> Rare<'a> {
    let mut fixed = Fixed::<RARE>::take_off(rest);
    let [repeated, dropped, retry_in] = std::array::from_fn(|_| u64::from_ne_bytes(fixed.take()));
    let attempt = u32::from_ne_bytes(fixed.take());
    let lengths: [u32; RARE_TEXTS] = std::array::from_fn(|_| u32::from_ne_bytes(fixed.take()));
    let texts = lengths.map(|length| (length != ABSENT).then(|| text(rest, length)));
    Rare { repeated, dropped, retry_in, attempt, texts }
}

#[inline]
fn bytes<'a>(rest: &mut &'a [u8], length: u32) -> &'a [u8] {
    rest.split_off(..length as usize).expect("only whole records are there")
}

/// What was text when it was written.
#[inline]
fn text<'a>(rest: &mut &'a [u8], length: u32) -> &'a str {
    str::from_utf8(bytes(rest, length)).unwrap_or_default()
}

/// The one that was written as its place from 1; 0 is none.
fn named<T: Copy>(all: &[T], number: u8) -> Option<T> {
    all.get(usize::from(number).wrapping_sub(1)).copied()
}

/// A part of fixed length. Where each field stands is known when the program is built.
struct Fixed<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Fixed<N> {
    #[inline(always)]
    fn new() -> Self {
        Fixed { bytes: [0; N], at: 0 }
    }

    #[inline(always)]
    fn take_off(rest: &mut &[u8]) -> Self {
        let (fixed, after) = rest.split_first_chunk().expect("only whole records are there");
        *rest = after;
        Fixed { bytes: *fixed, at: 0 }
    }

    /// All of it, when everything was put.
    #[inline(always)]
    fn whole(&self) -> &[u8; N] {
        debug_assert_eq!(self.at, N);
        &self.bytes
    }

    #[inline(always)]
    fn put<const M: usize>(&mut self, bytes: [u8; M]) {
        self.bytes[self.at..self.at + M].copy_from_slice(&bytes);
        self.at += M;
    }

    #[inline(always)]
    fn take<const M: usize>(&mut self) -> [u8; M] {
        let mut bytes = [0; M];
        bytes.copy_from_slice(&self.bytes[self.at..self.at + M]);
        self.at += M;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hops;

    fn routes() -> [Arc<Route>; 2] {
        ["one", "other"].map(|bridge| Arc::new(Route::new(bridge, Hops::default())))
    }

    /// Each field with something of its own.
    fn full(route: &Arc<Route>) -> Event<'_> {
        Event {
            kind: EventKind::Upgrade,
            at: None,
            route,
            connection: Some(u64::MAX),
            request: Some(2),
            trace: Some(TraceContext { trace_id: [3; 16], span_id: [4; 8], flags: 5 }),
            direction: Some(Direction::ToPlatform),
            link_change: Some(LinkChange {
                attempt: 7,
                guest: Some("0.8"),
                reason: Some("höher"),
                retry_in: Some(Duration::from_micros(9)),
            }),
            http: Some(Http {
                method: "GET",
                target: "/10?11",
                status: Some(512),
                user_agent: Some(b"\xff13"),
                version: "1.0",
                upgrade: Some("websocket"),
            }),
            bytes_received: 14,
            bytes_sent: 15,
            total: Some(Duration::from_micros(16)),
            connect: Some(Duration::from_micros(17)),
            first_byte: Some(Duration::from_micros(18)),
            peer: PeerInfo { pid: Some(19), uid: Some(20), sid: Some("S-1-21") },
            end: Some(End::Cut),
            error: Some(Fault { kind: "refused", side: Side::Bridge }),
        }
    }

    /// Those that leave one field out, each another.
    fn without_one(route: &Arc<Route>) -> Vec<Event<'_>> {
        let mut events = Vec::new();
        let mut without = |remove: fn(&mut Event<'_>)| {
            let mut event = full(route);
            remove(&mut event);
            events.push(event);
        };
        without(|event| event.connection = None);
        without(|event| event.request = None);
        without(|event| event.trace = None);
        without(|event| event.direction = None);
        without(|event| event.link_change = None);
        without(|event| event.link_change.as_mut().unwrap().guest = None);
        without(|event| event.link_change.as_mut().unwrap().reason = None);
        without(|event| event.link_change.as_mut().unwrap().retry_in = None);
        without(|event| event.http = None);
        without(|event| event.http.as_mut().unwrap().status = None);
        without(|event| event.http.as_mut().unwrap().user_agent = None);
        without(|event| event.http.as_mut().unwrap().user_agent = Some(b""));
        without(|event| event.http.as_mut().unwrap().upgrade = None);
        without(|event| event.http.as_mut().unwrap().version = "1.1");
        without(|event| event.total = None);
        without(|event| event.connect = None);
        without(|event| event.first_byte = None);
        without(|event| event.peer.pid = None);
        without(|event| event.peer.uid = None);
        without(|event| event.peer.sid = None);
        without(|event| event.end = None);
        without(|event| event.error = None);
        events
    }

    #[test]
    fn every_event_reads_back_from_among_others() {
        let routes = routes();
        let [one, other] = &routes;
        let mut events = without_one(one);
        events.extend(EventKind::ALL.iter().map(|kind| Event::new(*kind, other)));
        events.extend(End::ALL.iter().map(|end| Event { end: Some(*end), ..full(one) }));
        events.extend(
            Direction::ALL
                .iter()
                .map(|direction| Event { direction: Some(*direction), ..full(one) }),
        );
        events.extend(Side::ALL.iter().map(|side| {
            let error = Some(Fault { kind: "refused", side: *side });
            Event { error, ..full(other) }
        }));
        events.push(full(one));
        events.push(usual(other));
        let mut out = Vec::new();
        for (number, event) in events.iter().enumerate() {
            let before = out.len();
            let dropped = (number % 2 == 0).then_some(number as u64);
            let told = Told { time: 1, repeated: number as u64, dropped };
            let route = u32::from(Arc::ptr_eq(event.route, other));
            assert!(write(&mut out, usize::MAX, event, &told, route));
            let length = out.len() - before;
            out.truncate(before);
            assert!(!write(&mut out, before + length - 1, event, &told, route));
            assert!(write(&mut out, before + length, event, &told, route));
        }
        let mut records = out.as_slice();
        for (number, event) in events.iter().enumerate() {
            let (read, told) = read(&mut records, &routes);
            assert_eq!(format!("{read:?}"), format!("{event:?}"));
            let dropped = (number % 2 == 0).then_some(number as u64);
            assert_eq!(told, Told { time: 1, repeated: number as u64, dropped });
        }
        assert!(records.is_empty());
    }

    /// What is told of most requests, of which nothing is rare.
    fn usual(route: &Arc<Route>) -> Event<'_> {
        let mut event = full(route);
        event.link_change = None;
        event.http = event.http.map(|http| Http { upgrade: None, version: HTTP_11, ..http });
        event.peer.sid = None;
        event.error = None;
        event
    }

    #[test]
    fn a_usual_record_takes_little_beside_its_texts() {
        let (routes, mut out) = (routes(), Vec::new());
        let told = Told { time: 0, repeated: 0, dropped: None };
        assert!(write(&mut out, 1000, &usual(&routes[0]), &told, 0));
        assert_eq!(out.len(), FIXED + "GET".len() + "/10?11".len() + "_13".len());
    }

    #[test]
    fn a_duration_keeps_its_microseconds() {
        let routes = routes();
        for (duration, expected) in [
            (Duration::from_nanos(1_999), Duration::from_micros(1)),
            (Duration::MAX, Duration::from_micros(u64::MAX)),
        ] {
            let mut out = Vec::new();
            let event = Event { total: Some(duration), ..full(&routes[0]) };
            let told = Told { time: 0, repeated: 0, dropped: None };
            assert!(write(&mut out, 1000, &event, &told, 0));
            assert_eq!(read(&mut out.as_slice(), &routes).0.total, Some(expected));
        }
    }
}
