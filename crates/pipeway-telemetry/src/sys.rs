//! What differs between operating systems.

use std::fs::OpenOptions;

/// Lets only the owner read and write a file that is created with `options`.
#[cfg(unix)]
pub(crate) fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

/// Gives the calling thread, which has opened nothing yet, files of its own: standard errors, and
/// what it opens from here on.
///
/// As long as threads share their files, Linux counts each use of each (`fdget`), and that of a
/// session's sockets is four times for a request. What this thread does not need of the others'
/// files is closed here, or it would keep connections open that they close. Where a thread may have
/// no files of its own (a container's rules may forbid the call), they are shared as ever.
///
/// The thread takes no signals: a handler runs on whichever thread takes one, and mostly writes to a
/// file that its process has opened (the runtime's do).
#[cfg(target_os = "linux")]
pub(crate) fn own_files() {
    use nix::sched::{CloneFlags, unshare};
    use nix::sys::signal::SigSet;

    const OPEN: &str = "/proc/thread-self/fd";
    /// What is closed where the system does not list what is open: more than processes mostly may
    /// have.
    const UNLISTED: std::ops::Range<i32> = 0..1 << 16;
    const STDERR: i32 = 2;

    // Without the list there would be no telling what to close.
    let can = std::path::Path::new(OPEN).is_dir() && SigSet::all().thread_block().is_ok();
    if !can || unshare(CloneFlags::CLONE_FILES).is_err() {
        return;
    }
    let number = |entry: std::io::Result<std::fs::DirEntry>| -> Option<i32> {
        entry.ok()?.file_name().to_str()?.parse().ok()
    };
    let numbers: Vec<i32> = match std::fs::read_dir(OPEN) {
        Ok(open) => open.filter_map(number).collect(),
        // It could be read just now; but the files that are open may be all that may be.
        Err(_) => UNLISTED.collect(),
    };
    for number in numbers.into_iter().filter(|&number| number != STDERR) {
        // The list's own is closed already, which is an error that says nothing.
        let _ = nix::unistd::close(number);
    }
    for _ in ["standard input", "standard output"] {
        // Each takes the first number that is free, and keeps it: no file of events should have it.
        let _ = std::fs::File::open("/dev/null").map(std::os::fd::IntoRawFd::into_raw_fd);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn own_files() {}

/// A new file has the access list that its folder hands down; a user's own folders give access to
/// the user, the system and the administrators.
#[cfg(not(unix))]
pub(crate) fn private(_options: &mut OpenOptions) {}
