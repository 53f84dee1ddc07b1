//! What the system allows this process.

/// Lets this process have as many files open as the system allows it (`RLIMIT_NOFILE`), and says
/// how many that are; `None` where there is no such limit.
///
/// A session of a bridge takes two files, and the limit that a shell hands down is often 1,024.
/// A program calls this once, at its start.
pub fn raise_file_limit() -> Option<u64> {
    crate::sys::raise_file_limit()
}
