//! Why an agent does not start.

use std::fmt;

use pipeway_transport::Error;

/// Why an agent does not start.
#[derive(Debug)]
pub enum BindError {
    /// The endpoint can't be listened on.
    Transport(Error),
    /// The configuration is wrong: a sentence that says what to write instead.
    Config(String),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Transport(error) => error.fmt(f),
            BindError::Config(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            BindError::Transport(error) => error.source(),
            BindError::Config(_) => None,
        }
    }
}

impl From<Error> for BindError {
    fn from(error: Error) -> Self {
        BindError::Transport(error)
    }
}
