//! `pipeway bridge` and `pipeway serve`: bridges until the order to stop.

use futures_util::future::join_all;
use pipeway_bridge::{BindError, Bridge, BridgeConfig, Shutdown, Summary};

use crate::args::{BridgeArgs, ServeArgs};
use crate::command::links::Links;
use crate::config::{Config, Opened};
use crate::exit::Exit;
use crate::output::{Failure, print_line, talk};
use crate::service::{self, StopSignals};

/// Runs one bridge from flags.
pub(crate) async fn bridge(args: BridgeArgs) -> Result<(), Failure> {
    let (bridge, link, events) = args.layers();
    run(Config::from_flags(bridge, link, events)?, Exit::Usage).await
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
    let Opened { links, bridges, events } = config.open()?;
    let (links, mut configs) = Links::start(links, bridges, &events)?;
    fit_file_limit(&mut configs);
    let bridges = bind_all(configs, bad_config)?;
    for bridge in &bridges {
        for warning in bridge.warnings() {
            talk(&format!("warning: {}: {warning}", bridge.endpoint()));
        }
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
        Some(summaries) => summaries,
        None => {
            service::notify("STOPPING=1");
            handle.order();
            tokio::select! {
                summaries = &mut running => summaries,
                _ = signals.next() => {
                    handle.insist();
                    running.await
                }
            }
        }
    };
    links.stop().await;
    tell_cut(&stopped);
    events.flush();
    Ok(())
}

/// What this process opens besides sessions: pipes through which bytes are moved are among it, and
/// fewer of them where files are few.
const fn files_besides(files: u64) -> u64 {
    if files < 1024 { 64 } else { 128 }
}

/// Takes no more sessions than the system gives files for, a client's and an upstream's each: one
/// more waits in the system's queue instead of failing half-way.
fn fit_file_limit(configs: &mut [BridgeConfig]) {
    let Some(files) = pipeway_transport::raise_file_limit() else { return };
    let sessions = files.saturating_sub(files_besides(files)) / 2 / configs.len().max(1) as u64;
    let sessions = usize::try_from(sessions).unwrap_or(usize::MAX).max(1);
    for config in configs.iter_mut().filter(|config| config.limits.max_sessions > sessions) {
        // A little less than was asked for is nothing that anybody would act upon.
        if sessions < config.limits.max_sessions / 2 {
            talk(&format!(
                "bridge {}: at most {sessions} sessions at once, since the system lets this process open {files} files (ulimit -Hn)",
                config.name
            ));
        }
        config.limits.max_sessions = sessions;
    }
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
        talk(&format!("cut while running: {cut} sessions"));
    }
}
