//! Whether a link is up, and why not.

use std::sync::Arc;
use std::time::Duration;

use pipeway_mux::Mux;
use tokio::sync::watch;

use super::opening::Opening;
use crate::{Endpoint, Error};

/// Whether a link is up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LinkState {
    /// It is being started for the first time.
    Starting,
    /// Sessions can be opened.
    Up(LinkUp),
    /// It is not; it is tried again.
    Down(LinkDown),
    /// It was stopped, and does not come back.
    Stopped,
}

/// A link that is up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LinkUp {
    /// How many attempts it took, this one included.
    pub attempt: u32,
    /// From the start of the guest's process to its answer.
    pub took: Duration,
    /// The version of the guest's program.
    pub guest: String,
    /// What the guest will not open, and why.
    pub refused: Vec<String>,
}

/// A link that is down.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LinkDown {
    /// The kind of the reason.
    pub reason: LinkDownReason,
    /// The reason, as a sentence.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
    /// How many attempts have failed since it was up; 0 where it was up and was lost.
    pub attempt: u32,
    /// How long it was up, where it was.
    pub was_up: Option<Duration>,
    /// When it is tried again.
    pub retry_in: Duration,
}

/// Why a link is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkDownReason {
    /// The guest's process could not be started.
    NotStarted,
    /// It ended, or what it wrote was no answer.
    NoGuest,
    /// No answer came in time.
    NoAnswer,
    /// The two ends speak different versions.
    Versions,
    /// It was up, and its process or the way to it ended.
    Lost,
    /// It was up, and gave no sign of life any more.
    Hung,
}

impl LinkDownReason {
    /// The word that stands in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            LinkDownReason::NotStarted => "link_not_started",
            LinkDownReason::NoGuest => "link_no_guest",
            LinkDownReason::NoAnswer => "link_no_answer",
            LinkDownReason::Versions => "link_versions",
            LinkDownReason::Lost => "link_lost",
            LinkDownReason::Hung => "link_hung",
        }
    }
}

/// Follows a link's state.
#[derive(Clone, Debug)]
pub struct LinkWatch {
    pub(super) rx: watch::Receiver<Inner>,
}

impl LinkWatch {
    /// The state now.
    pub fn state(&self) -> LinkState {
        self.rx.borrow().state.clone()
    }

    /// Waits for a state that was not told yet, and tells it; `None` after
    /// [`Stopped`](LinkState::Stopped) was. Of several changes at once the last is told. Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<LinkState> {
        self.rx.changed().await.ok()?;
        Some(self.rx.borrow_and_update().state.clone())
    }
}

/// The state, and what sessions are opened with.
#[derive(Clone, Debug)]
pub(super) struct Inner {
    pub(super) state: LinkState,
    pub(super) live: Option<Live>,
}

/// A link that is up, as sessions need it.
#[derive(Clone, Debug)]
pub(super) struct Live {
    /// Distinguishes it from those before it.
    pub(super) number: u64,
    pub(super) mux: Mux,
    /// What the openings lead to.
    pub(super) resolved: Arc<[Resolved]>,
}

/// What an opening leads to at the other side, or why it can't be opened.
pub(super) type Resolved = (Opening, Result<Endpoint, Arc<Error>>);
