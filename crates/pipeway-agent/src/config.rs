//! An agent's configuration.

use std::path::PathBuf;
use std::time::Duration;

use pipeway_transport::Endpoint;

/// Where an agent listens, and how much it takes on.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Where clients connect. Whoever can connect can run anything as this user, so access is
    /// always the owner's alone.
    pub listen: Endpoint,
    /// A file with the token that clients of a loopback port must send
    /// (`Authorization: Bearer TOKEN`). A port without one is not listened on.
    pub token_file: Option<PathBuf>,
    /// How much of everything there may be.
    pub limits: Limits,
    /// From SIGHUP to SIGKILL, for a command whose client is gone. Default: 1 s.
    pub grace: Duration,
}

impl AgentConfig {
    /// An agent with every default.
    pub fn new(listen: Endpoint) -> Self {
        AgentConfig {
            listen,
            token_file: None,
            limits: Limits::default(),
            grace: Duration::from_secs(1),
        }
    }
}

/// How much of everything there may be.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once, terminals included; one more waits in the system's queue.
    /// Default: 1,024.
    pub max_connections: usize,
    /// The size of a request's body, in bytes; more is answered 413. Default: 4 MiB.
    pub max_body_bytes: usize,
    /// The size of a WebSocket message, in bytes; more ends the conversation. Default: 4 MiB.
    pub max_message_bytes: usize,
    /// The output that `/v1/execute` keeps, each of stdout and stderr, in bytes; a command that
    /// writes more is ended. `/v1/execute/stream` has no such limit. Default: 16 MiB.
    pub max_kept_output_bytes: usize,
    /// How many ended commands' traces are kept. Default: 256.
    pub max_traces: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 1024,
            max_body_bytes: 4 * 1024 * 1024,
            max_message_bytes: 4 * 1024 * 1024,
            max_kept_output_bytes: 16 * 1024 * 1024,
            max_traces: 256,
        }
    }
}
