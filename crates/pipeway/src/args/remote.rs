//! `pipeway exec` and `pipeway shell`.

use std::path::PathBuf;

use clap::Args;
use pipeway_transport::Endpoint;

use super::{ConnectArgs, value};
use crate::config::Time;

const EXEC_HELP: &str = "\
COMMAND: one word is a script for the other side's shell, so '|', '>' and '$HOME' work in it. Of
several words the first is a program and the others are its arguments; they arrive as they are.
The command's standard input is at its end; `shell` is for typing.

Ctrl-C is passed on: the first as an interrupt, the second as an order to end (SIGTERM), the third
gives up and leaves with 130; the agent then ends what still runs.

Exit codes: the command's own; 128 and the signal's number where a signal ended it (130 after
Ctrl-C); 255 where pipeway itself failed, and the message says how.

Examples:
  pipeway exec local:my-agent -- make test
  pipeway exec local:my-agent -- 'ps aux | grep node'
  pipeway exec local:my-agent --cwd /srv/app --env CI=1 --max-runtime 10m -- npm test";

const SHELL_HELP: &str = "\
Without COMMAND your login shell there is started. COMMAND: one word is a script for the other
side's shell; of several words the first is a program and the others are its arguments.

Every key goes to the other side, Ctrl-C and Ctrl-Z too. The window's size is followed, and a signal
that this process gets (INT, TERM, QUIT, HUP) is passed on; a second TERM or HUP ends it. However
it ends, your terminal is as it was before.

Escapes, right after Enter or at the very beginning:
  ~.    leave at once, also where nothing answers any more
  ~^Z   suspend (~ and Ctrl-Z); `fg` comes back
  ~?    this list
  ~~    a ~

Where standard input is no terminal it is typed as it comes, and at its end Ctrl-D is.

Exit codes: the command's own; 128 and the signal's number where a signal ended it; 255 where
pipeway itself failed, the connection was lost or ~. was typed, and the message says which.

Examples:
  pipeway shell local:my-agent
  pipeway shell local:my-agent -- htop
  pipeway shell local:my-agent --cwd /srv/app -- 'npm install && npm start'";

/// What both clients of an agent take.
#[derive(Clone, Debug, Args)]
pub(crate) struct RemoteArgs {
    /// Where the agent listens, or a bridge to it: local:NAME, npipe:NAME, unix:/path or
    /// tcp:127.0.0.1:PORT
    #[arg(value_name = "ENDPOINT", value_parser = value::<Endpoint>)]
    pub(crate) endpoint: Endpoint,

    /// The folder there to run in, absolute [default: the agent's own]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) cwd: Option<PathBuf>,

    /// A variable of the command's environment; may be given more than once
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) variables: Vec<(String, String)>,

    /// A file with the token to show, for an agent or a bridge on a TCP port
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// What stands before /v1 in the agent's paths, such as /agent [default: nothing]
    #[arg(long, value_name = "PATH", value_parser = prefix)]
    pub(crate) prefix: Option<String>,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// `pipeway exec`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXEC_HELP)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,

    /// Run it in a terminal of 80 by 24; its standard error comes with its output then
    #[arg(short, long)]
    pub(crate) tty: bool,

    /// How long it may run; then it gets SIGTERM, and SIGKILL a little later [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = value::<Time>)]
    pub(crate) max_runtime: Option<Time>,

    /// Who asks, for the agent's trace
    #[arg(long, value_name = "ID")]
    pub(crate) agent_id: Option<String>,

    /// The profile asked for, for the agent's trace
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// The command
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<String>,
}

/// `pipeway shell`.
#[derive(Clone, Debug, Args)]
#[command(after_help = SHELL_HELP)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) remote: RemoteArgs,

    /// No escapes: a ~ is a ~
    #[arg(long)]
    pub(crate) no_escape: bool,

    /// The command [default: your login shell there]
    #[arg(value_name = "COMMAND", last = true)]
    pub(crate) command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".into()),
    }
}

fn prefix(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#".contains(&byte);
    match path.strip_prefix('/') {
        Some(rest) if !rest.is_empty() && path.bytes().all(is_plain) => Ok(path.to_owned()),
        _ => Err("write a path such as /agent".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    #[test]
    fn a_prefix_is_a_path_without_a_query() {
        assert_eq!(prefix("/agent/"), Ok("/agent".into()));
        assert_eq!(prefix("/a/b"), Ok("/a/b".into()));
        for text in ["", "/", "agent", "/a?b", "/a b", "/ä"] {
            assert!(prefix(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_follows_the_dashes_is_the_command_options_too() {
        let cli = Cli::try_parse_from(["pipeway", "exec", "local:a", "--", "ls", "--help", "--"]);
        let Command::Exec(args) = cli.unwrap().command else { panic!("another command") };
        assert_eq!(args.command, ["ls", "--help", "--"]);
    }

    #[test]
    fn a_command_needs_its_dashes() {
        assert!(Cli::try_parse_from(["pipeway", "exec", "local:a", "ls"]).is_err());
        assert!(Cli::try_parse_from(["pipeway", "exec", "local:a"]).is_err());
        assert!(Cli::try_parse_from(["pipeway", "shell", "local:a"]).is_ok());
    }
}
