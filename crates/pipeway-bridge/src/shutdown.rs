//! The order to stop.

use std::sync::Arc;

use tokio::sync::watch;

/// Gives the order to stop to every [`Shutdown`] made with it. Dropping the last clone gives the
/// order too.
#[derive(Clone, Debug)]
pub struct ShutdownHandle {
    tx: Arc<watch::Sender<Order>>,
}

/// Receives the order to stop.
#[derive(Clone, Debug)]
pub struct Shutdown {
    rx: watch::Receiver<Order>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    None,
    Stop,
    StopNow,
}

impl Shutdown {
    /// A handle that orders, and what receives it.
    pub fn new() -> (ShutdownHandle, Shutdown) {
        let (tx, rx) = watch::channel(Order::None);
        (ShutdownHandle { tx: Arc::new(tx) }, Shutdown { rx })
    }

    /// Waits for the order. Cancel safe.
    pub async fn ordered(&mut self) {
        // An error is a dropped handle, which is the order too.
        let _ = self.rx.wait_for(|order| *order >= Order::Stop).await;
    }

    /// Waits for the order to stop without letting anything finish. Cancel safe.
    pub async fn insisted(&mut self) {
        if self.rx.wait_for(|order| *order >= Order::StopNow).await.is_err() {
            // Nobody is left who could insist.
            std::future::pending::<()>().await;
        }
    }
}

impl ShutdownHandle {
    /// Gives the order: sessions finish, within the drain deadline. Giving it again does nothing.
    pub fn order(&self) {
        self.at_least(Order::Stop);
    }

    /// Gives the order to stop now: what runs is cut.
    pub fn insist(&self) {
        self.at_least(Order::StopNow);
    }

    fn at_least(&self, order: Order) {
        self.tx.send_if_modified(|current| {
            let higher = order > *current;
            if higher {
                *current = order;
            }
            higher
        });
    }
}
