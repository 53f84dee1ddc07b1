//! The load of `cargo xtask bench directline`, at either end of a pair of pipes.
//! `interop/directline/load.mjs` does the same on the npm package, and each can stand at the other
//! end of the other.
//!
//! ```text
//! directline_load agent PLACE [--chunk BYTES]
//! directline_load connector PLACE calls|json COUNT IN_FLIGHT [--chunk BYTES]
//! directline_load connector PLACE upload|download BYTES [--chunk BYTES]
//! ```
//!
//! `calls` is `POST /api/messages` with an activity of 200 bytes, answered with 200 and nothing;
//! `json` the same to `/json`, answered with a small object. `upload` sends one body to `/sink`,
//! `download` asks for one. The agent says `ready agent` and answers until its standard input ends.
//! The connector says lines of a word and a number.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod answers;
mod work;

use std::error::Error;

use pipeway_directline::pipes::Place;
use pipeway_directline::{Connector, ConnectorOptions, Limits, Observer, Server, ServerOptions};
use tokio::io::AsyncReadExt as _;

use self::answers::Answers;
use self::work::Work;

/// Requests that run at once: more than any load has in flight.
const REQUESTS_MAX: usize = 256;

const USAGE: &str = "directline_load agent PLACE [--chunk BYTES]\n\
    directline_load connector PLACE calls|json COUNT IN_FLIGHT [--chunk BYTES]\n\
    directline_load connector PLACE upload|download BYTES [--chunk BYTES]";

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (words, chunk) = match &arguments[..] {
        [words @ .., "--chunk", chunk] => (words, Some(chunk.parse()?)),
        words => (words, None),
    };
    let bounded = |limits: Limits| Limits {
        chunk_bytes: chunk.unwrap_or(limits.chunk_bytes),
        requests_max: REQUESTS_MAX,
        streams_max: 2 * REQUESTS_MAX,
        ..limits
    };
    match words {
        ["agent", place] => agent(place.parse()?, bounded(Limits::agent())).await,
        ["connector", place, what, numbers @ ..] => {
            let work = Work::parse(what, numbers).ok_or(USAGE)?;
            connector(place.parse()?, bounded(Limits::connector()), work).await
        }
        _ => Err(USAGE.into()),
    }
}

async fn agent(place: Place, limits: Limits) -> Result<(), Failed> {
    let observer = observer();
    let options = ServerOptions { limits, observer, ..ServerOptions::default() };
    let server = Server::new(place, options, Answers)?;
    server.start();
    println!("ready agent");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    server.stop().await;
    Ok(())
}

async fn connector(place: Place, limits: Limits, work: Work) -> Result<(), Failed> {
    let observer = observer();
    let options =
        ConnectorOptions { limits, observer, reconnect: false, ..ConnectorOptions::default() };
    let connector = Connector::new(place, options, Answers)?;
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
