//! The vectors of `tests/vectors`: what is on the wire, byte for byte.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::io::IoSlice;
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use pipeway_directline::{
    Connection, Event, HEADER_LENGTH, Header, IncomingRequest, Kind, Limits, PayloadLength,
    StreamHead, StreamHeads, StreamKeys,
};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors"))
}

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.bin"))).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn connection() -> Connection {
    Connection::new(Limits::agent(), Instant::now()).unwrap()
}

/// The frames that stand in a row.
fn frames(bytes: &[u8]) -> Vec<(Header, &[u8])> {
    let mut rest = bytes;
    let mut frames = Vec::new();
    while let Some((head, behind)) = rest.split_first_chunk::<HEADER_LENGTH>() {
        let header = Header::decode(head).unwrap();
        let (payload, behind) = behind.split_at(header.length.bytes());
        frames.push((header, payload));
        rest = behind;
    }
    assert!(rest.is_empty());
    frames
}

/// The requests that a connection makes of bytes that come in pieces.
fn requests(bytes: &[u8], piece: usize) -> Vec<IncomingRequest> {
    let (mut connection, now) = (connection(), Instant::now());
    for piece in bytes.chunks(piece) {
        connection.receive(Bytes::copy_from_slice(piece), now);
    }
    assert!(connection.ended().is_none(), "{:?}", connection.ended());
    let request = |event| match event {
        Event::Request(request) => Some(request),
        _ => None,
    };
    std::iter::from_fn(|| connection.next_event()).filter_map(request).collect()
}

fn sent(connection: &mut Connection) -> Vec<u8> {
    let mut all = Vec::new();
    while connection.has_outgoing() {
        let mut slices = [IoSlice::new(&[]); 8];
        let filled = connection.outgoing(&mut slices);
        let written = slices[..filled].iter().flat_map(|part| part.to_vec()).collect::<Vec<u8>>();
        connection.wrote(written.len(), Instant::now());
        all.extend(written);
    }
    all
}

const WRITTEN: &[&str] = &[
    "inbound-message",
    "acknowledgement",
    "reply",
    "reply-answer",
    "body-of-10000",
    "shutdown",
    "cancel-stream",
];

const READ: &[(&str, &[&str], &[u64])] = &[
    ("split-envelope", &[""], &[2]),
    ("flag-0-envelope", &["/x"], &[0]),
    ("content-type", &["/x"], &[2]),
    ("byte-order-mark", &["/x"], &[0]),
    ("unframed-rest", &["/api/messages", "/next"], &[6000, 0]),
    ("empty-last-frame", &["/api/messages"], &[2]),
    ("streams-first", &["/x"], &[2]),
    ("upper-case-ids", &["/x"], &[2]),
    ("unknown-type", &["/x"], &[0]),
    ("missing-statuscode", &["/x"], &[0]),
    ("end-marker", &["/x"], &[0]),
];

const CLOSES: &[&str] = &["dot", "length", "terminator", "flag", "id", "json", "array"];

#[test]
fn every_file_is_named_here() {
    let mut named: Vec<String> = WRITTEN.iter().map(|name| format!("{name}.bin")).collect();
    named.extend(READ.iter().map(|(name, ..)| format!("read-{name}.bin")));
    named.extend(CLOSES.iter().map(|name| format!("closes-{name}.bin")));
    named.push("README.md".to_owned());
    named.sort_unstable();
    let entries = std::fs::read_dir(folder()).unwrap();
    let mut there: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    there.sort_unstable();
    assert_eq!(there, named);
}

#[test]
fn headers_are_written_as_they_stand_there() {
    for name in WRITTEN {
        let bytes = vector(name);
        for (header, payload) in frames(&bytes) {
            let place = payload.as_ptr() as usize - bytes.as_ptr() as usize - HEADER_LENGTH;
            assert_eq!(header.encode().unwrap()[..], bytes[place..place + HEADER_LENGTH], "{name}");
            assert_eq!(header.length, PayloadLength::try_from(payload.len()).unwrap());
        }
    }
}

/// Pushes the contents of a vector's streams.
fn push(connection: &mut Connection, keys: &StreamKeys, bytes: &[u8]) {
    let streams = frames(bytes).into_iter().filter(|(header, _)| header.kind == Kind::Stream);
    let content: Vec<u8> = streams.flat_map(|(_, payload)| payload.to_vec()).collect();
    if let Some(key) = keys.body {
        connection.push(key, content.into(), Instant::now()).unwrap();
    }
}

/// The text with each random id replaced by the one that the vector has in its place.
fn with_ids(mut bytes: Vec<u8>, pairs: &[(String, String)]) -> Vec<u8> {
    for (random, fixed) in pairs {
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(36).position(|part| part == random.as_bytes()) {
            at += found;
            bytes[at..at + 36].copy_from_slice(fixed.as_bytes());
        }
    }
    bytes
}

#[test]
fn requests_are_written_as_they_stand_there() {
    for (name, path, media_type) in [
        ("inbound-message", "/api/messages", "application/json; charset=utf-8"),
        ("reply", "/v3/conversations/conv1/activities/in1", "application/json"),
        ("body-of-10000", "/api/messages", "application/octet-stream"),
    ] {
        let bytes = vector(name);
        let all = frames(&bytes);
        let length: usize = all[1..].iter().map(|(_, payload)| payload.len()).sum();
        let stream =
            StreamHead::new(media_type, length as u64).with_id(all[1].0.id.as_str()).unwrap();
        let heads = StreamHeads { body: Some(stream), attachments: vec![] };
        let mut connection = connection();
        let (call, keys) =
            connection.send_request("POST", path, &heads, None, Instant::now()).unwrap();
        push(&mut connection, &keys, &bytes);
        let ids = [(call.to_string(), all[0].0.id.to_string())];
        assert!(with_ids(sent(&mut connection), &ids) == bytes, "{name}");
    }
}

#[test]
fn answers_are_written_as_they_stand_there() {
    for name in ["acknowledgement", "reply-answer"] {
        let bytes = vector(name);
        let all = frames(&bytes);
        let (mut connection, now) = (connection(), Instant::now());
        let header =
            Header { kind: Kind::Request, length: PayloadLength::try_from(2).unwrap(), ..all[0].0 };
        connection.receive([&header.encode().unwrap()[..], b"{}"].concat().into(), now);
        let Some(Event::Request(request)) = connection.next_event() else { panic!("a request") };
        let body = all.get(1).map(|(header, payload)| {
            let head = StreamHead::new("application/json", payload.len() as u64);
            head.with_id(header.id.as_str()).unwrap()
        });
        let heads = StreamHeads { body, attachments: vec![] };
        let keys = connection.respond(request.key, 200, &heads, now).unwrap();
        push(&mut connection, &keys, &bytes);
        assert!(sent(&mut connection) == bytes, "{name}");
    }
}

#[test]
fn notices_are_written_as_they_stand_there() {
    let mut connection = connection();
    connection.cancel_all(Instant::now());
    assert_eq!(sent(&mut connection), vector("shutdown"));

    let fixed = vector("cancel-stream");
    let head = StreamHead::new("a/b", 1).with_id(frames(&fixed)[0].0.id.as_str()).unwrap();
    let heads = StreamHeads { body: Some(head), attachments: vec![] };
    let now = Instant::now();
    let (_, keys) = connection.send_request("POST", "/", &heads, None, now).unwrap();
    connection.cancel_stream(keys.body.unwrap(), now);
    assert!(sent(&mut connection).ends_with(&fixed));
}

#[test]
fn what_peers_write_is_read() {
    for (name, paths, lengths) in READ {
        let bytes = vector(&format!("read-{name}"));
        for piece in [1, 47, 48, 1000, 100_000] {
            let requests = requests(&bytes, piece);
            assert_eq!(requests.len(), paths.len(), "{name} by {piece}");
            for ((request, path), length) in requests.iter().zip(*paths).zip(*lengths) {
                assert!(path.is_empty() || request.path == *path, "{name}: {request:?}");
                let body = request.body.as_ref().map_or(0, |body| body.len());
                assert_eq!(body, *length, "{name} by {piece}");
            }
        }
    }
    for (name, length) in [("inbound-message", 193), ("reply", 206), ("body-of-10000", 10_000)] {
        let requests = requests(&vector(name), 1000);
        assert_eq!(requests[0].body.as_ref().unwrap().len(), length, "{name}");
    }
}

#[test]
fn what_is_no_frame_or_envelope_closes() {
    for name in CLOSES {
        let mut connection = connection();
        connection.receive(vector(&format!("closes-{name}")).into(), Instant::now());
        assert!(connection.failed().is_some_and(|error| error.code().is_some()), "{name}");
    }
}
