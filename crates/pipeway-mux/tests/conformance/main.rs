//! The conformance cases of docs/reference/multiplexing-stream.md, each named by its number: one
//! end is this crate, the other the bare wire, or this crate where a case is about two ends.
//!
//! Cases with others' implementations at the other end stand in `npm` and `official`; cases 93 to
//! 97 in `streams`.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod data;
mod ends;
mod flow;
mod growth;
mod handshake;
mod offers;
mod received;
mod rig;
mod seeded;
mod sent;
#[path = "../support/vectors.rs"]
mod vectors;
mod whole;
