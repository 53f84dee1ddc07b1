//! The service inside: runs a command, or a terminal over WebSocket, for its owner alone.
//!
//! An [`Agent`] listens on a Unix socket, a named pipe or (with a token) a loopback port, and
//! speaks HTTP/1.1 and WebSocket with JSON; [`protocol`] has the shapes of its messages, for
//! clients too. Whoever can connect can run anything as this user, so access is always the
//! owner's alone.
//!
//! Each command leads a process group of its own, which ends with its client: SIGHUP, and SIGKILL
//! after a grace period. Output that the client does not read makes the command wait.
//!
//! ```no_run
//! use pipeway_agent::{Agent, AgentConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let agent = Agent::bind(AgentConfig::new("local:my-agent".parse()?))?;
//! println!("ready {}", agent.endpoint());
//! agent.run(async { drop(tokio::signal::ctrl_c().await) }).await;
//! # Ok(())
//! # }
//! ```

mod api;
mod command;
mod config;
mod console;
mod error;
mod guard;
pub mod protocol;
mod pump;
mod screen;
mod server;
mod session;
mod span;
mod terminal;
mod websocket;

pub use config::{AgentConfig, Limits};
pub use error::BindError;
pub use server::Agent;
