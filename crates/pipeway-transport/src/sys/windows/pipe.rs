//! Named pipes: instances, streams and what messages of no bytes mean. The input and output itself
//! is the [engine](super::engine)'s.

// Pipes are made and looked at through raw handles.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::pin::Pin;
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;
use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_CONNECTED, ERROR_PIPE_NOT_CONNECTED,
    ERROR_SEM_TIMEOUT, HANDLE, INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_READ_ATTRIBUTES,
    OPEN_EXISTING, PIPE_ACCESS_DUPLEX, READ_CONTROL, SECURITY_ANONYMOUS, SECURITY_IDENTIFICATION,
    SECURITY_SQOS_PRESENT,
};
use windows_sys::Win32::System::Pipes::{
    ConnectNamedPipe, CreateNamedPipeW, GetNamedPipeInfo, NMPWAIT_NOWAIT, PIPE_READMODE_BYTE,
    PIPE_READMODE_MESSAGE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE, PIPE_TYPE_MESSAGE,
    PIPE_UNLIMITED_INSTANCES, PIPE_WAIT, PeekNamedPipe, SetNamedPipeHandleState, WaitNamedPipeW,
};

use super::ending::Ending;
use super::engine::{Handle, Operation, Phase, Read, Reader, Worker, Writer, poll_proceed};
use super::security::{Descriptor, wide};
use crate::stream::Probe;
use crate::{Direction, HalfClose, PipeName};

/// What a client needs: to read and to write, without FILE_CREATE_PIPE_INSTANCE, which
/// GENERIC_WRITE contains.
const CLIENT_ACCESS: u32 = 0x0012_019B;

/// The same without FILE_WRITE_DATA and FILE_WRITE_EA. Writing attributes stays: how the pipe is
/// read is one of them.
const READER_ACCESS: u32 = 0x0012_0189;

/// The same without FILE_READ_DATA and FILE_READ_EA.
const WRITER_ACCESS: u32 = 0x0012_0192;

/// The system's buffer for each direction, in bytes.
const BUFFER_BYTES: u32 = 64 * 1024;

/// An instance of a pipe that no client was handed over from yet.
#[derive(Debug)]
pub(super) struct Instance {
    handle: Arc<Handle>,
    /// The wait for a client.
    operation: Arc<Operation>,
    kind: Kind,
}

impl Instance {
    /// Makes an instance. With `first`, none may exist.
    pub(super) fn create(
        name: &PipeName,
        first: bool,
        descriptor: &Descriptor,
        half_close: HalfClose,
        worker: Option<Arc<Worker>>,
    ) -> io::Result<Instance> {
        let (kind, mode) = match half_close {
            // It is read by messages too: a read by bytes goes on beyond a message of no bytes as
            // if there were none.
            HalfClose::Message => (Kind::Halves, PIPE_TYPE_MESSAGE | PIPE_READMODE_MESSAGE),
            HalfClose::Auto | HalfClose::None => (Kind::Bytes, PIPE_TYPE_BYTE | PIPE_READMODE_BYTE),
        };
        let only = if first { FILE_FLAG_FIRST_PIPE_INSTANCE } else { 0 };
        let attributes = descriptor.attributes();
        let path = wide(&name.path());
        // SAFETY: `path` is NUL-terminated and `attributes` valid, with a descriptor that lives as
        // long as `descriptor`; all three live through the call.
        let handle = unsafe {
            CreateNamedPipeW(
                path.as_ptr(),
                PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | only,
                mode | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
                PIPE_UNLIMITED_INSTANCES,
                BUFFER_BYTES,
                BUFFER_BYTES,
                0,
                &raw const attributes,
            )
        };
        let handle = Handle::new(owned(handle)?, kind.skips(), worker)?;
        let operation = Operation::new(&handle);
        Ok(Instance { handle, operation, kind })
    }

    /// Waits for a client. Cancel safe.
    pub(super) fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.operation.lock();
        if state.phase() == Phase::Idle {
            let handle = self.handle.as_raw_handle();
            // SAFETY: the handle is open, and that of the pipe that the operation is for; there is
            // no memory but the operation's own.
            unsafe {
                self.operation.start(&mut state, |overlapped| ConnectNamedPipe(handle, overlapped));
            }
        }
        match state.phase() {
            // One that came before it was waited for, and one that has gone again.
            Phase::Done(Ok(_) | Err(ERROR_PIPE_CONNECTED | ERROR_NO_DATA)) => Poll::Ready(Ok(())),
            Phase::Done(Err(error)) => Poll::Ready(Err(io::Error::from_raw_os_error(error as i32))),
            Phase::Idle | Phase::InFlight => {
                state.wait(cx);
                Poll::Pending
            }
        }
    }

    /// The connection, once a client is there.
    pub(super) fn into_pipe(self) -> Pipe {
        let kind = self.kind;
        Pipe::new(Arc::clone(&self.handle), kind, Direction::Both)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.operation.abandon(&self.handle);
    }
}

impl AsHandle for Instance {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

/// One connection over a pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    // Before the rest, so that nothing holds the handle any more when that is closed.
    ending: Ending,
    reader: Reader,
    writer: Writer,
    handle: Arc<Handle>,
    kind: Kind,
    direction: Direction,
    /// Whether the end of the stream was read.
    ended: AtomicBool,
}

/// What messages of no bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Nothing: the pipe is of byte type, and has no messages.
    Bytes,
    /// Each is the end of its direction.
    Halves,
    /// Each is nothing.
    Messages,
}

impl Kind {
    /// Whether nobody is told of what ends at once. A read that ends at once with a part
    /// of a message is neither a success nor a failure to the system, which does not say whether
    /// that goes to the pool.
    fn skips(self) -> bool {
        self == Kind::Bytes
    }
}

impl Pipe {
    /// Opens the client's end, without waiting. The server may ask who we are and may not act
    /// as us.
    pub(super) fn open(
        name: &PipeName,
        half_close: HalfClose,
        direction: Direction,
    ) -> io::Result<Pipe> {
        let access = match direction {
            Direction::Both => CLIENT_ACCESS,
            Direction::ReadOnly => READER_ACCESS,
            Direction::WriteOnly => WRITER_ACCESS,
        };
        let handle = open(
            name,
            access,
            FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION,
        )?;
        let kind = match half_close {
            _ if !is_of_messages(handle.as_handle())? => Kind::Bytes,
            HalfClose::Auto | HalfClose::Message => Kind::Halves,
            HalfClose::None => Kind::Messages,
        };
        if kind != Kind::Bytes && direction != Direction::WriteOnly {
            read_by_messages(handle.as_handle())?;
        }
        Ok(Pipe::new(Handle::new(handle, kind.skips(), Worker::current())?, kind, direction))
    }

    fn new(handle: Arc<Handle>, kind: Kind, direction: Direction) -> Pipe {
        let reader = Reader::new(Arc::clone(&handle));
        let writer = Writer::new(Arc::clone(&handle));
        let pipe = Pipe {
            ending: Ending::Open { written: false },
            reader,
            writer,
            handle,
            kind,
            direction,
            ended: AtomicBool::new(false),
        };
        pipe.read_ahead();
        pipe
    }

    /// The end of a direction can't be looked at in the system's buffer, and who sends it waits
    /// until what stands before it is read: so what tells the end is read ahead.
    fn read_ahead(&self) {
        if self.kind == Kind::Halves && self.direction != Direction::WriteOnly {
            self.reader.read_ahead();
        }
    }

    /// What it was opened for.
    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    /// Whether the end of one direction can be told.
    pub(super) fn can_half_close(&self) -> bool {
        self.kind == Kind::Halves
    }

    /// What the other end has done. Closed, with a tail that was read ahead but that nobody has
    /// asked for, counts as closed.
    pub(super) fn probe(&self) -> Probe {
        if self.ended.load(Ordering::Relaxed) {
            return Probe::Closed;
        }
        // It may not look.
        if self.direction == Direction::WriteOnly {
            return Probe::Quiet;
        }
        let waiting = self.peek();
        // After the look, so that what was read in between is not missed.
        match (self.reader.held(), waiting) {
            (Some(Err(_)), _) | (_, None) => Probe::Closed,
            (Some(Ok(0)), _) if self.kind == Kind::Halves => Probe::Closed,
            (Some(Ok(1..)), _) | (_, Some(1..)) => Probe::Data,
            _ => Probe::Quiet,
        }
    }

    /// Whether a read has a large buffer.
    #[cfg(test)]
    pub(super) fn has_large_buffer(&self) -> bool {
        self.reader.place().lock().has_large_buffer()
    }

    /// How many bytes wait in the system's buffer; `None` if the other end is gone and they are
    /// read.
    fn peek(&self) -> Option<u32> {
        let mut waiting = 0;
        // SAFETY: the handle is open as long as the borrow; nothing is copied, and `waiting` is a
        // valid place to write to.
        let open = unsafe {
            PeekNamedPipe(
                self.as_handle().as_raw_handle(),
                null_mut(),
                0,
                null_mut(),
                &raw mut waiting,
                null_mut(),
            )
        };
        (open != 0).then_some(waiting)
    }

    /// After the end of the stream was read: whether the other end is gone altogether, as it is
    /// wherever there is no half-close.
    pub(super) fn is_hung_up(&self) -> bool {
        self.ended.load(Ordering::Relaxed) && (!self.can_half_close() || self.peek().is_none())
    }

    /// Writes what there is room for, beside others that write to the same pipe.
    #[cfg(feature = "child")]
    pub(super) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.writer.try_write(buf).map_err(broken)
    }

    /// As [`AsyncWrite::poll_write`]; for one of those who write to the same pipe, the others use
    /// [`write_beside`](Pipe::write_beside).
    #[cfg(feature = "child")]
    pub(super) fn poll_write_shared(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_parts(cx, &[IoSlice::new(buf)])
    }

    /// Writes a few bytes as soon as there is room. Cancel safe.
    #[cfg(feature = "child")]
    pub(super) async fn write_beside(&self, buf: &[u8]) -> io::Result<usize> {
        std::future::poll_fn(|cx| self.poll_write_shared(cx, buf)).await
    }

    fn poll_write_parts(
        &self,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(poll_proceed(cx));
        let budget = ready!(coop::poll_proceed(cx));
        let written = ready!(self.writer.poll_write(cx, parts));
        budget.made_progress();
        Poll::Ready(written.map_err(broken))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.writer.leave(&self.reader);
    }
}

impl AsHandle for Pipe {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ended.load(Ordering::Relaxed) || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(poll_proceed(cx));
        let budget = ready!(coop::poll_proceed(cx));
        loop {
            match ready!(this.reader.poll_read(cx, buf)) {
                Ok(Read::Bytes) => this.read_ahead(),
                Ok(Read::Nothing) if this.kind == Kind::Halves => {
                    this.ended.store(true, Ordering::Relaxed);
                }
                Ok(Read::Nothing) => continue,
                Err(error) if !is_gone(&error) => return Poll::Ready(Err(error)),
                Err(_) => this.ended.store(true, Ordering::Relaxed),
            }
            budget.made_progress();
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    /// The parts are one write to the system, and so one message.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // Nothing, written, would be the end.
        if bufs.iter().all(|part| part.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        let Ending::Open { written } = &mut self.ending else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        *written = true;
        self.poll_write_parts(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing to do, as with a socket: the system takes over what was written by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Waits until the system has taken over all that was written: from then on the other end
    /// can read it, whatever becomes of this process. Where there is a half-close, waits until the
    /// other end has read it, and ends the direction.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.direction == Direction::ReadOnly {
            return Poll::Ready(Ok(()));
        }
        let ended = match this.kind {
            Kind::Bytes => ready!(this.writer.poll_taken_over(cx)),
            Kind::Messages => ready!(this.ending.poll_taken(cx, this.handle.as_handle())),
            Kind::Halves if matches!(this.ending, Ending::Told) => return Poll::Ready(Ok(())),
            Kind::Halves => match ready!(this.ending.poll_taken(cx, this.handle.as_handle())) {
                Ok(()) => ready!(this.writer.poll_write(cx, &[])).map(|_| ()),
                Err(error) => Err(error),
            },
        };
        match ended {
            Err(error) if !is_gone(&error) => Poll::Ready(Err(error)),
            // If nobody is there to read the rest, the reading side says so.
            _ if this.kind == Kind::Halves => {
                this.ending = Ending::Told;
                Poll::Ready(Ok(()))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// Whether a pipe is of message type.
fn is_of_messages(pipe: BorrowedHandle<'_>) -> io::Result<bool> {
    let mut flags = 0;
    // SAFETY: the handle is open as long as the borrow; `flags` is a valid place to write to, and
    // what is not asked for is null.
    let told = unsafe {
        GetNamedPipeInfo(pipe.as_raw_handle(), &raw mut flags, null_mut(), null_mut(), null_mut())
    };
    if told == 0 { Err(io::Error::last_os_error()) } else { Ok(flags & PIPE_TYPE_MESSAGE != 0) }
}

/// Makes each read of a message-type pipe end with its message.
fn read_by_messages(pipe: BorrowedHandle<'_>) -> io::Result<()> {
    let mode = PIPE_READMODE_MESSAGE | PIPE_WAIT;
    // SAFETY: the handle is open as long as the borrow; `mode` lives through the call, and what
    // is not to be changed is null.
    let set = unsafe {
        SetNamedPipeHandleState(pipe.as_raw_handle(), &raw const mode, null_mut(), null_mut())
    };
    if set == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Whether any instance of the name exists, connected or not. Connects to none.
pub(super) fn exists(name: &PipeName) -> bool {
    let path = wide(&name.path());
    // SAFETY: `path` is NUL-terminated and lives through the call.
    if unsafe { WaitNamedPipeW(path.as_ptr(), NMPWAIT_NOWAIT) } != 0 {
        return true;
    }
    // It exists, and all its instances are taken.
    io::Error::last_os_error().raw_os_error() == Some(ERROR_SEM_TIMEOUT as i32)
}

/// Opens a pipe only to look at who serves it: nothing can be read or written, and the server
/// can't learn who looks. It takes an instance for a moment.
pub(super) fn open_to_look(name: &PipeName) -> io::Result<OwnedHandle> {
    open(name, READ_CONTROL | FILE_READ_ATTRIBUTES, SECURITY_SQOS_PRESENT | SECURITY_ANONYMOUS)
}

fn open(name: &PipeName, access: u32, flags: u32) -> io::Result<OwnedHandle> {
    let path = wide(&name.path());
    // SAFETY: `path` is NUL-terminated and lives through the call; no attributes make a handle
    // that is not inherited.
    let handle =
        unsafe { CreateFileW(path.as_ptr(), access, 0, null(), OPEN_EXISTING, flags, null_mut()) };
    owned(handle)
}

/// What a call that makes a handle has returned.
fn owned(handle: HANDLE) -> io::Result<OwnedHandle> {
    if handle == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is an open handle that nobody else owns.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// The error of writing, by one kind where the other end has closed.
fn broken(error: io::Error) -> io::Error {
    if is_gone(&error) { io::Error::new(io::ErrorKind::BrokenPipe, error) } else { error }
}

/// Whether the error says that the other end has closed.
fn is_gone(error: &io::Error) -> bool {
    let gone = [ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED];
    error.raw_os_error().is_some_and(|code| gone.contains(&(code as u32)))
}
