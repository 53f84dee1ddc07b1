//! `pipeway demo`: a service, a bridge and a client in this one process, and what went which way.

mod events;
mod service;
mod steps;

use std::time::{Duration, Instant};

use pipeway_bridge::{BindError, Bridge, BridgeConfig, Shutdown};
use pipeway_telemetry::{Sink, SinkOptions};
use pipeway_transport::{Endpoint, ListenOptions, Listener};

use self::events::{Events, Report};
use self::steps::Step;
use crate::exit::Exit;
use crate::output::{Failure, Paint, print_line, table};
use crate::service::demo_service_endpoint;

/// Where the bridge listens.
const LISTEN: &str = "local:pipeway-demo";

/// How long a step may take.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// Shows a GET, a streamed POST and a WebSocket conversation through a bridge.
pub(crate) async fn demo() -> Result<(), Failure> {
    let begin = Instant::now();
    let paint = Paint::stdout();
    let folder = tempfile::Builder::new().prefix("pipeway-demo-").tempdir();
    let folder = folder.map_err(|error| {
        Failure::new(Exit::Failure, "can't make a temporary folder").cause(&error)
    })?;
    let place = demo_service_endpoint(folder.path())
        .map_err(|message| Failure::new(Exit::Failure, message))?;
    let listener = Listener::bind(&place, &ListenOptions::default())
        .map_err(|error| Failure::listen(&error))?;
    let upstream = listener.endpoint().clone();
    let serving = tokio::spawn(service::serve(listener));

    let (events, events_rx) = Sink::channel(64, SinkOptions::default());
    let bridge = bind(upstream.clone(), events)?;
    let address = bridge.endpoint().clone();
    let expected = [address.mode(), upstream.mode()].map(|mode| mode.map_or("", |m| m.as_str()));
    let mut events = Events::new(events_rx);
    let (handle, shutdown) = Shutdown::new();
    let running = tokio::spawn(bridge.run(shutdown));

    print_line(&format!("service  {upstream}"));
    print_line(&format!("bridge   {LISTEN}  ({address})"));
    print_line("");
    let mut rows = vec![titles()];
    let mut wrong = Vec::new();
    for step in Step::ALL {
        let ended = match tokio::time::timeout(STEP_LIMIT, step.run(&address)).await {
            Ok(ended) => ended,
            Err(_) => Err(format!("took more than {} s", STEP_LIMIT.as_secs())),
        };
        let report = events.of(step).await;
        let told = ended.and_then(|()| check(report.as_ref(), step, expected));
        rows.push(row(step, report.as_ref(), told.is_ok()));
        if let Err(why) = told {
            wrong.push(format!("{}: {why}", step.name()));
        }
    }
    for (index, line) in table(&rows, 4).iter().enumerate() {
        let line = match index {
            0 => paint.bold(line),
            _ if rows[index].last().is_some_and(|cell| cell == "ok") => paint.green(line),
            _ => paint.red(line),
        };
        print_line(&line);
    }
    print_line("");

    handle.order();
    let stopped = tokio::time::timeout(STEP_LIMIT, running).await;
    serving.abort();
    if !matches!(stopped, Ok(Ok(_))) {
        wrong.push("the bridge did not stop".into());
    }
    if wrong.is_empty() {
        let ms = begin.elapsed().as_millis();
        print_line(&format!("Everything came back as it was sent, in {ms} ms."));
        print_line("Next: pipeway bridge --listen local:my-service --to tcp:127.0.0.1:PORT");
        Ok(())
    } else {
        Err(Failure::new(Exit::Failure, wrong.join("\nerror: ")))
    }
}

fn bind(upstream: Endpoint, events: Sink) -> Result<Bridge, Failure> {
    let listen = LISTEN.parse().expect("the demonstration's endpoint is one");
    let mut config = BridgeConfig::new("demo", listen, upstream);
    config.events = events;
    config.timeouts.drain = Duration::from_secs(1);
    Bridge::bind(config).map_err(|error| match error {
        BindError::Transport(error) => Failure::listen(&error),
        BindError::Config(error) => Failure::new(Exit::Failure, error.to_string()),
    })
}

/// Whether the bridge's own event tells of this step what was seen of it.
fn check(report: Option<&Report>, step: Step, expected: [&str; 2]) -> Result<(), String> {
    let Some(report) = report else { return Err("the bridge told no event of it".into()) };
    let observed = [report.transport_mode.as_str(), report.upstream_mode.as_str()];
    if observed != expected {
        return Err(format!("went by {observed:?}, not by {expected:?}"));
    }
    if report.status != step.status() {
        return Err(format!("the event's status is {}, not {}", report.status, step.status()));
    }
    if report.received == 0 || report.sent == 0 {
        return Err("the event counts no bytes".into());
    }
    Ok(())
}

fn titles() -> Vec<String> {
    [
        "step",
        "transport.mode",
        "transport.endpoint",
        "upstream.mode",
        "status",
        "bytes up",
        "bytes down",
        "ms",
        "result",
    ]
    .map(str::to_owned)
    .into()
}

fn row(step: Step, report: Option<&Report>, ok: bool) -> Vec<String> {
    let result = if ok { "ok" } else { "FAILED" };
    let mut row = vec![step.name().to_owned()];
    match report {
        Some(report) => row.extend([
            report.transport_mode.clone(),
            report.transport_endpoint.clone(),
            report.upstream_mode.clone(),
            report.status.to_string(),
            report.received.to_string(),
            report.sent.to_string(),
            format!("{:.1}", report.ms),
        ]),
        None => row.extend(std::iter::repeat_n("-".to_owned(), 7)),
    }
    row.push(result.to_owned());
    row
}
