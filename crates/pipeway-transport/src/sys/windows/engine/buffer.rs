//! Memory that the system reads from and writes to.

// The system has a raw pointer to it.
#![allow(unsafe_code)]

use std::io::IoSlice;
use std::ptr::NonNull;
use std::slice;
use std::sync::{Mutex, PoisonError};

#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering};

/// What an idle pipe's read has, in bytes.
pub(super) const SMALL_BYTES: usize = 4 * 1024;

/// What a read of a busy pipe and a large write have, in bytes.
pub(super) const LARGE_BYTES: usize = 64 * 1024;

/// The most of each size that is kept for the next who needs one.
const KEPT_MAX: usize = 16;

static SMALL: Free = Free::new();
static LARGE: Free = Free::new();

/// How many are in use.
#[cfg(test)]
pub(super) static LIVE: AtomicUsize = AtomicUsize::new(0);

/// A block of memory, of one of two sizes. It stays where it is, whoever moves this.
#[derive(Debug)]
pub(super) struct Buffer {
    at: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it owns its memory, as a box does, and gives a reference to it only by one to itself.
unsafe impl Send for Buffer {}

impl Buffer {
    /// One of [`LARGE_BYTES`] if `wanted` bytes do not fit into [`SMALL_BYTES`].
    pub(super) fn take(wanted: usize) -> Buffer {
        let (free, bytes) =
            if wanted > SMALL_BYTES { (&LARGE, LARGE_BYTES) } else { (&SMALL, SMALL_BYTES) };
        let memory = free.pop().unwrap_or_else(|| vec![0; bytes].into_boxed_slice());
        #[cfg(test)]
        LIVE.fetch_add(1, Ordering::Relaxed);
        let at = NonNull::new(Box::into_raw(memory).cast()).expect("a box is nowhere null");
        Buffer { at, bytes }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_large(&self) -> bool {
        self.bytes == LARGE_BYTES
    }

    /// Where it begins, for the system.
    pub(super) fn pointer(&self) -> *mut u8 {
        self.at.as_ptr()
    }

    /// What it holds. Not while the system has it.
    pub(super) fn content(&self) -> &[u8] {
        // SAFETY: `bytes` bytes that this owns, initialised when they were allocated. Our callers
        // ask when no operation is in flight, and nobody writes through a shared reference.
        unsafe { slice::from_raw_parts(self.at.as_ptr(), self.bytes) }
    }

    /// Puts the parts together, as far as there is room. Not while the system has it.
    ///
    /// Returns how many bytes were taken.
    pub(super) fn fill(&mut self, parts: &[IoSlice<'_>]) -> usize {
        // SAFETY: as in `content`; the reference to this is an exclusive one.
        let mut room = unsafe { slice::from_raw_parts_mut(self.at.as_ptr(), self.bytes) };
        for part in parts {
            let count = part.len().min(room.len());
            let (head, rest) = room.split_at_mut(count);
            head.copy_from_slice(&part[..count]);
            room = rest;
        }
        self.bytes - room.len()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::ptr::slice_from_raw_parts_mut(self.at.as_ptr(), self.bytes);
        // SAFETY: it came from a box of so many bytes in `take`, and is given back this once.
        let memory = unsafe { Box::from_raw(memory) };
        #[cfg(test)]
        LIVE.fetch_sub(1, Ordering::Relaxed);
        let free = if self.is_large() { &LARGE } else { &SMALL };
        free.push(memory);
    }
}

/// Memory that nobody uses now.
struct Free(Mutex<Vec<Box<[u8]>>>);

impl Free {
    const fn new() -> Free {
        Free(Mutex::new(Vec::new()))
    }

    fn pop(&self) -> Option<Box<[u8]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn push(&self, memory: Box<[u8]>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_put_together_as_far_as_there_is_room() {
        let mut buffer = Buffer::take(5);
        assert_eq!(buffer.bytes(), SMALL_BYTES);
        let parts = [&b"ab"[..], b"", b"cde"].map(IoSlice::new);
        assert_eq!(buffer.fill(&parts), 5);
        assert_eq!(&buffer.content()[..5], b"abcde");
        let long = vec![7; SMALL_BYTES];
        assert_eq!(buffer.fill(&[IoSlice::new(b"x"), IoSlice::new(&long)]), SMALL_BYTES);
        assert_eq!(buffer.content()[..2], [b'x', 7]);
    }

    #[test]
    fn what_does_not_fit_into_a_small_one_gets_a_large_one() {
        assert!(!Buffer::take(SMALL_BYTES).is_large());
        assert!(Buffer::take(SMALL_BYTES + 1).is_large());
        assert_eq!(Buffer::take(usize::MAX).bytes(), LARGE_BYTES);
    }
}
