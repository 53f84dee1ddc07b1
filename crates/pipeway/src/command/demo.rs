//! `pipeway demo`: a service, an agent, a bridge to each and a client in this one process, and what
//! went which way.

mod commands;
mod events;
mod service;
mod steps;

use std::time::{Duration, Instant};

use pipeway_agent::{Agent, AgentConfig};
use pipeway_bridge::{Bridge, BridgeConfig, Shutdown, ShutdownHandle, Summary};
use pipeway_telemetry::{Sink, SinkOptions};
use pipeway_transport::{Endpoint, ListenOptions, Listener};
use tokio::task::JoinHandle;

use self::events::{Events, Report};
use self::steps::{Place, Step};
use crate::exit::Exit;
use crate::output::{Failure, Paint, print_line, table};
use crate::service::{demo_agent_endpoint, demo_service_endpoint};

/// Where the bridge to the service listens.
const LISTEN: &str = "local:pipeway-demo";

/// Where the bridge to the agent listens.
const LISTEN_AGENT: &str = "local:pipeway-demo-agent";

/// How long a step may take.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// Shows requests, a WebSocket conversation, commands and a terminal through bridges.
pub(crate) async fn demo() -> Result<(), Failure> {
    let begin = Instant::now();
    let paint = Paint::stdout();
    let folder = tempfile::Builder::new().prefix("pipeway-demo-").tempdir();
    let folder = folder.map_err(|error| {
        Failure::new(Exit::Failure, "can't make a temporary folder").cause(&error)
    })?;
    let place = |made: Result<Endpoint, String>| {
        made.map_err(|message| Failure::new(Exit::Failure, message))
    };
    let listener =
        Listener::bind(&place(demo_service_endpoint(folder.path()))?, &ListenOptions::default())
            .map_err(|error| Failure::listen(&error))?;
    let service = listener.endpoint().clone();
    let serving = tokio::spawn(service::serve(listener));
    let agent = Agent::bind(AgentConfig::new(place(demo_agent_endpoint(folder.path()))?));
    let agent = agent.map_err(|error| match error {
        pipeway_agent::BindError::Transport(error) => Failure::listen(&error),
        pipeway_agent::BindError::Config(message) => Failure::new(Exit::Failure, message),
    })?;
    let inside = agent.endpoint().clone();
    let (stop_tx, stop_rx) = tokio::sync::oneshot::channel::<()>();
    let agent = tokio::spawn(agent.run(async { drop(stop_rx.await) }));

    let (sink, events_rx) = Sink::channel(64, SinkOptions::default());
    let to_service = Way::open(LISTEN, service, &sink)?;
    let to_agent = Way::open(LISTEN_AGENT, inside, &sink)?;
    // Its lines end with the last bridge.
    drop(sink);
    let mut events = Events::new(events_rx);

    for (name, way) in [("service", &to_service), ("agent", &to_agent)] {
        let Way { name: bridge, address, upstream, .. } = way;
        print_line(&format!("{name:8} {upstream}"));
        print_line(&format!("bridge   {bridge}  ({address})"));
    }
    print_line("");
    let no_terminal = commands::why_no_terminal().await;
    let mut rows = vec![titles()];
    let mut wrong = Vec::new();
    for step in Step::ALL {
        if step == Step::Terminal && no_terminal.is_some() {
            rows.push(left_out(step));
            continue;
        }
        let way = match step.place() {
            Place::Service => &to_service,
            Place::Agent => &to_agent,
        };
        let ended = match tokio::time::timeout(STEP_LIMIT, step.run(&way.address)).await {
            Ok(ended) => ended,
            Err(_) => Err(format!("took more than {} s", STEP_LIMIT.as_secs())),
        };
        let report = events.of(step).await;
        let told = ended.and_then(|()| check(report.as_ref(), step, way.modes()));
        rows.push(row(step, report.as_ref(), told.is_ok()));
        if let Err(why) = told {
            wrong.push(format!("{}: {why}", step.name()));
        }
    }
    for (index, line) in table(&rows, 4).iter().enumerate() {
        let line = match index {
            0 => paint.bold(line),
            _ if rows[index].last().is_some_and(|cell| cell == "ok") => paint.green(line),
            _ if rows[index].last().is_some_and(|cell| cell == LEFT_OUT) => line.clone(),
            _ => paint.red(line),
        };
        print_line(&line);
    }
    print_line("");

    // A receiver that is gone is an agent that has ended.
    let _ = stop_tx.send(());
    if tokio::time::timeout(STEP_LIMIT, agent).await.is_err() {
        wrong.push("the agent did not stop".into());
    }
    for way in [to_service, to_agent] {
        let name = way.name;
        if !way.close().await {
            wrong.push(format!("the bridge {name} did not stop"));
        }
    }
    serving.abort();
    match no_terminal {
        Some(why) => print_line(&format!(
            "The terminal was left out, since this system gives the agent none: {why}"
        )),
        None if wrong.is_empty() => print_line(
            "The terminal began with 80x24, was made 120x40, and was interrupted by Ctrl-C.",
        ),
        None => {}
    }
    if wrong.is_empty() {
        let ms = begin.elapsed().as_millis();
        print_line(&format!("Everything came back as it was sent, in {ms} ms."));
        print_line("Next: pipeway bridge --listen local:my-service --to tcp:127.0.0.1:PORT");
        print_line("      pipeway agent --listen local:my-agent, and pipeway shell local:my-agent");
        Ok(())
    } else {
        Err(Failure::new(Exit::Failure, wrong.join("\nerror: ")))
    }
}

/// A bridge that runs, from its listener to its upstream.
struct Way {
    name: &'static str,
    address: Endpoint,
    upstream: Endpoint,
    handle: ShutdownHandle,
    running: JoinHandle<Summary>,
}

impl Way {
    fn open(name: &'static str, upstream: Endpoint, events: &Sink) -> Result<Self, Failure> {
        let listen = name.parse().expect("the demonstration's endpoint is one");
        let mut config = BridgeConfig::new("demo", listen, upstream.clone());
        config.events = events.clone();
        config.timeouts.drain = Duration::from_secs(1);
        let bridge =
            Bridge::bind(config).map_err(|error| Failure::bind(&error, "demo", Exit::Failure))?;
        let address = bridge.endpoint().clone();
        let (handle, shutdown) = Shutdown::new();
        let running = tokio::spawn(bridge.run(shutdown));
        Ok(Way { name, address, upstream, handle, running })
    }

    /// What an event of this bridge must say of both ends.
    fn modes(&self) -> [&'static str; 2] {
        [&self.address, &self.upstream].map(|end| end.mode().map_or("", |mode| mode.as_str()))
    }

    /// Stops it; whether it did.
    async fn close(self) -> bool {
        self.handle.order();
        matches!(tokio::time::timeout(STEP_LIMIT, self.running).await, Ok(Ok(_)))
    }
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

/// The result of a step that could not be.
const LEFT_OUT: &str = "left out";

fn left_out(step: Step) -> Vec<String> {
    let mut row = vec![step.name().to_owned()];
    row.extend(std::iter::repeat_n("-".to_owned(), 7));
    row.push(LEFT_OUT.to_owned());
    row
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
