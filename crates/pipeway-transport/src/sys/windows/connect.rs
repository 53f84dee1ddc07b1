//! The client's end of a named pipe.

use std::io;
use std::os::windows::io::AsHandle;
use std::time::Duration;

use tokio::time::Instant;
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_FILE_NOT_FOUND, ERROR_PIPE_BUSY, ERROR_SEM_TIMEOUT,
};

use super::peer::Server;
use super::pipe::Pipe;
use super::security;
use super::stream::LocalStream;
use crate::backoff::Backoff;
use crate::{ConnectOptions, Endpoint, Error, ErrorKind, PipeName};

/// Connects to a named pipe.
///
/// A name that does not exist fails at once, unless a server was there a moment before: one
/// that makes its instances one after another has none in between.
pub(crate) async fn connect_local(
    endpoint: &Endpoint,
    deadline: Instant,
    options: &ConnectOptions,
    verify: bool,
) -> Result<LocalStream, Error> {
    let name = pipe_name(endpoint)?;
    let mut pause = Backoff::new();
    let mut seen = false;
    let pipe = loop {
        let error = match Pipe::open(name, options.half_close, options.direction) {
            Ok(pipe) => break pipe,
            Err(error) => error,
        };
        let again = match error.raw_os_error().map(|code| code as u32) {
            Some(ERROR_PIPE_BUSY) => {
                seen = true;
                true
            }
            Some(ERROR_FILE_NOT_FOUND) => seen,
            _ => false,
        };
        if !again || !pause.wait(deadline).await {
            return Err(connect_error(endpoint, options.timeout, error));
        }
    };
    if verify {
        let me = security::current_user().map_err(|error| {
            Error::new(ErrorKind::Io, "could not find out which user this process runs as")
                .source(error)
        })?;
        let server = Server::of(pipe.as_handle());
        if !server.is_trusted(&me) {
            let user = server.user.or(server.owner).map_or("unknown".into(), |sid| sid.to_string());
            return Err(Error::new(
                ErrorKind::PeerRejected,
                format!("{endpoint} is served by user {user}, not by you"),
            )
            .hint("another user may have taken the name; if that server is meant, turn verify_server off")
            .holder(server.pid));
        }
    }
    Ok(LocalStream::connected(pipe))
}

/// Whether `endpoint` can be one of this system's at all.
pub(crate) fn check_local(endpoint: &Endpoint) -> Result<(), Error> {
    pipe_name(endpoint).map(|_| ())
}

/// The pipe's name of an endpoint.
pub(super) fn pipe_name(endpoint: &Endpoint) -> Result<&PipeName, Error> {
    match endpoint {
        Endpoint::Pipe(name) => Ok(name),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            format!("{endpoint}: Unix sockets are not used on Windows"),
        )
        .hint("use npipe:NAME, or local:NAME, which works on every system; for a service inside WSL, tcp:127.0.0.1:PORT")),
    }
}

fn connect_error(endpoint: &Endpoint, timeout: Duration, error: io::Error) -> Error {
    let (kind, message, hint) = match error.raw_os_error().map(|code| code as u32) {
        Some(ERROR_FILE_NOT_FOUND) => (
            ErrorKind::NotFound,
            format!("{endpoint} does not exist"),
            "start the service, or see whether it uses this name",
        ),
        Some(ERROR_ACCESS_DENIED) => (
            ErrorKind::Permission,
            format!("{endpoint} may not be used by this user"),
            if security::is_network_logon() {
                "this is a network logon, such as SSH with a key, which the pipe's access list may deny; use a desktop session, or change the service's access"
            } else {
                "see which user runs the service and whom its access lets in; a program that is not elevated can't use an elevated one's pipe"
            },
        ),
        Some(ERROR_SEM_TIMEOUT) => (
            ErrorKind::TimedOut,
            format!("{endpoint} did not answer in the time that the system gives it"),
            "see whether the service is alive and accepts connections",
        ),
        Some(ERROR_PIPE_BUSY) => (
            ErrorKind::Busy,
            format!("{endpoint} had all its instances taken for {timeout:?}"),
            "the service does not accept connections fast enough, or has too many clients; see whether it is alive",
        ),
        _ => {
            (ErrorKind::Io, format!("{endpoint} can't be connected to"), "see the system's message")
        }
    };
    Error::new(kind, message).hint(hint).source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_failures_of_opening_a_pipe_are_told_apart() {
        let endpoint: Endpoint = "npipe:x".parse().unwrap();
        let mut seen = std::collections::HashSet::new();
        for (code, kind) in [
            (2, ErrorKind::NotFound),
            (5, ErrorKind::Permission),
            (121, ErrorKind::TimedOut),
            (231, ErrorKind::Busy),
        ] {
            let error = connect_error(
                &endpoint,
                Duration::from_secs(1),
                io::Error::from_raw_os_error(code),
            );
            assert_eq!(error.kind(), kind);
            assert!(error.advice().is_some());
            assert!(seen.insert(error.to_string()), "{error}");
        }
    }
}
