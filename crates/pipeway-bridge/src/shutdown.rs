//! The order to stop.

use std::sync::Arc;

use tokio::sync::watch;

/// Gives the order to stop to every [`Shutdown`] made with it. Dropping it gives the order too.
#[derive(Clone, Debug)]
pub struct ShutdownHandle {
    tx: Arc<watch::Sender<bool>>,
}

/// Receives the order to stop.
#[derive(Clone, Debug)]
pub struct Shutdown {
    rx: watch::Receiver<bool>,
}

impl Shutdown {
    /// A handle that orders, and what receives it.
    pub fn new() -> (ShutdownHandle, Shutdown) {
        let (tx, rx) = watch::channel(false);
        (ShutdownHandle { tx: Arc::new(tx) }, Shutdown { rx })
    }

    /// Whether the order was given.
    pub fn is_ordered(&self) -> bool {
        *self.rx.borrow() || self.rx.has_changed().is_err()
    }

    /// Waits for the order. Cancel safe.
    pub async fn ordered(&mut self) {
        // An error is a dropped handle, which is the order too.
        let _ = self.rx.wait_for(|ordered| *ordered).await;
    }
}

impl ShutdownHandle {
    /// Gives the order. Giving it again does nothing.
    pub fn order(&self) {
        self.tx.send_replace(true);
    }
}
