//! The program's exit codes.

use pipeway_transport::ErrorKind;

/// The code of `exec` and `shell` where nobody reads their output any more: that of a program
/// that SIGPIPE ended.
pub(crate) const BROKEN_PIPE: i32 = 128 + 13;

/// How the program ended, as its exit code.
///
/// docs/reference/exit-codes.md lists the same codes; a test holds the two together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It did what it was asked to.
    Success = 0,
    /// Something failed that has no code of its own.
    Failure = 1,
    /// The command line or an environment variable is wrong.
    Usage = 2,
    /// The configuration file is missing or wrong.
    Config = 3,
    /// The endpoint's name is taken by another process.
    NameTaken = 4,
    /// The system does not permit it, or it can't be made private.
    Permission = 5,
    /// This system can't do it.
    Unsupported = 6,
    /// Nothing answers at the endpoint (`curl`, `ws`, `nc`, `directline send`).
    Unreachable = 7,
    /// The time ran out.
    Timeout = 8,
    /// The other end closed the connection before the end of its answer or conversation.
    Incomplete = 9,
    /// The other end answered with a refusal: a status of 400 or above with `--fail`, a
    /// WebSocket that was not accepted or was closed with an error code, an agent's refusal.
    Refused = 10,
    /// `exec` or `shell` failed itself, in whatever way; every other code of theirs is the
    /// command's.
    Own = 255,
}

impl Exit {
    /// Every code, in order.
    #[cfg(test)]
    pub(crate) const ALL: [Exit; 12] = [
        Exit::Success,
        Exit::Failure,
        Exit::Usage,
        Exit::Config,
        Exit::NameTaken,
        Exit::Permission,
        Exit::Unsupported,
        Exit::Unreachable,
        Exit::Timeout,
        Exit::Incomplete,
        Exit::Refused,
        Exit::Own,
    ];

    /// The number that the system sees.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The code for an endpoint that can't be listened on.
    pub(crate) fn of_listen(kind: ErrorKind) -> Exit {
        match kind {
            ErrorKind::InUse => Exit::NameTaken,
            ErrorKind::Permission | ErrorKind::Insecure | ErrorKind::PeerRejected => {
                Exit::Permission
            }
            ErrorKind::Unsupported => Exit::Unsupported,
            ErrorKind::TimedOut => Exit::Timeout,
            ErrorKind::NotFound
            | ErrorKind::Refused
            | ErrorKind::Busy
            | ErrorKind::LinkDown
            | ErrorKind::Io => Exit::Failure,
        }
    }

    /// The code for an endpoint that can't be connected to.
    pub(crate) fn of_connect(kind: ErrorKind) -> Exit {
        match kind {
            ErrorKind::NotFound | ErrorKind::Refused | ErrorKind::Busy | ErrorKind::LinkDown => {
                Exit::Unreachable
            }
            other => Exit::of_listen(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_documented() {
        let page = include_str!("../../../docs/reference/exit-codes.md");
        for exit in Exit::ALL {
            let row = format!("| {} | `{exit:?}` |", exit.code());
            assert!(page.contains(&row), "docs/reference/exit-codes.md has no row {row:?}");
        }
        let rows = page.lines().filter(|line| line.contains("| `")).count();
        assert_eq!(rows, Exit::ALL.len(), "the page lists a code that is none");
    }
}
