//! What was taken from a channel where it was received, and goes on from there.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use pipeway_mux::ReadHalf;
use tokio::io::AsyncWrite;

use super::LinkStream;
use crate::Stream;

/// How much is taken at once, in bytes.
const BYTES_MAX: usize = 128 * 1024;

/// How many pieces are written at once: more than frames of full size fill [`BYTES_MAX`].
const SLICES: usize = 8;

/// Pieces in their order.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    len: usize,
}

impl Pieces {
    /// How many bytes they have.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Takes what there is, up to `most` bytes; 0 is the end.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut LinkStream,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let taken = from.poll_read_pieces(cx, &mut self.pieces, most.min(BYTES_MAX));
        self.took(taken)
    }

    /// The same from a guest's channel.
    pub(super) fn poll_fill_half(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut ReadHalf,
    ) -> Poll<io::Result<usize>> {
        let taken = from.poll_read_pieces(cx, &mut self.pieces, BYTES_MAX);
        self.took(taken)
    }

    fn took(&mut self, taken: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match taken {
            Poll::Ready(Ok(count)) => self.len += count,
            // An idle session keeps no memory.
            _ if self.len == 0 => self.pieces = VecDeque::new(),
            _ => {}
        }
        taken
    }

    /// Gives `to` what it takes of them; how much that was.
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Stream,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.pieces.len().min(SLICES);
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        let written = ready!(Pin::new(to).poll_write_vectored(cx, &slices[..count]))?;
        self.advance(written);
        Poll::Ready(Ok(written))
    }

    /// Takes the first `count` bytes away.
    fn advance(&mut self, mut count: usize) {
        self.len -= count;
        while let Some(first) = self.pieces.front_mut() {
            let part = count.min(first.len());
            first.advance(part);
            count -= part;
            if !first.is_empty() {
                return;
            }
            self.pieces.pop_front();
        }
    }
}
