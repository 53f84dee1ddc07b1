//! The buffers that a connection reads into.

use std::collections::VecDeque;

use bytes::BytesMut;

/// The space for the first read, in bytes. A read that fills its space is followed by a larger one.
const SIZE_MIN: usize = 8 * 1024;

/// The space for a read, at the most.
const SIZE_MAX: usize = 64 * 1024;

/// How many buffers are kept whose content may still be with readers.
const RETIRED_MAX: usize = 4;

/// What was received and not yet handled, and the space to receive more.
///
/// Content is cut out of the buffer and goes to its readers as it is. A buffer that is used up is
/// taken again when they are done with it: an allocation of this size costs more than what it
/// holds.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) bytes: BytesMut,
    size: usize,
    retired: VecDeque<BytesMut>,
}

impl Input {
    /// `bytes` were received already.
    pub(crate) fn new(bytes: BytesMut) -> Self {
        Input { bytes, size: SIZE_MIN, retired: VecDeque::new() }
    }

    /// Makes space for a read; how much there is.
    pub(crate) fn make_space(&mut self) -> usize {
        if self.space() < self.size / 4 && !self.bytes.try_reclaim(self.size) {
            let mut next = match self.reclaimed() {
                Some(buffer) => buffer,
                None => BytesMut::with_capacity(self.size),
            };
            // The head of a frame at most, or a frame that is not content.
            next.extend_from_slice(&self.bytes);
            self.bytes.clear();
            next.reserve(self.size / 4);
            let used = std::mem::replace(&mut self.bytes, next);
            if self.retired.len() == RETIRED_MAX {
                self.retired.pop_front();
            }
            if used.capacity() > 0 {
                self.retired.push_back(used);
            }
        }
        self.space()
    }

    /// A buffer that its readers are done with.
    fn reclaimed(&mut self) -> Option<BytesMut> {
        let size = self.size;
        let place = self.retired.iter_mut().position(|buffer| buffer.try_reclaim(size))?;
        self.retired.remove(place)
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
        assert!(input.retired.len() <= RETIRED_MAX);
    }

    #[test]
    fn readers_that_keep_everything_bound_what_is_kept_here() {
        let mut input = Input::new(BytesMut::new());
        let held: Vec<_> = (0..50).map(|_| read(&mut input)).collect();
        assert!(input.retired.len() <= RETIRED_MAX);
        assert!(held.iter().all(|piece| piece.iter().all(|byte| *byte == 7)));
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
