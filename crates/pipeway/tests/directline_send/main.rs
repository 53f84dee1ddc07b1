//! `pipeway directline send`, as a user starts it: before our own agent, and before others' with Node.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]
#![allow(dead_code, reason = "the harness is shared")]

mod agent;
#[path = "../program/harness.rs"]
mod harness;
mod hostile;
#[cfg(unix)]
mod node;
mod talk;
