//! The completion port of all pipes, and the thread that takes from it what has ended.

// The system's interface of ports is one of raw handles and pointers.
#![allow(unsafe_code)]

use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::Storage::FileSystem::SetFileCompletionNotificationModes;
use windows_sys::Win32::System::IO::{
    CreateIoCompletionPort, GetQueuedCompletionStatusEx, OVERLAPPED_ENTRY,
    PostQueuedCompletionStatus,
};
use windows_sys::Win32::System::Threading::INFINITE;
use windows_sys::Win32::System::WindowsProgramming::{
    FILE_SKIP_COMPLETION_PORT_ON_SUCCESS, FILE_SKIP_SET_EVENT_ON_HANDLE,
};

use super::left;
use super::operation::{Operation, Phase};

/// How long a read with a large buffer may wait before it is called off, to begin again with a
/// small one: once at the least, twice at the most. What is left of dropped pipes is looked at as
/// often.
const PATIENCE: Duration = Duration::from_secs(1);

/// Reads with large buffers, and which of its operations each was when it was last looked at.
static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

struct Watched {
    operation: Weak<Operation>,
    pipe: Weak<OwnedHandle>,
    serial: u64,
}

/// How many packets are taken at once.
const PACKETS: usize = 64;

/// The port, once a pipe needed it.
static PORT: Mutex<Option<OwnedHandle>> = Mutex::new(None);

/// Has operations on `pipe` end by packets to the port.
///
/// With `skips`, none comes for what ends at once and well.
///
/// # Errors
///
/// The system's, where there are no handles or threads to be had.
pub(in super::super) fn associate(pipe: BorrowedHandle<'_>, skips: bool) -> io::Result<()> {
    let mut port = PORT.lock().unwrap_or_else(PoisonError::into_inner);
    let port = match &mut *port {
        Some(port) => port,
        none => none.insert(start()?),
    };
    // SAFETY: both handles are open.
    let joined =
        unsafe { CreateIoCompletionPort(pipe.as_raw_handle(), port.as_raw_handle(), 0, 0) };
    if joined.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut modes = FILE_SKIP_SET_EVENT_ON_HANDLE;
    if skips {
        modes |= FILE_SKIP_COMPLETION_PORT_ON_SUCCESS;
    }
    // SAFETY: the handle is open.
    if unsafe { SetFileCompletionNotificationModes(pipe.as_raw_handle(), modes as u8) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Has a read that is in flight, with a large buffer, called off if nothing comes for long.
pub(super) fn watch(operation: &Arc<Operation>, pipe: &Arc<OwnedHandle>, serial: u64) {
    let (operation, pipe) = (Arc::downgrade(operation), Arc::downgrade(pipe));
    let mut watched = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    watched.push(Watched { operation, pipe, serial });
    if watched.len() > 1 {
        return;
    }
    drop(watched);
    wake();
}

/// Has the thread see that there is something to look at.
pub(super) fn wake() {
    if let Some(port) = &*PORT.lock().unwrap_or_else(PoisonError::into_inner) {
        // It may be waiting without a limit. If the packet can't be sent, the next one will do.
        // SAFETY: the port is open, and a packet without an operation is none's.
        unsafe { PostQueuedCompletionStatus(port.as_raw_handle(), 0, 0, null()) };
    }
}

/// Looks once at the reads with large buffers.
fn look_at_watched() {
    let take = || std::mem::take(&mut *WATCHED.lock().unwrap_or_else(PoisonError::into_inner));
    let mut watched = take();
    watched.retain_mut(|one| {
        let (Some(operation), Some(pipe)) = (one.operation.upgrade(), one.pipe.upgrade()) else {
            return false;
        };
        let mut state = operation.lock();
        if state.phase == Phase::InFlight && state.has_large_buffer() {
            if state.serial != one.serial {
                one.serial = state.serial;
                return true;
            }
            operation.cancel(pipe.as_raw_handle());
        }
        state.watched = false;
        false
    });
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner).append(&mut watched);
}

fn start() -> io::Result<OwnedHandle> {
    // SAFETY: no handle to associate and no port to associate it with makes a new port.
    let port = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, null_mut(), 0, 1) };
    if port.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is an open handle that nobody else owns.
    let port = unsafe { OwnedHandle::from_raw_handle(port) };
    let of_thread = port.try_clone()?;
    std::thread::Builder::new()
        .name("pipeway-pipes".into())
        .stack_size(64 << 10)
        .spawn(move || serve(&of_thread))?;
    Ok(port)
}

/// Takes packets for as long as the process lives.
fn serve(port: &OwnedHandle) {
    let mut packets = [OVERLAPPED_ENTRY::default(); PACKETS];
    let mut next_look = None;
    loop {
        let limit = if WATCHED.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
            && left::is_none()
        {
            next_look = None;
            INFINITE
        } else {
            let at = *next_look.get_or_insert_with(|| Instant::now() + PATIENCE);
            let rest = at.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                look_at_watched();
                left::look();
                next_look = None;
                continue;
            }
            rest.as_millis() as u32 + 1
        };
        let mut count = 0;
        // SAFETY: the port is open; there is room for as many packets as are asked for, and
        // `count` is a valid place to write to.
        let taken = unsafe {
            GetQueuedCompletionStatusEx(
                port.as_raw_handle(),
                packets.as_mut_ptr(),
                PACKETS as u32,
                &raw mut count,
                limit,
                0,
            )
        };
        if taken == 0 {
            continue;
        }
        for packet in &packets[..count as usize] {
            if !packet.lpOverlapped.is_null() {
                // SAFETY: a packet of one of our pipes, whose operations begin by `start` alone.
                unsafe { Operation::complete(packet.lpOverlapped) };
            }
        }
    }
}
