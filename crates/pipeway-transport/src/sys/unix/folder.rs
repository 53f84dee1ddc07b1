//! The folder that a socket lies in: nobody but its owner may put another socket in its place.

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use crate::{Endpoint, Error, ErrorKind};

const STICKY: u32 = 0o1000;
const OTHERS_WRITE: u32 = 0o022;
const OTHERS: u32 = 0o077;

/// Makes the folder of `endpoint`'s socket where it is missing (mode 0700), and refuses one in
/// which another user could replace the socket. With `private`, nobody else may even look in.
pub(super) fn prepare_folder(endpoint: &Endpoint, path: &Path, private: bool) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    match DirBuilder::new().mode(0o700).recursive(true).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(Error::new(
                ErrorKind::Permission,
                format!("could not make the folder {} for {endpoint}", folder.display()),
            )
            .hint("make the folder, or choose a path in one of your own")
            .source(error));
        }
    }
    let metadata = std::fs::metadata(folder).map_err(|error| {
        Error::new(ErrorKind::Io, format!("could not look at the folder {}", folder.display()))
            .source(error)
    })?;
    match fault(&metadata, private) {
        None => Ok(()),
        Some((what, hint)) => Err(Error::new(
            ErrorKind::Insecure,
            format!("{endpoint} can't be private: the folder {} {what}", folder.display()),
        )
        .hint(hint.replace("FOLDER", &folder.display().to_string()))),
    }
}

fn fault(metadata: &Metadata, private: bool) -> Option<(String, String)> {
    let me = rustix::process::geteuid().as_raw();
    let mode = metadata.mode();
    let owner = metadata.uid();
    if !metadata.is_dir() {
        return Some(("is not a folder".into(), "choose another path".into()));
    }
    if owner != me && (private || owner != 0) {
        return Some((
            format!("belongs to user {owner}, not to you (user {me})"),
            "choose a path in a folder of your own".into(),
        ));
    }
    if private && mode & OTHERS != 0 {
        return Some((
            format!("is open to other users (mode {:04o})", mode & 0o7777),
            "run: chmod 700 FOLDER".into(),
        ));
    }
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        return Some((
            format!("lets other users replace the socket (mode {:04o})", mode & 0o7777),
            "run: chmod go-w FOLDER".into(),
        ));
    }
    None
}
