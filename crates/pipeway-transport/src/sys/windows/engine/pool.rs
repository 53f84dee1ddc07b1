//! A pipe's handle, and the thread pool's part in it: it calls us for what has ended.

// The system's interface of the thread pool is one of raw handles and pointers.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, OwnedHandle, RawHandle};
use std::ptr::{null, null_mut};
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering};

use windows_sys::Win32::Storage::FileSystem::SetFileCompletionNotificationModes;
use windows_sys::Win32::System::Threading::{
    CancelThreadpoolIo, CloseThreadpoolIo, CreateThreadpoolIo, PTP_CALLBACK_INSTANCE, PTP_IO,
    StartThreadpoolIo,
};
use windows_sys::Win32::System::WindowsProgramming::{
    FILE_SKIP_COMPLETION_PORT_ON_SUCCESS, FILE_SKIP_SET_EVENT_ON_HANDLE,
};

use super::operation::Operation;

/// How many of the pool's objects are open.
#[cfg(test)]
pub(super) static OPEN: AtomicUsize = AtomicUsize::new(0);

/// An open pipe, whose operations end by calls of the thread pool's.
#[derive(Debug)]
pub(in super::super) struct Handle {
    // Before the pool's object, which the system wants closed after it.
    handle: OwnedHandle,
    pooled: Arc<Pooled>,
}

impl Handle {
    /// With `skips`, the pool is spared what ends at once and well.
    ///
    /// # Errors
    ///
    /// The system's, where there is no memory to be had, or there are no threads.
    pub(in super::super) fn new(handle: OwnedHandle, skips: bool) -> io::Result<Arc<Handle>> {
        // SAFETY: the handle is open, and was made for overlapped operations; the call back takes
        // what the pool gives it, and wants nothing of ours.
        let object =
            unsafe { CreateThreadpoolIo(handle.as_raw_handle(), Some(ended), null_mut(), null()) };
        if object == 0 {
            return Err(io::Error::last_os_error());
        }
        #[cfg(test)]
        OPEN.fetch_add(1, Ordering::Relaxed);
        let handle = Handle { handle, pooled: Arc::new(Pooled { object, skips }) };
        let mut modes = FILE_SKIP_SET_EVENT_ON_HANDLE;
        if skips {
            modes |= FILE_SKIP_COMPLETION_PORT_ON_SUCCESS;
        }
        // SAFETY: the handle is open.
        if unsafe { SetFileCompletionNotificationModes(handle.as_raw_handle(), modes as u8) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Arc::new(handle))
    }

    /// The pool's object, for a place of operations.
    pub(super) fn pooled(&self) -> Arc<Pooled> {
        Arc::clone(&self.pooled)
    }
}

impl AsHandle for Handle {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

impl AsRawHandle for Handle {
    fn as_raw_handle(&self) -> RawHandle {
        self.handle.as_raw_handle()
    }
}

/// The pool's object for a pipe. It outlives the handle and the pipe's operations: each place of
/// operations owns it too.
#[derive(Debug)]
pub(super) struct Pooled {
    object: PTP_IO,
    skips: bool,
}

impl Pooled {
    /// Whether no call comes for what ends at once and well.
    pub(super) fn skips(&self) -> bool {
        self.skips
    }

    /// Tells the pool that an operation is about to begin, for which it calls.
    pub(super) fn announce(&self) {
        // SAFETY: the object is open as long as this.
        unsafe { StartThreadpoolIo(self.object) };
    }

    /// Tells the pool that the operation that was announced has ended, and that no call is to come.
    pub(super) fn withdraw(&self) {
        // SAFETY: the object is open as long as this, and our caller has announced an operation.
        unsafe { CancelThreadpoolIo(self.object) };
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        // SAFETY: it was opened in `Handle::new`, and is closed this once. A place that has an
        // operation in flight owns this, as whoever has the handle does: so there is none, and that
        // is closed. This may be within a call of the object's own: it is freed after that.
        unsafe { CloseThreadpoolIo(self.object) };
        #[cfg(test)]
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Is called by any thread of the pool, by several at the same time too.
unsafe extern "system" fn ended(
    _call: PTP_CALLBACK_INSTANCE,
    _context: *mut c_void,
    overlapped: *mut c_void,
    error: u32,
    count: usize,
    _object: PTP_IO,
) {
    // SAFETY: the pool calls once for each operation that was announced and not withdrawn, with its
    // pointer; operations of our pipes begin by `start` alone.
    unsafe { Operation::complete(overlapped.cast(), error, count) };
}
