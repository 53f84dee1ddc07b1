//! Standard input and output.
//!
//! O_NONBLOCK belongs to what is open, not to the descriptor: set here, it would make the same
//! terminal or pipe non-blocking for the shell and for every other process that has it. So a pipe
//! is opened anew, a socket is asked not to wait in each call, and for everything else a thread
//! waits.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

use super::one_way::{SocketReader, SocketWriter};
use crate::stdio::thread::{ThreadReader, ThreadWriter, read_by, write_by};

/// What a pipe should hold at least, in bytes: one of 64 KiB moves half as much in a second, and one
/// of 1 MiB no more. It counts among what all of a user's pipes together may hold (pipe(7)).
#[cfg(target_os = "linux")]
const PIPE_BYTES: usize = 256 * 1024;

/// Standard input.
#[derive(Debug)]
pub(crate) enum Input {
    Pipe(pipe::Receiver),
    Socket(SocketReader),
    Thread(ThreadReader),
}

/// Standard output.
#[derive(Debug)]
pub(crate) enum Output {
    Pipe(pipe::Sender),
    Socket(SocketWriter),
    Thread(ThreadWriter),
    /// It was shut down.
    Closed,
}

/// Takes both, and leaves /dev/null in their place.
pub(crate) fn take() -> io::Result<(Input, Output)> {
    use rustix::stdio::{dup2_stdin, dup2_stdout, stdin, stdout};
    // Above the three that every program expects to be its standard streams.
    let ours = |fd| rustix::io::fcntl_dupfd_cloexec(fd, 3);
    let (input, output) = (ours(stdin())?, ours(stdout())?);
    let nothing = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&nothing)?;
    dup2_stdout(&nothing)?;
    Ok((Input::of(input)?, Output::of(output)?))
}

/// What of a stream can be waited for without a thread.
enum Kind {
    /// Opened anew.
    Pipe(File),
    Socket,
    Other,
}

fn kind(fd: &OwnedFd, options: &mut OpenOptions) -> io::Result<Kind> {
    Ok(match FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) {
        FileType::Socket => Kind::Socket,
        FileType::Fifo => match reopen(fd, options) {
            Some(file) => Kind::Pipe(file),
            None => Kind::Other,
        },
        _ => Kind::Other,
    })
}

/// Opens a pipe anew, so that it may have flags of its own; `None` where that can't be done: there
/// is no /proc, or the pipe is another user's.
fn reopen(fd: &OwnedFd, options: &mut OpenOptions) -> Option<File> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    // Only a pipe without a name: a named one that is opened anew does not tell that its writers
    // had gone before (poll(2) of a FIFO opened without a writer).
    let name = std::fs::read_link(&path).ok()?;
    if !name.to_str()?.starts_with("pipe:[") {
        return None;
    }
    let file = options.custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path).ok()?;
    // Best effort: it works without, too.
    #[cfg(target_os = "linux")]
    if rustix::pipe::fcntl_getpipe_size(&file).is_ok_and(|size| size < PIPE_BYTES) {
        let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE_BYTES);
    }
    Some(file)
}

impl Input {
    fn of(fd: OwnedFd) -> io::Result<Input> {
        Ok(match kind(&fd, OpenOptions::new().read(true))? {
            Kind::Pipe(file) => Input::Pipe(pipe::Receiver::from_file(file)?),
            Kind::Socket => Input::Socket(SocketReader::new(fd)?),
            Kind::Other => {
                let mut file = File::from(fd);
                Input::Thread(read_by(move |buffer| {
                    loop {
                        match file.read(buffer) {
                            // Whoever shares it with us made it non-blocking.
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                                wait(&file, PollFlags::IN)?;
                            }
                            // The terminal is gone (tty_ioctl(4)).
                            Err(error)
                                if error.raw_os_error() == Some(Errno::IO.raw_os_error()) =>
                            {
                                return Ok(0);
                            }
                            read => return read,
                        }
                    }
                })?)
            }
        })
    }
}

impl Output {
    fn of(fd: OwnedFd) -> io::Result<Output> {
        Ok(match kind(&fd, OpenOptions::new().write(true))? {
            Kind::Pipe(file) => Output::Pipe(pipe::Sender::from_file(file)?),
            Kind::Socket => Output::Socket(SocketWriter::new(fd)),
            Kind::Other => {
                let mut file = File::from(fd);
                Output::Thread(write_by(move |mut data| {
                    while !data.is_empty() {
                        match file.write(data) {
                            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                            Ok(count) => data = &data[count..],
                            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                                wait(&file, PollFlags::OUT)?;
                            }
                            Err(error) => return Err(error),
                        }
                    }
                    Ok(())
                })?)
            }
        })
    }
}

fn wait(file: &File, what: PollFlags) -> io::Result<()> {
    match rustix::event::poll(&mut [PollFd::from_borrowed_fd(file.as_fd(), what)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Input::Pipe(pipe) => Pin::new(pipe).poll_read(cx, buf),
            Input::Thread(thread) => Pin::new(thread).poll_read(cx, buf),
            Input::Socket(socket) => socket.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Output::Pipe(pipe) => Pin::new(pipe).poll_write(cx, buf),
            Output::Thread(thread) => Pin::new(thread).poll_write(cx, buf),
            Output::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Output::Socket(socket) => socket.poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Output::Thread(thread) => Pin::new(thread).poll_flush(cx),
            Output::Pipe(_) | Output::Socket(_) | Output::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this {
            Output::Thread(thread) => ready!(Pin::new(thread).poll_shutdown(cx))?,
            // Closing is not enough: it is standard input, too, as a rule.
            Output::Socket(socket) => socket.shutdown()?,
            Output::Pipe(_) | Output::Closed => {}
        }
        *this = Output::Closed;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn is_blocking(fd: impl AsFd) -> bool {
        !rustix::fs::fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
    }

    #[tokio::test]
    async fn a_pipe_that_others_share_stays_as_it_is() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let (shared_reader, shared_writer) =
            (reader.try_clone().unwrap(), writer.try_clone().unwrap());
        let mut input = Input::of(reader).unwrap();
        let mut output = Output::of(writer).unwrap();
        assert_eq!(matches!(input, Input::Pipe(_)), std::path::Path::new("/proc/self/fd").exists());
        output.write_all(b"hello").await.unwrap();
        let mut text = [0; 5];
        input.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"hello");
        assert!(is_blocking(&shared_reader) && is_blocking(&shared_writer));
        drop(shared_writer);
        output.shutdown().await.unwrap();
        assert_eq!(input.read(&mut text).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_socket_that_others_share_stays_as_it_is() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let shared = ours.try_clone().unwrap();
        let mut input = Input::of(ours.try_clone().unwrap().into()).unwrap();
        let mut output = Output::of(ours.into()).unwrap();
        assert!(matches!((&input, &output), (Input::Socket(_), Output::Socket(_))));
        let reading = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).unwrap();
            theirs.write_all(b"bye").unwrap();
            all.len()
        });
        // More than it holds: it must wait for the reader.
        output.write_all(&vec![0; 4 << 20]).await.unwrap();
        output.shutdown().await.unwrap();
        assert_eq!(reading.await.unwrap(), 4 << 20);
        let mut all = Vec::new();
        input.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"bye");
        assert!(is_blocking(&shared));
        let gone = output.write_all(b"more").await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_file_is_written_and_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let data: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut output = Output::of(File::create(&path).unwrap().into()).unwrap();
        output.write_all(&data).await.unwrap();
        output.shutdown().await.unwrap();
        let mut all = Vec::new();
        Input::of(File::open(&path).unwrap().into()).unwrap().read_to_end(&mut all).await.unwrap();
        assert_eq!(all, data);
    }

    #[tokio::test]
    async fn a_write_that_the_system_refuses_is_an_error() {
        let full = OpenOptions::new().write(true).open("/dev/full");
        // Not every system has it.
        let Ok(full) = full else { return };
        let mut output = Output::of(full.into()).unwrap();
        let ended = async {
            output.write_all(b"x").await?;
            output.flush().await
        };
        assert_eq!(ended.await.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let after = output.write_all(b"x").await.unwrap_err();
        assert_eq!(after.kind(), io::ErrorKind::BrokenPipe);
    }
}
