//! The environment variables that the program reads: all of them, and nothing else.
//!
//! What decides who may do what (`listen`, `to`, `through` and all of a link, `access`,
//! `token_file`, `to_token_file`, `allow_remote`, `verify_server`, methods, paths, upgrades, host)
//! is never taken from the environment: it would be invisible where a configuration is reviewed.

macro_rules! variables {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)*) => {
        $($(#[doc = $doc])+ pub(crate) const $name: &str = $text;)*

        /// Every variable whose name begins with `PIPEWAY_`, or that the program reads besides.
        pub(crate) const ALL: &[&str] = &[$($text),*];
    };
}

variables! {
    /// The configuration file of `serve` and `check`.
    CONFIG = "PIPEWAY_CONFIG";
    /// Where events go: `none`, `stderr` or a file.
    EVENTS = "PIPEWAY_EVENTS";
    /// The size at which a file of events is rotated.
    EVENTS_MAX_SIZE = "PIPEWAY_EVENTS_MAX_SIZE";
    /// How many files of events there may be in all.
    EVENTS_MAX_FILES = "PIPEWAY_EVENTS_MAX_FILES";
    /// Sessions at once.
    MAX_SESSIONS = "PIPEWAY_MAX_SESSIONS";
    /// Sessions at once of one user.
    MAX_SESSIONS_PER_PEER = "PIPEWAY_MAX_SESSIONS_PER_PEER";
    /// The size of a head.
    MAX_HEAD_SIZE = "PIPEWAY_MAX_HEAD_SIZE";
    /// The number of headers in a head.
    MAX_HEADERS = "PIPEWAY_MAX_HEADERS";
    /// The size of a request's body.
    MAX_BODY_SIZE = "PIPEWAY_MAX_BODY_SIZE";
    /// Connecting to the upstream.
    CONNECT_TIMEOUT = "PIPEWAY_CONNECT_TIMEOUT";
    /// From a session's start to its first request.
    FIRST_REQUEST_TIMEOUT = "PIPEWAY_FIRST_REQUEST_TIMEOUT";
    /// From a head's first byte to its last.
    HEAD_TIMEOUT = "PIPEWAY_HEAD_TIMEOUT";
    /// From the request's last byte to the answer's first.
    FIRST_BYTE_TIMEOUT = "PIPEWAY_FIRST_BYTE_TIMEOUT";
    /// No progress in a body.
    BODY_IDLE_TIMEOUT = "PIPEWAY_BODY_IDLE_TIMEOUT";
    /// No byte of an answer's body.
    ANSWER_IDLE_TIMEOUT = "PIPEWAY_ANSWER_IDLE_TIMEOUT";
    /// Between two requests of a session.
    KEEP_ALIVE_TIMEOUT = "PIPEWAY_KEEP_ALIVE_TIMEOUT";
    /// How long a connection to the upstream waits for another session.
    UPSTREAM_IDLE_TIMEOUT = "PIPEWAY_UPSTREAM_IDLE_TIMEOUT";
    /// No byte in an upgraded session.
    UPGRADE_IDLE_TIMEOUT = "PIPEWAY_UPGRADE_IDLE_TIMEOUT";
    /// No byte after one direction of an upgraded session has ended.
    HALF_CLOSE_IDLE_TIMEOUT = "PIPEWAY_HALF_CLOSE_IDLE_TIMEOUT";
    /// From the order to stop to the cut.
    DRAIN_TIMEOUT = "PIPEWAY_DRAIN_TIMEOUT";
    /// In place of the system's own `wsl.exe`, for tests with a stand-in.
    WSL_PROGRAM = "PIPEWAY_WSL_PROGRAM";
    /// The kind of the user's terminal, which `shell` tells the other side.
    TERM = "TERM";
    /// The width that `shell` gives a terminal where there is none here.
    COLUMNS = "COLUMNS";
    /// The height that `shell` gives a terminal where there is none here.
    LINES = "LINES";
    /// No colour, if it is set to anything.
    NO_COLOR = "NO_COLOR";
}

/// The prefix of the program's own variables.
pub(crate) const PREFIX: &str = "PIPEWAY_";

/// Variables that begin with the program's prefix and that it does not know, each with the
/// nearest known name.
pub(crate) fn unknown() -> Vec<(String, Option<&'static str>)> {
    std::env::vars_os()
        .filter_map(|(name, _)| name.into_string().ok())
        .filter(|name| name.starts_with(PREFIX) && !ALL.contains(&name.as_str()))
        .map(|name| {
            let nearest = crate::config::nearest(&name, ALL.iter().copied());
            (name, nearest)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_is_documented() {
        let page = include_str!("../../../docs/reference/config.md");
        for name in ALL {
            assert!(page.contains(&format!("`{name}`")), "config.md does not name {name}");
        }
    }
}
