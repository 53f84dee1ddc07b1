//! Writing to a pipe.

// A write is begun by the system's own call.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::buffer::{Buffer, LARGE_BYTES};
use super::handle::Handle;
use super::left::Left;
use super::operation::{Operation, Phase, State};
use super::read::Reader;

/// The most that one write takes over, in bytes.
const WRITE_BYTES_MAX: usize = LARGE_BYTES;

/// The writing side of a pipe. Several may share it: each write is whole.
#[derive(Debug)]
pub(in super::super) struct Writer {
    pipe: Arc<Handle>,
    operation: Arc<Operation>,
}

impl Writer {
    pub(in super::super) fn new(pipe: Arc<Handle>) -> Writer {
        let operation = Operation::new(&pipe);
        operation.lock().lets_go = true;
        Writer { pipe, operation }
    }

    /// Takes over a copy of the parts, up to [`WRITE_BYTES_MAX`], once the system has taken over
    /// what was written before. No bytes are written as such. Cancel safe.
    ///
    /// # Errors
    ///
    /// The system's, of this write or of the one before.
    pub(in super::super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.operation.lock();
        match self.write(&mut state, parts) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                state.wait(cx);
                Poll::Pending
            }
            written => Poll::Ready(written),
        }
    }

    /// As [`poll_write`](Self::poll_write), without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` where it would have to wait, else as there.
    #[cfg(feature = "child")]
    pub(in super::super) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.write(&mut self.operation.lock(), &[IoSlice::new(buf)])
    }

    /// Waits until the system has taken over all that was written. Cancel safe.
    ///
    /// # Errors
    ///
    /// The system's, of the last write.
    pub(in super::super) fn poll_taken_over(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.operation.lock();
        if state.phase == Phase::InFlight {
            state.wait(cx);
            return Poll::Pending;
        }
        Poll::Ready(last(&mut state).map(|_| ()))
    }

    /// Lets the pipe go. It stays open until the system has taken over what was reported as
    /// written, [but not for long](super::left); `reader`'s reads are called off.
    pub(in super::super) fn leave(&self, reader: &Reader) {
        if self.operation.lock().phase == Phase::InFlight {
            reader.drain();
            let mut state = self.operation.lock();
            if state.phase == Phase::InFlight {
                let (pipe, reads) = (Arc::clone(&self.pipe), reader.place());
                Left { pipe, reads }.wait_for(&self.operation, &mut state);
                return;
            }
        }
        reader.abandon();
    }

    /// Calls the writes off.
    pub(in super::super) fn abandon(&self) {
        self.operation.abandon(&self.pipe);
    }

    fn write(&self, state: &mut State, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        if state.phase == Phase::InFlight {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        last(state)?;
        let wanted: usize = parts.iter().map(|part| part.len()).sum();
        let buffer = state.buffer.insert(Buffer::take(wanted.min(WRITE_BYTES_MAX)));
        let count = buffer.fill(parts);
        let (at, pipe) = (buffer.pointer(), &self.pipe);
        // SAFETY: the handle is open, and that of the pipe that the operation is for; the memory is
        // that of the state's buffer, which has as much.
        unsafe {
            self.operation.start(state, |overlapped| pipe.write(at, count as u32, overlapped));
        }
        // One that is still in flight counts as done, as a socket's: the next one tells.
        if state.phase == Phase::InFlight {
            return Ok(count);
        }
        last(state).map(|_| count)
    }
}

/// How the last write ended, told once.
fn last(state: &mut State) -> io::Result<()> {
    match std::mem::replace(&mut state.phase, Phase::Idle) {
        Phase::Done(Err(error)) => Err(io::Error::from_raw_os_error(error as i32)),
        _ => Ok(()),
    }
}
