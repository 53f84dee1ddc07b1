//! What the sessions of a bridge have in common.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use pipeway_telemetry::{Route, Sink};
use pipeway_transport::{HalfClose, Peer};
use tokio::sync::{Notify, watch};

use crate::head::RequestRules;
use crate::pool::Pool;
use crate::routes::Routes;
use crate::upstream::Upstream;
use crate::{Limits, Protocol, Timeouts};

/// How far a bridge is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Clients are served.
    Run = 0,
    /// No new ones; sessions finish.
    Drain = 1,
    /// What is left ends now.
    Cut = 2,
}

/// What the sessions of a bridge have in common: how it was set up, how far it is in its life,
/// and who is being served.
#[derive(Debug)]
pub(crate) struct Shared {
    setup: Setup,
    stage: AtomicU8,
    stage_tx: watch::Sender<Stage>,
    active: AtomicUsize,
    accepted: AtomicU64,
    cut: AtomicU64,
    /// Told each time a session ends.
    ended: Notify,
    peers: Option<Mutex<HashMap<PeerKey, usize>>>,
    pub(crate) pool: Pool,
}

/// How a bridge was set up.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) protocol: Protocol,
    pub(crate) half_close: HalfClose,
    pub(crate) rules: RequestRules,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) busy_poll: bool,
    pub(crate) upstream: Upstream,
    pub(crate) routes: Routes,
    pub(crate) events: Sink,
}

impl Deref for Shared {
    type Target = Setup;

    fn deref(&self) -> &Setup {
        &self.setup
    }
}

/// By what sessions are counted as one user's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum PeerKey {
    Uid(u32),
    Sid(String),
    Unknown,
}

impl Shared {
    pub(crate) fn new(setup: Setup) -> Self {
        let peers = setup.limits.max_sessions_per_peer.map(|_| Mutex::default());
        // What a connection costs at the other side of a link, that side knows.
        let is_pooled = setup.protocol == Protocol::Http && !setup.upstream.is_through_link();
        let patience = if is_pooled { setup.timeouts.upstream_idle } else { Duration::ZERO };
        Shared {
            pool: Pool::new(patience),
            setup,
            stage: AtomicU8::new(Stage::Run as u8),
            stage_tx: watch::Sender::new(Stage::Run),
            active: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            ended: Notify::new(),
            peers,
        }
    }

    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Run,
            1 => Stage::Drain,
            _ => Stage::Cut,
        }
    }

    /// Moves on to `stage`; there is no way back.
    pub(crate) fn advance(&self, stage: Stage) {
        self.stage.fetch_max(stage as u8, Ordering::AcqRel);
        self.stage_tx.send_replace(self.stage());
        self.pool.close();
    }

    /// Runs a session, and wakes it at each stage; `None` if everything must end before it has. It
    /// is lent, since one that were given would have a second place in what awaits this.
    pub(crate) async fn unless_cut<T>(
        &self,
        mut session: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let mut stage_rx = self.stage_tx.subscribe();
        // An error is a bridge that is gone.
        let mut cut = pin!(stage_rx.wait_for(|stage| *stage == Stage::Cut));
        let mut is_heard = false;
        poll_fn(|cx| {
            if let Poll::Ready(output) = session.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            // The stage's own waker is this task's, registered by the last look at it.
            let stage = self.stage();
            // From the first order on it is looked at each time: the stage may be seen here before
            // its waker was called, on another thread, and then that is used up.
            if !is_heard || stage != Stage::Run {
                is_heard = true;
                if cut.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The way of what has reached the upstream, or has not.
    pub(crate) fn route(&self, reached: bool) -> &Arc<Route> {
        if reached { self.routes.to(|| self.upstream.text()) } else { self.routes.nowhere() }
    }

    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    /// Sessions so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Acquire)
    }

    pub(crate) fn was_cut(&self) -> u64 {
        self.cut.load(Ordering::Acquire)
    }

    pub(crate) fn count_cut(&self) {
        self.cut.fetch_add(1, Ordering::AcqRel);
    }

    /// Waits until fewer than `below` sessions are left. Cancel safe.
    pub(crate) async fn until_fewer_than(&self, below: usize) {
        loop {
            let ended = self.ended.notified();
            if self.active() < below {
                return;
            }
            ended.await;
        }
    }

    /// Counts a session in, until the place is dropped.
    pub(crate) fn enter(self: &Arc<Self>, peer: &Peer) -> Place {
        self.active.fetch_add(1, Ordering::AcqRel);
        self.accepted.fetch_add(1, Ordering::AcqRel);
        let mut place = Place { shared: Arc::clone(self), peer: None, over: false };
        if let (Some(peers), Some(max)) = (&self.peers, self.limits.max_sessions_per_peer) {
            let key = match (&peer.sid, peer.uid) {
                (Some(sid), _) => PeerKey::Sid(sid.clone()),
                (None, Some(uid)) => PeerKey::Uid(uid),
                (None, None) => PeerKey::Unknown,
            };
            let mut peers = peers.lock().unwrap_or_else(PoisonError::into_inner);
            let sessions = peers.entry(key.clone()).or_default();
            // One that is refused takes nothing of the share, however long it lingers.
            place.over = *sessions >= max;
            if !place.over {
                *sessions += 1;
                place.peer = Some(key);
            }
        }
        place
    }
}

/// A session's place among the others.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) shared: Arc<Shared>,
    peer: Option<PeerKey>,
    /// Whether this session is one more than its user may have.
    pub(crate) over: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let (Some(peers), Some(key)) = (&self.shared.peers, &self.peer) {
            let mut peers = peers.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(sessions) = peers.get_mut(key) {
                *sessions -= 1;
                if *sessions == 0 {
                    peers.remove(key);
                }
            }
        }
        self.shared.active.fetch_sub(1, Ordering::AcqRel);
        self.shared.ended.notify_one();
    }
}
