//! How many connections a process may have.

/// Lets this process open as many files, connections among them, as it may at all, and says how
/// many that is; `None` where there is no bound.
///
/// The usual bound on Unix is low for the sake of programs that count files in a bitmap. This
/// is for a program to call at its start; a library leaves the bound to its program.
pub fn raise_file_limit() -> Option<u64> {
    crate::sys::raise_file_limit()
}
