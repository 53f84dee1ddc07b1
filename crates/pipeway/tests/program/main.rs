//! Tests of the built program, as a user starts it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[cfg(unix)]
mod agent;
mod bridge;
mod check;
mod curl;
mod demo;
#[cfg(unix)]
mod exec;
mod harness;
mod nc;
#[cfg(unix)]
mod nc_unix;
#[cfg(windows)]
mod on_windows;
mod preset;
mod serve;
#[cfg(unix)]
mod shell;
mod ws;
