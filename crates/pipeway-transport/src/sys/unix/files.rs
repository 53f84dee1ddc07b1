//! The bound on open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the bound to the highest that needs no privilege.
pub(crate) fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        // Some systems refuse what they name as the maximum.
        Err(_) => limit.current,
    }
}
