//! Reading a pipe.

// A read is begun by the system's own call.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use windows_sys::Win32::Foundation::ERROR_OPERATION_ABORTED;

use super::buffer::{Buffer, LARGE_BYTES, SMALL_BYTES};
use super::drain::Drain;
use super::handle::Handle;
use super::look;
use super::operation::{Operation, Phase, State};

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Read {
    /// Bytes, at least one.
    Bytes,
    /// A message of no bytes.
    Nothing,
}

/// The reading side of a pipe.
#[derive(Debug)]
pub(in super::super) struct Reader {
    pipe: Arc<Handle>,
    operation: Arc<Operation>,
    /// How many bytes of what was read were handed out.
    taken: usize,
    /// What the next read has room for.
    wanted: usize,
}

impl Reader {
    pub(in super::super) fn new(pipe: Arc<Handle>) -> Reader {
        let operation = Operation::new(&pipe);
        Reader { pipe, operation, taken: 0, wanted: SMALL_BYTES }
    }

    /// Reads what there is; the rest of a message comes with the next call. Cancel safe: what is
    /// read is kept.
    ///
    /// # Errors
    ///
    /// The system's, by its number.
    pub(in super::super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Read>> {
        let operation = Arc::clone(&self.operation);
        let mut state = operation.lock();
        loop {
            match state.phase {
                Phase::Idle => self.begin(&mut state),
                Phase::InFlight => {
                    state.wait(cx);
                    return Poll::Pending;
                }
                Phase::Done(Ok(0)) => {
                    state.phase = Phase::Idle;
                    return Poll::Ready(Ok(Read::Nothing));
                }
                Phase::Done(Ok(count)) => {
                    self.hand_out(&mut state, count, buf);
                    return Poll::Ready(Ok(Read::Bytes));
                }
                // Called off for its large buffer.
                Phase::Done(Err(ERROR_OPERATION_ABORTED)) => {
                    self.wanted = SMALL_BYTES;
                    state.phase = Phase::Idle;
                }
                Phase::Done(Err(error)) => {
                    return Poll::Ready(Err(io::Error::from_raw_os_error(error as i32)));
                }
            }
        }
    }

    /// Begins a read, if none is in flight and nothing lies here.
    pub(in super::super) fn read_ahead(&self) {
        let mut state = self.operation.lock();
        if state.phase == Phase::Idle {
            self.begin(&mut state);
        }
    }

    /// What lies here: nothing yet, so many bytes, or the number of what failed.
    pub(in super::super) fn held(&self) -> Option<Result<usize, u32>> {
        match self.operation.lock().phase {
            Phase::Idle | Phase::InFlight | Phase::Done(Err(ERROR_OPERATION_ABORTED)) => None,
            Phase::Done(ended) => Some(ended.map(|count| count - self.taken)),
        }
    }

    /// Whether the system has a read.
    pub(in super::super) fn is_in_flight(&self) -> bool {
        self.operation.lock().phase == Phase::InFlight
    }

    /// Calls the reads off.
    pub(super) fn abandon(&self) {
        self.operation.abandon(&self.pipe);
    }

    /// Throws away what comes.
    pub(super) fn drain(&self) {
        Drain::begin(&self.operation, &self.pipe);
    }

    /// The place of the reads.
    pub(in super::super) fn place(&self) -> Arc<Operation> {
        Arc::clone(&self.operation)
    }

    fn begin(&self, state: &mut State) {
        if state.buffer.as_ref().is_some_and(|buffer| buffer.bytes() != self.wanted) {
            state.buffer = None;
        }
        let buffer = state.buffer.get_or_insert_with(|| Buffer::take(self.wanted));
        let (at, bytes) = (buffer.pointer(), buffer.bytes() as u32);
        let pipe = &self.pipe;
        // SAFETY: the handle is open, and that of the pipe that the operation is for; the memory is
        // that of the state's buffer, which is as large.
        unsafe {
            self.operation.start(state, |overlapped| pipe.read(at, bytes, overlapped));
        }
        if state.phase == Phase::InFlight && state.has_large_buffer() && !state.watched {
            state.watched = true;
            look::watch(&self.operation, &self.pipe, state.serial);
        }
    }

    fn hand_out(&mut self, state: &mut State, count: usize, buf: &mut ReadBuf<'_>) {
        let buffer = state.buffer.as_ref().expect("what was read lies in the buffer");
        let part = (count - self.taken).min(buf.remaining());
        buf.put_slice(&buffer.content()[self.taken..self.taken + part]);
        self.taken += part;
        if self.taken < count {
            return;
        }
        self.wanted = match count {
            count if count == buffer.bytes() => LARGE_BYTES,
            count if count < SMALL_BYTES => SMALL_BYTES,
            _ => self.wanted,
        };
        if buffer.is_large() {
            state.buffer = None;
        }
        self.taken = 0;
        state.phase = Phase::Idle;
    }
}
