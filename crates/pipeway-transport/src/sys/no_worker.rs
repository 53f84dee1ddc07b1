//! There is no [loop](crate::IoLoop) on this system: none is ever begun.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::task::AbortHandle;

#[derive(Debug)]
pub(crate) struct Worker(());

#[derive(Debug)]
pub(crate) struct Running(AbortHandle);

impl Worker {
    pub(crate) const EXISTS: bool = false;
    pub(crate) const IS_OF_RUNTIME: bool = false;

    pub(crate) fn start() -> io::Result<Arc<Worker>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn current() -> Option<Arc<Worker>> {
        None
    }

    pub(crate) fn is_here() -> bool {
        false
    }

    pub(crate) fn expect_more() {}

    pub(crate) fn spawn(&self, work: Pin<Box<dyn Future<Output = ()> + Send>>) -> Running {
        Running(tokio::spawn(work).abort_handle())
    }
}

impl Running {
    pub(crate) fn cut(&self) {
        self.0.abort();
    }

    pub(crate) fn is_done(&self) -> bool {
        self.0.is_finished()
    }
}
