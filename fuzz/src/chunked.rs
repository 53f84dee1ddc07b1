//! The chunked transfer coding.

use pipeway_bridge::fuzzing::{Chunked, Framing, Part};

use super::other;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// A body that was read.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    payload: Vec<u8>,
    /// As it is passed on: everything as it came, but the trailers written anew.
    passed: Vec<u8>,
    /// How many bytes of the input were the body.
    used: usize,
}

/// A body is read alike in one piece and in many; what hyper refuses is refused; and hyper sees
/// the same payload, and the same next request behind it, both in what came and in what is passed
/// on.
pub fn chunked(data: &[u8]) {
    let read = read(data, data.len().max(1));
    for step in [1, 5] {
        assert_eq!(read, self::read(data, step), "in steps of {step}");
    }
    let Some(read) = read else { return };
    for (what, body) in [("came", &data[..read.used]), ("is passed on", &read.passed)] {
        let shown = body.escape_ascii();
        let requests = other::requests(&[HEAD, body, NEXT].concat(), 64);
        let first = requests.first().expect("the head is sound");
        assert_eq!(first.framing, Framing::Chunked);
        assert_eq!(first.body.as_ref(), Some(&read.payload), "what {what}: {shown}");
        let next = requests.get(1).map(|next| next.target.as_str());
        assert_eq!(next, Some("/next"), "behind what {what}: {shown}");
        assert_eq!(requests.len(), 2, "behind what {what}: {shown}");
    }
}

/// `None` where the body breaks the coding, or does not end.
fn read(input: &[u8], step: usize) -> Option<Read> {
    let mut body = Chunked::new(4096);
    let mut read = Read { payload: Vec::new(), passed: Vec::new(), used: 0 };
    while !body.is_done() {
        let end = (read.used + step).min(input.len());
        let piece = &input[read.used..end];
        if piece.is_empty() {
            return None;
        }
        let (count, passes) = match body.next(piece).ok()? {
            Part::Framing(count) => (count, true),
            Part::Data(count) => {
                read.payload.extend_from_slice(&piece[..count]);
                (count, true)
            }
            Part::Trailers(count) | Part::End(count) => (count, false),
        };
        assert!(count > 0 && count <= piece.len());
        if passes {
            read.passed.extend_from_slice(&piece[..count]);
        }
        read.used += count;
    }
    body.write_trailers(&mut read.passed);
    Some(read)
}
