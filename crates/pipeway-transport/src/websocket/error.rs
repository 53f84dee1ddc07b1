//! Why there is no WebSocket.

use std::fmt;

use tokio_tungstenite::tungstenite::Error as Tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::StatusCode;

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The endpoint could not be connected to; the [`source`](std::error::Error::source) is a
    /// [`crate::Error`].
    Connect,
    /// The handshake's deadline passed.
    TimedOut,
    /// The path or the headers can't be sent.
    Request,
    /// The server answered with another status than 101; as a server, we did.
    Refused,
    /// The other end does not speak WebSocket, or breaks its rules.
    Protocol,
    /// The connection ended within the handshake.
    Closed,
    /// The operating system failed.
    Io,
}

/// Why a handshake failed.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    response: Option<Box<Response>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), response: None, source: None }
    }

    pub(super) fn source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The status that the handshake was answered with, for [`ErrorKind::Refused`].
    pub fn status(&self) -> Option<StatusCode> {
        self.response.as_ref().map(|response| response.status())
    }

    /// The answer, for [`ErrorKind::Refused`]. Of its body there is what came together with the
    /// head.
    pub fn response(&self) -> Option<&Response> {
        self.response.as_deref()
    }

    /// The client's handshake failed.
    pub(super) fn of_client(error: Tungstenite) -> Self {
        match error {
            Tungstenite::Http(response) => Error {
                response: Some(response.clone()),
                ..Error::new(
                    ErrorKind::Refused,
                    format!("the server answered {} in place of a WebSocket", response.status()),
                )
            },
            Tungstenite::HttpFormat(_) | Tungstenite::Url(_) => {
                Error::new(ErrorKind::Request, "the handshake can't be sent").source(error)
            }
            other => Error::of_either(other, "the server"),
        }
    }

    /// The server's handshake failed.
    pub(super) fn of_server(error: Tungstenite) -> Self {
        match error {
            Tungstenite::Http(response) => Error {
                response: Some(response.clone()),
                ..Error::new(
                    ErrorKind::Refused,
                    format!("the client's handshake was answered {}", response.status()),
                )
            },
            other => Error::of_either(other, "the client"),
        }
    }

    fn of_either(error: Tungstenite, who: &str) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, message) = match &error {
            Tungstenite::Protocol(ProtocolError::HandshakeIncomplete) => {
                (ErrorKind::Closed, format!("{who} closed the connection within the handshake"))
            }
            Tungstenite::Io(io)
                if matches!(
                    io.kind(),
                    Io::BrokenPipe
                        | Io::ConnectionReset
                        | Io::ConnectionAborted
                        | Io::UnexpectedEof
                ) =>
            {
                (ErrorKind::Closed, format!("{who} closed the connection within the handshake"))
            }
            Tungstenite::Io(_) => (ErrorKind::Io, "the handshake could not be made".to_owned()),
            _ => (ErrorKind::Protocol, format!("{who} does not speak WebSocket as it should")),
        };
        Error::new(kind, message).source(error)
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
