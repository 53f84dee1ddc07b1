//! Tasks: of the loop that they are begun in, or else of tokio's.

use std::future::Future;

use tokio::task::AbortHandle;

use crate::sys::{Running, Worker};

/// What was begun. It goes on when this is dropped.
#[derive(Debug)]
pub(crate) enum Spawned {
    Loop(Running),
    Runtime(AbortHandle),
}

/// Runs `work` on the loop that this is called in, or else by tokio.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Spawned {
    match Worker::current() {
        Some(worker) => Spawned::Loop(worker.spawn(Box::pin(work))),
        None => Spawned::Runtime(tokio::spawn(work).abort_handle()),
    }
}

impl Spawned {
    /// Ends it, if it is not done; by tokio in a moment.
    pub(crate) fn cut(&self) {
        match self {
            Spawned::Loop(running) => running.cut(),
            Spawned::Runtime(handle) => handle.abort(),
        }
    }

    /// Whether it is done.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Spawned::Loop(running) => running.is_done(),
            Spawned::Runtime(handle) => handle.is_finished(),
        }
    }
}
