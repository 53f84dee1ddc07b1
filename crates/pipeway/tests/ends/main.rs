//! Links with the real programs at both ends: OpenSSH's agent and its clients, Docker's client and
//! Podman's service.
//!
//! Each test goes one of two ways ([`way`]): a link on this system, or twice across the border, with
//! `pipeway.exe` and a named pipe in the middle. `cargo xtask windows test` runs those of the second
//! kind, with a Wine server running.

#![cfg(target_os = "linux")] // Where these programs are, and Wine.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod docker;
mod engine;
mod exec;
mod fault;
#[path = "../program/harness.rs"]
#[allow(dead_code, reason = "the program's own tests use the rest of it")]
mod harness;
mod load;
#[path = "../terminal/presence.rs"]
#[allow(dead_code, reason = "the terminal's own tests use the rest of it")]
mod presence;
mod remote;
mod ssh;
mod way;
#[path = "../kit/wine.rs"]
#[allow(dead_code, reason = "tests of the border use the rest of it")]
mod wine;
