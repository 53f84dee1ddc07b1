//! Which channel.

use std::fmt;

/// Who offered a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// This end.
    Local,
    /// The other end.
    Remote,
    /// Nobody: it was there from the start, on both ends (version 3).
    Seeded,
}

/// A channel's identity on its connection: a number, and who offered it. In version 3 both ends
/// number alike, so the number alone does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId {
    pub(crate) number: u64,
    pub(crate) source: Source,
}

impl ChannelId {
    /// The number, the same on both ends.
    pub const fn number(self) -> u64 {
        self.number
    }

    /// Who offered it, as seen from this end.
    pub const fn source(self) -> Source {
        self.source
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::Local => "ours",
            Source::Remote => "theirs",
            Source::Seeded => "seeded",
        };
        write!(f, "{} ({source})", self.number)
    }
}
