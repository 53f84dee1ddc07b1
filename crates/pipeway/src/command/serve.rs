//! `pipeway bridge` and `pipeway serve`: bridges until the order to stop.

use futures_util::future::join_all;
use pipeway_bridge::{BindError, Bridge, BridgeConfig, Shutdown, Summary};
use pipeway_telemetry::Sink;

use crate::args::{BridgeArgs, ServeArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::output::{Failure, print_line, talk};
use crate::service::{self, StopSignals};

/// Runs one bridge from flags.
pub(crate) async fn bridge(args: BridgeArgs) -> Result<(), Failure> {
    let (bridge, events) = args.layers();
    run(Config::from_flags(bridge, events)?, Exit::Usage).await
}

/// Runs all bridges of a file.
pub(crate) async fn serve(args: ServeArgs) -> Result<(), Failure> {
    let config = Config::from_file(args.config.as_deref(), args.events.layer())?;
    run(config, Exit::Config).await
}

/// Starts every bridge or none, and runs them until a signal. `bad_config` is the code for what
/// a bridge itself finds wrong in its configuration.
async fn run(config: Config, bad_config: Exit) -> Result<(), Failure> {
    // Before the first socket: from here on a signal is an order to stop and leaves no file.
    let mut signals = StopSignals::new().map_err(|error| {
        Failure::new(Exit::Failure, "the system's signals can't be received").cause(&error)
    })?;
    pipeway_transport::raise_file_limit();
    let (configs, events) = config.open()?;
    let bridges = bind_all(configs, bad_config)?;
    for bridge in &bridges {
        print_line(&format!("ready {}", bridge.endpoint()));
    }
    service::notify("READY=1");

    let (handle, shutdown) = Shutdown::new();
    let mut running =
        std::pin::pin!(join_all(bridges.into_iter().map(|bridge| bridge.run(shutdown.clone()))));
    let stopped = tokio::select! {
        summaries = &mut running => Some(summaries),
        name = signals.next() => {
            talk(&format!("stopping ({name}); once more to cut at once"));
            None
        }
    };
    let stopped = match stopped {
        Some(summaries) => Some(summaries),
        None => {
            service::notify("STOPPING=1");
            handle.order();
            tokio::select! {
                summaries = &mut running => Some(summaries),
                _ = signals.next() => None,
            }
        }
    };
    match stopped {
        Some(summaries) => tell_cut(&summaries),
        None => talk("stopped; what still ran was cut"),
    }
    flush(&events);
    Ok(())
}

fn bind_all(configs: Vec<BridgeConfig>, bad_config: Exit) -> Result<Vec<Bridge>, Failure> {
    let mut bridges = Vec::with_capacity(configs.len());
    let mut failures = Vec::new();
    for config in configs {
        let name = config.name.clone();
        match Bridge::bind(config) {
            Ok(bridge) => bridges.push(bridge),
            Err(BindError::Transport(error)) => failures.push(Failure::listen(&error)),
            Err(BindError::Config(error)) => {
                failures.push(Failure::new(bad_config, format!("bridge {name}: {error}")));
            }
        }
    }
    // The first failure decides the code; the others are told as well, to be mended in one go.
    let mut failures = failures.into_iter();
    match failures.next() {
        None => Ok(bridges),
        Some(first) => {
            let exit = first.exit();
            first.report();
            failures.for_each(|failure| failure.report());
            Err(Failure::told(exit))
        }
    }
}

fn tell_cut(summaries: &[Summary]) {
    let cut: u64 = summaries.iter().map(|summary| summary.cut).sum();
    if cut > 0 {
        talk(&format!("{cut} sessions did not end within the drain time and were cut"));
    }
}

fn flush(events: &Sink) {
    events.flush();
}
