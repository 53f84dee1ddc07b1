//! `pipeway directline gateway` as a user starts it: between this project's own connector, as the
//! platform, and an agent made with the npm package `@microsoft/agents-hosting`.

#![cfg(unix)] // Signals are sent with kill(1), and the agent listens on a socket.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../program/harness.rs"]
#[allow(dead_code, reason = "the program's own tests use the rest of it")]
mod harness;
mod hosting;
mod platform;
mod program;
