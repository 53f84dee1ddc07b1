//! `pipeway directline`: what speaks DirectLine over named pipes.

mod gateway;

use clap::{Args, Subcommand};

pub(crate) use gateway::GatewayArgs;

const HELP: &str = "\
Examples:
  pipeway directline gateway --pipe my-site.directline --to tcp:127.0.0.1:3978

`pipeway directline COMMAND --help` tells the options of a command.";

/// `pipeway directline`.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct DirectlineArgs {
    #[command(subcommand)]
    pub(crate) command: DirectlineCommand,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum DirectlineCommand {
    /// Put an HTTP agent on DirectLine's pipes until stopped
    Gateway(Box<GatewayArgs>),
}
