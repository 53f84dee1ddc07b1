//! The content of a stream as it comes.

use bytes::{Bytes, BytesMut};

use super::budget::{Budget, Charge};

/// Pieces below this are copied together, in bytes: a slice of a few bytes would hold the whole
/// buffer that they were read into.
const COPIED_BELOW: usize = 1024;

/// What is kept of small pieces in a row, in bytes.
const GATHERED: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Assembly {
    pieces: Vec<Bytes>,
    gathered: BytesMut,
    charge: Option<Charge>,
    length: u64,
}

impl Assembly {
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds a piece, which is a slice of bytes that count for `budget` already.
    pub fn push(&mut self, piece: Bytes, budget: &Budget) {
        self.length += piece.len() as u64;
        if piece.len() < COPIED_BELOW {
            self.gather(&piece, budget);
        } else {
            self.settle(budget);
            self.pieces.push(piece);
        }
    }

    fn gather(&mut self, piece: &[u8], budget: &Budget) {
        if self.gathered.len() + piece.len() > GATHERED {
            self.settle(budget);
        }
        let before = self.gathered.capacity();
        self.gathered.extend_from_slice(piece);
        let grown = self.gathered.capacity().saturating_sub(before);
        match &mut self.charge {
            Some(charge) => charge.add(grown),
            None => self.charge = Some(budget.charge(self.gathered.capacity())),
        }
    }

    /// What was gathered becomes a piece.
    fn settle(&mut self, budget: &Budget) {
        if !self.gathered.is_empty() {
            let gathered = std::mem::take(&mut self.gathered);
            self.pieces.push(budget.hold(Bytes::from(Vec::from(gathered).into_boxed_slice())));
        }
        self.charge = None;
    }

    /// The pieces, and their length.
    pub fn finish(mut self, budget: &Budget) -> (Vec<Bytes>, u64) {
        self.settle(budget);
        (self.pieces, self.length)
    }
}
