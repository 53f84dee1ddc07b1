//! A completion port: where a [worker](crate::sys::worker)'s thread waits for what has ended.

// The system's completion ports are raw handles.
#![allow(unsafe_code)]

use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;

use tokio::runtime::Handle;
use windows_sys::Win32::Foundation::{INVALID_HANDLE_VALUE, NO_ERROR};
use windows_sys::Win32::System::IO::{
    CreateIoCompletionPort, GetQueuedCompletionStatus, OVERLAPPED, PostQueuedCompletionStatus,
};
use windows_sys::Win32::System::Threading::INFINITE;

use super::Worker;
use super::operation::Operation;
use crate::sys::worker::Turns;

/// See [`Worker::IS_OF_RUNTIME`].
pub(in crate::sys) const IS_OF_RUNTIME: bool = false;

/// What a packet is about, by its key.
const OPERATION: usize = 0;
const WOKEN: usize = 1;

/// How many packets are taken in a row while tasks wait for their turn.
const PACKETS: usize = 64;

/// After so many turns in a row, of tasks that wake each other, the port is asked what else there is: a
/// call of the system's, or two where there is nothing.
const TURNS: u32 = 8;

#[derive(Debug)]
pub(crate) struct Port(OwnedHandle);

/// Has the loop gone through, on a thread of its own: the runtime waits at a port of its own, and
/// nobody can wait at two.
pub(in crate::sys) fn drive(mut turns: Turns) -> io::Result<()> {
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name("pipeway-io".to_owned());
    thread.spawn(move || {
        let _context = runtime.enter();
        turns.within(|inside| {
            let mut turns = 0;
            while !inside.is_left() {
                if inside.turn().is_next_ready {
                    turns = (turns + 1) % TURNS;
                    if turns == 0 {
                        inside.port().take(false);
                    }
                } else {
                    let missed = inside.falls_asleep();
                    inside.port().take(!missed);
                    inside.wakes_up();
                }
            }
        });
    })?;
    Ok(())
}

impl Port {
    pub(crate) fn new() -> io::Result<Port> {
        // SAFETY: a call that makes a port; no file is bound to it yet.
        let port = unsafe { CreateIoCompletionPort(INVALID_HANDLE_VALUE, null_mut(), 0, 1) };
        if port.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so this is an open handle that nobody else owns.
        Ok(Port(unsafe { OwnedHandle::from_raw_handle(port) }))
    }

    /// Has what ends on `file` taken by the thread, for good.
    pub(super) fn bind(&self, file: BorrowedHandle<'_>) -> io::Result<()> {
        let (file, port) = (file.as_raw_handle(), self.0.as_raw_handle());
        // SAFETY: both handles are open.
        let bound = unsafe { CreateIoCompletionPort(file, port, OPERATION, 0) };
        if bound.is_null() { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Has the thread look again.
    pub(crate) fn wake(&self) {
        // SAFETY: the port is open. Nothing is behind the packet.
        unsafe { PostQueuedCompletionStatus(self.0.as_raw_handle(), 0, WOKEN, null_mut()) };
    }

    /// Takes what has ended, and wakes whom it concerns; with `waits`, once there is anything.
    pub(crate) fn take(&self, waits: bool) {
        if waits {
            self.take_packet(INFINITE);
        } else {
            let _ = (0..PACKETS).find(|_| !self.take_packet(0));
        }
    }

    /// Takes a packet, if one comes in so many milliseconds, and whether one did.
    fn take_packet(&self, timeout_ms: u32) -> bool {
        let (mut count, mut key, mut overlapped) = (0, 0, null_mut::<OVERLAPPED>());
        // SAFETY: the port is open, and the rest are valid places to write to.
        let ended = unsafe {
            GetQueuedCompletionStatus(
                self.0.as_raw_handle(),
                &raw mut count,
                &raw mut key,
                &raw mut overlapped,
                timeout_ms,
            )
        };
        let error = match ended {
            0 => io::Error::last_os_error().raw_os_error().unwrap_or_default() as u32,
            _ => NO_ERROR,
        };
        if overlapped.is_null() {
            return ended != 0;
        }
        // SAFETY: packets with a pointer are those of what is bound to the port, on which operations
        // begin by `start` alone; one comes for each that it has not taken back.
        unsafe { Operation::complete(overlapped, error, count as usize) };
        true
    }
}

/// On a worker's thread: takes what has ended by now, so that its places tell.
pub(in super::super) fn take_what_has_ended() {
    if let Some(worker) = Worker::current() {
        worker.port().take(false);
    }
}
