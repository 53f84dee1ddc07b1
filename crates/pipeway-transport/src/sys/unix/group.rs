//! Group names.

use crate::{Error, ErrorKind};

/// The id of the group `name`, which may be a number.
pub(super) fn group_id(name: &str) -> Result<u32, Error> {
    if let Ok(gid) = name.parse::<u32>() {
        return Ok(gid);
    }
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(Error::new(ErrorKind::NotFound, format!("there is no group `{name}`"))
            .hint("name an existing group, or its number")),
        Err(error) => Err(Error::new(ErrorKind::Io, format!("could not look up group `{name}`"))
            .source(error.into())),
    }
}
