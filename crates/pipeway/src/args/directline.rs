//! `pipeway directline`: what speaks DirectLine over named pipes.

mod gateway;
mod send;

use clap::{Args, Subcommand};

pub(crate) use gateway::GatewayArgs;
pub(crate) use send::SendArgs;

const HELP: &str = "\
Examples:
  pipeway directline send --pipe bfv4.pipes hello
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
    /// Play the platform: send an activity to an agent and print its replies, or test it
    Send(Box<SendArgs>),
    /// Put an HTTP agent on DirectLine's pipes until stopped
    Gateway(Box<GatewayArgs>),
}
