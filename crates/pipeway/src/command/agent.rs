//! `pipeway agent`: commands and terminals until the order to stop.

use pipeway_agent::{Agent, AgentConfig, BindError};

use crate::args::AgentArgs;
use crate::config::check_token_file;
use crate::exit::Exit;
use crate::output::{Failure, print_line, talk};
use crate::service::{self, StopSignals};

/// Runs the agent until a signal.
pub(crate) async fn agent(args: AgentArgs) -> Result<(), Failure> {
    // Before the first socket: from here on a signal is an order to stop and leaves no file.
    let mut signals = StopSignals::new().map_err(|error| {
        Failure::new(Exit::Failure, "the system's signals can't be received").cause(&error)
    })?;
    if let Some(path) = &args.token_file
        && let Some((exit, message, hint)) = check_token_file(path)
    {
        return Err(Failure::new(exit, format!("--token-file: {message}")).hint(hint));
    }
    let mut config = AgentConfig::new(args.listen);
    config.token_file = args.token_file;
    if let Some(grace) = args.grace_time {
        config.grace = grace.0;
    }
    if let Some(most) = args.max_connections {
        config.limits.max_connections = most.0;
    }
    pipeway_transport::raise_file_limit();
    let agent = Agent::bind(config).map_err(|error| match error {
        BindError::Transport(error) => Failure::listen(&error),
        BindError::Config(message) => Failure::new(Exit::Usage, message),
    })?;
    for warning in agent.warnings() {
        talk(&format!("warning: {}: {warning}", agent.endpoint()));
    }
    print_line(&format!("ready {}", agent.endpoint()));
    service::notify("READY=1");
    let stopped = async {
        let name = signals.next().await;
        service::notify("STOPPING=1");
        talk(&format!("stopping ({name})"));
    };
    agent.run(stopped).await;
    Ok(())
}
