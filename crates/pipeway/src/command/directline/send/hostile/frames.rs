//! Frames, right ones and wrong ones, as bytes.

use serde_json::{Value, json};

use super::seeded::Seeded;

/// An end flag.
pub(super) const MORE: u8 = b'0';
pub(super) const LAST: u8 = b'1';

/// A header of whatever parts.
pub(super) fn header(kind: u8, length: usize, id: &str, end: u8) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(format!(".{length:06}.{id}.").as_bytes());
    bytes.extend_from_slice(&[end, b'\n']);
    bytes
}

/// A frame.
pub(super) fn frame(kind: u8, id: &str, end: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, payload.len(), id, end);
    bytes.extend_from_slice(payload);
    bytes
}

/// A frame of a stream.
pub(super) fn stream(id: &str, end: u8, content: &[u8]) -> Vec<u8> {
    frame(b'S', id, end, content)
}

/// An envelope that is whole.
pub(super) fn envelope(id: &str, envelope: &Value) -> Vec<u8> {
    frame(b'A', id, LAST, envelope.to_string().as_bytes())
}

/// A request without streams for which no agent has a route.
pub(super) fn probe(id: &str) -> Vec<u8> {
    envelope(id, &json!({ "verb": "GET", "path": "/probe", "streams": null }))
}

/// The envelope of an activity in the streams `ids`, of which the first is declared to be `length`
/// bytes long.
pub(super) fn post(ids: &[&str], length: usize) -> Value {
    let streams: Vec<Value> = ids
        .iter()
        .enumerate()
        .map(|(index, id)| match index {
            0 => json!({ "id": id, "type": "application/json", "length": length }),
            _ => json!({ "id": id, "type": "application/octet-stream" }),
        })
        .collect();
    json!({ "verb": "POST", "path": "/api/messages", "streams": streams })
}

/// An activity that asks for nothing, of about so many bytes.
pub(super) fn activity(seeded: &mut Seeded, bytes: usize) -> Vec<u8> {
    let activity = json!({
        "type": "event", "name": "pipeway.test", "id": seeded.id(), "channelId": "directline",
        "serviceUrl": "urn:botframework:namedpipe:test", "conversation": { "id": "hostile" },
        "from": { "id": "user", "role": "user" }, "recipient": { "id": "bot", "role": "bot" },
        "value": seeded.letters(bytes),
    });
    activity.to_string().into_bytes()
}

/// The notice that everything is cancelled.
pub(super) fn cancel_all() -> Vec<u8> {
    header(b'X', 0, "00000000-0000-0000-0000-000000000000", LAST)
}

/// A cancel of a stream or a request.
pub(super) fn cancel(id: &str) -> Vec<u8> {
    header(b'C', 0, id, LAST)
}
