//! A gateway between this project's own connector, as the platform, and an agent of hyper's.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod activities;
mod calls;
mod life;
mod rig;
