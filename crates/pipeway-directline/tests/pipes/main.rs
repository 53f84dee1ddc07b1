//! Pairs of pipes between two real ends, and other people's clients and servers.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod agent;
mod connector;
#[cfg(target_os = "linux")]
mod node;
mod place;
mod sessions;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pipeway_directline::BaseName;
use pipeway_directline::pipes::{
    Pair, PairConnectOptions, PairListenOptions, PairListener, Place, connect_pair,
};
use pipeway_transport::{ConnectOptions, Endpoint, Stream, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// No wait of a test takes longer, even under Wine on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Long enough to see that something does not happen.
const MOMENT: Duration = Duration::from_millis(50);

/// Runs a test in a runtime of one thread.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { within(test).await });
}

async fn within<T>(wait: impl Future<Output = T>) -> T {
    timeout(LIMIT, wait).await.expect("it hangs")
}

/// Nothing comes of this within a moment.
async fn stays_pending<T>(wait: impl Future<Output = T>, what: &str) {
    assert!(timeout(MOMENT, wait).await.is_err(), "{what}");
}

/// A name that no other test and no other run uses.
fn unique() -> BaseName {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let moment = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    format!("pipeway-dl-{}-{count}-{moment}", std::process::id()).parse().unwrap()
}

fn somewhere() -> Place {
    Place::named(&unique()).unwrap()
}

async fn listen(place: &Place) -> PairListener {
    PairListener::bind(place, &PairListenOptions::default()).await.unwrap()
}

/// A client of one pipe, like anybody else's.
async fn client(endpoint: &Endpoint) -> Stream {
    let options = ConnectOptions { timeout: LIMIT, ..ConnectOptions::default() };
    connect(endpoint, &options).await.unwrap()
}

/// Both ends of a session.
async fn session(listener: &mut PairListener) -> (Pair, Pair) {
    let place = listener.place().clone();
    let options = PairConnectOptions::default();
    let (agent, connector) = tokio::join!(listener.accept(), connect_pair(&place, &options));
    (agent.unwrap(), connector.unwrap())
}

/// A byte goes each way.
async fn assert_works(agent: &mut Pair, connector: &mut Pair) {
    connector.writer.write_all(b"C").await.unwrap();
    assert_eq!(agent.reader.read_u8().await.unwrap(), b'C');
    agent.writer.write_all(b"A").await.unwrap();
    assert_eq!(connector.reader.read_u8().await.unwrap(), b'A');
}

/// The other end closes this connection, whichever way the system says so.
async fn assert_closed(stream: &mut Stream) {
    assert_eq!(within(stream.read(&mut [0; 16])).await.unwrap_or(0), 0, "it sent something");
}

/// Connects until a session was served: whoever is turned away, or paired with a half that was not
/// known to be dead, comes again.
async fn ask_until_served(place: &Place) {
    loop {
        let options = PairConnectOptions { timeout: LIMIT, ..PairConnectOptions::default() };
        let mut connector = connect_pair(place, &options).await.unwrap();
        if connector.writer.write_all(b"C").await.is_err() {
            continue;
        }
        tokio::select! {
            answer = connector.reader.read_u8() => if matches!(answer, Ok(b'A')) { return },
            () = connector.watch.closed() => {}
        }
    }
}

/// Serves one session after another.
async fn serve(listener: &mut PairListener) {
    loop {
        let mut agent = listener.accept().await.unwrap();
        if !matches!(agent.reader.read_u8().await, Ok(b'C')) {
            continue;
        }
        // Where the other pipe was somebody else's this may fail, and the connector comes again.
        let _ = agent.writer.write_all(b"A").await;
        tokio::select! {
            _ = agent.reader.read_u8() => {}
            () = agent.watch.closed() => {}
        }
    }
}

/// One session is served at last.
async fn assert_is_served(listener: &mut PairListener) {
    let place = listener.place().clone();
    tokio::select! {
        () = ask_until_served(&place) => {}
        () = serve(listener) => {}
    }
}
