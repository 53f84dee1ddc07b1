//! An event on its way from who tells it to the thread that makes a line of it.
//!
//! Who tells it is serving somebody: it copies what the event says, and the line is made where
//! many are made in a row. That takes less of the processor's time in all, too: between a request
//! and the next there is little in its caches of what makes lines.
//!
//! A record is a part of fixed length, a second one for what few events say, and the texts. Its
//! route stands beside it, as a number. It never leaves the process.
//!
//! What each event has of its own comes first. All behind it is the same, byte for byte, in the
//! records of requests that are alike, so that who makes the lines sees it at a glance.

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

/// What an event has of its own, be it ever so like another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Own {
    /// The wall-clock time, in microseconds since 1970.
    pub(crate) time: u64,
    pub(crate) connection: Option<u64>,
    pub(crate) request: Option<u64>,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    /// Microseconds, as those that follow.
    pub(crate) total: Option<u64>,
    pub(crate) connect: Option<u64>,
    pub(crate) first_byte: Option<u64>,
}

/// Eight numbers of eight bytes, one of four, and a trace.
const OWN: usize = 8 * 8 + 4 + 25;

/// Six numbers of four bytes, one of two, and four of one byte each.
const ALIKE: usize = 6 * 4 + 2 + 4;

const FIXED: usize = OWN + ALIKE;

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
    let own = Own::of(event, told.time);
    let status = event.http.and_then(|http| http.status);
    flag(has::CONNECTION, own.connection.is_some());
    flag(has::REQUEST, own.request.is_some());
    flag(has::TRACE, own.trace.is_some());
    flag(has::CHANGE, event.link_change.is_some());
    flag(has::RETRY, event.link_change.is_some_and(|change| change.retry_in.is_some()));
    flag(has::HTTP, event.http.is_some());
    flag(has::STATUS, status.is_some());
    flag(has::USER_AGENT, user_agent.is_some());
    flag(has::TOTAL, own.total.is_some());
    flag(has::CONNECT, own.connect.is_some());
    flag(has::FIRST_BYTE, own.first_byte.is_some());
    flag(has::PID, event.peer.pid.is_some());
    flag(has::UID, event.peer.uid.is_some());
    flag(has::DROPPED, told.dropped.is_some());
    flag(has::RARE, is_rare);

    // Where it is to stay.
    let at = out.len();
    out.extend_from_slice(&[0; FIXED]);
    let mut fixed = Putting::<FIXED>::at(&mut out[at..]);
    for number in [
        own.time,
        own.connection.unwrap_or(0),
        own.request.unwrap_or(0),
        own.bytes_received,
        own.bytes_sent,
        own.total.unwrap_or(0),
        own.connect.unwrap_or(0),
        own.first_byte.unwrap_or(0),
    ] {
        fixed.put(number.to_ne_bytes());
    }
    fixed.put(route.to_ne_bytes());
    let trace = own.trace.unwrap_or(NO_TRACE);
    fixed.put(trace.trace_id);
    fixed.put(trace.span_id);
    fixed.put([trace.flags]);

    for number in [
        flags,
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
    fixed.done();

    if is_rare {
        write_rare(out, event, told);
    }
    out.extend_from_slice(method.as_bytes());
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(agent);
    true
}

impl Own {
    #[inline]
    pub(crate) fn of(event: &Event<'_>, time: u64) -> Self {
        Own {
            time,
            connection: event.connection,
            request: event.request,
            trace: event.trace,
            bytes_received: event.bytes_received,
            bytes_sent: event.bytes_sent,
            // Lines tell microseconds.
            total: event.total.map(micros),
            connect: event.connect.map(micros),
            first_byte: event.first_byte.map(micros),
        }
    }
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
    let at = out.len();
    out.extend_from_slice(&[0; RARE]);
    let mut fixed = Putting::<RARE>::at(&mut out[at..]);
    for number in [told.repeated, told.dropped.unwrap_or(0), change.retry_in.map_or(0, micros)] {
        fixed.put(number.to_ne_bytes());
    }
    fixed.put(change.attempt.to_ne_bytes());
    for text in texts {
        fixed.put(text.map_or(ABSENT, length_of).to_ne_bytes());
    }
    fixed.done();
    for text in texts.into_iter().flatten() {
        out.extend_from_slice(text);
    }
}

/// The length of a text, which is part of a head or of a message: far less than 4 GiB.
fn length_of(text: &[u8]) -> u32 {
    u32::try_from(text.len()).expect("a text is shorter than what may wait")
}

/// What few events say.
#[derive(Clone, Copy, Default)]
struct Rare<'a> {
    repeated: u64,
    dropped: u64,
    retry_in: u64,
    attempt: u32,
    texts: [Option<&'a str>; RARE_TEXTS],
}

/// A record that was read.
pub(crate) struct Record<'a> {
    pub(crate) own: Own,
    pub(crate) kind: EventKind,
    pub(crate) route: &'a Arc<Route>,
    /// All but its own and its route, where there is nothing rare.
    pub(crate) likeness: Option<&'a [u8]>,
    rare: Option<Rare<'a>>,
    flags: u32,
    pid: u32,
    uid: u32,
    status: u16,
    direction: u8,
    end: u8,
    side: u8,
    method: &'a [u8],
    target: &'a [u8],
    user_agent: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes the first record off `records`; its route is one of `routes`.
    #[inline]
    pub(crate) fn take_off(records: &mut &'a [u8], routes: &'a [Arc<Route>]) -> Self {
        let mut rest = *records;
        let mut own = Taking::<OWN>::off(&mut rest);
        let behind = rest;
        let [time, connection, request, bytes_received, bytes_sent, total, connect, first_byte] =
            std::array::from_fn(|_| u64::from_ne_bytes(own.take()));
        let route = u32::from_ne_bytes(own.take());
        let trace =
            TraceContext { trace_id: own.take(), span_id: own.take(), flags: own.take::<1>()[0] };
        let mut alike = Taking::<ALIKE>::off(&mut rest);
        let [flags, pid, uid, method, target, user_agent] =
            std::array::from_fn(|_| u32::from_ne_bytes(alike.take()));
        let status = u16::from_ne_bytes(alike.take());
        let [kind, direction, end, side] = alike.take();
        let given = |bit: u32| flags & bit != 0;
        let rare = given(has::RARE).then(|| read_rare(&mut rest));
        let method = bytes(&mut rest, method);
        let target = bytes(&mut rest, target);
        let user_agent = bytes(&mut rest, user_agent);
        *records = rest;
        Record {
            own: Own {
                time,
                connection: given(has::CONNECTION).then_some(connection),
                request: given(has::REQUEST).then_some(request),
                trace: given(has::TRACE).then_some(trace),
                bytes_received,
                bytes_sent,
                total: given(has::TOTAL).then_some(total),
                connect: given(has::CONNECT).then_some(connect),
                first_byte: given(has::FIRST_BYTE).then_some(first_byte),
            },
            kind: EventKind::ALL[usize::from(kind)],
            route: &routes[route as usize],
            likeness: rare.is_none().then(|| &behind[..behind.len() - rest.len()]),
            rare,
            flags,
            pid,
            uid,
            status,
            direction,
            end,
            side,
            method,
            target,
            user_agent,
        }
    }

    /// The event that was written, and what was told beyond it.
    pub(crate) fn event(&self) -> (Event<'a>, Told) {
        let given = |bit: u32| self.flags & bit != 0;
        let rare = self.rare.unwrap_or_default();
        let [guest, reason, version, upgrade, sid, error] = rare.texts;
        let own = &self.own;
        let event = Event {
            kind: self.kind,
            at: None,
            route: self.route,
            connection: own.connection,
            request: own.request,
            trace: own.trace,
            direction: named(Direction::ALL, self.direction),
            link_change: given(has::CHANGE).then(|| LinkChange {
                attempt: rare.attempt,
                guest,
                reason,
                retry_in: given(has::RETRY).then(|| Duration::from_micros(rare.retry_in)),
            }),
            http: given(has::HTTP).then(|| Http {
                method: text(self.method),
                target: text(self.target),
                status: given(has::STATUS).then_some(self.status),
                user_agent: given(has::USER_AGENT).then_some(self.user_agent),
                version: version.unwrap_or(HTTP_11),
                upgrade,
            }),
            bytes_received: own.bytes_received,
            bytes_sent: own.bytes_sent,
            total: own.total.map(Duration::from_micros),
            connect: own.connect.map(Duration::from_micros),
            first_byte: own.first_byte.map(Duration::from_micros),
            peer: PeerInfo {
                pid: given(has::PID).then_some(self.pid),
                uid: given(has::UID).then_some(self.uid),
                sid,
            },
            end: named(End::ALL, self.end),
            error: error.zip(named(Side::ALL, self.side)).map(|(kind, side)| Fault { kind, side }),
        };
        let dropped = given(has::DROPPED).then_some(rare.dropped);
        (event, Told { time: own.time, repeated: rare.repeated, dropped })
    }
}

#[cold]
fn read_rare<'a>(rest: &mut &'a [u8]) -> Rare<'a> {
    let mut fixed = Taking::<RARE>::off(rest);
    let [repeated, dropped, retry_in] = std::array::from_fn(|_| u64::from_ne_bytes(fixed.take()));
    let attempt = u32::from_ne_bytes(fixed.take());
    let lengths: [u32; RARE_TEXTS] = std::array::from_fn(|_| u32::from_ne_bytes(fixed.take()));
    let texts = lengths.map(|length| (length != ABSENT).then(|| text(bytes(rest, length))));
    Rare { repeated, dropped, retry_in, attempt, texts }
}

#[inline]
fn bytes<'a>(rest: &mut &'a [u8], length: u32) -> &'a [u8] {
    rest.split_off(..length as usize).expect("only whole records are there")
}

/// What was text when it was written.
#[inline]
fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap_or_default()
}

/// The one that was written as its place from 1; 0 is none.
fn named<T: Copy>(all: &[T], number: u8) -> Option<T> {
    all.get(usize::from(number).wrapping_sub(1)).copied()
}

/// A part of fixed length that is written. Where each field stands is known when the program is
/// built.
struct Putting<'a, const N: usize> {
    bytes: &'a mut [u8; N],
    at: usize,
}

impl<'a, const N: usize> Putting<'a, N> {
    /// `out` is as long as it.
    #[inline(always)]
    fn at(out: &'a mut [u8]) -> Self {
        Putting { bytes: out.try_into().expect("room was made for it"), at: 0 }
    }

    #[inline(always)]
    fn put<const M: usize>(&mut self, bytes: [u8; M]) {
        self.bytes[self.at..self.at + M].copy_from_slice(&bytes);
        self.at += M;
    }

    /// Everything was put.
    #[inline(always)]
    fn done(self) {
        debug_assert_eq!(self.at, N);
    }
}

/// As [`Putting`], of one that is read.
struct Taking<'a, const N: usize> {
    bytes: &'a [u8; N],
    at: usize,
}

impl<'a, const N: usize> Taking<'a, N> {
    #[inline(always)]
    fn off(rest: &mut &'a [u8]) -> Self {
        let (bytes, after) = rest.split_first_chunk().expect("only whole records are there");
        *rest = after;
        Taking { bytes, at: 0 }
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
pub(crate) mod tests {
    use super::*;
    use crate::Hops;

    pub(crate) fn routes() -> [Arc<Route>; 2] {
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
        let mut events = all_kinds(one);
        events.extend(all_kinds(other));
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
            let (read, told) = Record::take_off(&mut records, &routes).event();
            assert_eq!(format!("{read:?}"), format!("{event:?}"));
            let dropped = (number % 2 == 0).then_some(number as u64);
            assert_eq!(told, Told { time: 1, repeated: number as u64, dropped });
        }
        assert!(records.is_empty());
    }

    /// Events of which each says something that no other does.
    pub(crate) fn all_kinds(route: &Arc<Route>) -> Vec<Event<'_>> {
        let mut events = without_one(route);
        events.extend(EventKind::ALL.iter().map(|kind| Event::new(*kind, route)));
        events.extend(End::ALL.iter().map(|end| Event { end: Some(*end), ..usual(route) }));
        events.extend(
            Direction::ALL
                .iter()
                .map(|direction| Event { direction: Some(*direction), ..usual(route) }),
        );
        events.extend(Side::ALL.iter().map(|side| {
            let error = Some(Fault { kind: "refused", side: *side });
            Event { error, ..full(route) }
        }));
        events.push(full(route));
        events.push(usual(route));
        events
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
            let record = Record::take_off(&mut out.as_slice(), &routes);
            assert_eq!(record.event().0.total, Some(expected));
        }
    }
}
