//! Where a session reads into.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use pipeway_transport::prefer_large_pages;

use crate::Connection;
use crate::connection::Charge;

/// The space for the first read, in bytes; one that is filled is followed by a larger one.
const READ_MIN: usize = 8 * 1024;

/// The space for a read, at the most, where not much is known to come.
const READ_MAX: usize = 64 * 1024;

/// From so much on that is known to come, in bytes, there is a block for it. What is kept of a body
/// is memory that the system has to give first, and in small pages that took most of the time.
const MUCH: u64 = 4 * 1024 * 1024;

/// A block, at the most, in bytes. A part at either end of it may not fit a large page.
const BLOCK_MAX: usize = 16 * 1024 * 1024;

/// Space to read into. Content is cut out of it without a copy, so it is begun anew often.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) input: BytesMut,
    size: usize,
    /// Counts all of the block that `input` is the rest of. A slice of it keeps it all.
    block: Option<Arc<Charge>>,
}

impl Space {
    pub(super) fn new() -> Self {
        Space { input: BytesMut::new(), size: READ_MIN, block: None }
    }

    /// How many bytes fit into it.
    pub(super) fn room(&self) -> usize {
        self.input.capacity() - self.input.len()
    }

    /// Whether it is to be asked what comes before there is room.
    pub(super) fn wants_room(&self) -> bool {
        self.block.is_some() || self.room() < self.size / 8
    }

    /// Makes room for what `connection` expects.
    pub(super) fn make_room(&mut self, connection: &Connection) {
        let expected = connection.expects();
        if self.block.is_some() && expected == 0 {
            // What comes next would keep the block.
            *self = Space::new();
        }
        // A buffer is filled to its end before the next one is begun, so that what is kept of it
        // holds little else.
        if self.room() >= self.size / 8 {
            return;
        }
        let whole = usize::try_from(expected).unwrap_or(usize::MAX);
        let block = whole.saturating_add(READ_MAX).min(BLOCK_MAX);
        self.block = (expected >= MUCH).then(|| connection.charge(block)).flatten().map(Arc::new);
        if self.block.is_some() {
            self.input = BytesMut::with_capacity(block);
            prefer_large_pages(self.input.spare_capacity_mut());
        } else {
            self.input.reserve(self.size);
        }
    }

    /// So much was read; there was `room`.
    pub(super) fn grow(&mut self, read: usize, room: usize) {
        if read == room {
            self.size = (self.size * 2).min(READ_MAX);
        }
    }

    /// Takes what was read, and whether it is counted already.
    pub(super) fn take(&mut self) -> (Bytes, bool) {
        let bytes = self.input.split().freeze();
        match &self.block {
            None => (bytes, false),
            Some(charge) => {
                (Bytes::from_owner(OfBlock { bytes, _charge: Arc::clone(charge) }), true)
            }
        }
    }
}

/// A slice of a block.
struct OfBlock {
    bytes: Bytes,
    _charge: Arc<Charge>,
}

impl AsRef<[u8]> for OfBlock {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{Event, Header, Id, Kind, Limits, PayloadLength};

    const STREAM: &str = "0b9d7c1e-52f5-4c0b-8a55-6f1d2e3c4b5a";

    fn frame(kind: Kind, id: &str, payload: &[u8], end: bool) -> Vec<u8> {
        let id: Id = id.parse().unwrap();
        let length = PayloadLength::try_from(payload.len()).unwrap();
        let mut bytes = Header { kind, length, id, end }.encode().unwrap().to_vec();
        bytes.extend_from_slice(payload);
        bytes
    }

    /// A connection that was told of a stream of so many bytes, and got the first of them.
    fn expecting(length: usize, limits: Limits) -> Connection {
        let mut connection = Connection::new(limits, Instant::now()).unwrap();
        let envelope = format!(
            r#"{{"verb":"POST","path":"/","streams":[{{"id":"{STREAM}","length":{length}}}]}}"#
        );
        let id = "6f1d2e3c-52f5-4c0b-8a55-0b9d7c1e4b5a";
        let now = Instant::now();
        connection.receive(frame(Kind::Request, id, envelope.as_bytes(), true).into(), now);
        connection.receive(frame(Kind::Stream, STREAM, &[0], false).into(), now);
        connection
    }

    /// Reads `bytes` as a driver does.
    fn read(space: &mut Space, connection: &mut Connection, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if space.wants_room() {
                space.make_room(connection);
            }
            let part = bytes.len().min(space.room()).min(100_000);
            space.input.extend_from_slice(&bytes[..part]);
            bytes = &bytes[part..];
            match space.take() {
                (taken, true) => connection.receive_held(taken, Instant::now()),
                (taken, false) => connection.receive(taken, Instant::now()),
            }
        }
    }

    #[test]
    fn much_that_is_known_to_come_has_blocks_which_count_until_they_are_let_go() {
        const LENGTH: usize = 40 << 20;
        let mut connection = expecting(LENGTH, Limits::agent());
        let mut space = Space::new();
        let pieces = [500_000; LENGTH / 500_000].into_iter().chain([LENGTH % 500_000 - 1]);
        let content = vec![7; 500_000];
        let mut sent = 1;
        for piece in pieces {
            sent += piece;
            let bytes = frame(Kind::Stream, STREAM, &content[..piece], sent == LENGTH);
            read(&mut space, &mut connection, &bytes);
            assert!(sent == LENGTH || space.block.is_some(), "{sent}");
            let held = connection.held_bytes();
            assert!((sent..sent + BLOCK_MAX + (64 << 10)).contains(&held), "{sent}: {held}");
        }
        let Some(Event::Request(request)) = connection.next_event() else { panic!("a request") };
        assert_eq!(request.body.as_ref().map(crate::Content::len), Some(LENGTH as u64));
        // The next frame is not read into what is left of the block.
        space.make_room(&connection);
        assert!(space.block.is_none());
        drop(request);
        assert!(connection.held_bytes() < 64 << 10, "{}", connection.held_bytes());
    }

    #[test]
    fn a_block_is_not_begun_where_memory_is_short_or_little_comes() {
        let short = Limits { memory_bytes_max: 12 << 20, ..Limits::agent() };
        for (length, limits) in [(10 << 20, short), (4 << 20, Limits::agent())] {
            let connection = expecting(length, limits);
            let mut space = Space::new();
            space.make_room(&connection);
            assert!(space.block.is_none());
            assert!(space.room() >= READ_MIN);
        }
        let mut space = Space::new();
        space.make_room(&expecting(10 << 20, Limits::agent()));
        assert!(space.block.is_some());
    }
}
