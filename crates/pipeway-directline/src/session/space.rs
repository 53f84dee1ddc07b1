//! Where a session reads into.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use pipeway_transport::prefer_large_pages;

use super::state::now;
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

/// How long the blocks of a body that is over are kept for the next one. To clear pages takes most of
/// a receiver's time; blocks that were used need no clearing.
const KEPT: Duration = Duration::from_secs(1);

/// Space to read into. Content is cut out of it without a copy, so it is begun anew often.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) input: BytesMut,
    size: usize,
    /// Counts all of the block that `input` is the rest of. A slice of it keeps it all.
    block: Option<Arc<Charge>>,
    /// The size of that block.
    block_bytes: usize,
    /// Blocks that are filled, or of which no more is needed: an empty piece of each, and its size.
    filled: VecDeque<(BytesMut, usize)>,
    /// When the last of them was.
    filled_at: Option<Instant>,
}

impl Space {
    pub(super) fn new() -> Self {
        Space {
            input: BytesMut::new(),
            size: READ_MIN,
            block: None,
            block_bytes: 0,
            filled: VecDeque::new(),
            filled_at: None,
        }
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
            self.leave_block(connection);
            self.size = READ_MIN;
        }
        // A buffer is filled to its end before the next one is begun, so that what is kept of it
        // holds little else.
        if self.room() >= self.size / 8 {
            return;
        }
        self.leave_block(connection);
        if expected < MUCH || !self.begin_block(connection, expected) {
            self.input.reserve(self.size);
        }
    }

    /// Whether there is memory for another block.
    fn begin_block(&mut self, connection: &Connection, expected: u64) -> bool {
        let whole = usize::try_from(expected).unwrap_or(usize::MAX);
        let wanted = whole.saturating_add(READ_MAX).min(BLOCK_MAX);
        // One whose readers are done with it. How much of a body was read before its first block
        // began differs, and so does what the last one of an equal body is to hold.
        let least = whole.min(BLOCK_MAX);
        let is_free =
            |(block, bytes): &mut (BytesMut, usize)| *bytes >= least && block.try_reclaim(*bytes);
        let free = self.filled.iter_mut().position(is_free);
        let free = free.and_then(|at| self.filled.remove(at));
        self.block_bytes = free.as_ref().map_or(wanted, |(_, bytes)| *bytes);
        self.block = connection.charge(self.block_bytes).map(Arc::new);
        if self.block.is_none() {
            return false;
        }
        self.input = match free {
            Some((block, _)) => block,
            None => {
                let mut block = BytesMut::with_capacity(wanted);
                prefer_large_pages(block.spare_capacity_mut());
                block
            }
        };
        true
    }

    /// Keeps no more than half of what all that is received may hold.
    fn leave_block(&mut self, connection: &Connection) {
        if self.block.take().is_none() {
            return;
        }
        let most = connection.limits().memory_bytes_max / 2;
        // Without the rest of its space: only whoever has it all can take that again.
        let block = std::mem::take(&mut self.input).split_to(0);
        self.filled.push_back((block, self.block_bytes));
        let mut bytes: usize = self.filled.iter().map(|(_, bytes)| bytes).sum();
        while bytes > most {
            bytes -= self.filled.pop_front().map_or(bytes, |(_, bytes)| bytes);
        }
        self.filled_at = Some(now());
    }

    /// When what is kept for another body is to be [released](Self::release).
    pub(super) fn due(&self) -> Option<Instant> {
        self.filled_at.map(|at| at + KEPT)
    }

    /// Keeps no blocks any more, if it is time.
    pub(super) fn release(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            self.filled = VecDeque::new();
            self.filled_at = None;
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

    /// Reads a body of 40 MiB in frames of 500,000 bytes, and tells where each of them begins.
    fn places_of_a_body(space: &mut Space) -> Vec<usize> {
        const FRAMES: usize = 80;
        let mut connection = expecting(FRAMES * 500_000 + 1, Limits::agent());
        let content = vec![7; 500_000];
        let mut places = Vec::new();
        for frame_number in 1..=FRAMES {
            let bytes = frame(Kind::Stream, STREAM, &content, frame_number == FRAMES);
            read(space, &mut connection, &bytes);
            places.push(space.input.as_ptr() as usize);
        }
        space.make_room(&connection);
        assert!(connection.next_event().is_some());
        places
    }

    #[test]
    fn blocks_are_used_again_for_the_next_body_and_let_go_after_a_while() {
        let mut space = Space::new();
        assert_eq!(space.due(), None);
        let first = places_of_a_body(&mut space);
        let kept = space.filled.len();
        assert_eq!(kept, 3);
        let blocks: Vec<_> = space
            .filled
            .iter()
            .map(|(block, bytes)| {
                let end = block.as_ptr() as usize;
                end.saturating_sub(*bytes)..=end
            })
            .collect();
        for _ in 0..3 {
            let next = places_of_a_body(&mut space);
            assert_eq!(space.filled.len(), kept);
            assert!(next.iter().all(|place| blocks.iter().any(|block| block.contains(place))));
        }
        assert!(first.iter().all(|place| blocks.iter().any(|block| block.contains(place))));
        let due = space.due().unwrap();
        space.release(due - Duration::from_millis(1));
        assert_eq!(space.filled.len(), kept);
        space.release(due);
        assert!(space.filled.is_empty());
        assert_eq!(space.due(), None);
    }

    #[test]
    fn a_block_is_used_again_though_a_little_more_of_the_body_is_to_come() {
        let mut space = Space::new();
        for (length, kept) in [(8 << 20, 1), ((8 << 20) + 1000, 1), (9 << 20, 2)] {
            let connection = expecting(length, Limits::agent());
            space.make_room(&connection);
            assert!(space.block.is_some() && space.room() >= length);
            space.leave_block(&connection);
            assert_eq!(space.filled.len(), kept, "{length}");
        }
    }

    #[test]
    fn no_more_is_kept_than_half_of_what_may_be_held() {
        let limits = Limits { memory_bytes_max: 100 << 20, ..Limits::agent() };
        let mut space = Space::new();
        for length in [10 << 20, 12 << 20, 14 << 20, 15 << 20, 20 << 20] {
            let connection = expecting(length, limits.clone());
            space.make_room(&connection);
            assert!(space.block.is_some());
            space.leave_block(&connection);
            let kept: usize = space.filled.iter().map(|(_, bytes)| bytes).sum();
            assert!(kept <= 50 << 20, "{kept}");
        }
        assert_eq!(space.filled.len(), 3);
    }

    #[test]
    fn blocks_that_are_in_use_are_not_used_again() {
        let mut space = Space::new();
        let mut connection = expecting(20_000_001, Limits::agent());
        for frame_number in 1..=40 {
            let bytes = frame(Kind::Stream, STREAM, &[1; 500_000], frame_number == 40);
            read(&mut space, &mut connection, &bytes);
        }
        let Some(Event::Request(request)) = connection.next_event() else { panic!("a request") };
        places_of_a_body(&mut space);
        let body = request.body.unwrap();
        let bytes = body.pieces().iter().flat_map(|piece| piece.iter());
        assert!(bytes.skip(1).all(|byte| *byte == 1));
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
