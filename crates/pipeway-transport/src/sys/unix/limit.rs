//! How many files this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What systems take that do not take "no limit" for this (macOS: `OPEN_MAX`).
const FALLBACK: u64 = 10_240;

/// Raises the limit that the system lets a process raise for itself.
pub(crate) fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, raised).is_err() {
        let fallback = Rlimit { current: Some(FALLBACK), maximum: limit.maximum };
        if limit.current.is_some_and(|current| current < FALLBACK) {
            // What can't be raised stays: it is a limit, not a fault.
            let _ = setrlimit(Resource::Nofile, fallback);
        }
    }
    getrlimit(Resource::Nofile).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_and_never_lowered() {
        let before = getrlimit(Resource::Nofile);
        let now = raise_file_limit();
        assert_eq!(now, getrlimit(Resource::Nofile).current);
        assert!(now.is_none_or(|now| before.current.is_some_and(|before| now >= before)));
    }
}
