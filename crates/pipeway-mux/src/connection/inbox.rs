//! Content that was received and not yet read.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A piece shorter than this is copied behind the one before it: alone it would hold the whole
/// buffer that it was read into. Longer pieces are kept as they are.
const SMALL: usize = 4096;

/// For how many pieces an empty inbox keeps room.
const KEEP: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    pieces: VecDeque<Piece>,
    length: usize,
}

#[derive(Debug)]
enum Piece {
    Whole(Bytes),
    Gathered(BytesMut),
}

impl Inbox {
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() >= SMALL {
            self.pieces.push_back(Piece::Whole(piece));
            return;
        }
        match self.pieces.back_mut() {
            Some(Piece::Gathered(gathered)) if gathered.len() < SMALL => {
                gathered.extend_from_slice(&piece);
            }
            _ => self.pieces.push_back(Piece::Gathered(BytesMut::from(&piece[..]))),
        }
    }

    /// The oldest piece.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let piece = match self.pieces.pop_front()? {
            Piece::Whole(bytes) => bytes,
            Piece::Gathered(bytes) => bytes.freeze(),
        };
        self.length -= piece.len();
        if self.pieces.is_empty() && self.pieces.capacity() > KEEP {
            self.pieces = VecDeque::new();
        }
        Some(piece)
    }

    /// Throws everything away, and tells how much it was.
    pub(super) fn clear(&mut self) -> usize {
        self.pieces = VecDeque::new();
        std::mem::take(&mut self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_gathered_and_large_ones_kept_as_they_are() {
        let mut inbox = Inbox::default();
        let large = Bytes::from(vec![7; SMALL]);
        let place = large.as_ptr();
        for piece in [&b"ab"[..], b"c"] {
            inbox.push(Bytes::copy_from_slice(piece));
        }
        inbox.push(large);
        inbox.push(Bytes::from_static(b"d"));
        assert_eq!(inbox.len(), SMALL + 4);
        assert_eq!(inbox.pop().as_deref(), Some(&b"abc"[..]));
        assert_eq!(inbox.pop().map(|piece| piece.as_ptr()), Some(place));
        assert_eq!(inbox.pop().as_deref(), Some(&b"d"[..]));
        assert_eq!(inbox.pop(), None);
        assert!(inbox.is_empty());
    }
}
