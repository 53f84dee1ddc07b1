//! A terminal that is read, typed at and resized from several places of one task.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use pipeway_transport::child::{Terminal, TerminalSize};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A clone is the same terminal. One clone reads and one writes; a second reader or writer would
/// take the first one's wake-ups.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    terminal: Arc<Mutex<Terminal>>,
}

impl Screen {
    pub(crate) fn new(terminal: Terminal) -> Self {
        Screen { terminal: Arc::new(Mutex::new(terminal)) }
    }

    pub(crate) fn resize(&self, size: TerminalSize) -> io::Result<()> {
        self.lock().resize(size)
    }

    fn lock(&self) -> MutexGuard<'_, Terminal> {
        // It is held for one system call, which does not panic.
        self.terminal.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl AsyncRead for Screen {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Screen {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(cx)
    }
}
