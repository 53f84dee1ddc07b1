//! DirectLine's pipes in front of an HTTP agent.
//!
//! ```text
//! platform --- activity, over the pipes ---> service.rs -- POST --> agent.rs --> the agent
//!          <-- call, over the pipes --- callback.rs <-- serviceUrl/v3/... ------ the agent
//! ```

mod activity;
mod agent;
mod budget;
mod callback;
mod config;
mod json;
mod origins;
mod server;
mod service;
mod shared;
mod telling;

pub use config::{AgentPath, GatewayConfig, GatewayLimits, GatewayTimeouts, ServiceUrl};
pub use server::{Gateway, PipesFailure};
