//! Tests of the built program, as a user starts it.

mod bridge;
mod check;
mod curl;
mod demo;
mod harness;
mod serve;
mod ws;
