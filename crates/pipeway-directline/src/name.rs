//! The base name of a pair of pipes.

use std::fmt;
use std::str::FromStr;

/// The longest base name, in characters.
const LENGTH_MAX: usize = 78;

/// The base name of a pair of pipes: letters, digits, `.`, `_` and `-`, at most 78 of them, no two
/// dots in a row and none at the end. Default: `bfv4.pipes`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
// rules: allow(names): it is the protocol's word for what two names have in common
pub struct BaseName(String);

impl BaseName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for BaseName {
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
    type Err = BaseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let good = !text.is_empty()
            && text.chars().count() <= LENGTH_MAX
            && text.chars().all(allowed)
            && !text.contains("..")
            && !text.ends_with('.');
        if good { Ok(BaseName(text.to_owned())) } else { Err(BaseNameError(text.to_owned())) }
    }
}

/// A text that is no base name.
#[derive(Clone, Debug, PartialEq, Eq)]
// rules: allow(names): as above
pub struct BaseNameError(String);

impl fmt::Display for BaseNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a name for pipes: it may have {LENGTH_MAX} letters, digits, `.`, `_` and `-`, no two dots in a row and none at the end",
            self.0.escape_debug()
        )
    }
}

impl std::error::Error for BaseNameError {}
