//! Commands by their id: which run, and what happened to those that ran.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pipeway_transport::child::Signal;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

/// The most characters of an id that a client chose.
const ID_MAX: usize = 128;

/// How long the task of a command may take to deliver a signal.
const ORDER_TIMEOUT: Duration = Duration::from_secs(5);

/// How many events one trace keeps; what happens after that is counted.
const EVENTS_MAX: usize = 64;

/// A signal for a running command, and where to say whether it was delivered.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) signal: Signal,
    pub(crate) delivered_tx: oneshot::Sender<bool>,
}

/// Every command that runs, and the traces of the last ones that ended.
#[derive(Debug)]
pub(crate) struct Spans {
    inner: Mutex<Inner>,
    max_traces: usize,
}

#[derive(Debug, Default)]
struct Inner {
    running: HashMap<Arc<str>, mpsc::Sender<Order>>,
    traces: HashMap<Arc<str>, Trace>,
    /// The ended ones, the oldest first.
    ended: VecDeque<Arc<str>>,
}

/// What happened to one command. Neither the command nor its environment, which may hold secrets.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Trace {
    span_id: String,
    running: bool,
    events: Vec<TraceEvent>,
    #[serde(skip_serializing_if = "is_zero")]
    events_left_out: u64,
}

#[derive(Clone, Debug, Serialize)]
struct TraceEvent {
    /// Seconds since 1970, with microseconds.
    time: f64,
    #[serde(flatten)]
    what: What,
}

/// What can happen to a command.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum What {
    Start {
        pid: u32,
        pty: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        agent_id: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        profile: Option<String>,
    },
    Resize {
        cols: u16,
        rows: u16,
    },
    Signal {
        sig: &'static str,
        delivered: bool,
    },
    BudgetSpent {
        max_runtime_ms: u64,
    },
    /// A program of a persistent session has ended.
    Program {
        seq: u64,
        exit: i32,
    },
    ClientGone,
    AgentStopped,
    Exit {
        exit: i32,
        stdout_bytes: u64,
        stderr_bytes: u64,
    },
}

impl Spans {
    pub(crate) fn new(max_traces: usize) -> Arc<Self> {
        Arc::new(Spans { inner: Mutex::default(), max_traces })
    }

    /// A new span, with the id that the client wants, or one made up; and where its orders come.
    ///
    /// # Errors
    ///
    /// Says why it can't be that id.
    pub(crate) fn enter(
        self: &Arc<Self>,
        wanted: Option<String>,
    ) -> Result<(Span, mpsc::Receiver<Order>), String> {
        if let Some(id) = &wanted
            && (id.is_empty()
                || id.len() > ID_MAX
                || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)))
        {
            return Err(format!("span_id must have 1 to {ID_MAX} letters, digits, or any of -_.:"));
        }
        let id: Arc<str> = match wanted {
            Some(id) => id.into(),
            None => random_hex::<8>()?.into(),
        };
        let (order_tx, order_rx) = mpsc::channel(1);
        let mut inner = self.lock();
        if inner.running.contains_key(&id) {
            return Err(format!("the span_id {id} is that of a command which still runs"));
        }
        inner.running.insert(id.clone(), order_tx);
        inner.ended.retain(|ended| *ended != id);
        inner.traces.insert(
            id.clone(),
            Trace {
                span_id: id.to_string(),
                running: true,
                events: Vec::new(),
                events_left_out: 0,
            },
        );
        drop(inner);
        Ok((Span { id, spans: self.clone() }, order_rx))
    }

    /// Sends a signal to a running command; whether it got it.
    pub(crate) async fn signal(&self, id: &str, signal: Signal) -> bool {
        let Some(order_tx) = self.lock().running.get(id).cloned() else { return false };
        let (delivered_tx, delivered_rx) = oneshot::channel();
        let ordered = async {
            if order_tx.send(Order { signal, delivered_tx }).await.is_err() {
                return false;
            }
            delivered_rx.await.unwrap_or(false)
        };
        tokio::time::timeout(ORDER_TIMEOUT, ordered).await.unwrap_or(false)
    }

    /// What happened to a command.
    pub(crate) fn trace(&self, id: &str) -> Option<Trace> {
        self.lock().traces.get(id).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that holds it can panic half-way through a change.
        self.inner.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// One running command's place in [`Spans`]; dropping it is the command's end.
#[derive(Debug)]
pub(crate) struct Span {
    id: Arc<str>,
    spans: Arc<Spans>,
}

impl Span {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Adds to the trace.
    pub(crate) fn tell(&self, what: What) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        if let Some(trace) = self.spans.lock().traces.get_mut(&self.id) {
            let is_last = matches!(what, What::Exit { .. });
            if trace.events.len() < EVENTS_MAX || is_last {
                trace.events.push(TraceEvent { time, what });
            } else {
                trace.events_left_out += 1;
            }
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let mut inner = self.spans.lock();
        inner.running.remove(&self.id);
        if let Some(trace) = inner.traces.get_mut(&self.id) {
            trace.running = false;
        }
        inner.ended.push_back(self.id.clone());
        while inner.ended.len() > self.spans.max_traces
            && let Some(oldest) = inner.ended.pop_front()
        {
            inner.traces.remove(&oldest);
        }
    }
}

/// `N` random bytes as hexadecimal digits.
///
/// # Errors
///
/// Says that the system has none.
pub(crate) fn random_hex<const N: usize>() -> Result<String, String> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| format!("the system gives no random numbers: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_id_is_not_given_twice() {
        let spans = Spans::new(2);
        let (span, _order_rx) = spans.enter(Some("a".into())).unwrap();
        assert!(spans.enter(Some("a".into())).unwrap_err().contains("still runs"));
        drop(span);
        spans.enter(Some("a".into())).unwrap();
    }

    #[test]
    fn an_id_that_could_break_a_log_is_refused() {
        let spans = Spans::new(2);
        for id in ["", "a b", "a\n", "ä", &"x".repeat(129)] {
            assert!(spans.enter(Some(id.into())).is_err(), "{id:?}");
        }
    }

    #[test]
    fn only_the_last_traces_are_kept() {
        let spans = Spans::new(2);
        for id in ["a", "b", "c"] {
            drop(spans.enter(Some(id.into())).unwrap());
        }
        assert!(spans.trace("a").is_none());
        assert!(spans.trace("b").is_some() && spans.trace("c").is_some());
    }

    #[test]
    fn a_trace_is_bounded_and_keeps_the_end() {
        let spans = Spans::new(2);
        let (span, _order_rx) = spans.enter(None).unwrap();
        for _ in 0..100 {
            span.tell(What::Resize { cols: 80, rows: 24 });
        }
        span.tell(What::Exit { exit: 0, stdout_bytes: 1, stderr_bytes: 2 });
        let json = serde_json::to_value(spans.trace(span.id()).unwrap()).unwrap();
        assert_eq!(json["events"].as_array().unwrap().len(), EVENTS_MAX + 1);
        assert_eq!(json["events_left_out"], 100 - EVENTS_MAX as u64);
        assert_eq!(json["events"][EVENTS_MAX]["event"], "exit");
    }
}
