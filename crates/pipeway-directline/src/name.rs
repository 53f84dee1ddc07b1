//! The name that a pair of pipes has in common.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};

/// The longest name, in characters.
const CHARACTERS_MAX: usize = 78;

/// The name that the two pipes of a session begin with: 1 to 78 of `A-Z a-z 0-9 . _ -`, without two
/// dots in a row and without one at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
// rules: allow(names): it is the protocol's word for what two names have in common
pub struct BaseName(String);

impl BaseName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for BaseName {
    /// `bfv4.pipes`, which peers use where they are told nothing.
    fn default() -> Self {
        BaseName("bfv4.pipes".to_owned())
    }
}

impl fmt::Display for BaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BaseName {
    type Err = Error;

    /// Reads a name.
    ///
    /// # Errors
    ///
    /// Of kind [`NameInvalid`](ErrorKind::NameInvalid), with the first rule that the name breaks.
    fn from_str(name: &str) -> Result<Self, Error> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let why = if name.is_empty() {
            "the pipe's name is empty"
        } else if name.chars().count() > CHARACTERS_MAX {
            "the pipe's name is longer than 78 characters"
        } else if name.trim() != name {
            "the pipe's name begins or ends with white space"
        } else if name.contains("..") {
            "the pipe's name has two dots in a row"
        } else if !name.chars().all(is_allowed) {
            "the pipe's name may have letters, digits, dots, underscores and hyphens only"
        } else if name.ends_with('.') {
            // With a suffix behind it there would be two dots in a row.
            "the pipe's name ends with a dot"
        } else {
            return Ok(BaseName(name.to_owned()));
        };
        Err(Error::new(ErrorKind::NameInvalid, why))
    }
}
