//! What the tests of the multiplexer share: a runtime with a watchdog, and bytes to send.

#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

/// No test takes longer, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(100);

/// Runs a test in a runtime of one thread, and ends the process if it hangs.
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

/// Bytes in which a lost or doubled part shows.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// Whether `bytes` are those of the pattern from `start` on.
pub fn is_pattern(bytes: &[u8], start: usize) -> bool {
    let first = start % 251;
    bytes.iter().enumerate().all(|(at, byte)| *byte == ((first + at) % 251) as u8)
}
