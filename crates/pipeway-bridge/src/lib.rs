//! Carries HTTP and WebSocket from a named pipe or a Unix socket to a local service: one
//! listener, one upstream and the rules between them.

mod body;
mod buffer;
mod chunked;
mod config;
mod conn;
mod deadline;
mod error;
mod exchange;
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod policy;
mod relay;
mod respond;
mod server;
mod session;
mod shared;
mod shutdown;
mod token;

pub use config::{BridgeConfig, HostRule, Limits, Policy, Timeouts};
pub use error::ConfigError;
pub use server::{BindError, Bridge, Summary};
pub use shutdown::{Shutdown, ShutdownHandle};
