//! One end of a DirectLine session.

use std::collections::{HashMap, HashSet};
use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pipeway_directline::{
    Connection, Event, HEADER_LENGTH, Header, Id, Kind, Limits, Pace, RequestKey, StreamHead,
    StreamHeads, StreamKey, StreamKeys,
};

const MEMORY_MAX: usize = 40_000;
const OUTGOING_MAX: usize = 20_000;
const REQUESTS_MAX: usize = 3;
const CHUNK: usize = 64;

/// The longest frame of a stream for an end of the same crate.
const LONG: usize = 65_536;

/// An id as such an end marks those of its requests.
pub const MARKED: &str = "1d891551-35ae-41a4-a530-ff89d3a62ba6";

/// What a read, and a message of it, may bring at once beyond what is allowed to stay.
const SLACK: usize = 40_000 + LONG;

/// Whatever the other end sends and the application does, in any order and at any time: what is
/// sent are whole frames, content only of streams that an envelope before it names, as long as it
/// says, with one end; a request that was cancelled is not answered; each call ends
/// once; what is kept has its bounds; and frames are long, and one stream that never was is cancelled,
/// only for an end of the same crate.
///
/// The input is actions: a byte of 16 or more is how many bytes are received, less 15, and they
/// follow; 15 is a sound frame, told by four bytes; less is what the application does or the time,
/// with a byte for the details.
pub fn directline_connection(data: &[u8]) {
    let limits = Limits {
        frame_bytes_max: LONG as u32,
        chunk_bytes: CHUNK as u32,
        // One frame at a time: what is given up may have a turn already.
        write_bytes: 1,
        streams_max: 6,
        stream_bytes_max: 9000,
        memory_bytes_max: MEMORY_MAX,
        requests_max: REQUESTS_MAX,
        parked_max: 3,
        outgoing_bytes_max: OUTGOING_MAX,
        ..Limits::agent()
    };
    let now = Instant::now();
    let mut run = Run {
        connection: Connection::new(limits, now).expect("they are sound"),
        now,
        wire: Vec::new(),
        running: Vec::new(),
        calls: Vec::new(),
        over: HashSet::new(),
        streams: Vec::new(),
        lives: HashMap::new(),
        greetings: 0,
        held: Vec::new(),
    };
    let mut input = data;
    while let Some((action, rest)) = input.split_first() {
        input = run.act(*action, rest);
        run.events();
        run.is_bounded();
    }
    run.flush(usize::MAX);
    run.connection.shutdown();
    run.events();
    assert!(run.calls.is_empty() && run.running.is_empty(), "somebody waits for ever");
    run.held.clear();
    assert_eq!(run.connection.held_bytes(), 0, "bytes are kept for nobody");
    assert_eq!(run.connection.next_deadline(), None);
    run.flush(usize::MAX);
    assert!(run.wire.is_empty(), "a frame is cut");
    assert_eq!(run.connection.queued_bytes(), 0);
}

/// What the wire has told of a stream that is sent.
#[derive(Debug)]
struct Life {
    declared: u64,
    sent: u64,
    over: bool,
}

struct Run {
    connection: Connection,
    now: Instant,
    wire: Vec<u8>,
    running: Vec<RequestKey>,
    calls: Vec<Id>,
    over: HashSet<Id>,
    streams: Vec<(StreamKey, u64)>,
    lives: HashMap<Id, Life>,
    greetings: usize,
    held: Vec<Vec<Bytes>>,
}

fn id(number: u8) -> Id {
    match number % 8 {
        7 => MARKED.parse().expect("a GUID"),
        digit => format!("00000000-0000-4000-8000-00000000000{digit}").parse().expect("a GUID"),
    }
}

impl Run {
    fn act<'a>(&mut self, action: u8, input: &'a [u8]) -> &'a [u8] {
        if action >= 16 {
            let (bytes, rest) = input.split_at(usize::from(action - 15).min(input.len()));
            self.connection.receive(Bytes::copy_from_slice(bytes), self.now);
            return rest;
        }
        if action == 15 {
            let Some((told, rest)) = input.split_first_chunk::<4>() else { return &[] };
            let frame = self.frame(*told);
            self.connection.receive(frame.into(), self.now);
            return rest;
        }
        let Some((detail, rest)) = input.split_first() else { return &[] };
        let (place, more) = (usize::from(detail & 7), u64::from(detail >> 3));
        match action {
            0 => self.call(place, more),
            1 => self.answer(place, more),
            2 | 3 => self.push(place, if action == 2 { more } else { more * 100 }),
            4 => {
                if let Some((key, _)) = self.streams.get(place) {
                    self.connection.cancel_stream(*key, self.now);
                    self.streams.remove(place);
                }
            }
            5 if place < self.calls.len() => {
                let call = self.calls.remove(place);
                self.over.insert(call);
                self.connection.cancel_call(&call);
            }
            6 => self.flush(usize::from(*detail)),
            7 => self.flush(usize::MAX),
            8 => self.pass(Duration::from_millis(u64::from(*detail))),
            9 => self.pass(Duration::from_secs(more)),
            10 => drop((place < self.held.len()).then(|| self.held.remove(place))),
            11 if more == 31 => self.connection.cancel_all(self.now),
            12 if more == 31 => self.connection.shutdown(),
            13 if more == 31 => self.connection.end_of_input(),
            14 if more == 31 => {
                let error = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
                self.connection.write_failed(error);
                // What was begun stays as it is.
                self.wire.clear();
            }
            _ => {}
        }
        rest
    }

    /// A frame that may be sent, if not now.
    fn frame(&self, [kind, about, low, high]: [u8; 4]) -> Vec<u8> {
        let call = self.calls.get(usize::from(about & 7)).copied();
        let (letter, id, payload) = match kind % 6 {
            0 | 1 => {
                let streams: Vec<String> = (0..low % 4)
                    .map(|at| {
                        let id = id((high & 7) + at);
                        format!("{{\"id\":\"{id}\",\"length\":{}}}", u64::from(high >> 3) * 20)
                    })
                    .collect();
                let streams = streams.join(",");
                match (kind % 6, call) {
                    (1, Some(call)) => {
                        ('B', call, format!("{{\"statusCode\":200,\"streams\":[{streams}]}}"))
                    }
                    _ => ('A', id(about), format!("{{\"verb\":\"GET\",\"streams\":[{streams}]}}")),
                }
            }
            2 | 3 => {
                let length = usize::from(low) * if kind % 6 == 2 { 1 } else { 15 };
                ('S', id(about), "x".repeat(length))
            }
            4 => ('C', id(about), String::new()),
            _ if low == 7 => ('X', Id::ZERO, String::new()),
            _ => ('Q', id(about), "unknown".to_owned()),
        };
        let end = u8::from(kind & 0x80 == 0);
        let mut frame = format!("{letter}.{:06}.{id}.{end}\n{payload}", payload.len()).into_bytes();
        if kind & 0x40 != 0 {
            frame.truncate(frame.len() - frame.len().min(usize::from(high)));
        }
        frame
    }

    fn heads(place: usize, length: u64) -> StreamHeads {
        let head = |length| StreamHead::new("text/plain", length);
        StreamHeads {
            body: (place & 1 != 0).then(|| head(length * 30)),
            attachments: vec![head(length); place >> 1],
        }
    }

    fn opened(&mut self, keys: &StreamKeys, heads: &StreamHeads) {
        let lengths = heads.body.iter().chain(&heads.attachments).map(|head| head.length);
        self.streams.extend(keys.body.iter().chain(&keys.attachments).copied().zip(lengths));
        self.streams.retain(|(_, length)| *length > 0);
    }

    fn call(&mut self, place: usize, more: u64) {
        let heads = Self::heads(place, more);
        if let Ok((call, keys)) = self.connection.send_request("GET", "/x", &heads, None, self.now)
        {
            self.calls.push(call);
            self.opened(&keys, &heads);
        }
    }

    fn answer(&mut self, place: usize, more: u64) {
        let Some(key) = self.running.get(place) else { return };
        let heads = Self::heads(place, more);
        if let Ok(keys) = self.connection.respond(*key, 200, &heads, self.now) {
            self.running.remove(place);
            self.opened(&keys, &heads);
        }
    }

    fn push(&mut self, place: usize, bytes: u64) {
        let Some((key, left)) = self.streams.get_mut(place) else { return };
        let content = Bytes::from(vec![7; bytes as usize]);
        match self.connection.push(*key, content, self.now) {
            Ok(()) => *left -= bytes,
            Err(_) => assert!(!self.connection.may_push(*key) || bytes > *left || bytes > 1),
        }
        self.streams.retain(|(_, left)| *left > 0);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.connection.tick(self.now);
        assert!(self.connection.next_deadline().is_none_or(|due| due > self.now));
    }

    fn events(&mut self) {
        while let Some(event) = self.connection.next_event() {
            match event {
                Event::Request(request) => {
                    assert!(self.running.iter().all(|key| *key != request.key));
                    self.running.push(request.key);
                    let contents = request.body.into_iter().chain(request.attachments);
                    self.held.extend(contents.map(|content| content.into_pieces()));
                }
                Event::RequestCancelled(key) => {
                    let before = self.running.len();
                    self.running.retain(|other| *other != key);
                    assert_eq!(self.running.len() + 1, before, "what does not run is cancelled");
                    let late = self.connection.respond(key, 200, &StreamHeads::default(), self.now);
                    assert!(late.is_err());
                }
                Event::Response { call, result } => {
                    let at = self.calls.iter().position(|other| *other == call);
                    self.calls.remove(at.expect("it waits"));
                    assert!(self.over.insert(call), "a call ends twice");
                    if let Ok(response) = result {
                        let contents = response.body.into_iter().chain(response.attachments);
                        self.held.extend(contents.map(|content| content.into_pieces()));
                    }
                }
                Event::CancelledAll | Event::Warning(_) => {}
            }
        }
        assert_eq!(self.running.len(), self.connection.running());
        assert_eq!(self.calls.len(), self.connection.waiting());
    }

    fn is_bounded(&self) {
        assert!(self.running.len() <= REQUESTS_MAX);
        let (held, queued) = (self.connection.held_bytes(), self.connection.queued_bytes());
        assert!(held <= MEMORY_MAX + SLACK, "{held} are held");
        let headers = OUTGOING_MAX / CHUNK * HEADER_LENGTH;
        assert!(queued <= OUTGOING_MAX + headers + SLACK, "{queued} wait");
    }

    /// Writes so many bytes at the most, and holds them against what may be.
    fn flush(&mut self, mut most: usize) {
        while most > 0 && self.connection.has_outgoing() {
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = self.connection.outgoing(&mut slices);
            let mut written = 0;
            for slice in &slices[..filled] {
                let part = &slice[..slice.len().min(most - written)];
                self.wire.extend_from_slice(part);
                written += part.len();
            }
            assert!(written > 0);
            self.connection.wrote(written, self.now);
            most -= written;
        }
        let mut wire = std::mem::take(&mut self.wire);
        let mut at = 0;
        while let Some((head, behind)) = wire[at..].split_first_chunk::<HEADER_LENGTH>() {
            let header = Header::decode(head).expect("a header");
            let Some(payload) = behind.get(..header.length.bytes()) else { break };
            self.is_in_order(&header, payload);
            at += HEADER_LENGTH + payload.len();
        }
        wire.drain(..at);
        self.wire = wire;
    }

    fn is_in_order(&mut self, header: &Header, payload: &[u8]) {
        match header.kind {
            Kind::Request | Kind::Response => {
                assert!(header.end);
                self.names(payload);
            }
            Kind::Stream => {
                let longest = if self.connection.pace() == Pace::Modern { LONG } else { CHUNK };
                assert!(payload.len() <= longest);
                let life = self.lives.get_mut(&header.id).expect("an envelope names it");
                assert!(!life.over, "content behind the end");
                life.sent += payload.len() as u64;
                assert_eq!(header.end, life.sent == life.declared, "{life:?}");
                life.over = header.end;
            }
            Kind::CancelStream => {
                assert!(header.end && payload.is_empty());
                if let Some(life) = self.lives.get_mut(&header.id) {
                    assert!(!life.over);
                    life.over = true;
                } else {
                    self.greetings += 1;
                    assert!(self.connection.pace() == Pace::Modern && self.greetings == 1);
                }
            }
            Kind::CancelAll => assert!(header.end && payload.is_empty() && header.id == Id::ZERO),
            Kind::Unknown(_) => panic!("an unknown frame is sent"),
        }
    }

    /// Notes the streams of an envelope, as it is written here.
    fn names(&mut self, payload: &[u8]) {
        let text = str::from_utf8(payload).expect("UTF-8");
        for part in text.split("{\"id\":\"").skip(1) {
            let (id, rest) = part.split_at(36);
            let (_, length) = rest.split_once("\"length\":").expect("a length");
            let (length, _) = length.split_once('}').expect("an object");
            let declared = length.parse().expect("a number");
            let life = Life { declared, sent: 0, over: false };
            assert!(self.lives.insert(id.parse().expect("a GUID"), life).is_none());
        }
    }
}
