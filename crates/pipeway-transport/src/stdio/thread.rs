//! What can only be waited for in a system call, as streams: a thread for each, and two pieces of
//! memory that go to and fro.

use std::io;
use std::pin::Pin;
use std::sync::mpsc as blocking;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;

/// The most that one system call reads or writes.
const PIECE: usize = 64 * 1024;

/// One is filled while the other is emptied.
const PIECES: usize = 2;

/// The end of reading, made by [`read_by`].
#[derive(Debug)]
pub(crate) struct ThreadReader {
    /// From the thread: memory, and how much of it holds data; none at the end.
    full_rx: mpsc::Receiver<io::Result<(Vec<u8>, usize)>>,
    /// To the thread: memory to fill.
    empty_tx: blocking::Sender<Vec<u8>>,
    piece: Vec<u8>,
    /// What of the piece is still to be given out.
    rest: std::ops::Range<usize>,
    ended: bool,
}

/// Reads by a thread. `read` waits for data; 0 is the end. The thread ends with the data, or when
/// it has something for a reader that is gone.
pub(crate) fn read_by(
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize> + Send + 'static,
) -> io::Result<ThreadReader> {
    let (full_tx, full_rx) = mpsc::channel(PIECES);
    let (empty_tx, empty_rx) = blocking::channel::<Vec<u8>>();
    for _ in 0..PIECES {
        empty_tx.send(vec![0; PIECE]).expect("its receiver is at hand");
    }
    std::thread::Builder::new().name("stdin".into()).spawn(move || {
        for mut piece in empty_rx {
            let count = loop {
                match read(&mut piece) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    done => break done,
                }
            };
            let is_last = !matches!(count, Ok(1..));
            if full_tx.blocking_send(count.map(|count| (piece, count))).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(ThreadReader { full_rx, empty_tx, piece: Vec::new(), rest: 0..0, ended: false })
}

impl AsyncRead for ThreadReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.rest.is_empty() && !this.ended {
            if !this.piece.is_empty() {
                // A thread that has ended needs no memory.
                let _ = this.empty_tx.send(std::mem::take(&mut this.piece));
            }
            match ready!(this.full_rx.poll_recv(cx)) {
                Some(Ok((piece, count))) => {
                    this.ended = count == 0;
                    (this.piece, this.rest) = (piece, 0..count);
                }
                Some(Err(error)) => {
                    this.ended = true;
                    return Poll::Ready(Err(error));
                }
                None => this.ended = true,
            }
        }
        let count = this.rest.len().min(buf.remaining());
        buf.put_slice(&this.piece[this.rest.start..this.rest.start + count]);
        this.rest.start += count;
        Poll::Ready(Ok(()))
    }
}

/// The end of writing, made by [`write_by`].
#[derive(Debug)]
pub(crate) struct ThreadWriter {
    /// To the thread: data to write. None once all has been said.
    full_tx: Option<blocking::Sender<Vec<u8>>>,
    /// From the thread: memory whose data is written.
    empty_rx: mpsc::Receiver<io::Result<Vec<u8>>>,
    spare: Vec<Vec<u8>>,
    /// How many pieces the thread has.
    away: usize,
}

/// Writes by a thread. `write` writes all that it is given; it is dropped at the end, and with it
/// what it writes to. The thread ends at the first failure, and when the writer is gone.
pub(crate) fn write_by(
    mut write: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
) -> io::Result<ThreadWriter> {
    let (full_tx, full_rx) = blocking::channel::<Vec<u8>>();
    let (empty_tx, empty_rx) = mpsc::channel(PIECES);
    std::thread::Builder::new().name("stdout".into()).spawn(move || {
        for mut piece in full_rx {
            let written = write(&piece);
            let has_failed = written.is_err();
            piece.clear();
            if empty_tx.blocking_send(written.map(|()| piece)).is_err() || has_failed {
                break;
            }
        }
        // Before the channel, whose end tells that it is done.
        drop(write);
        drop(empty_tx);
    })?;
    let spare = (0..PIECES).map(|_| Vec::with_capacity(PIECE)).collect();
    Ok(ThreadWriter { full_tx: Some(full_tx), empty_rx, spare, away: 0 })
}

impl ThreadWriter {
    /// Waits until one more piece has been written.
    fn poll_back(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let error = match ready!(self.empty_rx.poll_recv(cx)) {
            Some(Ok(piece)) => {
                self.away -= 1;
                self.spare.push(piece);
                return Poll::Ready(Ok(()));
            }
            Some(Err(error)) => error,
            None => closed(),
        };
        self.full_tx = None;
        self.away = 0;
        Poll::Ready(Err(error))
    }
}

impl AsyncWrite for ThreadWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.full_tx.is_none() {
            return Poll::Ready(Err(closed()));
        }
        let mut piece = loop {
            match self.spare.pop() {
                Some(piece) => break piece,
                None => ready!(self.poll_back(cx))?,
            }
        };
        let count = buf.len().min(PIECE);
        piece.extend_from_slice(&buf[..count]);
        self.away += 1;
        if let Some(full_tx) = &self.full_tx {
            // A thread that has failed tells why when it is waited for.
            let _ = full_tx.send(piece);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.away > 0 {
            ready!(self.poll_back(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.full_tx = None;
        // The thread's end: what it wrote to is closed.
        while ready!(self.empty_rx.poll_recv(cx)).is_some() {}
        Poll::Ready(Ok(()))
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "standard output is closed")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_is_read_comes_whole_and_in_order() {
        let mut left = 300_000_u32;
        let mut reader = read_by(move |buffer| {
            let count = left.min(buffer.len() as u32).min(70_001);
            for byte in &mut buffer[..count as usize] {
                left -= 1;
                *byte = (left % 251) as u8;
            }
            Ok(count as usize)
        })
        .unwrap();
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        assert!(all.into_iter().eq((0..300_000_u32).rev().map(|n| (n % 251) as u8)));
        assert_eq!(reader.read(&mut [0]).await.unwrap(), 0, "the end stays");
    }

    #[tokio::test]
    async fn what_nobody_reads_is_not_kept() {
        let (read_tx, read_rx) = blocking::channel();
        let mut reader = read_by(move |buffer| {
            read_tx.send(()).unwrap();
            Ok(buffer.len())
        })
        .unwrap();
        // Two pieces, and then one more for each that is taken whole.
        let mut piece = vec![0; PIECE];
        for _ in 0..10 {
            reader.read_exact(&mut piece).await.unwrap();
        }
        drop(reader);
        let reads = read_rx.into_iter().count();
        assert!((10..=10 + PIECES).contains(&reads), "{reads}");
    }

    #[tokio::test]
    async fn a_failure_to_read_is_told_once_and_then_is_the_end() {
        let mut reader = read_by(|_| Err(io::ErrorKind::PermissionDenied.into())).unwrap();
        let error = reader.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
    }

    /// Tells when it is closed.
    struct Closing(Arc<Mutex<Vec<u8>>>, Option<blocking::Sender<usize>>);

    impl Drop for Closing {
        fn drop(&mut self) {
            let written = self.0.lock().unwrap().len();
            self.1.take().unwrap().send(written).unwrap();
        }
    }

    #[tokio::test]
    async fn a_shutdown_comes_back_when_all_is_written_and_closed() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let (closed_tx, closed_rx) = blocking::channel();
        let to = Closing(written.clone(), Some(closed_tx));
        let mut writer = write_by(move |data| {
            let to = &to;
            to.0.lock().unwrap().extend_from_slice(data);
            Ok(())
        })
        .unwrap();
        let data: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        writer.write_all(&data).await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(closed_rx.try_recv(), Ok(data.len()));
        assert_eq!(*written.lock().unwrap(), data);
        let error = writer.write_all(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_writer_waits_for_what_does_not_take_more() {
        let (go_tx, go_rx) = blocking::channel::<()>();
        let mut writer = write_by(move |_| {
            go_rx.recv().unwrap();
            Ok(())
        })
        .unwrap();
        let piece = vec![0; PIECE];
        for _ in 0..PIECES {
            writer.write_all(&piece).await.unwrap();
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut writer).poll_write(&mut cx, b"x").is_pending());
        for _ in 0..=PIECES {
            go_tx.send(()).unwrap();
        }
        writer.write_all(b"x").await.unwrap();
        writer.shutdown().await.unwrap();
    }
}
