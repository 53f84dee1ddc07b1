//! A pipe's or a socket's handle, and who takes what has ended on it: the thread pool, which calls
//! us, or a [worker](crate::sys::worker).

// The system's interface of the thread pool is one of raw handles and pointers.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{
    AsHandle, AsRawHandle, AsRawSocket, AsSocket, BorrowedHandle, BorrowedSocket, OwnedHandle,
    OwnedSocket, RawHandle,
};
use std::ptr::{null, null_mut};
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering};

use windows_sys::Win32::Networking::WinSock::{SOCKET, WSABUF, WSARecv, WSASend};
use windows_sys::Win32::Storage::FileSystem::{
    ReadFile, SetFileCompletionNotificationModes, WriteFile,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::Threading::{
    CancelThreadpoolIo, CloseThreadpoolIo, CreateThreadpoolIo, PTP_CALLBACK_INSTANCE, PTP_IO,
    StartThreadpoolIo,
};
use windows_sys::Win32::System::WindowsProgramming::{
    FILE_SKIP_COMPLETION_PORT_ON_SUCCESS, FILE_SKIP_SET_EVENT_ON_HANDLE,
};

use windows_sys::core::BOOL;

use super::Worker;
use super::operation::Operation;

/// How many of the pool's objects are open.
#[cfg(test)]
pub(super) static OPEN: AtomicUsize = AtomicUsize::new(0);

/// An open pipe or socket, whose operations end by calls of the thread pool's or on a worker.
#[derive(Debug)]
pub(in super::super) struct Handle {
    // Before the taker: the system wants the pool's object closed after it.
    file: File,
    taker: Arc<Taker>,
}

#[derive(Debug)]
enum File {
    Pipe(OwnedHandle),
    Socket(OwnedSocket),
}

impl Handle {
    /// A pipe's, made for overlapped operations. With `skips`, nobody is told of what ends at once
    /// and well. Without a worker it is the thread pool that is told.
    ///
    /// # Errors
    ///
    /// The system's, where there is no memory to be had, or there are no threads.
    pub(in super::super) fn new(
        pipe: OwnedHandle,
        skips: bool,
        worker: Option<Arc<Worker>>,
    ) -> io::Result<Arc<Handle>> {
        let taker = match worker {
            Some(worker) => Taker::of_worker(worker, pipe.as_handle(), skips)?,
            None => Taker::of_pool(pipe.as_handle(), skips)?,
        };
        Handle::set_up(File::Pipe(pipe), taker)
    }

    /// A socket's, on a worker, which is not told of what ends at once and well. The socket is the
    /// system's own (`XP1_IFS_HANDLES`): else it might be told all the same, of an operation whose
    /// memory is gone.
    ///
    /// # Errors
    ///
    /// The system's, where there is no memory to be had.
    pub(in super::super) fn of_socket(
        socket: OwnedSocket,
        worker: Arc<Worker>,
    ) -> io::Result<Arc<Handle>> {
        // SAFETY: a socket is a handle of the system's; it is open as long as the borrow.
        let file = unsafe { BorrowedHandle::borrow_raw(socket.as_raw_socket() as RawHandle) };
        let taker = Taker::of_worker(worker, file, true)?;
        Handle::set_up(File::Socket(socket), taker)
    }

    fn set_up(file: File, taker: Taker) -> io::Result<Arc<Handle>> {
        let mut modes = FILE_SKIP_SET_EVENT_ON_HANDLE;
        if taker.skips {
            modes |= FILE_SKIP_COMPLETION_PORT_ON_SUCCESS;
        }
        let handle = Handle { file, taker: Arc::new(taker) };
        // SAFETY: the handle is open.
        if unsafe { SetFileCompletionNotificationModes(handle.as_raw_handle(), modes as u8) } == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Arc::new(handle))
    }

    /// Begins a read.
    ///
    /// # Safety
    ///
    /// `at` has room for `bytes` bytes, and is the system's until the operation is over, as
    /// `overlapped` is.
    pub(super) unsafe fn read(&self, at: *mut u8, bytes: u32, overlapped: *mut OVERLAPPED) -> BOOL {
        match &self.file {
            // SAFETY: the handle is open; the rest is our caller's promise.
            File::Pipe(pipe) => unsafe {
                ReadFile(pipe.as_raw_handle(), at, bytes, null_mut(), overlapped)
            },
            File::Socket(socket) => {
                let part = WSABUF { len: bytes, buf: at };
                let mut flags = 0;
                // SAFETY: as above; the system copies the list of parts before this returns.
                let failed = unsafe {
                    WSARecv(
                        socket.as_raw_socket() as SOCKET,
                        &raw const part,
                        1,
                        null_mut(),
                        &raw mut flags,
                        overlapped,
                        None,
                    )
                };
                BOOL::from(failed == 0)
            }
        }
    }

    /// Begins a write.
    ///
    /// # Safety
    ///
    /// At `at` are `bytes` bytes; they are the system's until the operation is over, as `overlapped`
    /// is.
    pub(super) unsafe fn write(
        &self,
        at: *mut u8,
        bytes: u32,
        overlapped: *mut OVERLAPPED,
    ) -> BOOL {
        match &self.file {
            // SAFETY: the handle is open; the rest is our caller's promise.
            File::Pipe(pipe) => unsafe {
                WriteFile(pipe.as_raw_handle(), at.cast_const(), bytes, null_mut(), overlapped)
            },
            File::Socket(socket) => {
                let part = WSABUF { len: bytes, buf: at };
                // SAFETY: as above; the system copies the list of parts before this returns.
                let failed = unsafe {
                    WSASend(
                        socket.as_raw_socket() as SOCKET,
                        &raw const part,
                        1,
                        null_mut(),
                        0,
                        overlapped,
                        None,
                    )
                };
                BOOL::from(failed == 0)
            }
        }
    }

    /// The socket, if it is one.
    pub(in super::super) fn socket(&self) -> Option<BorrowedSocket<'_>> {
        match &self.file {
            File::Pipe(_) => None,
            File::Socket(socket) => Some(socket.as_socket()),
        }
    }

    /// Who takes what has ended, for a place of operations.
    pub(super) fn taker(&self) -> Arc<Taker> {
        Arc::clone(&self.taker)
    }
}

impl AsHandle for Handle {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        match &self.file {
            File::Pipe(pipe) => pipe.as_handle(),
            // SAFETY: a socket is a handle of the system's; it is open as long as the borrow.
            File::Socket(socket) => unsafe {
                BorrowedHandle::borrow_raw(socket.as_raw_socket() as RawHandle)
            },
        }
    }
}

impl AsRawHandle for Handle {
    fn as_raw_handle(&self) -> RawHandle {
        self.as_handle().as_raw_handle()
    }
}

/// Who takes what has ended on a handle. It outlives the handle and its operations: each place of
/// operations owns it too.
#[derive(Debug)]
pub(super) struct Taker {
    by: By,
    skips: bool,
}

#[derive(Debug)]
enum By {
    /// The thread pool, with its object for the handle.
    Pool(PTP_IO),
    /// Whose thread goes on for as long as it has something.
    Worker(#[expect(dead_code, reason = "is held")] Arc<Worker>),
}

impl Taker {
    fn of_pool(file: BorrowedHandle<'_>, skips: bool) -> io::Result<Taker> {
        // SAFETY: the handle is open, and was made for overlapped operations; the call back takes
        // what the pool gives it, and wants nothing of ours.
        let object =
            unsafe { CreateThreadpoolIo(file.as_raw_handle(), Some(ended), null_mut(), null()) };
        if object == 0 {
            return Err(io::Error::last_os_error());
        }
        #[cfg(test)]
        OPEN.fetch_add(1, Ordering::Relaxed);
        Ok(Taker { by: By::Pool(object), skips })
    }

    fn of_worker(worker: Arc<Worker>, file: BorrowedHandle<'_>, skips: bool) -> io::Result<Taker> {
        worker.port().bind(file)?;
        Ok(Taker { by: By::Worker(worker), skips })
    }

    /// Whether nobody is told of what ends at once and well.
    pub(super) fn skips(&self) -> bool {
        self.skips
    }

    /// Tells the pool that an operation is about to begin, for which it calls.
    pub(super) fn announce(&self) {
        if let By::Pool(object) = self.by {
            // SAFETY: the object is open as long as this.
            unsafe { StartThreadpoolIo(object) };
        }
    }

    /// Tells the pool that the operation that was announced has ended, and that no call is to come.
    pub(super) fn withdraw(&self) {
        if let By::Pool(object) = self.by {
            // SAFETY: the object is open as long as this, and our caller has announced an operation.
            unsafe { CancelThreadpoolIo(object) };
        }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        if let By::Pool(object) = self.by {
            // SAFETY: it was opened in `of_pool`, and is closed this once. A place that has an
            // operation in flight owns this, as whoever has the handle does: so there is none, and
            // that is closed. This may be within a call of the object's own: it is freed after that.
            unsafe { CloseThreadpoolIo(object) };
            #[cfg(test)]
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
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
