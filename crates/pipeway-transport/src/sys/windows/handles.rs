//! The handles of this process, for tests that nothing is left.

// Handles are asked about by their numbers.
#![allow(unsafe_code)]

use windows_sys::Win32::Foundation::{GetHandleInformation, HANDLE};

/// No test has more open at once.
const HANDLES_MAX: usize = 16 * 1024;

/// Handles are multiples of this.
const STEP: usize = 4;

/// How many are open. Each that there may be is asked about: Wine 8 answers `GetProcessHandleCount`
/// with none.
pub(in crate::sys) fn count() -> usize {
    let is_open = |number: &usize| {
        let mut flags = 0;
        // SAFETY: any number may be asked about, and `flags` is a valid place to write to.
        unsafe { GetHandleInformation(*number as HANDLE, &raw mut flags) != 0 }
    };
    (1..HANDLES_MAX).map(|index| index * STEP).filter(is_open).count()
}
