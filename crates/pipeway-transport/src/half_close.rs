//! How a named pipe tells the end of one direction.

use std::fmt;
use std::str::FromStr;

/// How a named pipe tells the end of one direction while the other goes on.
///
/// A socket has a half-close of its own, whatever this says. A byte-type pipe has none. On a
/// message-type pipe a message of no bytes is taken as one by some programs (those of Go that use
/// go-winio: Docker, containerd) and by others not (Node, .NET), for which it is nothing, or a
/// read of no bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HalfClose {
    /// A listener's pipe is of byte type. On a pipe that is connected to, its type decides: a
    /// message of no bytes ends a direction of a message-type pipe.
    #[default]
    Auto,
    /// A listener's pipe is of message type, and a message of no bytes ends a direction. Clients
    /// that read and write bytes can use it too, as long as they never write nothing. Connecting:
    /// as [`Auto`](HalfClose::Auto).
    Message,
    /// A listener's pipe is of byte type. On a message-type pipe that is connected to, messages of
    /// no bytes are passed over, and none is sent.
    None,
}

impl HalfClose {
    /// The word in a configuration: `auto`, `message` or `none`.
    pub const fn as_str(self) -> &'static str {
        match self {
            HalfClose::Auto => "auto",
            HalfClose::Message => "message",
            HalfClose::None => "none",
        }
    }
}

impl fmt::Display for HalfClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is none of the three words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HalfCloseParseError(String);

impl fmt::Display for HalfCloseParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is none of auto, message and none", self.0.escape_debug())
    }
}

impl std::error::Error for HalfCloseParseError {}

impl FromStr for HalfClose {
    type Err = HalfCloseParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [HalfClose::Auto, HalfClose::Message, HalfClose::None]
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(|| HalfCloseParseError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_a_half_close_reads_back() {
        for known in [HalfClose::Auto, HalfClose::Message, HalfClose::None] {
            assert_eq!(known.to_string().parse(), Ok(known));
        }
        let error = "mesage".parse::<HalfClose>().unwrap_err();
        assert_eq!(error.to_string(), "`mesage` is none of auto, message and none");
    }
}
