//! The frames of DirectLine.

use std::time::Instant;

use pipeway_directline::{
    Connection, Content, Event, HEADER_LENGTH, Header, Kind, Limits, Strictness,
};

/// Small, so that inputs reach them.
const MEMORY_MAX: usize = 1 << 16;

/// Everything that was read, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    events: Vec<String>,
    failed: Option<String>,
    ended: String,
}

/// Bytes are read alike in one piece and in many, with no more kept than may be; and a header that
/// reads is written as it was.
///
/// The input's first byte is how strictly it is read.
pub fn directline_frames(data: &[u8]) {
    let [kind, data @ ..] = data else { return };
    let strictness = [Strictness::Strict, Strictness::Lenient][usize::from(kind % 2)];
    for header in data.windows(HEADER_LENGTH) {
        if let Ok(read) = Header::decode(header)
            && !matches!(read.kind, Kind::Unknown(_))
        {
            assert_eq!(read.encode().as_ref().map(|bytes| &bytes[..]), Ok(header));
        }
    }
    let whole = read(strictness, data, data.len().max(1));
    for step in [1, 3, 64] {
        assert_eq!(whole, read(strictness, data, step), "in steps of {step}");
    }
}

fn read(strictness: Strictness, input: &[u8], step: usize) -> Read {
    let limits = Limits {
        strictness,
        streams_max: 8,
        stream_bytes_max: 10_000,
        // What is held depends on how the bytes are cut: enough here that it never decides.
        memory_bytes_max: 1 << 30,
        requests_max: 4,
        parked_max: 4,
        ..Limits::agent()
    };
    let now = Instant::now();
    let mut connection = Connection::new(limits, now).expect("they are sound");
    let mut events = Vec::new();
    for piece in input.chunks(step) {
        connection.receive(piece.to_vec().into(), now);
        while let Some(event) = connection.next_event() {
            events.push(told(event));
        }
        let kept = connection.held_bytes();
        assert!(kept <= MEMORY_MAX.max(20 * input.len() + 4096), "{kept} of {}", input.len());
    }
    let failed = connection.failed().map(ToString::to_string);
    connection.end_of_input();
    assert!(connection.ended().is_some());
    while connection.next_event().is_some() {}
    assert_eq!(connection.held_bytes(), 0, "bytes are kept for nobody");
    Read { events, failed, ended: format!("{:?}", connection.ended()) }
}

/// What an event tells, content included.
fn told(event: Event) -> String {
    let text = format!("{event:?}");
    let (body, attachments) = match event {
        Event::Request(request) => (request.body, request.attachments),
        _ => (None, Vec::new()),
    };
    let contents: Vec<Vec<u8>> = body
        .iter()
        .chain(&attachments)
        .map(|content: &Content| content.pieces().concat())
        .collect();
    format!("{text} {contents:?}")
}
