//! Both ends against other people's code: the npm packages `botframework-streaming`, as an agent and
//! as a connector, and `botbuilder`, each as a child process over real pipes.
//!
//! The packages are installed by the test command (`npm ci` in `interop/`). Where they are missing
//! the tests say so and pass, unless `PIPEWAY_REQUIRE_INTEROP=1`. In the Windows build they are
//! marked as ignored: the step `windows` runs them, with Windows Node.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod as_connector;
mod as_server;
mod bot;
mod ours;
mod script;
