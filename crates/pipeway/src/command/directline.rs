//! `pipeway directline`: what speaks DirectLine over named pipes.

mod gateway;
mod send;

use crate::args::{DirectlineArgs, DirectlineCommand};
use crate::output::Failure;

/// Does what was asked for.
pub(crate) async fn directline(args: DirectlineArgs) -> Result<(), Failure> {
    match args.command {
        DirectlineCommand::Gateway(args) => gateway::gateway(*args).await,
        DirectlineCommand::Send(args) => send::send(*args).await,
    }
}
