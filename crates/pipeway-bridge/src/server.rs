//! Accepting clients until the order to stop. (being built)

use std::fmt;

use pipeway_transport::Endpoint;

use crate::{BridgeConfig, ConfigError, Shutdown};

/// A bridge that listens.
#[derive(Debug)]
pub struct Bridge {
    config: BridgeConfig,
}

/// Why a bridge could not start.
#[derive(Debug)]
pub enum BindError {
    /// The configuration contradicts itself or asks for what there is not.
    Config(ConfigError),
    /// The endpoint can't be listened on.
    Transport(pipeway_transport::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Config(error) => error.fmt(f),
            BindError::Transport(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BindError {}

/// What a bridge did in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Sessions accepted.
    pub sessions: u64,
    /// Sessions cut at the drain deadline.
    pub cut: u64,
}

impl Bridge {
    /// Checks the configuration and listens. Must be called inside a tokio runtime with I/O and
    /// time enabled.
    ///
    /// # Errors
    ///
    /// [`BindError::Config`] for a glob that is none, a TCP listener without a token and so on;
    /// [`BindError::Transport`] where the endpoint can't be listened on.
    pub fn bind(config: BridgeConfig) -> Result<Bridge, BindError> {
        Ok(Bridge { config })
    }

    /// The endpoint that clients connect to, as observed.
    pub fn endpoint(&self) -> &Endpoint {
        &self.config.listen
    }

    /// Whether the listening socket was handed over by the service manager.
    pub fn is_activated(&self) -> bool {
        false
    }

    /// Serves clients until `shutdown` is ordered, lets the sessions finish, and cuts what is
    /// left at the drain deadline. Dropping the future cuts everything at once.
    pub async fn run(self, mut shutdown: Shutdown) -> Summary {
        shutdown.ordered().await;
        Summary::default()
    }
}
