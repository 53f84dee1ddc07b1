//! The reads of a pipe that was dropped, while what is [left](super::left) of it waits for its write.
//!
//! If the other end was dropped in the same way, each waits for the other to read; so a bounded part
//! of what comes is read meanwhile, and thrown away, as nobody can ask for it any more.

// A read is begun by the system's own call.
#![allow(unsafe_code)]

use std::sync::{Arc, Weak};

use windows_sys::Win32::Foundation::ERROR_OPERATION_ABORTED;

use super::buffer::{Buffer, LARGE_BYTES, SMALL_BYTES};
use super::handle::Handle;
use super::operation::{Operation, Phase, State};

/// The most that is thrown away, in bytes: what the other end can have in flight, what the system
/// holds for it (as much, as we make pipes), and the end of a direction.
const DRAINED_BYTES_MAX: usize = 2 * LARGE_BYTES + 1;

/// Reads whose bytes nobody wants.
#[derive(Debug)]
pub(super) struct Drain {
    /// For as long as the write has it open.
    pipe: Weak<Handle>,
    left_bytes: usize,
}

impl Drain {
    /// Has what is read from now on thrown away.
    pub(super) fn begin(reads: &Arc<Operation>, pipe: &Arc<Handle>) {
        let mut state = reads.lock();
        let pipe = Arc::downgrade(pipe);
        state.drain = Some(Drain { pipe, left_bytes: DRAINED_BYTES_MAX });
        if state.phase == Phase::Idle {
            state.phase = Phase::Done(Ok(0));
        }
        Drain::go_on(reads, &mut state);
    }

    /// Reads on after a read that is over, if what it read is thrown away.
    pub(super) fn go_on(reads: &Arc<Operation>, state: &mut State) {
        while let (Phase::Done(ended), Some(drain)) = (state.phase, &mut state.drain) {
            let count = match ended {
                Ok(count) => count,
                // Called off for its large buffer.
                Err(ERROR_OPERATION_ABORTED) => 0,
                Err(_) => break,
            };
            drain.left_bytes = drain.left_bytes.saturating_sub(count.max(1));
            let is_over = drain.left_bytes == 0;
            let Some(pipe) = drain.pipe.upgrade().filter(|_| !is_over) else {
                state.drain = None;
                break;
            };
            if state.has_large_buffer() {
                state.buffer = None;
            }
            let buffer = state.buffer.get_or_insert_with(|| Buffer::take(SMALL_BYTES));
            let (at, bytes) = (buffer.pointer(), buffer.bytes() as u32);
            // SAFETY: the handle is open as long as `pipe`, whose reads these are; the memory is
            // that of the state's buffer.
            unsafe {
                reads.start(state, |overlapped| pipe.read(at, bytes, overlapped));
            }
        }
        if state.phase != Phase::InFlight && state.lets_go {
            state.buffer = None;
        }
    }
}
