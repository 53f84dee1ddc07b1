//! Child processes, with pipes and in terminals.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod alone;
mod console;
mod descriptors;
mod pipes;
mod start;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod windows;

use pipeway_transport::child::Program;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A grace that no test waits for.
const PATIENT: std::time::Duration = std::time::Duration::from_secs(60);

/// How long is waited for what must not happen.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(200);

/// Reads up to and with `mark`, and gives what was before it.
async fn read_until(output: &mut (impl AsyncRead + Unpin), mark: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(mark.as_bytes()) {
        let mut byte = [0];
        let read = output.read(&mut byte).await.unwrap();
        assert_eq!(read, 1, "the end came before {mark:?}: {:?}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
    seen.truncate(seen.len() - mark.len());
    String::from_utf8(seen).unwrap()
}

/// Reads up to the end, which comes when nobody holds the other side any more.
async fn read_all(output: &mut (impl AsyncRead + Unpin)) -> String {
    let mut seen = Vec::new();
    output.read_to_end(&mut seen).await.unwrap();
    String::from_utf8(seen).unwrap()
}

/// A script for the system's shell.
fn script(script: &str) -> Program {
    Program::script(script)
}
