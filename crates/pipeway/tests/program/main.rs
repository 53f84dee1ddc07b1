//! Tests of the built program, as a user starts it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod bridge;
mod check;
mod curl;
mod demo;
mod harness;
mod serve;
mod ws;
