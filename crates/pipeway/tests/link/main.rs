//! Links with the built program at their other side, as processes of their own: what goes through
//! them, what stops them from coming up, and what becomes of sessions when they break.

#![cfg(target_os = "linux")] // A guest's process is looked for in /proc, and its files are told by FIFOs.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod cut;
#[path = "../program/harness.rs"]
#[allow(dead_code, reason = "the program's own tests use the rest of it")]
mod harness;
mod load;
mod loss;
mod program;
mod raw;
mod rig;
mod start;
mod wsl;
