//! `pipeway guest`.

use clap::Args;
use pipeway_transport::Endpoint;

use super::value;

const HELP: &str = "\
Speaks with a bridge over standard input and output, and ends when they do. It opens the endpoints
that the bridge names when the link begins, and nothing else; with --allow, only those of them that
are allowed. It runs with the rights of whoever starts it.

Exit codes: 0 the bridge closed the link, or a signal came; 2 started by hand on a terminal, or what
comes is no link or one of another version; 8 nobody began a link; 9 the link was lost.

Examples (the bridge's side):
  pipeway bridge --listen local:docker --through 'command:[\"ssh\",\"box\",\"pipeway\",\"guest\"]' \\
      --to unix:/var/run/docker.sock
  pipeway bridge --listen npipe:api --through wsl:Ubuntu --to tcp:127.0.0.1:8080

In ~/.ssh/authorized_keys, for a key that may do this and nothing else:
  restrict,command=\"pipeway guest --allow unix:/var/run/docker.sock\" ssh-ed25519 ...";

/// The other side of a link.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct GuestArgs {
    /// An endpoint that may be opened, if the bridge asks for it; may be given more than once
    /// [default: those that the bridge names]
    #[arg(long, value_name = "ENDPOINT", value_parser = value::<Endpoint>)]
    pub(crate) allow: Vec<Endpoint>,
}
