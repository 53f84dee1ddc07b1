//! What an agent's end tells OpenTelemetry, if the feature `otel` is on: spans and metrics with the
//! names of the SDK for JavaScript, so that dashboards carry over. Without the feature the same
//! functions do nothing and keep nothing.
//!
//! The names, units and attributes stand in `docs/reference/directline.md`.

#[cfg(not(feature = "otel"))]
mod off;
#[cfg(feature = "otel")]
mod otel;

#[cfg(not(feature = "otel"))]
pub(crate) use self::off::{Dispatch, Telemetry};
#[cfg(feature = "otel")]
pub(crate) use self::otel::{Dispatch, Telemetry};
