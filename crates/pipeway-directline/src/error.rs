//! What went wrong: with a session, with a call, with a name. The numbers are the SDK's.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::message::BodyError;
use crate::pipes::PipesError;

/// The SDK's error codes, which [`Error::code`] gives.
pub mod code {
    /// There is no session, or it ended while a call waited.
    pub const NOT_CONNECTED: i32 = -180_000;
    /// The pipes could not be connected or bound.
    pub const CONNECTION_FAILED: i32 = -180_001;
    /// An envelope is above 999,999 bytes.
    pub const PAYLOAD_TOO_LARGE: i32 = -180_002;
    /// No response came in time.
    pub const REQUEST_TIMEOUT: i32 = -180_003;
    /// The other end answered with what is no answer, or sent what is no message.
    pub const PROTOCOL_ERROR: i32 = -180_004;
    /// A write failed, now or before.
    pub const WRITE_FAILED: i32 = -180_005;
    /// A read failed.
    pub const READ_FAILED: i32 = -180_006;
    /// The other end cancelled everything while a call waited.
    pub const CANCELLED_ALL: i32 = -180_007;
    /// 48 bytes are no header, or a header can't be written.
    pub const HEADER_INVALID: i32 = -180_008;
    /// This end gave the operation up.
    pub const OPERATION_CANCELLED: i32 = -180_009;
    /// The name can't name a pair of pipes.
    pub const NAME_INVALID: i32 = -180_010;
    /// The server was stopped before its first session.
    pub const SERVER_STOPPED_BEFORE_CONNECTING: i32 = -180_012;
    /// No more replies can be queued.
    pub const SEND_QUEUE_FULL: i32 = -180_013;
    /// The other end cancelled a stream of the response.
    pub const STREAM_CANCELLED: i32 = -180_014;
    /// A limit of this end was passed.
    pub const RESOURCE_LIMIT_EXCEEDED: i32 = -180_015;
    /// A reply was not sent and answered in time.
    pub const OUTBOUND_SEND_TIMEOUT: i32 = -180_016;
    /// The id that was given for an attachment is no hyphenated GUID.
    pub const INVALID_ATTACHMENT_ID: i32 = -180_017;
    /// The input ended where unframed content was expected.
    pub const TRAILING_STREAM_READ_FAILED: i32 = -180_018;
    /// The system is not supported.
    pub const PLATFORM_NOT_SUPPORTED: i32 = -180_019;
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no session, or it ended; `source` tells what ended it where that was no order.
    NotConnected,
    /// The pipes could not be connected or bound.
    ConnectionFailed,
    /// An envelope is above 999,999 bytes.
    PayloadTooLarge,
    /// No response came in time.
    ResponseTimedOut,
    /// The other end sent what is no message.
    Protocol,
    /// Writing failed.
    WriteFailed,
    /// The other end took nothing for too long.
    WriteStalled,
    /// Reading failed.
    ReadFailed,
    /// The input ended inside a frame.
    Truncated,
    /// A frame was begun and not brought to its end in time.
    FrameTimedOut,
    /// The other end sent nothing while calls waited for it.
    Silent,
    /// The other end cancelled everything.
    CancelledAll,
    /// A header is malformed.
    HeaderInvalid,
    /// This end gave the operation up, or what it is about is no more.
    Cancelled,
    /// The name can't name a pair of pipes.
    NameInvalid,
    /// The server was stopped before its first session.
    StoppedBeforeConnecting,
    /// No more replies can be queued.
    SendQueueFull,
    /// The other end cancelled a stream of the response.
    StreamCancelled,
    /// The other end passed a limit of this end.
    LimitExceeded,
    /// The service did not answer a request in time, or stopped in the middle of its answer's body.
    HandlerTimedOut,
    /// More would be queued to be sent than the limit allows.
    OutgoingFull,
    /// A reply was not sent and answered in time.
    SendTimedOut,
    /// The id that was given for an attachment is no hyphenated GUID.
    InvalidAttachmentId,
    /// Unframed content ended or stalled.
    TrailingFailed,
    /// The system is not supported.
    PlatformNotSupported,
    /// The other end answered with a status that is no success; [`Error::status`] tells it.
    Refused,
    /// The HTTP client for service URLs that are no pipe's failed; `source` tells how.
    HttpFailed,
    /// This side asked for what can't be done.
    Usage,
}

impl ErrorKind {
    /// The SDK's number for it; `None` where the SDK has none.
    pub const fn code(self) -> Option<i32> {
        Some(match self {
            ErrorKind::NotConnected | ErrorKind::Truncated => code::NOT_CONNECTED,
            ErrorKind::ConnectionFailed => code::CONNECTION_FAILED,
            ErrorKind::PayloadTooLarge => code::PAYLOAD_TOO_LARGE,
            ErrorKind::ResponseTimedOut => code::REQUEST_TIMEOUT,
            ErrorKind::Protocol => code::PROTOCOL_ERROR,
            ErrorKind::WriteFailed | ErrorKind::WriteStalled => code::WRITE_FAILED,
            ErrorKind::ReadFailed => code::READ_FAILED,
            ErrorKind::CancelledAll => code::CANCELLED_ALL,
            ErrorKind::HeaderInvalid => code::HEADER_INVALID,
            ErrorKind::Cancelled => code::OPERATION_CANCELLED,
            ErrorKind::NameInvalid => code::NAME_INVALID,
            ErrorKind::StoppedBeforeConnecting => code::SERVER_STOPPED_BEFORE_CONNECTING,
            ErrorKind::SendQueueFull => code::SEND_QUEUE_FULL,
            ErrorKind::StreamCancelled => code::STREAM_CANCELLED,
            ErrorKind::LimitExceeded => code::RESOURCE_LIMIT_EXCEEDED,
            ErrorKind::SendTimedOut => code::OUTBOUND_SEND_TIMEOUT,
            ErrorKind::InvalidAttachmentId => code::INVALID_ATTACHMENT_ID,
            ErrorKind::TrailingFailed => code::TRAILING_STREAM_READ_FAILED,
            ErrorKind::PlatformNotSupported => code::PLATFORM_NOT_SUPPORTED,
            ErrorKind::FrameTimedOut
            | ErrorKind::Silent
            | ErrorKind::HandlerTimedOut
            | ErrorKind::OutgoingFull
            | ErrorKind::Refused
            | ErrorKind::HttpFailed
            | ErrorKind::Usage => return None,
        })
    }
}

/// What failed and why.
///
/// Where the SDK has a number for it, the text begins with that: `[-180003] - no response ...`.
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: Arc<str>,
    status: Option<StatusCode>,
    source: Option<Source>,
}

#[derive(Clone, Debug)]
enum Source {
    Io(Arc<io::Error>),
    Error(Arc<Error>),
    Pipes(Arc<PipesError>),
    Http(Arc<BodyError>),
}

impl Error {
    /// An error of that kind, with a text that says what failed.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<Arc<str>>) -> Self {
        Error { kind, message: message.into(), status: None, source: None }
    }

    /// Writing failed.
    pub(crate) fn write(source: io::Error) -> Self {
        let source = Some(Source::Io(Arc::new(source)));
        Error { source, ..Error::new(ErrorKind::WriteFailed, "writing to the pipe failed") }
    }

    /// Reading failed.
    pub(crate) fn read(source: io::Error) -> Self {
        let source = Some(Source::Io(Arc::new(source)));
        Error { source, ..Error::new(ErrorKind::ReadFailed, "reading from the pipe failed") }
    }

    /// There is no session any more, because of `cause` if there is one.
    pub(crate) fn not_connected(cause: Option<&Error>) -> Self {
        let kind = match cause.map(Error::kind) {
            Some(kind @ (ErrorKind::WriteFailed | ErrorKind::WriteStalled)) => kind,
            _ => ErrorKind::NotConnected,
        };
        let source = cause.map(|cause| Source::Error(Arc::new(cause.clone())));
        Error { source, ..Error::new(kind, "the session has ended") }
    }

    /// The service took longer than `limit` for `what`.
    pub(crate) fn handler(what: &str, limit: Duration) -> Self {
        let what = format!("the service {what} within {limit:?}, the limit (`handler_timeout`)");
        Error::new(ErrorKind::HandlerTimedOut, what)
    }

    /// The pipes could not be made or connected.
    pub(crate) fn from_pipes(source: PipesError) -> Self {
        let message = source.to_string();
        let source = Some(Source::Pipes(Arc::new(source)));
        Error { source, ..Error::new(ErrorKind::ConnectionFailed, message) }
    }

    /// The other end refused it.
    pub(crate) fn refused(status: StatusCode) -> Self {
        let what = format!("the other end answered with {}", status.as_u16());
        Error { status: Some(status), ..Error::new(ErrorKind::Refused, what) }
    }

    /// The HTTP client failed.
    pub(crate) fn http(source: BodyError) -> Self {
        let source = Some(Source::Http(Arc::new(source)));
        Error { source, ..Error::new(ErrorKind::HttpFailed, "the service URL can't be called") }
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The SDK's number for it, of [`code`](mod@code); `None` where the SDK has none.
    pub fn code(&self) -> Option<i32> {
        self.kind.code()
    }

    /// The status of an error of kind [`Refused`](ErrorKind::Refused).
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => write!(f, "[{code}] - {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.source {
            Some(Source::Io(error)) => Some(&**error),
            Some(Source::Error(error)) => Some(&**error),
            Some(Source::Pipes(error)) => Some(&**error),
            Some(Source::Http(error)) => Some(&***error),
            None => None,
        }
    }
}
