//! The load of `cargo xtask bench directline`, at either end of a pair of pipes.
//! `interop/directline/load.mjs` does the same on the npm package, and each can stand at the other
//! end of the other.
//!
//! ```text
//! directline_load agent PLACE [OPTION...]
//! directline_load connector PLACE calls|json COUNT IN_FLIGHT [OPTION...]
//! directline_load connector PLACE upload|download BYTES [OPTION...]
//!
//! --chunk BYTES    the limits' `chunk_bytes` in place of the default
//! --pace PACE      the limits' `pace` in place of the default: legacy or modern
//! --busy MICROS    `busy_poll` in place of the default
//! ```
//!
//! `calls` is `POST /api/messages` with an activity of 200 bytes, answered with 200 and nothing;
//! `json` the same to `/json`, answered with a small object. `upload` sends one body to `/sink`,
//! `download` asks for one, which the agent was told to make before; one goes before it, unmeasured.
//! The agent says `ready agent` and answers until its standard input ends.
//! The connector says lines of a word and a number.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod answers;
mod work;

use std::error::Error;
use std::time::Duration;

use pipeway_directline::pipes::Place;
use pipeway_directline::{
    Connector, ConnectorOptions, Limits, Observer, Pace, Server, ServerOptions,
};
use tokio::io::AsyncReadExt as _;

use self::answers::Answers;
use self::work::Work;

/// Requests that run at once: more than any load has in flight.
const REQUESTS_MAX: usize = 256;

const USAGE: &str = "directline_load agent PLACE [--chunk BYTES] [--pace PACE] [--busy MICROS]\n\
    directline_load connector PLACE calls|json COUNT IN_FLIGHT [as above]\n\
    directline_load connector PLACE upload|download BYTES [as above]";

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut options = Options::default();
    let mut words = &arguments[..];
    while let [before @ .., name, value] = words
        && options.set(name, value)?
    {
        words = before;
    }
    match words {
        ["agent", place] => agent(place.parse()?, options).await,
        ["connector", place, what, numbers @ ..] => {
            let work = Work::parse(what, numbers).ok_or(USAGE)?;
            connector(place.parse()?, options, work).await
        }
        _ => Err(USAGE.into()),
    }
}

/// What may be set on the command line.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    chunk: Option<u32>,
    pace: Pace,
    busy: Option<u64>,
}

impl Options {
    /// Whether there is an option of this name.
    fn set(&mut self, name: &str, value: &str) -> Result<bool, Failed> {
        match name {
            "--chunk" => self.chunk = Some(value.parse()?),
            "--pace" if value == "legacy" => self.pace = Pace::Legacy,
            "--pace" if value == "modern" => self.pace = Pace::Modern,
            "--busy" => self.busy = Some(value.parse()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn limits(self, limits: Limits) -> Limits {
        Limits {
            chunk_bytes: self.chunk.unwrap_or(limits.chunk_bytes),
            pace: self.pace,
            requests_max: REQUESTS_MAX,
            streams_max: 2 * REQUESTS_MAX,
            ..limits
        }
    }

    fn busy_poll(self, default: Duration) -> Duration {
        self.busy.map_or(default, Duration::from_micros)
    }
}

async fn agent(place: Place, options: Options) -> Result<(), Failed> {
    let default = ServerOptions::default();
    let options = ServerOptions {
        limits: options.limits(Limits::agent()),
        busy_poll: options.busy_poll(default.busy_poll),
        observer: observer(),
        ..default
    };
    let server = Server::new(place, options, Answers::default())?;
    server.start();
    println!("ready agent");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    server.stop().await;
    Ok(())
}

async fn connector(place: Place, options: Options, work: Work) -> Result<(), Failed> {
    let default = ConnectorOptions::default();
    let options = ConnectorOptions {
        limits: options.limits(Limits::connector()),
        busy_poll: options.busy_poll(default.busy_poll),
        observer: observer(),
        reconnect: false,
        ..default
    };
    let connector = Connector::new(place, options, Answers::default())?;
    connector.start();
    connector.ready().await?;
    work.run(connector.client()).await?;
    connector.stop().await;
    Ok(())
}

/// Tells on stderr what should not happen in a load.
fn observer() -> Observer {
    use pipeway_directline::SessionEvent;
    Observer::new(|event| match event {
        SessionEvent::NotConnected { .. }
        | SessionEvent::Disconnected { error: Some(_), .. }
        | SessionEvent::Warning(_) => eprintln!("{event:?}"),
        _ => {}
    })
}
