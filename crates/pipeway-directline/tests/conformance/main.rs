//! The conformance cases that need no input or output, each named by its number and mark: one end
//! is the machine, the other a peer that writes just what a test says. Time passes by being told.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod abuse;
mod calls;
mod cancel;
mod connector;
mod header;
mod limits;
mod messages;
mod names;
mod recognition;
mod rig;
mod sending;
mod streams;
mod trailing;
