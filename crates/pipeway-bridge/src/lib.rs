//! Carries HTTP and WebSocket from a named pipe or a Unix socket to a local service: one
//! listener, one upstream and the rules between them.

mod config;
mod error;
mod server;
mod shutdown;

pub use config::{BridgeConfig, HostRule, Limits, Policy, Timeouts};
pub use error::ConfigError;
pub use server::{BindError, Bridge, Summary};
pub use shutdown::{Shutdown, ShutdownHandle};
