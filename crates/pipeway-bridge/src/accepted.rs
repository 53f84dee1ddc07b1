//! What is known of a session from its accept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pipeway_telemetry::{End, Event, EventKind, PeerInfo};
use pipeway_transport::Peer;
use tokio::time::Instant;

use crate::shared::{Place, Shared, Stage};

/// The number of a session that no other one of this process has.
pub(crate) fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What is known of a session from its accept: who connected, when, as which.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) shared: Arc<Shared>,
    pub(crate) place: Place,
    pub(crate) started: Instant,
    pub(crate) id: u64,
    peer: Peer,
}

impl Accepted {
    pub(crate) fn new(place: Place, peer: Peer) -> Self {
        Accepted {
            shared: Arc::clone(&place.shared),
            place,
            started: Instant::now(),
            id: next_id(),
            peer,
        }
    }

    /// How a session that came to its end by itself ended.
    pub(crate) fn orderly_end(&self) -> End {
        if self.shared.stage() == Stage::Run { End::Complete } else { End::Drained }
    }

    /// An event of this session, or of a request of it, that has reached the upstream or not.
    pub(crate) fn event(&self, kind: EventKind, reached: bool) -> Event<'_> {
        let mut event = Event::new(kind, self.shared.route(reached));
        event.connection = Some(self.id);
        event.peer =
            PeerInfo { pid: self.peer.pid, uid: self.peer.uid, sid: self.peer.sid.as_deref() };
        event
    }
}
