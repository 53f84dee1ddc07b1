//! Between Windows and Linux: Windows programs under Wine on one side, this system's on the other,
//! and the stand-in for `wsl.exe` that tests of links start.
//!
//! `cargo xtask windows test` runs the tests that start Windows programs. It tells where these are
//! by `PIPEWAY_WINDOWS_PROGRAM`, `PIPEWAY_WINDOWS_NODE` and `PIPEWAY_WINDOWS_WSL`.

#![cfg(target_os = "linux")] // Wine's side of it is.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../program/harness.rs"]
#[allow(dead_code, reason = "the program's own tests use the rest of it")]
mod harness;
mod link;
mod nc;
#[path = "../terminal/presence.rs"]
#[allow(dead_code, reason = "the terminal's own tests use the rest of it")]
mod presence;
mod stand_in;
mod terminal;
#[path = "../kit/wine.rs"]
mod wine;
