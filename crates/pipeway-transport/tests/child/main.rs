//! Child processes, with pipes and in terminals.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod descriptors;
mod pipes;
mod start;
#[path = "../support/mod.rs"]
mod support;
mod terminal;

use std::ffi::OsStr;

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

/// The variable that tells a test that it runs in a process of its own.
const ALONE: &str = "PIPEWAY_TEST_ALONE";

/// Whether this is the process that [`alone`] has made.
fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Runs the test called `name` again in a process of its own, whose arguments follow `before`.
fn alone(before: &[&OsStr], name: &str) {
    let own = std::env::current_exe().unwrap();
    let mut line: Vec<&OsStr> = before.to_vec();
    line.extend([own.as_os_str(), "--exact".as_ref(), name.as_ref(), "--nocapture".as_ref()]);
    let output = std::process::Command::new(line[0])
        .args(&line[1..])
        .env(ALONE, "1")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A script for the system's shell.
fn script(script: &str) -> Program {
    Program::script(script)
}
