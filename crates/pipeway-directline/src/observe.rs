//! What somebody who watches an end is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::pipes::PipesError;
use crate::{Error, Warning};

/// What happened to an end's sessions.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionEvent<'a> {
    /// The pipes are listened on, or are being connected to.
    Connecting,
    /// The pipes could not be made or connected; it is tried again after the pause, if there is one.
    NotConnected {
        /// Why.
        error: &'a PipesError,
        /// How long until the next attempt; `None`: there is none.
        retry_in: Option<Duration>,
    },
    /// A session has begun.
    Connected,
    /// The session has ended; in order, if there is no error.
    Disconnected {
        /// What ended it.
        error: Option<&'a Error>,
        /// How long it lasted.
        lasted: Duration,
    },
    /// A reply that nobody waits for was not delivered: it failed, was refused, or took too long.
    ReplyFailed {
        /// Why.
        error: &'a Error,
    },
    /// The work on an activity failed, and no hook was there to take it up.
    TurnFailed {
        /// What it returned.
        error: &'a (dyn std::error::Error + Send + Sync + 'static),
    },
    /// Something odd was passed over. A peer can cause as many as it likes.
    Warning(&'a Warning),
}

/// Whom to tell. It is called from the tasks of an end and should be quick.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&SessionEvent<'_>) + Send + Sync>);

impl Observer {
    /// Calls `tell` for each event.
    pub fn new(tell: impl Fn(&SessionEvent<'_>) + Send + Sync + 'static) -> Self {
        Observer(Arc::new(tell))
    }

    pub(crate) fn tell(&self, event: &SessionEvent<'_>) {
        (self.0)(event);
    }
}

impl Default for Observer {
    fn default() -> Self {
        Observer::new(|_| {})
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
