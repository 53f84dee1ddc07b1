//! What went wrong at an endpoint, and what to do about it.

use std::fmt;
use std::io;

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The name, path or port is taken by another listener.
    InUse,
    /// The system denied access.
    Permission,
    /// Nothing of that name exists.
    NotFound,
    /// It exists, and nobody listens.
    Refused,
    /// Every instance or place in the queue was taken until the deadline.
    Busy,
    /// The deadline passed.
    TimedOut,
    /// This system or this endpoint can't do what was asked.
    Unsupported,
    /// What was asked for can't be made secure, so it was not made.
    Insecure,
    /// The other end is not who it should be.
    PeerRejected,
    /// The link that leads there is down.
    LinkDown,
    /// The operating system failed otherwise.
    Io,
}

/// What went wrong at an endpoint: the kind, a sentence that says what and where, and, where
/// there is one, what to do about it.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    holder: Option<u32>,
    source: Option<io::Error>,
}

impl Error {
    /// An error of `kind`; `message` says what failed and where.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), hint: None, holder: None, source: None }
    }

    /// What to do about it, as a sentence without a full stop.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The process that holds what was asked for.
    pub(crate) fn holder(mut self, pid: Option<u32>) -> Self {
        self.holder = pid;
        self
    }

    /// The operating system's error.
    pub(crate) fn source(mut self, source: io::Error) -> Self {
        self.source = Some(source);
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, where that is known.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The process that holds the name, for [`ErrorKind::InUse`], where it is known.
    pub fn holder_pid(&self) -> Option<u32> {
        self.holder
    }

    /// The operating system's error, where there was one.
    pub fn os_error(&self) -> Option<&io::Error> {
        self.source.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
