//! What went wrong with a pair of pipes.

use std::fmt;

use pipeway_transport::ErrorKind;

/// What went wrong with a pair of pipes: what was done to which, and the transport's error behind
/// it as [`source`](std::error::Error::source).
#[derive(Debug)]
pub struct PipesError {
    kind: ErrorKind,
    message: String,
    source: Option<pipeway_transport::Error>,
}

impl PipesError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        PipesError { kind, message: message.into(), source: None }
    }

    /// The transport's error, of its kind.
    pub(super) fn from_transport(
        message: impl Into<String>,
        source: pipeway_transport::Error,
    ) -> Self {
        PipesError { kind: source.kind(), message: message.into(), source: Some(source) }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, where that is known.
    pub fn advice(&self) -> Option<&str> {
        self.source.as_ref().and_then(pipeway_transport::Error::advice)
    }

    /// Whether another attempt, later, fails alike unless somebody changes something: a place that
    /// this system lacks or whose path is too long, a denied permission, a folder that is not
    /// private, a peer of another user.
    pub fn is_lasting(&self) -> bool {
        is_lasting(self.kind)
    }
}

pub(super) fn is_lasting(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Permission
            | ErrorKind::Unsupported
            | ErrorKind::Insecure
            | ErrorKind::PeerRejected
    )
}

impl fmt::Display for PipesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PipesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
