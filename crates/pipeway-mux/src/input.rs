//! The buffers that a connection reads into.

use std::collections::VecDeque;

use bytes::BytesMut;

/// The space for the first read, in bytes. A read that fills its space is followed by a larger one.
const SIZE_MIN: usize = 8 * 1024;

/// The space for a read, at the most.
const SIZE_MAX: usize = 64 * 1024;

/// How many free buffers are kept.
const SPARE_MAX: usize = 4;

/// With so many buffers in their readers' hands, no more is let go for small content.
const HELD_MAX: usize = 64;

/// How many of the buffers in their readers' hands are looked at when another one is needed.
const LOOKED_AT: usize = 8;

/// What was received and not yet handled, and the space to receive more.
///
/// Content is cut out of the buffer and goes to its readers as it is. A buffer that is used up is
/// taken again when they are done with it: an allocation of this size costs more than what it
/// holds.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) bytes: BytesMut,
    /// Whether `bytes` lies in a buffer that was made here.
    is_own: bool,
    size: usize,
    /// Buffers that are used up and were not seen to be free: an empty piece of each.
    held: VecDeque<BytesMut>,
    spare: Vec<BytesMut>,
}

impl Input {
    /// `bytes` were received already.
    pub(crate) fn new(bytes: BytesMut) -> Self {
        Input { bytes, is_own: false, size: SIZE_MIN, held: VecDeque::new(), spare: Vec::new() }
    }

    /// Makes space for a read; how much there is.
    pub(crate) fn make_space(&mut self) -> usize {
        if self.space() < self.size / 4 && !self.bytes.try_reclaim(self.size) {
            let mut next = self.reclaimed();
            // The head of a frame at most, or a frame that is not content.
            next.extend_from_slice(&self.bytes);
            next.reserve(self.size / 4);
            let mut used = std::mem::replace(&mut self.bytes, next);
            if std::mem::replace(&mut self.is_own, true) {
                // Without the rest of its space: only whoever has it all can take that again.
                self.held.push_back(used.split_to(0));
            }
        }
        self.space()
    }

    /// Whether so much of what was read is in use that small content is not to add to it.
    pub(crate) fn is_much_held(&self) -> bool {
        self.held.len() >= HELD_MAX
    }

    /// A buffer that its readers are done with, or else a new one.
    fn reclaimed(&mut self) -> BytesMut {
        // The oldest first, and each in its turn: more become free than are added.
        for _ in 0..self.held.len().min(LOOKED_AT) {
            let Some(mut buffer) = self.held.pop_front() else { break };
            if !buffer.try_reclaim(1) {
                self.held.push_back(buffer);
            } else if self.spare.len() < SPARE_MAX {
                self.spare.push(buffer);
            }
        }
        while let Some(mut buffer) = self.spare.pop() {
            // Those of smaller sizes go.
            if buffer.try_reclaim(self.size) {
                return buffer;
            }
        }
        BytesMut::with_capacity(self.size)
    }

    fn space(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// A read has filled all the space.
    pub(crate) fn was_filled(&mut self) {
        self.size = (self.size * 2).min(SIZE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a full buffer, of which all but three bytes go to a reader.
    fn read(input: &mut Input) -> bytes::Bytes {
        let space = input.make_space();
        input.bytes.extend_from_slice(&vec![7; space]);
        let length = input.bytes.len() - 3;
        input.bytes.split_to(length).freeze()
    }

    #[test]
    fn buffers_are_used_again_once_their_readers_are_done() {
        let mut input = Input::new(BytesMut::new());
        let held: Vec<_> = (0..3).map(|_| read(&mut input)).collect();
        let places: Vec<_> = held.iter().map(|piece| piece.as_ptr() as usize).collect();
        drop(held);
        for _ in 0..20 {
            let piece = read(&mut input);
            let place = piece.as_ptr() as usize;
            assert!(places.iter().any(|known| place.abs_diff(*known) < SIZE_MIN), "a new one");
            assert_eq!(input.bytes, [7; 3][..]);
        }
        assert!(input.held.len() + input.spare.len() <= places.len());
    }

    #[test]
    fn buffers_in_their_readers_hands_are_counted_and_few_are_kept_when_free() {
        let mut input = Input::new(BytesMut::new());
        let mut held: VecDeque<_> = (0..3 * HELD_MAX).map(|_| read(&mut input)).collect();
        assert!(input.is_much_held());
        assert!(held.iter().all(|piece| piece.iter().all(|byte| *byte == 7)));
        // A small piece of each is enough.
        held.iter_mut().for_each(|piece| *piece = piece.slice(..1));
        drop(read(&mut input));
        assert!(input.is_much_held());
        held.drain(..held.len() - 10);
        for _ in 0..HELD_MAX {
            drop(read(&mut input));
        }
        assert!(!input.is_much_held());
        assert!((10..=12).contains(&input.held.len()), "{}", input.held.len());
        assert!(input.spare.len() <= SPARE_MAX);
    }

    #[test]
    fn what_was_received_and_not_handled_is_kept() {
        let mut input = Input::new(BytesMut::from(&b"head"[..]));
        input.make_space();
        assert_eq!(input.bytes, b"head"[..]);
        input.was_filled();
        assert!(input.make_space() >= SIZE_MIN / 2);
        assert_eq!(input.bytes, b"head"[..]);
    }
}
