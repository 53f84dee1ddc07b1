//! `pipeway agent`.

use std::path::PathBuf;

use clap::Args;
use pipeway_transport::Endpoint;

use super::value;
use crate::config::{Count, TimeOrZero};

const HELP: &str = "\
Prints `ready ENDPOINT` on standard output once it accepts. Ctrl-C (or SIGTERM) stops it: every
command gets SIGHUP, and SIGKILL after the grace time.

Whoever can connect can run anything as you. So the endpoint is always yours alone: a socket or a
pipe by the system's permissions, a loopback port only with a token file, whose token clients send
as `Authorization: Bearer TOKEN`.

Examples:
  pipeway agent --listen local:my-agent
  pipeway exec local:my-agent -- make test
  pipeway shell local:my-agent

docs/reference/agent-api.md is the interface: HTTP, NDJSON and WebSocket.";

/// The agent, from flags.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct AgentArgs {
    /// Where clients connect: local:NAME, npipe:NAME, unix:/path or tcp:127.0.0.1:PORT
    #[arg(long, value_name = "ENDPOINT", value_parser = value::<Endpoint>)]
    pub(crate) listen: Endpoint,

    /// The file with the token that clients of a loopback port must send
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// From SIGHUP to SIGKILL, for a command whose client is gone [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = value::<TimeOrZero>)]
    pub(crate) grace_time: Option<TimeOrZero>,

    /// Connections at once; one more waits in the system's queue [default: 1024]
    #[arg(long, value_name = "COUNT", value_parser = value::<Count>)]
    pub(crate) max_connections: Option<Count>,
}
