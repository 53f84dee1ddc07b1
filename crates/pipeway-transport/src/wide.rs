//! How much may wait in a socket for its reader.

use crate::Stream;
use crate::count::{Count, Counted};

/// The most sockets of this process at once that hold more than they do by themselves: what that may
/// take of the system's memory is bounded.
const WIDE_MAX: usize = 64;

static WIDE: Count = Count::new();

/// That a socket holds more than it does by itself; from [`Stream::widen`].
#[derive(Debug)]
pub struct Wide {
    before: usize,
    _counted: Counted,
}

impl Stream {
    /// Has it hold more for its reader than it does by itself, until [`narrow`](Self::narrow): a
    /// sender that has much, and its reader, then need not wait for each other all the time. On Linux a
    /// Unix socket holds up to 2 MiB, as far as `net.core.wmem_max` lets it, in place of some 200 KiB.
    ///
    /// `None` where there is no such thing (elsewhere; TCP's buffers grow by themselves), where it holds
    /// as much already, and while 64 of this process do. What it gives counts until it is dropped.
    pub fn widen(&self) -> Option<Wide> {
        let socket = self.socket()?;
        let _counted = WIDE.take(WIDE_MAX)?;
        socket.widen().map(|before| Wide { before, _counted })
    }

    /// Takes that back. What waits for the reader stays.
    pub fn narrow(&self, wide: Wide) {
        if let Some(socket) = self.socket() {
            socket.narrow(wide.before);
        }
    }
}
