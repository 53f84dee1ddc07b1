//! What differs between operating systems.

use std::fs::OpenOptions;

/// Lets only the owner read and write a file that is created with `options`.
#[cfg(unix)]
pub(crate) fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

/// A new file has the access list that its folder hands down; a user's own folders give access to
/// the user, the system and the administrators.
#[cfg(not(unix))]
pub(crate) fn private(_options: &mut OpenOptions) {}
