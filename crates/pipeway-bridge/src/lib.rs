//! Carries HTTP, WebSocket or plain bytes from a named pipe or a Unix socket to a local service: one
//! listener, one upstream and the rules between them.
//!
//! A [`Bridge`] runs on whatever tokio runtime calls it; each session is a task of that runtime.
//!
//! ```no_run
//! use pipeway_bridge::{Bridge, BridgeConfig, Shutdown};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = BridgeConfig::new(
//!     "agent",
//!     "local:my-agent".parse()?,
//!     "tcp:127.0.0.1:8080".parse()?,
//! );
//! config.policy.paths = vec!["/v1/**".into()];
//! let bridge = Bridge::bind(config)?;
//! println!("ready {}", bridge.endpoint());
//!
//! let (handle, shutdown) = Shutdown::new();
//! tokio::spawn(async move {
//!     let _ = tokio::signal::ctrl_c().await;
//!     handle.order();
//! });
//! let summary = bridge.run(shutdown).await;
//! println!("{} sessions", summary.sessions);
//! # Ok(())
//! # }
//! ```

mod accepted;
mod awake;
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
mod gateway;
mod head;
mod link;
mod policy;
mod pool;
mod raw;
mod relay;
mod respond;
mod routes;
mod server;
mod session;
mod shared;
mod shutdown;
mod splicing;
mod upstream;

pub use config::{BridgeConfig, HostRule, Limits, Policy, Protocol, Timeouts};
pub use error::ConfigError;
pub use gateway::{
    AgentPath, Gateway, GatewayConfig, GatewayLimits, GatewayTimeouts, PipesFailure, ServiceUrl,
};
pub use link::tell_link;
pub use server::{BindError, Bridge, Summary};
pub use shutdown::{Shutdown, ShutdownHandle};
