//! The engine of named pipes: instances, streams and their I/O. Nothing outside this file knows
//! which runtime's pipes these are.

// Pipes are made and looked at through raw handles.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::windows::io::{
    AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, IntoRawHandle, OwnedHandle,
};
use std::pin::{Pin, pin};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::windows::named_pipe::{NamedPipeClient, NamedPipeServer, PipeMode, ServerOptions};
use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_NO_DATA, ERROR_PIPE_NOT_CONNECTED, ERROR_SEM_TIMEOUT,
    INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_OVERLAPPED, FILE_READ_ATTRIBUTES, OPEN_EXISTING, READ_CONTROL,
    SECURITY_ANONYMOUS, SECURITY_IDENTIFICATION, SECURITY_SQOS_PRESENT,
};
use windows_sys::Win32::System::Pipes::{
    NMPWAIT_NOWAIT, PIPE_READMODE_MESSAGE, PIPE_WAIT, PeekNamedPipe, SetNamedPipeHandleState,
    WaitNamedPipeW,
};

use super::ending::Ending;
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

/// The most that one write hands over: the runtime copies what it is given.
const WRITE_BYTES_MAX: usize = 64 * 1024;

thread_local! {
    /// Where parts are put together that are written at once.
    static GATHERED: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(WRITE_BYTES_MAX));
}

/// After so many reads of nothing from a pipe whose other end is gone, it is the end.
const NOTHINGS_MAX: u32 = 16;

/// An instance of a pipe that no client was handed over from yet.
#[derive(Debug)]
pub(super) struct Instance {
    server: NamedPipeServer,
    half_close: HalfClose,
}

impl Instance {
    /// Makes an instance. With `first`, none may exist.
    pub(super) fn create(
        name: &PipeName,
        first: bool,
        descriptor: &Descriptor,
        half_close: HalfClose,
    ) -> io::Result<Instance> {
        let mut attributes = descriptor.attributes();
        let mut options = ServerOptions::new();
        options
            .first_pipe_instance(first)
            .reject_remote_clients(true)
            .in_buffer_size(BUFFER_BYTES)
            .out_buffer_size(BUFFER_BYTES);
        if half_close == HalfClose::Message {
            // It is read by messages too: a read by bytes goes on beyond a message of no bytes as
            // if there were none.
            options.pipe_mode(PipeMode::Message);
        }
        // SAFETY: `attributes` is a valid SECURITY_ATTRIBUTES whose descriptor lives as long as
        // `descriptor`, both beyond the call.
        let server = unsafe {
            options.create_with_security_attributes_raw(name.path(), (&raw mut attributes).cast())
        }?;
        Ok(Instance { server, half_close })
    }

    /// Waits for a client.
    pub(super) fn poll_connect(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            // A future of `connect` forgets its waker when it is dropped, so it is only asked
            // how things stand; the write readiness that it waits for keeps the waker.
            let mut idle = Context::from_waker(Waker::noop());
            if let Poll::Ready(connected) = pin!(self.server.connect()).poll(&mut idle) {
                return Poll::Ready(connected);
            }
            ready!(self.server.poll_write_ready(cx))?;
        }
    }

    /// The connection, once a client is there.
    pub(super) fn into_pipe(self) -> Pipe {
        let kind = match self.half_close {
            HalfClose::Message => Kind::Halves,
            HalfClose::Auto | HalfClose::None => Kind::Bytes,
        };
        Pipe::new(End::Server(self.server), kind, Direction::Both)
    }
}

impl AsHandle for Instance {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.server.as_handle()
    }
}

/// One connection over a pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    // Before the end, so that nothing holds the handle any more when that is closed.
    ending: Ending,
    end: End,
    kind: Kind,
    direction: Direction,
    /// Whether the end of the stream was read.
    ended: AtomicBool,
}

/// What messages of no bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// There are none: the pipe is of byte type.
    Bytes,
    /// Each is the end of its direction.
    Halves,
    /// Each is nothing.
    Messages,
}

#[derive(Debug)]
enum End {
    Server(NamedPipeServer),
    Client(NamedPipeClient),
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
        // SAFETY: an open pipe, made for overlapped I/O, that nobody else owns.
        let client = unsafe { NamedPipeClient::from_raw_handle(handle.into_raw_handle()) }?;
        if client.info()?.mode == PipeMode::Byte {
            return Ok(Pipe::new(End::Client(client), Kind::Bytes, direction));
        }
        if direction != Direction::WriteOnly {
            read_by_messages(client.as_handle())?;
        }
        let kind = match half_close {
            HalfClose::Auto | HalfClose::Message => Kind::Halves,
            HalfClose::None => Kind::Messages,
        };
        Ok(Pipe::new(End::Client(client), kind, direction))
    }

    fn new(end: End, kind: Kind, direction: Direction) -> Pipe {
        Pipe {
            ending: Ending::Open { written: false },
            end,
            kind,
            direction,
            ended: AtomicBool::new(false),
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

    /// What the other end has done. Closed, with a tail that the runtime has already taken over
    /// but nobody has read, counts as closed.
    pub(super) fn probe(&self) -> Probe {
        if self.ended.load(Ordering::Relaxed) {
            return Probe::Closed;
        }
        // It may not look.
        if self.direction == Direction::WriteOnly {
            return Probe::Quiet;
        }
        // The runtime reads ahead: what it holds is not in the system's buffer any more. A read
        // of no bytes succeeds where it holds something, the end included.
        let held = self.holds();
        match (self.peek(), held) {
            (None, _) => Probe::Closed,
            // What was held and is no more was a message of no bytes, which such a read takes.
            (_, true) if self.kind == Kind::Halves && !self.holds() => {
                self.ended.store(true, Ordering::Relaxed);
                Probe::Closed
            }
            (_, true) => Probe::Data,
            (Some(waiting), _) if waiting > 0 => Probe::Data,
            _ => Probe::Quiet,
        }
    }

    /// Whether the runtime holds something that was not read yet. A message of no bytes is taken.
    fn holds(&self) -> bool {
        match &self.end {
            End::Server(server) => server.try_read(&mut []).is_ok(),
            End::Client(client) => client.try_read(&mut []).is_ok(),
        }
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
        let part = &buf[..buf.len().min(WRITE_BYTES_MAX)];
        let written = match &self.end {
            End::Server(server) => server.try_write(part),
            End::Client(client) => client.try_write(part),
        };
        written.map_err(broken)
    }

    /// As [`AsyncWrite::poll_write`]; for one of those who write to the same pipe, the others use
    /// [`write_beside`](Pipe::write_beside).
    #[cfg(feature = "child")]
    pub(super) fn poll_write_shared(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(match &self.end {
                End::Server(server) => server.poll_write_ready(cx),
                End::Client(client) => client.poll_write_ready(cx),
            })?;
            match self.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Writes a few bytes as soon as there is room. Cancel safe.
    #[cfg(feature = "child")]
    pub(super) async fn write_beside(&self, buf: &[u8]) -> io::Result<usize> {
        loop {
            match &self.end {
                End::Server(server) => server.writable().await?,
                End::Client(client) => client.writable().await?,
            }
            match self.try_write(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }

    fn poll_write_some(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.end {
            End::Server(server) => Pin::new(server).poll_write(cx, buf),
            End::Client(client) => Pin::new(client).poll_write(cx, buf),
        }
    }
}

impl AsHandle for End {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        match self {
            End::Server(server) => server.as_handle(),
            End::Client(client) => client.as_handle(),
        }
    }
}

impl AsHandle for Pipe {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.end.as_handle()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ended.load(Ordering::Relaxed) || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let mut nothings = 0;
        loop {
            let read = ready!(match &mut self.end {
                End::Server(server) => Pin::new(server).poll_read(cx, buf),
                End::Client(client) => Pin::new(client).poll_read(cx, buf),
            });
            match read {
                Ok(()) if buf.filled().len() > before => {}
                // A message of no bytes, or the end, which the runtime tells alike, and again and
                // again. What was sent before the other end closed may be held already.
                Ok(()) if self.kind == Kind::Messages && nothings < NOTHINGS_MAX => {
                    nothings = if self.peek().is_some() { 0 } else { nothings + 1 };
                    continue;
                }
                Err(error) if !is_gone(&error) => return Poll::Ready(Err(error)),
                Ok(()) | Err(_) => self.ended.store(true, Ordering::Relaxed),
            }
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Nothing, written, would be the end.
        if buf.is_empty() && self.kind != Kind::Bytes {
            return Poll::Ready(Ok(0));
        }
        let Ending::Open { written } = &mut self.ending else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        *written = true;
        let part = &buf[..buf.len().min(WRITE_BYTES_MAX)];
        self.poll_write_some(cx, part).map_err(broken)
    }

    /// The runtime would write the first part alone, and each write is a message to the system.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut parts = bufs.iter().filter(|part| !part.is_empty());
        let first: &[u8] = parts.next().map_or(&[], |part| part);
        if first.len() >= WRITE_BYTES_MAX || parts.next().is_none() {
            return self.poll_write(cx, first);
        }
        // So that nothing is put together in vain.
        ready!(match &self.end {
            End::Server(server) => server.poll_write_ready(cx),
            End::Client(client) => client.poll_write_ready(cx),
        })?;
        GATHERED.with_borrow_mut(|gathered| {
            gathered.clear();
            for part in bufs {
                let room = WRITE_BYTES_MAX - gathered.len();
                gathered.extend_from_slice(&part[..part.len().min(room)]);
            }
            self.as_mut().poll_write(cx, gathered)
        })
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
            // The runtime takes one write at a time and reports it done before it is. A write of
            // no bytes changes nothing on a byte-type pipe, and its turn comes after the last one.
            Kind::Bytes => ready!(this.poll_write_some(cx, &[])).map(|_| ()),
            Kind::Messages => ready!(this.ending.poll_taken(cx, this.end.as_handle())),
            Kind::Halves if matches!(this.ending, Ending::Told) => return Poll::Ready(Ok(())),
            Kind::Halves => match ready!(this.ending.poll_taken(cx, this.end.as_handle())) {
                Ok(()) => ready!(this.poll_write_some(cx, &[])).map(|_| ()),
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
