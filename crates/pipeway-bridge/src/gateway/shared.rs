//! What the parts of a gateway have in common.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pipeway_telemetry::Sink;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::agent::Agent;
use super::budget::Budget;
use super::config::{GatewayLimits, GatewayTimeouts};
use super::origins::Origins;
use crate::routes::{HopText, Routes};
use crate::shared::Stage;

/// What the parts of a gateway have in common: how it was set up, how far it is in its life, and
/// what runs.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) agent: Agent,
    pub(super) origins: Origins,
    pub(super) budget: Budget,
    pub(super) limits: GatewayLimits,
    pub(super) timeouts: GatewayTimeouts,
    pub(super) ways: Ways,
    pub(super) events: Sink,
    stage_tx: watch::Sender<Stage>,
    active: AtomicUsize,
    /// Told each time that something has ended.
    ended: Notify,
    sessions: AtomicU64,
    session: Mutex<Option<Arc<PipeSession>>>,
}

/// Both ways through a gateway, as events tell them.
#[derive(Debug)]
pub(super) struct Ways {
    /// From the pipe that activities come from to the agent.
    pub(super) activities: Routes,
    /// From where the agent calls back.
    pub(super) calls: Routes,
    /// The pipe that calls go to.
    pub(super) outgoing: HopText,
}

/// A session of the pipes.
#[derive(Debug)]
pub(super) struct PipeSession {
    pub(super) id: u64,
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
    requests: AtomicU64,
}

impl PipeSession {
    /// The number of its next request, from 1.
    pub(super) fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// What a gateway is set up with.
pub(super) struct Setup {
    pub(super) name: String,
    pub(super) agent: Agent,
    pub(super) origins: Origins,
    pub(super) limits: GatewayLimits,
    pub(super) timeouts: GatewayTimeouts,
    pub(super) ways: Ways,
    pub(super) events: Sink,
}

impl Shared {
    pub(super) fn new(setup: Setup) -> Self {
        let Setup { name, agent, origins, limits, timeouts, ways, events } = setup;
        Shared {
            name,
            agent,
            origins,
            budget: Budget::new(limits.pipe.memory_bytes_max),
            limits,
            timeouts,
            ways,
            events,
            stage_tx: watch::Sender::new(Stage::Run),
            active: AtomicUsize::new(0),
            ended: Notify::new(),
            sessions: AtomicU64::new(0),
            session: Mutex::new(None),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        *self.stage_tx.borrow()
    }

    /// Moves on to `stage`; there is no way back.
    pub(super) fn advance(&self, stage: Stage) {
        self.stage_tx.send_if_modified(|now| {
            let is_later = stage > *now;
            if is_later {
                *now = stage;
            }
            is_later
        });
    }

    /// Counts something in that runs, until it is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> Running {
        self.active.fetch_add(1, Ordering::AcqRel);
        Running(Arc::clone(self))
    }

    /// How much runs.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    /// Waits until nothing runs. Cancel safe.
    pub(super) async fn until_idle(&self) {
        loop {
            let ended = self.ended.notified();
            if self.active() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// A session of the pipes has begun.
    pub(super) fn begin_session(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        let session = PipeSession {
            id: crate::accepted::next_id(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        };
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(session));
    }

    /// It has ended.
    pub(super) fn end_session(&self) -> Option<Arc<PipeSession>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The session of the pipes, if there is one.
    pub(super) fn session(&self) -> Option<Arc<PipeSession>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sessions so far.
    pub(super) fn sessions(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }
}

/// Something that runs.
#[derive(Debug)]
pub(super) struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_one();
    }
}

/// How long ago that was, where it was.
pub(super) fn since(instant: Instant) -> std::time::Duration {
    instant.elapsed()
}
