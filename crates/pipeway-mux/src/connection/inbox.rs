//! Content that was received and not yet read.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Longer pieces are kept where they lie, whatever that costs: it is in proportion.
const SMALL: usize = 4096;

/// So many pieces are kept where they lie, and one more for each [`SHARE`] bytes that wait.
const FEW: usize = 32;

/// What stands for a piece takes some 40 bytes, so that the content, in bytes, that waits for each
/// has to be more than those.
const SHARE: usize = 128;

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

    /// Keeps `piece` where it lies. A small one is copied behind the one before it if `gather`, or
    /// where there are too many of them.
    pub(super) fn push(&mut self, piece: Bytes, gather: bool) {
        let few = FEW + self.length / SHARE;
        self.length += piece.len();
        if piece.len() >= SMALL || (!gather && self.pieces.len() < few) {
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

    /// What `inbox` holds, each piece with whether it lies where it was received.
    fn drain(inbox: &mut Inbox, received: &[Bytes]) -> Vec<(Bytes, bool)> {
        let places: Vec<_> = received.iter().map(|piece| piece.as_ptr()).collect();
        std::iter::from_fn(|| inbox.pop())
            .map(|piece| (piece.clone(), places.contains(&piece.as_ptr())))
            .collect()
    }

    fn pieces(count: usize, length: usize) -> Vec<Bytes> {
        (0..count).map(|number| Bytes::from(vec![number as u8; length])).collect()
    }

    #[test]
    fn small_pieces_are_gathered_if_told_so_and_large_ones_kept_as_they_are() {
        let mut inbox = Inbox::default();
        let mut received = pieces(2, 1);
        received.extend(pieces(1, SMALL));
        received.extend(pieces(1, 3));
        for piece in &received {
            inbox.push(piece.clone(), true);
        }
        assert_eq!(inbox.len(), SMALL + 5);
        let drained = drain(&mut inbox, &received);
        assert_eq!(
            drained,
            [
                (Bytes::from_static(&[0, 1]), false),
                (received[2].clone(), true),
                (Bytes::from_static(&[0; 3]), false)
            ]
        );
        assert!(inbox.is_empty());
    }

    #[test]
    fn small_pieces_lie_where_they_were_received() {
        let mut inbox = Inbox::default();
        let received = pieces(1000, 200);
        received.iter().for_each(|piece| inbox.push(piece.clone(), false));
        let drained = drain(&mut inbox, &received);
        assert_eq!(drained.len(), received.len());
        assert!(drained.iter().all(|(_, in_place)| *in_place));
    }

    #[test]
    fn pieces_of_a_byte_do_not_take_many_times_what_they_hold() {
        let mut inbox = Inbox::default();
        let received = pieces(100_000, 1);
        received.iter().for_each(|piece| inbox.push(piece.clone(), false));
        assert_eq!(inbox.len(), received.len());
        assert!(inbox.pieces.len() < 2000, "{}", inbox.pieces.len());
        let drained = drain(&mut inbox, &received);
        let bytes = drained.iter().flat_map(|(piece, _)| piece.to_vec());
        assert!(bytes.eq((0..received.len()).map(|number| number as u8)));
    }
}
