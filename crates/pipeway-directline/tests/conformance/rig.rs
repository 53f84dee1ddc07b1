//! A peer that writes just what a test says.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pipeway_directline::{
    Connection, Content, Error, Event, HEADER_LENGTH, Header, Id, IncomingRequest,
    IncomingResponse, Kind, Limits, StreamHeads, Strictness, Warning,
};

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

/// The id of that number.
pub fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A frame as it stands on the wire.
pub fn frame(kind: char, id: &str, payload: impl AsRef<[u8]>, end: bool) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = format!("{kind}.{:06}.{id}.{}\n", payload.len(), u8::from(end)).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// A descriptor of a stream.
pub fn stream(id: &str, length: Option<u64>) -> String {
    match length {
        Some(length) => {
            format!(r#"{{"id":"{id}","type":"application/json","length":{length}}}"#)
        }
        None => format!(r#"{{"id":"{id}","type":"application/json"}}"#),
    }
}

/// The envelope of a request for `POST /api/messages`.
pub fn posting(streams: &[String]) -> String {
    format!(r#"{{"verb":"POST","path":"/api/messages","streams":[{}]}}"#, streams.join(","))
}

/// A request frame.
pub fn a(request: &str, streams: &[String]) -> Vec<u8> {
    frame('A', request, posting(streams), true)
}

/// A response frame.
pub fn b(request: &str, status: u16, streams: &[String]) -> Vec<u8> {
    let envelope = format!(r#"{{"statusCode":{status},"streams":[{}]}}"#, streams.join(","));
    frame('B', request, envelope, true)
}

/// A stream's frame.
pub fn s(stream: &str, content: impl AsRef<[u8]>, end: bool) -> Vec<u8> {
    frame('S', stream, content, end)
}

/// A frame that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub kind: Kind,
    pub id: String,
    pub payload: Vec<u8>,
    pub end: bool,
}

impl Sent {
    pub fn text(&self) -> &str {
        str::from_utf8(&self.payload).unwrap()
    }
}

/// The bytes of a content.
pub fn bytes(content: &Content) -> Vec<u8> {
    content.pieces().concat()
}

/// One end, and what its peer does.
pub struct Rig {
    pub connection: Connection,
    pub now: Instant,
    wire: Vec<u8>,
    strictness: Strictness,
    probes: u32,
}

impl Rig {
    pub fn new() -> Self {
        Rig::with(Limits::agent())
    }

    pub fn with(limits: Limits) -> Self {
        let now = Instant::now();
        let strictness = limits.strictness;
        let connection = Connection::new(limits, now).unwrap();
        Rig { connection, now, wire: Vec::new(), strictness, probes: 0 }
    }

    /// The peer writes.
    pub fn receive(&mut self, bytes: impl AsRef<[u8]>) {
        self.connection.receive(Bytes::copy_from_slice(bytes.as_ref()), self.now);
    }

    /// Time passes, with each deadline at its time.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.connection.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.connection.tick(self.now);
            assert!(self.connection.next_deadline() != Some(due), "a deadline stays due");
        }
        self.now = until;
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.connection.next_event()).collect()
    }

    /// What happened, without warnings.
    pub fn news(&mut self) -> Vec<Event> {
        let mut events = self.events();
        events.retain(|event| !matches!(event, Event::Warning(_)));
        events
    }

    pub fn warnings(&mut self) -> Vec<Warning> {
        let warning = |event| match event {
            Event::Warning(warning) => Some(warning),
            other => panic!("{other:?}"),
        };
        self.events().into_iter().filter_map(warning).collect()
    }

    /// The one request that came.
    pub fn request(&mut self) -> IncomingRequest {
        match <[Event; 1]>::try_from(self.news()) {
            Ok([Event::Request(request)]) => request,
            other => panic!("{other:?}; {:?}", self.connection.ended()),
        }
    }

    /// What the one call that is over came to.
    pub fn response(&mut self) -> Result<IncomingResponse, Error> {
        match <[Event; 1]>::try_from(self.news()) {
            Ok([Event::Response { result, .. }]) => result,
            other => panic!("{other:?}; {:?}", self.connection.ended()),
        }
    }

    pub fn nothing_happened(&mut self) {
        let news = self.news();
        assert!(news.is_empty(), "{news:?}");
        assert!(self.connection.ended().is_none(), "{:?}", self.connection.ended());
    }

    /// Takes all that is to be written, as whole frames.
    pub fn sent(&mut self) -> Vec<Sent> {
        self.write(usize::MAX);
        let mut frames = Vec::new();
        let mut rest = &self.wire[..];
        while let Some((head, behind)) = rest.split_first_chunk::<HEADER_LENGTH>() {
            let header = Header::read(head, self.strictness).unwrap();
            let (payload, behind) = behind.split_at(header.length.bytes());
            frames.push(Sent {
                kind: header.kind,
                id: header.id.as_str().to_owned(),
                payload: payload.to_vec(),
                end: header.end,
            });
            rest = behind;
        }
        assert!(rest.is_empty(), "a frame is cut: {}", rest.escape_ascii());
        self.wire.clear();
        frames
    }

    /// Writes at most so many bytes.
    pub fn write(&mut self, mut most: usize) {
        while most > 0 && self.connection.has_outgoing() {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = self.connection.outgoing(&mut slices);
            let before = self.wire.len();
            for slice in &slices[..filled] {
                let left = most - (self.wire.len() - before);
                self.wire.extend_from_slice(&slice[..slice.len().min(left)]);
            }
            let written = self.wire.len() - before;
            assert!(written > 0, "there is something, and nothing of it is told");
            self.connection.wrote(written, self.now);
            most -= written;
        }
    }

    /// Answers the one request that came, and checks that the answer is written.
    pub fn answers(&mut self, status: u16) -> IncomingRequest {
        let request = self.request();
        self.connection.respond(request.key, status, &StreamHeads::default(), self.now).unwrap();
        let expected = Sent {
            kind: Kind::Response,
            id: request.id.as_str().to_owned(),
            payload: format!(r#"{{"statusCode":{status},"streams":null}}"#).into_bytes(),
            end: true,
        };
        assert_eq!(self.sent(), [expected]);
        request
    }

    /// A request that follows is answered with 404.
    pub fn is_alive(&mut self) {
        assert!(self.connection.ended().is_none(), "{:?}", self.connection.ended());
        self.events();
        self.probes += 1;
        let probe = format!("99999999-0000-4000-8000-{:012}", self.probes);
        self.receive(frame('A', &probe, r#"{"verb":"GET","path":"/probe","streams":null}"#, true));
        let request = self.answers(404);
        assert_eq!((&*request.verb, &*request.path), ("GET", "/probe"));
        assert_eq!(request.id.as_str(), probe);
    }

    /// The session has ended with an error of that number, and the peer is told.
    pub fn is_closed(&mut self, code: i32) {
        let failed = self.connection.failed().expect("the session ends");
        assert_eq!(failed.code(), Some(code), "{failed}");
        self.says_goodbye();
        assert_eq!(self.connection.next_deadline(), None);
    }

    /// The last frame is the notice.
    pub fn says_goodbye(&mut self) {
        let last = self.sent().pop().expect("a notice");
        assert_eq!((last.kind, last.id), (Kind::CancelAll, Id::ZERO.to_string()));
        assert!(last.payload.is_empty() && last.end);
    }

    /// A call without content.
    pub fn call(&mut self) -> Id {
        let heads = StreamHeads::default();
        let sent = self.connection.send_request("GET", "/v3/x", &heads, None, self.now);
        sent.unwrap().0
    }
}

/// The content of each stream that was sent, and whether its frames keep the rules.
pub fn contents(frames: &[Sent], chunk: usize) -> BTreeMap<String, Vec<u8>> {
    let mut contents: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut over = Vec::new();
    for frame in frames.iter().filter(|frame| frame.kind == Kind::Stream) {
        assert!(!over.contains(&frame.id), "a frame behind the end");
        assert!(frame.payload.len() <= chunk);
        contents.entry(frame.id.clone()).or_default().extend_from_slice(&frame.payload);
        if frame.end {
            over.push(frame.id.clone());
        }
    }
    assert_eq!(over.len(), contents.len(), "a stream has no end");
    contents
}
