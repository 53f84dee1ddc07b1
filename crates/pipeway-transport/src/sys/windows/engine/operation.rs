//! One operation of the system's at a time, whose memory lives as long as the system has it.

// The system is given raw pointers, and gives them back.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, ERROR_MORE_DATA, NO_ERROR};
use windows_sys::Win32::System::IO::{CancelIoEx, OVERLAPPED};
use windows_sys::core::BOOL;

use super::buffer::Buffer;
use super::drain::Drain;
use super::handle::{Handle, Taker};
use super::left::Left;

/// A place for one operation after another: a pipe's reads, its writes, or its wait for a client.
#[repr(C)]
pub(in super::super) struct Operation {
    /// The first field: the system's pointer to it is one to the whole.
    overlapped: UnsafeCell<OVERLAPPED>,
    /// Takes what has ended, and stays for as long as the system has an operation.
    taker: Arc<Taker>,
    state: Mutex<State>,
}

// SAFETY: `overlapped` is the system's while an operation is in flight; else only whoever has
// `state` locked touches it.
unsafe impl Sync for Operation {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Operation {}

/// Where an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Phase {
    /// There is none.
    Idle,
    /// The system has the memory.
    InFlight,
    /// It is over: so many bytes, or the system's number for what failed.
    Done(Result<usize, u32>),
}

pub(in super::super) struct State {
    pub(super) phase: Phase,
    /// Not to be touched while the operation is in flight.
    pub(super) buffer: Option<Buffer>,
    /// The buffer is let go when the operation is over.
    pub(super) lets_go: bool,
    /// How many were started.
    pub(super) serial: u64,
    /// Is [looked](super::look) at, for having a large buffer.
    pub(super) watched: bool,
    /// What is let go when the operation is over.
    pub(super) left: Option<Left>,
    /// What is read is thrown away.
    pub(super) drain: Option<Drain>,
    waiting: Vec<Waker>,
}

impl Operation {
    /// A place for operations on `pipe`.
    pub(in super::super) fn new(pipe: &Handle) -> Arc<Operation> {
        Arc::new(Operation {
            overlapped: UnsafeCell::default(),
            taker: pipe.taker(),
            state: Mutex::new(State {
                phase: Phase::Idle,
                buffer: None,
                lets_go: false,
                serial: 0,
                watched: false,
                left: None,
                drain: None,
                waiting: Vec::new(),
            }),
        })
    }

    pub(in super::super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one: `issue` passes the pointer on to the system, and its value is the system's.
    ///
    /// # Safety
    ///
    /// `state` is this operation's own. If `issue` begins an operation, then with this pointer, on
    /// the pipe that this is for, and with no memory but that of `state.buffer`.
    pub(in super::super) unsafe fn start(
        self: &Arc<Self>,
        state: &mut State,
        issue: impl FnOnce(*mut OVERLAPPED) -> BOOL,
    ) {
        assert_ne!(state.phase, Phase::InFlight, "one operation at a time");
        state.phase = Phase::InFlight;
        state.serial += 1;
        // The system's own reference, given back when it is taken, or here where nobody is told.
        let system = Arc::into_raw(Arc::clone(self));
        // From the pointer to the whole, which is what `complete` makes of it again.
        let overlapped = system.cast_mut().cast::<OVERLAPPED>();
        // SAFETY: it is the first field. No operation is in flight and the state is locked, so
        // nobody else has it.
        unsafe { *overlapped = OVERLAPPED::default() };
        let skips = self.taker.skips();
        self.taker.announce();
        if issue(overlapped) != 0 {
            if !skips {
                return;
            }
            // SAFETY: the operation is over and no call comes, so the system is done with it.
            let count = unsafe { (*overlapped).InternalHigh };
            state.end(Ok(count));
        } else {
            let error = io::Error::last_os_error().raw_os_error().unwrap_or_default() as u32;
            // A message that is longer than the buffer is no failure: the call comes.
            if error == ERROR_IO_PENDING || error == ERROR_MORE_DATA && !skips {
                return;
            }
            state.end(Err(error));
        }
        self.taker.withdraw();
        // SAFETY: from `into_raw` above; the system has not taken it over.
        drop(unsafe { Arc::from_raw(system) });
    }

    /// Takes an operation back that is over, and wakes whoever waits for it.
    ///
    /// # Safety
    ///
    /// All is what the taker was told, once, for an operation that [`start`](Self::start) began.
    pub(super) unsafe fn complete(overlapped: *mut OVERLAPPED, error: u32, count: usize) {
        // SAFETY: it points to the first field of an operation, whose reference of the system's is
        // ours now that the call came; one call comes for each.
        let operation = unsafe { Arc::from_raw(overlapped.cast::<Operation>().cast_const()) };
        let mut state = operation.lock();
        state.end(match error {
            NO_ERROR | ERROR_MORE_DATA => Ok(count),
            error => Err(error),
        });
        Drain::go_on(&operation, &mut state);
        let waiting = std::mem::take(&mut state.waiting);
        let left = state.left.take();
        drop(state);
        if let Some(left) = left {
            left.reads.abandon(&left.pipe);
        }
        for waker in waiting {
            waker.wake();
        }
    }

    /// Calls it off, if it is in flight; it is over when that is taken all the same.
    pub(super) fn cancel(&self, pipe: BorrowedHandle<'_>) {
        // SAFETY: the handle is open, and the pointer is only compared with what is in flight.
        unsafe { CancelIoEx(pipe.as_raw_handle(), self.overlapped.get()) };
    }

    /// Calls it off for good: whatever memory it has is let go when it is over.
    pub(in super::super) fn abandon(&self, pipe: &Handle) {
        let mut state = self.lock();
        state.lets_go = true;
        state.drain = None;
        if state.phase == Phase::InFlight {
            self.cancel(pipe.as_handle());
        } else {
            state.buffer = None;
        }
    }
}

impl State {
    pub(in super::super) fn phase(&self) -> Phase {
        self.phase
    }

    /// Has the task woken when what is in flight is over.
    pub(in super::super) fn wait(&mut self, cx: &Context<'_>) {
        if !self.waiting.iter().any(|known| known.will_wake(cx.waker())) {
            self.waiting.push(cx.waker().clone());
        }
    }

    pub(in super::super) fn has_large_buffer(&self) -> bool {
        self.buffer.as_ref().is_some_and(Buffer::is_large)
    }

    fn end(&mut self, ended: Result<usize, u32>) {
        self.phase = Phase::Done(ended);
        if self.lets_go {
            self.buffer = None;
        }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("phase", &self.lock().phase).finish_non_exhaustive()
    }
}
