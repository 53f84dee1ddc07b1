//! A loop for connections and who serves them.

use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::oneshot;

use crate::sys::Worker;

/// A loop that is told of what its connections are ready for, and runs those who wait for it: less work
/// for each message than tokio's own, which has to do for everything.
///
/// A [`Listener`](crate::Listener) that is [given](crate::ListenOptions::io_loop) one has its
/// connections there; what is [connected](crate::connect()) to from its tasks is on it too. Timers and
/// everything else of tokio's are those of the runtime that the loop was made in. On Linux it is a task
/// of that runtime, best of one with a single thread; on Windows it has a thread of its own.
///
/// Clones are the same loop. It ends with the last clone, listener, connection and task that is on it;
/// on Linux also with the runtime, and then its tasks are dropped.
#[derive(Clone, Debug)]
pub struct IoLoop {
    worker: Arc<Worker>,
}

impl IoLoop {
    /// Whether there is such a thing on this system: Windows and Linux.
    pub const EXISTS: bool = Worker::EXISTS;

    /// Whether a link that is started here, and what it carries, can be there too: on Linux. Elsewhere
    /// such links stay with tokio, and so do bridges that go through one. A guest, which starts nothing,
    /// can be on any.
    pub const CARRIES_LINKS: bool = Worker::IS_OF_RUNTIME;

    /// Begins one.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) where it does not [exist](Self::EXISTS); the
    /// system's, where there is no memory or no thread to be had.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time enabled.
    pub fn start() -> io::Result<IoLoop> {
        Worker::start().map(|worker| IoLoop { worker })
    }

    /// Whether this is called from a task of such a loop.
    pub fn is_here() -> bool {
        Worker::is_here()
    }

    /// Whether this is called from a task of a loop that looks for more before its thread sleeps, where
    /// a task [expects](Self::expect_more) it: on Linux.
    pub fn looks_here() -> bool {
        Worker::IS_OF_RUNTIME && Worker::is_here()
    }

    /// Called from a task that has moved something small: more is likely to come within a moment. A loop
    /// that [looks](Self::looks_here) looks for it for up to 200 µs, as long as that has turned out well:
    /// to be woken takes longer than a short conversation's own work. Elsewhere this does nothing.
    pub fn expect_more() {
        Worker::expect_more();
    }

    pub(crate) fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }

    /// Runs `work` on the loop, whoever waits for it. A `poll` that panics ends it alone.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Boxed: it is moved more than once.
        self.worker.spawn(Box::pin(work));
    }

    /// Runs `work` on the loop, and waits for what it gives. Dropping the future ends `work`,
    /// which is dropped before this returns.
    ///
    /// # Panics
    ///
    /// If `work` does, or the runtime that the loop was made in has ended.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let (tell, told) = oneshot::channel();
        let running = self.worker.spawn(Box::pin(async move {
            let ended = {
                let mut work = pin!(work);
                poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
                    Ok(polled) => polled.map(Ok),
                    Err(panic) => Poll::Ready(Err(panic)),
                })
                .await
            };
            // An error is that nobody waits for it.
            let _ = tell.send(ended);
        }));
        let cut = CutOnDrop(running);
        let ended = told.await.expect("the runtime that the loop was made in has ended");
        drop(cut);
        match ended {
            Ok(given) => given,
            Err(panic) => resume_unwind(panic),
        }
    }
}

struct CutOnDrop(crate::sys::Running);

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        self.0.cut();
    }
}
