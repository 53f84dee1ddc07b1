//! How much may wait in a socket for its reader.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Stream;

/// The most sockets of this process at once that hold more than they do by themselves: what that may
/// take of the system's memory is bounded.
const WIDE_MAX: usize = 64;

static WIDE: AtomicUsize = AtomicUsize::new(0);

/// That a socket holds more than it does by itself; from [`Stream::widen`].
#[derive(Debug)]
pub struct Wide {
    before: usize,
    _place: Place,
}

/// One of the [`WIDE_MAX`].
#[derive(Debug)]
struct Place;

impl Place {
    fn take() -> Option<Place> {
        // The place is given back on drop, also where there was none.
        let place = Place;
        (WIDE.fetch_add(1, Ordering::Relaxed) < WIDE_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        WIDE.fetch_sub(1, Ordering::Relaxed);
    }
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
        let _place = Place::take()?;
        socket.widen().map(|before| Wide { before, _place })
    }

    /// Takes that back. What waits for the reader stays.
    pub fn narrow(&self, wide: Wide) {
        if let Some(socket) = self.socket() {
            socket.narrow(wide.before);
        }
    }
}
