//! The multiplexer with the npm package `nerdbank-streams` at the other end, as a child process over
//! a Unix socket: every version, both parities of the handshake, channels offered by either end.
//!
//! The package is installed by the test command (`npm ci` in `interop/`). Where it is missing the
//! tests say so and pass, unless `PIPEWAY_REQUIRE_INTEROP=1`. The cases are those of
//! `docs/reference/multiplexing-stream.md`.

#![cfg(unix)] // The package is reached over a Unix socket.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

#[path = "../support/mod.rs"]
mod support;

mod data;
mod ends;
mod offers;
mod peer;
mod seeded;
