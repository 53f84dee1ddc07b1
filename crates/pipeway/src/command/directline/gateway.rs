//! `pipeway directline gateway`: an HTTP agent on DirectLine's pipes.

use crate::args::GatewayArgs;
use crate::command::serve;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Failure;

/// Runs one gateway from flags.
pub(crate) async fn gateway(args: GatewayArgs) -> Result<(), Failure> {
    let (gateway, link, events) = args.layers();
    serve::run(Config::from_gateway_flags(gateway, link, events)?, Exit::Usage).await
}
