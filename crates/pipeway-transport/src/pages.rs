//! Large pages of memory.

use std::mem::MaybeUninit;

/// Asks the system to give `space` its memory in large pages, where that can be had: then filling
/// it for the first time takes much less of the system's time. It is for space of many MiB that
/// will be filled, of which only parts of 2 MiB, at multiples of them, count. Its content stays.
///
/// Only Linux has them on demand (`/sys/kernel/mm/transparent_hugepage/enabled` says `madvise` or
/// `always`). Elsewhere, and where the system refuses, nothing happens.
pub fn prefer_large_pages(space: &mut [MaybeUninit<u8>]) {
    crate::sys::prefer_large_pages(space);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_stays() {
        let mut space: Vec<_> = (0..9 << 20).map(|at: u32| MaybeUninit::new(at as u8)).collect();
        let before: Vec<u8> = (0..9 << 20).map(|at: u32| at as u8).collect();
        for range in [0..space.len(), 1..space.len(), 0..100, 7..7] {
            prefer_large_pages(&mut space[range]);
        }
        let same = space.iter_mut().zip(&before).all(|(now, before)| now.write(*before) == before);
        assert!(same);
    }
}
