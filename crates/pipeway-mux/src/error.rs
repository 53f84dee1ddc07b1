//! What went wrong: with a connection, with an offer, with a channel.

use std::fmt;
use std::io;
use std::sync::Arc;

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The other end broke the protocol, or passed a limit.
    Protocol,
    /// The other end speaks another version, or another protocol altogether.
    Version,
    /// This side asked for what can't be done.
    Usage,
    /// The stream below failed.
    Io,
    /// The stream below ended in the middle of a frame or of the handshake.
    Truncated,
    /// The deadline passed.
    TimedOut,
    /// The connection has ended, here or there.
    Closed,
}

/// Why a connection can't be, or ended.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
    source: Option<Arc<io::Error>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> Self {
        Error { kind, message: message.into(), source: None }
    }

    pub(crate) fn io(doing: &str, source: io::Error) -> Self {
        Error {
            kind: ErrorKind::Io,
            message: format!("the stream below failed in {doing}").into(),
            source: Some(Arc::new(source)),
        }
    }

    pub(crate) fn closed() -> Self {
        Error::new(ErrorKind::Closed, "the connection has ended")
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn into_io(self) -> io::Error {
        let kind = match self.kind {
            ErrorKind::Protocol | ErrorKind::Version => io::ErrorKind::InvalidData,
            ErrorKind::Usage => io::ErrorKind::InvalidInput,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::Io | ErrorKind::Truncated | ErrorKind::Closed => {
                io::ErrorKind::ConnectionAborted
            }
        };
        io::Error::new(kind, self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Why an offer came to nothing.
#[derive(Clone, Debug)]
pub enum OfferError {
    /// The other end turned it down.
    Rejected {
        /// What it said, in the form `Kind: message`; others' implementations say nothing.
        reason: Option<String>,
    },
    /// There is no connection, or it can take no further channel. Nothing was sent.
    Connection(Error),
    /// The connection ended before there was an answer. The offer, and the content that went with
    /// it, may have arrived.
    Lost(Error),
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OfferError::Rejected { reason: None } => {
                f.write_str("the other end rejected the channel and gave no reason")
            }
            OfferError::Rejected { reason: Some(reason) } => {
                write!(f, "the other end rejected the channel: {reason}")
            }
            OfferError::Connection(error) | OfferError::Lost(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OfferError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OfferError::Rejected { .. } => None,
            OfferError::Connection(error) | OfferError::Lost(error) => {
                std::error::Error::source(error)
            }
        }
    }
}

impl From<Error> for OfferError {
    fn from(error: Error) -> Self {
        OfferError::Connection(error)
    }
}

/// How a channel ended in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// Both directions were brought to their ends.
    Complete,
    /// One end terminated it, without an error, before both directions had ended.
    Terminated,
}

/// How a channel ended otherwise.
#[derive(Clone, Debug)]
pub enum ChannelError {
    /// The other end terminated it with an error; this is the text it sent, as it came.
    Remote(String),
    /// This end terminated it with an error.
    Local(String),
    /// The other end sent more than it was allowed to.
    Overrun,
    /// The connection ended.
    Connection(Error),
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChannelError::Remote(text) => write!(f, "Received error from remote side: {text}"),
            ChannelError::Local(text) => write!(f, "the channel was terminated here: {text}"),
            ChannelError::Overrun => {
                f.write_str("the other end sent more than the channel's window, and was cut off")
            }
            ChannelError::Connection(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ChannelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ChannelError::Connection(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

impl ChannelError {
    pub(crate) fn into_io(self) -> io::Error {
        match self {
            ChannelError::Connection(error) => error.into_io(),
            other => io::Error::new(io::ErrorKind::ConnectionReset, other),
        }
    }
}
