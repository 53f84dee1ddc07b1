//! A look once a second at what may wait for too long, for as long as there is any such.

// A timer of the thread pool's is the system's.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::os::windows::io::AsHandle;
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::Threading::{
    CreateThreadpoolTimer, PTP_CALLBACK_INSTANCE, PTP_TIMER, SetThreadpoolTimer,
};

use super::handle::Handle;
use super::left;
use super::operation::{Operation, Phase};

/// From one look to the next. A read with a large buffer that a look finds as it was left is called
/// off, to begin again with a small one: after twice this at the most, and after less where it is
/// new. What is left of dropped pipes is looked at as often.
const PATIENCE: Duration = Duration::from_secs(1);

/// The system counts in 100 ns.
const SYSTEM_TICK: Duration = Duration::from_nanos(100);

/// Reads with large buffers, and which of its operations each was when it was last looked at.
static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

struct Watched {
    operation: Weak<Operation>,
    pipe: Weak<Handle>,
    serial: u64,
}

/// The next look.
static NEXT: Mutex<Next> = Mutex::new(Next { timer: 0, is_set: false });

struct Next {
    /// None before there was anything to look at; kept from then on.
    timer: PTP_TIMER,
    /// A look is to come, or is not over yet: so there is one at a time.
    is_set: bool,
}

/// Has a read that is in flight, with a large buffer, called off if nothing comes for long.
pub(super) fn watch(operation: &Arc<Operation>, pipe: &Arc<Handle>, serial: u64) {
    let (operation, pipe) = (Arc::downgrade(operation), Arc::downgrade(pipe));
    watched().push(Watched { operation, pipe, serial });
    arrange();
}

/// Has a look come, now that there is something to look at.
pub(super) fn arrange() {
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    if !next.is_set {
        next.set();
    }
}

impl Next {
    fn set(&mut self) {
        self.is_set = false;
        if self.timer == 0 {
            // SAFETY: the call back wants nothing of what it is given.
            self.timer = unsafe { CreateThreadpoolTimer(Some(look), null_mut(), null()) };
        }
        // Without memory for one, whoever comes next tries again.
        if self.timer == 0 {
            return;
        }
        // Negative: from now on.
        let due = -((PATIENCE.as_nanos() / SYSTEM_TICK.as_nanos()) as i64);
        let due = FILETIME { dwLowDateTime: due as u32, dwHighDateTime: (due >> 32) as u32 };
        // SAFETY: the timer is never closed, and `due` lives through the call.
        unsafe { SetThreadpoolTimer(self.timer, &raw const due, 0, 0) };
        self.is_set = true;
    }
}

unsafe extern "system" fn look(
    _call: PTP_CALLBACK_INSTANCE,
    _context: *mut c_void,
    _timer: PTP_TIMER,
) {
    look_at_watched();
    left::look();
    let mut next = NEXT.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever has something new arranges for it after it is there to be seen, so none is missed.
    if watched().is_empty() && left::is_none() {
        next.is_set = false;
    } else {
        next.set();
    }
}

/// Looks once at the reads with large buffers.
fn look_at_watched() {
    // The list is not locked while an operation is: who watches one has that locked before.
    let mut seen = std::mem::take(&mut *watched());
    seen.retain_mut(|one| {
        let (Some(operation), Some(pipe)) = (one.operation.upgrade(), one.pipe.upgrade()) else {
            return false;
        };
        let mut state = operation.lock();
        if state.phase == Phase::InFlight && state.has_large_buffer() {
            if state.serial != one.serial {
                one.serial = state.serial;
                return true;
            }
            operation.cancel(pipe.as_handle());
        }
        state.watched = false;
        false
    });
    watched().append(&mut seen);
}

fn watched() -> MutexGuard<'static, Vec<Watched>> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}
