//! What the tests of the transport share: a runtime with a watchdog, unique names, and a pair of
//! connected streams.

#![allow(dead_code)] // Each test file is a crate of its own and uses a part of this.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use pipeway_transport::{ConnectOptions, Endpoint, ListenOptions, Listener, Peer, Stream, connect};

/// No test takes longer, even under Wine on a busy machine.
const LIMIT: Duration = Duration::from_secs(100);

/// Runs a test in a runtime of one thread, and ends the process if it hangs, in a system call
/// too.
pub fn run(test: impl Future<Output = ()>) {
    let (done_tx, done_rx) = mpsc::channel::<()>();
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    let watchdog = std::thread::spawn(move || {
        if done_rx.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs");
            std::process::abort();
        }
    });
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    drop(done_tx);
    watchdog.join().unwrap();
}

/// A `local:` endpoint that no other test and no other run uses.
pub fn unique() -> Endpoint {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let moment = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    format!("local:pipeway-test-{}-{count}-{moment}", std::process::id()).parse().unwrap()
}

pub fn listen(endpoint: &Endpoint) -> Listener {
    Listener::bind(endpoint, &ListenOptions::default()).unwrap()
}

/// Options that wait long enough for any test.
pub fn patient() -> ConnectOptions {
    ConnectOptions { timeout: LIMIT, ..ConnectOptions::default() }
}

/// Options that give up soon.
pub fn hasty() -> ConnectOptions {
    ConnectOptions { timeout: Duration::from_millis(200), ..ConnectOptions::default() }
}

/// A client's and a server's end, connected.
pub async fn pair(listener: &mut Listener) -> (Stream, Stream, Peer) {
    let endpoint = listener.endpoint().clone();
    let options = patient();
    let (client, server) = tokio::join!(connect(&endpoint, &options), listener.accept());
    let (server, peer) = server.unwrap();
    (client.unwrap(), server, peer)
}
