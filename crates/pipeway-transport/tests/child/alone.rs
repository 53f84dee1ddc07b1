//! A test in a process of its own, for what a whole process has: signals, descriptors, children.

#![cfg(unix)]

use std::ffi::OsStr;

/// The variable that tells a test that it runs in a process of its own.
const ALONE: &str = "PIPEWAY_TEST_ALONE";

/// Whether this is the process that [`alone`] has made.
pub fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Runs the test called `name` again in a process of its own, whose arguments follow `before`.
pub fn alone(before: &[&OsStr], name: &str) {
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
