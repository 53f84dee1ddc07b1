//! A terminal through the bridge, from end to end: the built agent, the built bridge, and clients
//! that were written out by hand, made with a library, or made by others.
//!
//! What goes over the wire is recorded at both ends and compared. The tests in [`wine`] do the
//! same through `pipeway.exe` and its named pipe; `cargo xtask windows test` runs them.

#![cfg(target_os = "linux")] // What is left of a process is seen in /proc.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod commands;
mod conversation;
mod faults;
mod foreign;
#[path = "../program/harness.rs"]
#[allow(dead_code, reason = "the program's own tests use the rest of it")]
mod harness;
mod many;
mod presence;
mod pressure;
mod recorder;
mod scene;
mod session;
mod terminal;
#[path = "../kit/wine.rs"]
#[allow(dead_code, reason = "tests of the border use the rest of it")]
mod windows;
mod wine;
mod wire;
