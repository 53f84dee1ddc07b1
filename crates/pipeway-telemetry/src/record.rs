//! An event on its way from who tells it to the thread that makes a line of it.
//!
//! Who tells it is serving somebody: it copies what the event says, and the line is made where
//! many are made in a row. That takes less of the processor's time in all, too: between a request
//! and the next there is little in its caches of what makes lines.
//!
//! A record is a part of fixed length and, after it, the texts. It never leaves the process.

use std::time::Duration;

use crate::clock::micros;
use crate::event::{Direction, End, EventKind, Fault, Hop, Http, LinkChange, LinkHop, Side};
use crate::{Event, PeerInfo, TraceContext};

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

/// The texts of an event, of which most are absent.
const TEXTS: usize = USER_AGENT + 1;

/// The last one, which may be any bytes.
const USER_AGENT: usize = 15;

/// Eleven numbers of eight bytes, four of four, one of two, four of one byte each, a trace, and
/// the lengths of the texts.
const FIXED: usize = 11 * 8 + 4 * 4 + 2 + 4 + 25 + TEXTS * 4;

/// The length of a text that is not there.
const ABSENT: u32 = u32::MAX;

/// Which of the fields that may be absent are there.
mod has {
    pub(super) const CONNECTION: u32 = 1;
    pub(super) const REQUEST: u32 = 1 << 1;
    pub(super) const TRACE: u32 = 1 << 2;
    pub(super) const ACTIVATION: u32 = 1 << 3;
    pub(super) const CHANGE: u32 = 1 << 4;
    pub(super) const RETRY: u32 = 1 << 5;
    pub(super) const STATUS: u32 = 1 << 6;
    pub(super) const TOTAL: u32 = 1 << 7;
    pub(super) const CONNECT: u32 = 1 << 8;
    pub(super) const FIRST_BYTE: u32 = 1 << 9;
    pub(super) const PID: u32 = 1 << 10;
    pub(super) const UID: u32 = 1 << 11;
    pub(super) const DROPPED: u32 = 1 << 12;
}

/// Appends a record, if `out` is no longer than `max` bytes then; `false` if it would be.
#[inline]
pub(crate) fn write(out: &mut Vec<u8>, max: usize, event: &Event<'_>, told: &Told) -> bool {
    let texts = texts(event);
    let length = texts.iter().flatten().fold(FIXED, |sum, text| sum + text.len());
    if out.len() + length > max {
        return false;
    }
    let mut flags = 0;
    let mut flag = |bit: u32, is: bool| flags |= if is { bit } else { 0 };
    let change = event.link_change.unwrap_or_default();
    let status = event.http.and_then(|http| http.status);
    flag(has::CONNECTION, event.connection.is_some());
    flag(has::REQUEST, event.request.is_some());
    flag(has::TRACE, event.trace.is_some());
    flag(has::ACTIVATION, event.socket_activation);
    flag(has::CHANGE, event.link_change.is_some());
    flag(has::RETRY, change.retry_in.is_some());
    flag(has::STATUS, status.is_some());
    flag(has::TOTAL, event.total.is_some());
    flag(has::CONNECT, event.connect.is_some());
    flag(has::FIRST_BYTE, event.first_byte.is_some());
    flag(has::PID, event.peer.pid.is_some());
    flag(has::UID, event.peer.uid.is_some());
    flag(has::DROPPED, told.dropped.is_some());

    // Lines tell microseconds.
    let micros = |duration: Option<Duration>| duration.map_or(0, micros);
    let mut fixed = Fixed { bytes: [0; FIXED], at: 0 };
    for number in [
        told.time,
        told.repeated,
        told.dropped.unwrap_or(0),
        event.connection.unwrap_or(0),
        event.request.unwrap_or(0),
        event.bytes_received,
        event.bytes_sent,
        micros(event.total),
        micros(event.connect),
        micros(event.first_byte),
        micros(change.retry_in),
    ] {
        fixed.put(number.to_ne_bytes());
    }
    let (pid, uid) = (event.peer.pid.unwrap_or(0), event.peer.uid.unwrap_or(0));
    for number in [flags, change.attempt, pid, uid] {
        fixed.put(number.to_ne_bytes());
    }
    fixed.put(status.unwrap_or(0).to_ne_bytes());
    fixed.put([
        event.kind as u8,
        event.direction.map_or(0, |direction| direction as u8 + 1),
        event.end.map_or(0, |end| end as u8 + 1),
        event.error.map_or(0, |fault| fault.side as u8 + 1),
    ]);
    let trace =
        event.trace.unwrap_or(TraceContext { trace_id: [0; 16], span_id: [0; 8], flags: 0 });
    fixed.put(trace.trace_id);
    fixed.put(trace.span_id);
    fixed.put([trace.flags]);
    for text in texts {
        let length = text.map_or(ABSENT, |text| u32::try_from(text.len()).unwrap_or(ABSENT));
        fixed.put(length.to_ne_bytes());
    }
    debug_assert_eq!(fixed.at, FIXED);

    out.extend_from_slice(&fixed.bytes);
    for text in texts.into_iter().flatten() {
        out.extend_from_slice(text);
    }
    true
}

/// Takes the first record off `records`.
pub(crate) fn read<'a>(records: &mut &'a [u8]) -> (Event<'a>, Told) {
    let (fixed, mut rest) =
        records.split_first_chunk::<FIXED>().expect("only whole records are there");
    let mut fixed = Fixed { bytes: *fixed, at: 0 };
    let numbers: [u64; 11] = std::array::from_fn(|_| u64::from_ne_bytes(fixed.take()));
    let [flags, attempt, pid, uid] = std::array::from_fn(|_| u32::from_ne_bytes(fixed.take()));
    let status = u16::from_ne_bytes(fixed.take());
    let [kind, direction, end, side] = fixed.take();
    let trace =
        TraceContext { trace_id: fixed.take(), span_id: fixed.take(), flags: fixed.take::<1>()[0] };
    let lengths: [u32; TEXTS] = std::array::from_fn(|_| u32::from_ne_bytes(fixed.take()));
    let sum = |lengths: &[u32]| {
        let known = lengths.iter().filter(|&&length| length != ABSENT);
        known.fold(0, |sum, &length| sum + length as usize)
    };
    let mut bytes = |length| rest.split_off(..length).expect("only whole records are there");
    // They were text when they were written.
    let mut all = str::from_utf8(bytes(sum(&lengths[..USER_AGENT]))).unwrap_or_default();
    let texts: [Option<&str>; USER_AGENT] = std::array::from_fn(|at| {
        if lengths[at] == ABSENT {
            return None;
        }
        let (text, after) = all.split_at_checked(lengths[at] as usize)?;
        all = after;
        Some(text)
    });
    let user_agent = Some(lengths[USER_AGENT]).filter(|&length| length != ABSENT);
    let user_agent = user_agent.map(|length| bytes(length as usize));
    *records = rest;

    let text = |at: usize| texts[at];
    let pair = |at: usize| text(at).zip(text(at + 1));
    let given = |bit: u32| flags & bit != 0;
    let duration = |bit: u32, at: usize| given(bit).then(|| Duration::from_micros(numbers[at]));
    let event = Event {
        kind: EventKind::ALL[usize::from(kind)],
        at: None,
        bridge: text(0).unwrap_or_default(),
        connection: given(has::CONNECTION).then_some(numbers[3]),
        request: given(has::REQUEST).then_some(numbers[4]),
        trace: given(has::TRACE).then_some(trace),
        direction: named(Direction::ALL, direction),
        transport: pair(1).map(|(mode, endpoint)| Hop { mode, endpoint }),
        upstream: pair(3).map(|(mode, endpoint)| Hop { mode, endpoint }),
        link: pair(5).map(|(name, mode)| LinkHop { name, mode }),
        link_change: given(has::CHANGE).then(|| LinkChange {
            attempt,
            guest: text(7),
            reason: text(8),
            retry_in: duration(has::RETRY, 10),
        }),
        socket_activation: given(has::ACTIVATION),
        http: text(9).map(|method| Http {
            method,
            target: text(10).unwrap_or_default(),
            status: given(has::STATUS).then_some(status),
            user_agent,
            version: text(11).unwrap_or_default(),
            upgrade: text(12),
        }),
        bytes_received: numbers[5],
        bytes_sent: numbers[6],
        total: duration(has::TOTAL, 7),
        connect: duration(has::CONNECT, 8),
        first_byte: duration(has::FIRST_BYTE, 9),
        peer: PeerInfo {
            pid: given(has::PID).then_some(pid),
            uid: given(has::UID).then_some(uid),
            sid: text(13),
        },
        end: named(End::ALL, end),
        error: text(14).zip(named(Side::ALL, side)).map(|(kind, side)| Fault { kind, side }),
    };
    let told = Told {
        time: numbers[0],
        repeated: numbers[1],
        dropped: given(has::DROPPED).then_some(numbers[2]),
    };
    (event, told)
}

/// In the order in which [`read`] knows them.
#[inline]
fn texts<'a>(event: &Event<'a>) -> [Option<&'a [u8]>; TEXTS] {
    let hop = |hop: Option<Hop<'a>>| (hop.map(|hop| hop.mode), hop.map(|hop| hop.endpoint));
    let (transport_mode, transport) = hop(event.transport);
    let (upstream_mode, upstream) = hop(event.upstream);
    let change = event.link_change.unwrap_or_default();
    let http = event.http;
    let text = str::as_bytes;
    [
        Some(event.bridge.as_bytes()),
        transport_mode.map(text),
        transport.map(text),
        upstream_mode.map(text),
        upstream.map(text),
        event.link.map(|link| link.name.as_bytes()),
        event.link.map(|link| link.mode.as_bytes()),
        change.guest.map(text),
        change.reason.map(text),
        http.map(|http| http.method.as_bytes()),
        http.map(|http| http.target.as_bytes()),
        http.map(|http| http.version.as_bytes()),
        http.and_then(|http| http.upgrade).map(text),
        event.peer.sid.map(text),
        event.error.map(|fault| fault.kind.as_bytes()),
        http.and_then(|http| http.user_agent),
    ]
}

/// The one that was written as its place from 1; 0 is none.
fn named<T: Copy>(all: &[T], number: u8) -> Option<T> {
    all.get(usize::from(number).wrapping_sub(1)).copied()
}

/// The part of fixed length. Where each field stands is known when the program is built.
struct Fixed {
    bytes: [u8; FIXED],
    at: usize,
}

impl Fixed {
    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.at..self.at + N].copy_from_slice(&bytes);
        self.at += N;
    }

    #[inline(always)]
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each field with something of its own.
    fn full() -> Event<'static> {
        Event {
            kind: EventKind::Upgrade,
            at: None,
            bridge: "bridge",
            connection: Some(u64::MAX),
            request: Some(2),
            trace: Some(TraceContext { trace_id: [3; 16], span_id: [4; 8], flags: 5 }),
            direction: Some(Direction::ToPlatform),
            transport: Some(Hop { mode: "unix", endpoint: "unix:/a" }),
            upstream: Some(Hop { mode: "tcp", endpoint: "tcp:127.0.0.1:6" }),
            link: Some(LinkHop { name: "link", mode: "stdio" }),
            link_change: Some(LinkChange {
                attempt: 7,
                guest: Some("0.8"),
                reason: Some("höher"),
                retry_in: Some(Duration::from_micros(9)),
            }),
            socket_activation: true,
            http: Some(Http {
                method: "GET",
                target: "/10?11",
                status: Some(512),
                user_agent: Some(b"\xff13"),
                version: "1.1",
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
    fn without_one() -> Vec<Event<'static>> {
        let mut events = Vec::new();
        let mut without = |remove: fn(&mut Event<'static>)| {
            let mut event = full();
            remove(&mut event);
            events.push(event);
        };
        without(|event| event.bridge = "");
        without(|event| event.connection = None);
        without(|event| event.request = None);
        without(|event| event.trace = None);
        without(|event| event.direction = None);
        without(|event| event.transport = None);
        without(|event| event.upstream = None);
        without(|event| event.link = None);
        without(|event| event.link_change = None);
        without(|event| event.link_change.as_mut().unwrap().guest = None);
        without(|event| event.link_change.as_mut().unwrap().reason = None);
        without(|event| event.link_change.as_mut().unwrap().retry_in = None);
        without(|event| event.socket_activation = false);
        without(|event| event.http = None);
        without(|event| event.http.as_mut().unwrap().status = None);
        without(|event| event.http.as_mut().unwrap().user_agent = None);
        without(|event| event.http.as_mut().unwrap().user_agent = Some(b""));
        without(|event| event.http.as_mut().unwrap().upgrade = None);
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
        let mut events = without_one();
        events.extend(EventKind::ALL.iter().map(|kind| Event::new(*kind, "empty")));
        events.extend(End::ALL.iter().map(|end| Event { end: Some(*end), ..full() }));
        events.extend(
            Direction::ALL.iter().map(|direction| Event { direction: Some(*direction), ..full() }),
        );
        events.extend(Side::ALL.iter().map(|side| {
            let error = Some(Fault { kind: "refused", side: *side });
            Event { error, ..full() }
        }));
        events.push(full());
        let mut out = Vec::new();
        for (number, event) in events.iter().enumerate() {
            let before = out.len();
            let dropped = (number % 2 == 0).then_some(number as u64);
            let told = Told { time: 1, repeated: number as u64, dropped };
            assert!(write(&mut out, usize::MAX, event, &told));
            let length = out.len() - before;
            out.truncate(before);
            assert!(!write(&mut out, before + length - 1, event, &told));
            assert!(write(&mut out, before + length, event, &told));
        }
        let mut records = out.as_slice();
        for (number, event) in events.iter().enumerate() {
            let (read, told) = read(&mut records);
            assert_eq!(format!("{read:?}"), format!("{event:?}"));
            let dropped = (number % 2 == 0).then_some(number as u64);
            assert_eq!(told, Told { time: 1, repeated: number as u64, dropped });
        }
        assert!(records.is_empty());
    }

    #[test]
    fn a_duration_keeps_its_microseconds() {
        for (duration, expected) in [
            (Duration::from_nanos(1_999), Duration::from_micros(1)),
            (Duration::MAX, Duration::from_micros(u64::MAX)),
        ] {
            let mut out = Vec::new();
            let event = Event { total: Some(duration), ..full() };
            assert!(write(&mut out, 1000, &event, &Told { time: 0, repeated: 0, dropped: None }));
            assert_eq!(read(&mut out.as_slice()).0.total, Some(expected));
        }
    }
}
