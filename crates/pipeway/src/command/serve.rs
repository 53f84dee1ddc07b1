//! `pipeway bridge` and `pipeway serve`: bridges and gateways until the order to stop.

use futures_util::future::{join, join_all};
use pipeway_bridge::{Bridge, BridgeConfig, Gateway, GatewayConfig, Shutdown, Summary};
use pipeway_transport::IoLoop;
use pipeway_transport::link::Opening;

use crate::args::{BridgeArgs, ServeArgs};
use crate::command::io_loop;
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

/// Starts every bridge and gateway or none, and runs them until a signal. `bad_config` is the code
/// for what one itself finds wrong in its configuration.
pub(super) async fn run(config: Config, bad_config: Exit) -> Result<(), Failure> {
    // Before the first socket: from here on a signal is an order to stop and leaves no file.
    let mut signals = StopSignals::new().map_err(|error| {
        Failure::new(Exit::Failure, "the system's signals can't be received").cause(&error)
    })?;
    let Opened { links, bridges, gateways, events } = config.open()?;
    let io_loop = io_loop()?;
    let of_links = io_loop.as_ref().filter(|_| IoLoop::CARRIES_LINKS);
    let links = Links::start(links, openings(&bridges, &gateways)?, &events, of_links)?;
    let bridges = bridges.into_iter().map(|(mut config, link)| {
        config.io_loop = if link.is_some() { of_links.cloned() } else { io_loop.clone() };
        config.through = link.map(|number| links.of(number));
        config
    });
    let mut configs: Vec<_> = bridges.collect();
    let gateways = gateways.into_iter().map(|(mut config, link)| {
        config.through = link.map(|number| links.of(number));
        config
    });
    fit_file_limit(&mut configs);
    let (bridges, gateways) = bind_all(configs, gateways.collect(), bad_config).await?;
    for bridge in &bridges {
        for warning in bridge.warnings() {
            talk(&format!("warning: {}: {warning}", bridge.endpoint()));
        }
        print_line(&format!("ready {}", bridge.endpoint()));
    }
    for gateway in &gateways {
        for warning in gateway.warnings() {
            talk(&format!("warning: {}: {warning}", gateway.place()));
        }
        talk(&format!(
            "gateway {}: the agent calls back at {}",
            gateway.name(),
            gateway.callback()
        ));
        print_line(&format!("ready {}", gateway.place()));
    }
    service::notify("READY=1");

    let (handle, shutdown) = Shutdown::new();
    let bridges = join_all(bridges.into_iter().map(|bridge| bridge.run(shutdown.clone())));
    let gateways = join_all(gateways.into_iter().map(|gateway| gateway.run(shutdown.clone())));
    let mut running = std::pin::pin!(join(bridges, gateways));
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
    tell_cut(&stopped.0, "sessions");
    tell_cut(&stopped.1, "requests");
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

async fn bind_all(
    bridges: Vec<BridgeConfig>,
    gateways: Vec<GatewayConfig>,
    bad_config: Exit,
) -> Result<(Vec<Bridge>, Vec<Gateway>), Failure> {
    let mut bound = (Vec::with_capacity(bridges.len()), Vec::with_capacity(gateways.len()));
    let mut failures = Vec::new();
    for config in bridges {
        let what = format!("bridge {}", config.name);
        match Bridge::bind(config) {
            Ok(bridge) => bound.0.push(bridge),
            Err(error) => failures.push(Failure::bind(&error, &what, bad_config)),
        }
    }
    for config in gateways {
        let what = format!("gateway {}", config.name);
        match Gateway::bind(config).await {
            Ok(gateway) => bound.1.push(gateway),
            Err(error) => failures.push(Failure::bind(&error, &what, bad_config)),
        }
    }
    // The first failure decides the code; the others are told as well, to be mended in one go.
    let mut failures = failures.into_iter();
    match failures.next() {
        None => Ok(bound),
        Some(first) => {
            let exit = first.exit();
            first.report();
            failures.for_each(|failure| failure.report());
            Err(Failure::told(exit))
        }
    }
}

/// Which link has to open what.
fn openings(
    bridges: &[(BridgeConfig, Option<usize>)],
    gateways: &[(GatewayConfig, Option<usize>)],
) -> Result<Vec<(usize, Opening)>, Failure> {
    let bridges =
        bridges.iter().filter_map(|(config, link)| Some((link.as_ref()?, config.opening())));
    let gateways =
        gateways.iter().filter_map(|(config, link)| Some((link.as_ref()?, config.opening())));
    let all = bridges.chain(gateways).map(|(link, opening)| Ok((*link, opening?)));
    all.collect::<Result<_, _>>().map_err(|error| Failure::listen(&error))
}

fn tell_cut(summaries: &[Summary], of_what: &str) {
    let cut: u64 = summaries.iter().map(|summary| summary.cut).sum();
    if cut > 0 {
        talk(&format!("cut while running: {cut} {of_what}"));
    }
}
