//! How far the sending half of a pipe is on its way to its end.

// The system's own interface is the only way to call off a flush.
#![allow(unsafe_code)]

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::JoinHandle;
use windows_sys::Win32::System::IO::CancelSynchronousIo;
use windows_sys::Win32::System::Threading::{GetCurrentThreadId, OpenThread, THREAD_TERMINATE};

/// The pause between two tries to call off a wait that is about to begin.
const CALL_OFF_PAUSE: Duration = Duration::from_millis(1);

/// How far the sending half of a pipe is on its way to its end.
#[derive(Debug)]
pub(super) enum Ending {
    /// Something may still be written.
    Open {
        /// Whether anything was.
        written: bool,
    },
    /// What was written is being waited for.
    Flushing(Flush),
    /// The other end has read all that was written.
    Taken,
    /// And it was told that nothing more comes.
    Told,
}

impl Ending {
    /// Waits until the other end has read all that was written.
    ///
    /// A message of no bytes must not be in the system's buffer together with what came before
    /// it: a peer that reads by bytes would get both in one read, and not see the end.
    pub(super) fn poll_taken(
        &mut self,
        cx: &mut Context<'_>,
        pipe: BorrowedHandle<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self {
                Ending::Open { written: true } => *self = Ending::Flushing(Flush::start(pipe)?),
                Ending::Open { written: false } => *self = Ending::Taken,
                Ending::Flushing(flush) => {
                    ready!(flush.poll(cx))?;
                    *self = Ending::Taken;
                }
                Ending::Taken | Ending::Told => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// A wait of the system's, on a thread of the runtime's for such, until the other end has read
/// everything. Dropped, it is called off.
#[derive(Debug)]
pub(super) struct Flush {
    state: Arc<Mutex<State>>,
    task: JoinHandle<io::Result<()>>,
}

/// Where the wait is.
#[derive(Debug)]
enum State {
    /// Not yet on its thread.
    Queued,
    /// On this thread, which does nothing else meanwhile.
    Waiting(OwnedHandle),
    /// Over, or not wanted any more.
    Done,
}

impl Flush {
    fn start(pipe: BorrowedHandle<'_>) -> io::Result<Flush> {
        let pipe = File::from(pipe.try_clone_to_owned()?);
        let state = Arc::new(Mutex::new(State::Queued));
        let of_task = Arc::clone(&state);
        let task = tokio::task::spawn_blocking(move || {
            {
                let mut state = lock(&of_task);
                if matches!(*state, State::Done) {
                    return Ok(());
                }
                *state = State::Waiting(current_thread()?);
            }
            // On a pipe, FlushFileBuffers returns when the other end has read everything.
            let flushed = pipe.sync_all();
            *lock(&of_task) = State::Done;
            flushed
        });
        Ok(Flush { state, task })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.task).poll(cx).map(|ended| ended.unwrap_or_else(|e| Err(e.into())))
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        if call_off(&self.state) {
            return;
        }
        // On its way into the system, where it can't be called off yet; the other end would not
        // see the pipe closed before it has read everything.
        let state = Arc::clone(&self.state);
        std::thread::spawn(move || {
            while !call_off(&state) {
                std::thread::sleep(CALL_OFF_PAUSE);
            }
        });
    }
}

/// Calls a wait off. Whether it is over.
fn call_off(state: &Mutex<State>) -> bool {
    let mut state = lock(state);
    match &*state {
        State::Queued => *state = State::Done,
        // SAFETY: an open handle of a thread. The state is locked, so the thread is still about
        // this wait and does nothing else that could be ended.
        State::Waiting(thread) => unsafe {
            CancelSynchronousIo(thread.as_raw_handle());
        },
        State::Done => {}
    }
    matches!(*state, State::Done)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This thread, for [`CancelSynchronousIo`].
fn current_thread() -> io::Result<OwnedHandle> {
    // SAFETY: two calls that take and give plain values.
    let handle = unsafe { OpenThread(THREAD_TERMINATE, 0, GetCurrentThreadId()) };
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is an open handle that nobody else owns.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}
