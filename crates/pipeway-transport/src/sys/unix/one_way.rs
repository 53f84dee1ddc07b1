//! One direction of a socket, which other processes may share: no call waits, whatever flags the
//! socket has, and the runtime watches nothing but what is waited for.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::net::{SendFlags, Shutdown};
use tokio::io::{Interest, ReadBuf};

use super::source::{For, Share, Source, Teller};

/// After so many writes that did not have to wait the socket is watched no more.
const CALM: u32 = 32;

/// The direction that comes from the other end.
#[derive(Debug)]
pub(crate) struct SocketReader {
    socket: Source<Share>,
}

impl SocketReader {
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let socket = Source::new(fd.into(), Interest::READABLE, Teller::current())?;
        Ok(SocketReader { socket })
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket.poll_receive(cx, buf)
    }
}

/// The direction that goes to the other end.
///
/// A socket that is watched wakes its writer each time that the reader has made room, which is in
/// vain as long as there is room: so it is watched from the first write on that finds none.
#[derive(Debug)]
pub(crate) struct SocketWriter {
    socket: Share,
    watched: Option<Source<Share>>,
    /// How many writes in a row did not have to wait.
    calm: u32,
}

impl SocketWriter {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        SocketWriter { socket: fd.into(), watched: None, calm: 0 }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let sent = match &self.watched {
                None => match rustix::net::send(&self.socket, buf, send_flags()) {
                    Ok(count) => return Poll::Ready(Ok(count)),
                    Err(error) => Err(io::Error::from(error)),
                },
                Some(watched) => {
                    ready!(watched.poll_ready(cx, For::Write))?;
                    let send = |socket: &Share| Ok(rustix::net::send(socket, buf, send_flags())?);
                    match watched.try_io(For::Write, send) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            self.calm = 0;
                            continue;
                        }
                        sent => sent,
                    }
                }
            };
            match sent {
                Ok(count) => {
                    self.calm += 1;
                    if self.calm == CALM {
                        self.watched = None;
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let (socket, teller) = (self.socket.clone(), Teller::current());
                    self.watched = Some(Source::new(socket, Interest::WRITABLE, teller)?);
                    self.calm = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Ends the direction. Closing is not enough where the descriptor is not the only one.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        match rustix::net::shutdown(&self.socket, Shutdown::Write) {
            // The other end is gone already.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Without it a write to a connection whose reader is gone ends the process (send(2)).
fn send_flags() -> SendFlags {
    #[cfg(target_os = "linux")]
    return SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    // The standard library has every program ignore SIGPIPE.
    #[cfg(not(target_os = "linux"))]
    return SendFlags::DONTWAIT;
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::os::unix::net::UnixStream;

    use super::*;

    async fn read(reader: &mut SocketReader, bytes: &mut [u8]) -> usize {
        let mut buf = ReadBuf::new(bytes);
        poll_fn(|cx| reader.poll_read(cx, &mut buf)).await.unwrap();
        buf.filled().len()
    }

    #[tokio::test]
    async fn a_writer_is_watched_only_while_it_has_to_wait() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut writer = SocketWriter::new(here.into());
        let mut reader = SocketReader::new(there.into()).unwrap();
        let (piece, mut space) = (vec![7; 16 << 10], vec![0; 16 << 10]);
        poll_fn(|cx| writer.poll_write(cx, &piece)).await.unwrap();
        assert!(writer.watched.is_none());
        let mut waits = 1;
        loop {
            let wrote = poll_fn(|cx| Poll::Ready(writer.poll_write(cx, &piece))).await;
            match wrote {
                Poll::Ready(wrote) => waits += wrote.unwrap() / piece.len(),
                Poll::Pending => break,
            }
        }
        assert!(waits > 1 && writer.watched.is_some());
        // The end that reads wakes it.
        let (wrote, _) = tokio::join!(poll_fn(|cx| writer.poll_write(cx, &piece)), async {
            while waits > 0 {
                waits -= read(&mut reader, &mut space).await / piece.len();
            }
        });
        assert_eq!(wrote.unwrap(), piece.len());
        // That one did not wait in the end.
        for _ in 1..CALM {
            assert!(writer.watched.is_some());
            read(&mut reader, &mut space).await;
            poll_fn(|cx| writer.poll_write(cx, b"x")).await.unwrap();
        }
        assert!(writer.watched.is_none());
        writer.shutdown().unwrap();
        while read(&mut reader, &mut space).await > 0 {}
        let gone = poll_fn(|cx| writer.poll_write(cx, b"x")).await.unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    }
}
