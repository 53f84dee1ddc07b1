//! The lock file beside a socket: who holds it may replace a stale socket file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// How often a lock file that was removed between opening and locking is tried again.
const ATTEMPTS: usize = 16;

/// A held lock. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

/// Why the lock is not ours.
#[derive(Debug)]
pub(super) enum LockError {
    /// Another process holds it; its id, where it could be read.
    Held(Option<u32>),
    Io(io::Error),
}

impl Lock {
    /// Takes the lock of the socket at `socket` without waiting.
    pub(super) fn acquire(socket: &Path) -> Result<Lock, LockError> {
        let mut path = socket.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        for _ in 0..ATTEMPTS {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
                .open(&path)
                .map_err(LockError::Io)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    let mut text = String::new();
                    // The pid is a courtesy to the reader of the error.
                    let _ = file.read_to_string(&mut text);
                    return Err(LockError::Held(text.trim().parse().ok()));
                }
                Err(error) => return Err(LockError::Io(error.into())),
            }
            // Its last holder may have removed the file after we opened it: then the lock is on
            // a file that nobody else can find.
            let ours = file.metadata().map_err(LockError::Io)?;
            let there = std::fs::symlink_metadata(&path);
            if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
                let written = file
                    .set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| write!(file, "{}", std::process::id()));
                written.map_err(LockError::Io)?;
                return Ok(Lock { path, _file: file });
            }
        }
        Err(LockError::Held(None))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Still locked: nobody else has come to hold this file.
        let _ = std::fs::remove_file(&self.path);
    }
}
