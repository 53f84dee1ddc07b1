//! What somebody who watches an end is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::pipes::PipesError;
use crate::{Error, Header, Id, Warning};

/// What happened to an end's sessions.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionEvent<'a> {
    /// The pipes are listened on, or are being connected to.
    Connecting,
    /// The agent's end has both names and takes a connector. Told once for each time that the pipes
    /// are made, not for each session.
    Listening {
        /// What the user should know about the access that was asked for.
        warnings: &'a [String],
    },
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
    /// The service took longer than
    /// [`handler_timeout`](crate::Limits::handler_timeout) allows. The request was answered with 504,
    /// or the rest of its answer's body was cancelled.
    HandlerTimedOut {
        /// The request's id.
        id: Id,
        /// What the service has not done.
        error: &'a Error,
    },
    /// Something odd was passed over. A peer can cause as many as it likes.
    Warning(&'a Warning),
    /// A frame's header was read or written. Only an observer [with frames](Observer::with_frames)
    /// is told.
    Frame {
        /// Which way it went.
        way: FrameWay,
        /// The header.
        header: Header,
    },
}

/// Which way a frame goes, as this end sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameWay {
    /// The other end wrote it.
    Received,
    /// This end wrote it.
    Sent,
}

/// Whom to tell. It is called from the tasks of an end and should be quick.
#[derive(Clone)]
pub struct Observer {
    tell: Arc<dyn Fn(&SessionEvent<'_>) + Send + Sync>,
    frames: bool,
}

impl Observer {
    /// Calls `tell` for each event.
    pub fn new(tell: impl Fn(&SessionEvent<'_>) + Send + Sync + 'static) -> Self {
        Observer { tell: Arc::new(tell), frames: false }
    }

    /// The same observer, which is told of every frame too: for a person who looks on. Each byte is
    /// then looked at once more.
    pub fn with_frames(self) -> Self {
        Observer { frames: true, ..self }
    }

    pub(crate) fn wants_frames(&self) -> bool {
        self.frames
    }

    pub(crate) fn tell(&self, event: &SessionEvent<'_>) {
        (self.tell)(event);
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
