//! Large pages, where the system gives them on demand: on Linux.

// The system takes an address and a length.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;

/// The size of a page that is large, in bytes: that of x86-64 and, mostly, of arm64. Where it is
/// another one, the system takes what fits.
#[cfg(target_os = "linux")]
const LARGE: usize = 2 * 1024 * 1024;

/// See [`prefer_large_pages`](crate::prefer_large_pages).
pub(crate) fn prefer_large_pages(space: &mut [MaybeUninit<u8>]) {
    #[cfg(target_os = "linux")]
    {
        use rustix::mm::{Advice, madvise};
        let skipped = space.as_ptr().align_offset(LARGE).min(space.len());
        let whole = (space.len() - skipped) / LARGE * LARGE;
        if whole == 0 {
            return;
        }
        let inner = &mut space[skipped..skipped + whole];
        // SAFETY: the range is ours, lies in one slice and begins at a page. This advice changes
        // neither what is in it nor what may be done with it.
        // An error is that of a system without such pages, which goes on as before.
        let _ = unsafe { madvise(inner.as_mut_ptr().cast(), whole, Advice::LinuxHugepage) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = space;
}
