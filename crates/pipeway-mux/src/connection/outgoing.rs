//! Frames that wait for the stream below, in the order in which they go out.

use std::collections::VecDeque;

use super::Key;
use crate::frame::{self, Code};
use crate::id::ChannelId;
use crate::options::{CONTENT_MAX, Version};

/// Up to here content is taken, in bytes: what stands before a small message.
const CONTENT_LIMIT: usize = 64 * 1024;

/// The same over a stream that takes as much at once: there it stands for no time.
const SWIFT_LIMIT: usize = 128 * 1024;

/// What a frame's head takes at the most.
const HEAD_MAX: usize = 20;

/// Space beyond what is asked for. Blocks of whole pages lie 16 bytes apart modulo a page, and to copy
/// between two of them took up to twice as long, likely since what is read next looks like what was just
/// written. With this the next block lies elsewhere.
const ASIDE: usize = 1536;

/// A write of no more than this many bytes need not wait for its turn.
const SMALL: usize = 1024;

/// How much of such writes there may be beyond the limit and the frame that reached it, in bytes.
const SMALL_RESERVE: usize = 16 * 1024;

/// How many channels get a turn each time that there is room again.
const TURNS: usize = CONTENT_LIMIT / CONTENT_MAX + 1;

/// Space that a burst took and that is given back.
const KEEP: usize = 256 * 1024;

/// How many bytes of answers to the other end's frames there may be before nothing more is read
/// from it.
const ANSWERS_MAX: usize = 4 * 1024 * 1024;

/// What waits to be handed to the stream below. Content is written here at once by who has it, so
/// that nothing is copied twice; who finds no room queues for a turn of one frame.
#[derive(Debug)]
pub(super) struct Outgoing {
    version: Version,
    /// Up to where content is taken now.
    limit: usize,
    bytes: Vec<u8>,
    /// Whether some of it is not to wait for more.
    is_urgent: bool,
    /// Where content stands, in order, so that it can be taken out again.
    contents: Vec<Content>,
    /// Which filling this is.
    generation: u64,
    /// The last filling that the stream below has got whole.
    written: u64,
    answers: usize,
    queue: VecDeque<Key>,
}

#[derive(Debug)]
struct Content {
    key: Key,
    start: usize,
    end: usize,
}

impl Outgoing {
    pub(super) fn new(version: Version) -> Self {
        Outgoing {
            version,
            limit: CONTENT_LIMIT,
            bytes: Vec::new(),
            is_urgent: false,
            contents: Vec::new(),
            generation: 1,
            written: 0,
            answers: 0,
            queue: VecDeque::new(),
        }
    }

    /// Whether there is something that is not to wait for more.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Whether there is something, all of which may wait a moment for more.
    pub(super) fn may_wait(&self) -> bool {
        !self.is_urgent && !self.bytes.is_empty()
    }

    /// Nothing is to wait any more.
    pub(super) fn hurry(&mut self) {
        self.is_urgent = !self.bytes.is_empty();
    }

    /// Writes a frame that has no content. The generation that it belongs to.
    pub(super) fn frame(&mut self, code: Code, id: ChannelId, payload: &[u8]) -> u64 {
        self.is_urgent = true;
        frame::write_frame(&mut self.bytes, self.version, code, id, payload);
        self.generation
    }

    /// As [`frame`](Self::frame), one that may wait a moment, since nothing is held up by that.
    pub(super) fn frame_that_may_wait(&mut self, code: Code, id: ChannelId, payload: &[u8]) -> u64 {
        let was_urgent = self.is_urgent;
        let generation = self.frame(code, id, payload);
        self.is_urgent = was_urgent;
        generation
    }

    /// Writes a frame that the other end caused.
    pub(super) fn answer(&mut self, code: Code, id: ChannelId, payload: &[u8]) {
        let before = self.bytes.len();
        self.frame(code, id, payload);
        self.answers += self.bytes.len() - before;
    }

    /// As [`answer`](Self::answer), one that may wait a moment.
    pub(super) fn answer_that_may_wait(&mut self, code: Code, id: ChannelId) {
        let was_urgent = self.is_urgent;
        self.answer(code, id, &[]);
        self.is_urgent = was_urgent;
    }

    /// Whether the other end causes more than it reads.
    pub(super) fn is_flooded(&self) -> bool {
        self.answers >= ANSWERS_MAX
    }

    /// Whether somebody queues for a turn.
    pub(super) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether a write of `length` bytes must queue.
    pub(super) fn must_queue(&self, length: usize, granted: bool) -> bool {
        if length <= SMALL {
            return self.bytes.len() >= self.limit + CONTENT_MAX + SMALL_RESERVE;
        }
        self.bytes.len() >= self.limit || (!granted && self.has_queue())
    }

    pub(super) fn queue(&mut self, key: Key) {
        self.queue.push_back(key);
    }

    pub(super) fn unqueue(&mut self, key: Key) {
        self.queue.retain(|queued| *queued != key);
    }

    /// The channels whose turn it is.
    pub(super) fn turns(&mut self) -> impl Iterator<Item = Key> + '_ {
        let count = self.queue.len().min(TURNS);
        self.queue.drain(..count)
    }

    /// Writes as many frames of content as there is room for, each as large as may be, and
    /// tells how much of `content` that was.
    pub(super) fn content(&mut self, key: Key, id: ChannelId, content: &[u8]) -> usize {
        let alone = self.queue.is_empty();
        let mut written = 0;
        while written < content.len() {
            let part = &content[written..content.len().min(written + CONTENT_MAX)];
            let start = self.bytes.len();
            self.is_urgent = true;
            if start == 0 {
                // One allocation rather than several that grow.
                self.bytes.reserve(content.len().min(self.limit) + HEAD_MAX + ASIDE);
            }
            frame::write_frame(&mut self.bytes, self.version, Code::Content, id, part);
            self.contents.push(Content { key, start, end: self.bytes.len() });
            written += part.len();
            if !alone || self.bytes.len() >= self.limit {
                break;
            }
        }
        written
    }

    /// Takes out the content of a channel whose other end takes no more.
    pub(super) fn purge(&mut self, key: Key) {
        if self.contents.iter().all(|content| content.key != key) {
            return;
        }
        let mut kept = Vec::with_capacity(self.bytes.len());
        let mut at = 0;
        let contents = std::mem::take(&mut self.contents);
        for content in contents {
            if content.key == key {
                kept.extend_from_slice(&self.bytes[at..content.start]);
                at = content.end;
            } else {
                let shift = at - kept.len();
                kept.extend_from_slice(&self.bytes[at..content.end]);
                at = content.end;
                self.contents.push(Content {
                    key: content.key,
                    start: content.start - shift,
                    end: content.end - shift,
                });
            }
        }
        kept.extend_from_slice(&self.bytes[at..]);
        self.bytes = kept;
        self.is_urgent &= !self.bytes.is_empty();
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether what was written in `generation` has been handed to the stream below.
    pub(super) fn is_written(&self, generation: u64) -> bool {
        generation <= self.written
    }

    /// Hands over what there is; `space` is what the last one has left, and is used anew.
    pub(super) fn take(&mut self, space: &mut Vec<u8>) {
        space.clear();
        if space.capacity() > KEEP {
            *space = Vec::new();
        }
        std::mem::swap(&mut self.bytes, space);
        self.contents.clear();
        self.is_urgent = false;
        self.answers = 0;
        self.generation += 1;
    }

    /// What was taken last is written; whether the stream below took it at once.
    pub(super) fn taken_is_written(&mut self, at_once: bool) {
        self.written = self.generation - 1;
        self.limit = if at_once { SWIFT_LIMIT } else { CONTENT_LIMIT };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Source;

    const A: ChannelId = ChannelId { number: 1, source: Source::Local };
    const B: ChannelId = ChannelId { number: 2, source: Source::Local };

    #[test]
    fn purging_takes_out_one_channels_content_and_nothing_else() {
        let mut out = Outgoing::new(Version::V3);
        let mut wanted = Vec::new();
        out.content(1, A, b"first");
        out.frame(Code::Offer, B, b"x");
        out.content(2, B, b"second");
        out.content(1, A, b"third");
        out.content(2, B, b"fourth");
        out.frame(Code::ContentWritingCompleted, A, b"");
        frame::write_frame(&mut wanted, Version::V3, Code::Offer, B, b"x");
        frame::write_frame(&mut wanted, Version::V3, Code::Content, B, b"second");
        frame::write_frame(&mut wanted, Version::V3, Code::Content, B, b"fourth");
        frame::write_frame(&mut wanted, Version::V3, Code::ContentWritingCompleted, A, b"");
        out.purge(1);
        assert_eq!(out.bytes, wanted);
        out.purge(2);
        wanted.clear();
        frame::write_frame(&mut wanted, Version::V3, Code::Offer, B, b"x");
        frame::write_frame(&mut wanted, Version::V3, Code::ContentWritingCompleted, A, b"");
        assert_eq!(out.bytes, wanted);
    }

    #[test]
    fn a_small_write_passes_those_who_queue_and_a_large_one_does_not() {
        let mut out = Outgoing::new(Version::V3);
        let large = vec![0; 1 << 20];
        assert!(!out.must_queue(large.len(), false));
        let written = out.content(1, A, &large);
        assert!((CONTENT_LIMIT..CONTENT_LIMIT + CONTENT_MAX + HEAD_MAX).contains(&written));
        assert!(out.must_queue(large.len(), false));
        assert!(!out.must_queue(SMALL, false));
        out.queue(1);
        let mut space = Vec::new();
        out.take(&mut space);
        assert!(out.must_queue(large.len(), false), "one is before it");
        assert_eq!(out.turns().collect::<Vec<_>>(), [1]);
        assert!(!out.must_queue(large.len(), true));
    }

    #[test]
    fn a_stream_that_takes_everything_at_once_is_given_more() {
        let mut out = Outgoing::new(Version::V3);
        let large = vec![0; 1 << 20];
        for (at_once, limit) in [(true, SWIFT_LIMIT), (false, CONTENT_LIMIT)] {
            out.take(&mut Vec::new());
            out.taken_is_written(at_once);
            let written = out.content(1, A, &large);
            assert!((limit - CONTENT_MAX..limit + CONTENT_MAX).contains(&written), "{written}");
        }
    }

    #[test]
    fn who_queues_gets_one_frame_at_a_time() {
        let mut out = Outgoing::new(Version::V3);
        out.queue(2);
        assert_eq!(out.content(1, A, &vec![0; 1 << 20]), CONTENT_MAX);
    }
}
