//! What the bridge itself tells of each step.

use std::sync::mpsc as blocking;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;

use super::steps::Step;

/// How long an event may take to come after its request.
const WAIT: Duration = Duration::from_secs(5);

/// The events of a bridge, as they come.
pub(super) struct Events {
    line_rx: mpsc::UnboundedReceiver<String>,
}

/// What one event says.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) transport_mode: String,
    pub(super) transport_endpoint: String,
    pub(super) upstream_mode: String,
    pub(super) status: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) ms: f64,
}

impl Events {
    /// Takes the sink's lines over.
    pub(super) fn new(lines: blocking::Receiver<String>) -> Self {
        let (line_tx, line_rx) = mpsc::unbounded_channel();
        // The sink's channel blocks who reads it; it ends with the sink.
        std::thread::spawn(move || {
            while let Ok(line) = lines.recv()
                && line_tx.send(line).is_ok()
            {}
        });
        Events { line_rx }
    }

    /// The event of a step.
    pub(super) async fn of(&mut self, step: Step) -> Option<Report> {
        let found = async {
            loop {
                let event: Value = serde_json::from_str(&self.line_rx.recv().await?).ok()?;
                if event["event"] == step.event() && event["url.path"] == step.path() {
                    return Some(report(&event));
                }
            }
        };
        tokio::time::timeout(WAIT, found).await.ok().flatten()
    }
}

fn report(event: &Value) -> Report {
    let text = |name: &str| event[name].as_str().unwrap_or("-").to_owned();
    let number = |name: &str| event[name].as_u64().unwrap_or(0);
    Report {
        transport_mode: text("transport.mode"),
        transport_endpoint: text("transport.endpoint"),
        upstream_mode: text("upstream.mode"),
        status: number("http.response.status_code"),
        received: number("bytes.received"),
        sent: number("bytes.sent"),
        ms: event["duration.total_ms"].as_f64().unwrap_or(0.0),
    }
}
