//! Spans and metrics of the OpenTelemetry API, through the providers that are global when an end is
//! made.

use std::any::type_name;
use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use opentelemetry::context::FutureExt as _;
use opentelemetry::global::BoxedTracer;
use opentelemetry::metrics::{Counter, Histogram};
use opentelemetry::trace::{SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue, global};

use crate::message::MESSAGES;
use crate::pipes::Place;

/// The name of tracer and meter.
const SCOPE: &str = "pipeway-directline";

const PIPE_NAME: &str = "agents.named_pipe.pipe_name";
const VERB: &str = "agents.named_pipe.request.verb";
const PATH: &str = "agents.named_pipe.request.path";
const STATUS: &str = "agents.named_pipe.response.status_code";
const BODY_SIZE: &str = "agents.named_pipe.response.body_size";

/// The attributes of metrics are without the prefix.
const METRIC_VERB: &str = "request.verb";
const METRIC_PATH: &str = "request.path";
const ERROR_TYPE: &str = "error.type";

/// What stands in metrics for verbs and paths that the other end could make up.
const OTHER: &str = "other";

/// The verbs that metrics tell.
const VERBS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Where replies go.
const CONVERSATIONS: &str = "/v3/conversations/";

/// Whom an end tells.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry(Option<Arc<Instruments>>);

#[derive(Debug)]
struct Instruments {
    pipe_name: String,
    tracer: BoxedTracer,
    connections: Counter<u64>,
    dispatches: Counter<u64>,
    dispatch_errors: Counter<u64>,
    dispatch_duration: Histogram<f64>,
    sends: Counter<u64>,
    send_duration: Histogram<f64>,
}

impl Telemetry {
    /// Of an agent's end at `place`.
    pub(crate) fn agent(place: &Place) -> Self {
        let text = place.to_string();
        let name = text.rsplit(['/', '\\', ':']).next().unwrap_or_default();
        let meter = global::meter(SCOPE);
        let counter = |name: &'static str, unit: &'static str, what: &'static str| {
            meter.u64_counter(name).with_unit(unit).with_description(what).build()
        };
        let histogram = |name: &'static str, what: &'static str| {
            meter.f64_histogram(name).with_unit("ms").with_description(what).build()
        };
        Telemetry(Some(Arc::new(Instruments {
            pipe_name: name.to_owned(),
            tracer: global::tracer(SCOPE),
            connections: counter(
                "agents.named_pipe.connection.count",
                "connection",
                "Sessions that began",
            ),
            dispatches: counter(
                "agents.named_pipe.dispatch.count",
                "request",
                "Requests that were dispatched",
            ),
            dispatch_errors: counter(
                "agents.named_pipe.dispatch.error.count",
                "error",
                "Requests whose dispatch failed",
            ),
            dispatch_duration: histogram(
                "agents.named_pipe.dispatch.duration",
                "How long a request's dispatch took",
            ),
            sends: counter("agents.named_pipe.send.count", "response", "Replies that were sent"),
            send_duration: histogram("agents.named_pipe.send.duration", "How long a reply took"),
        })))
    }

    /// Nobody: of a connector's end, which is no agent.
    pub(crate) fn none() -> Self {
        Telemetry(None)
    }

    /// Begins with an attempt to get a session up.
    pub(crate) fn connect(&self) -> Connect {
        Connect(self.0.as_ref().map(|instruments| {
            let span = Span::begin(instruments, "agents.named_pipe.connect", SpanKind::Internal);
            span.set(KeyValue::new(PIPE_NAME, instruments.pipe_name.clone()));
            span
        }))
    }

    /// Begins with a request of the other end.
    pub(crate) fn dispatch(&self, verb: &str, path: &str) -> Dispatch {
        Dispatch(self.0.as_ref().map(|instruments| {
            let span = Span::begin(instruments, "agents.named_pipe.dispatch", SpanKind::Server);
            span.set(KeyValue::new(VERB, verb.to_owned()));
            span.set(KeyValue::new(PATH, path.to_owned()));
            let verb = VERBS.into_iter().find(|known| known.eq_ignore_ascii_case(verb));
            let path = if path.eq_ignore_ascii_case(MESSAGES) { MESSAGES } else { OTHER };
            Dispatching { span, verb: verb.unwrap_or(OTHER), path, ended: None }
        }))
    }

    /// Begins with a call, which is a reply if it sends an activity to a conversation; others are
    /// not told. `body_size` is the activity's length in bytes.
    pub(crate) fn reply(&self, verb: &str, path: &str, body_size: u64) -> Reply {
        let is_reply = verb.eq_ignore_ascii_case("POST") && path.starts_with(CONVERSATIONS);
        Reply(self.0.as_ref().filter(|_| is_reply).map(|instruments| {
            let span = Span::begin(instruments, "agents.named_pipe.send", SpanKind::Client);
            span.set(KeyValue::new(BODY_SIZE, i64::try_from(body_size).unwrap_or(i64::MAX)));
            Replying { span, status: 0 }
        }))
    }
}

/// A span that has begun. It ends when this is dropped.
struct Span {
    instruments: Arc<Instruments>,
    context: Context,
    began: Instant,
}

impl Span {
    fn begin(instruments: &Arc<Instruments>, name: &'static str, kind: SpanKind) -> Self {
        let tracer = &instruments.tracer;
        let span = tracer.span_builder(name).with_kind(kind).start(tracer);
        let context = Context::current_with_span(span);
        Span { instruments: Arc::clone(instruments), context, began: Instant::now() }
    }

    fn set(&self, attribute: KeyValue) {
        self.context.span().set_attribute(attribute);
    }

    fn is_ok(&self) {
        self.context.span().set_status(Status::Ok);
    }

    fn has_failed(&self, error: &(dyn Error + 'static)) {
        self.context.span().record_error(error);
        self.context.span().set_status(Status::error(error.to_string()));
    }

    /// Milliseconds since it began.
    fn duration(&self) -> f64 {
        self.began.elapsed().as_secs_f64() * 1000.0
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.context.span().end();
    }
}

/// An attempt to get a session up. Dropped, it was given up.
pub(crate) struct Connect(Option<Span>);

impl Connect {
    /// The session is up.
    pub(crate) fn up(self) {
        if let Some(span) = self.0 {
            span.instruments.connections.add(1, &[]);
            span.is_ok();
        }
    }

    pub(crate) fn failed(self, error: &(dyn Error + 'static)) {
        if let Some(span) = self.0 {
            span.has_failed(error);
        }
    }
}

/// One request of the other end. Dropped, it was aborted, and ends without a status.
pub(crate) struct Dispatch(Option<Dispatching>);

struct Dispatching {
    span: Span,
    verb: &'static str,
    path: &'static str,
    /// The answer's status, and the type of the error that it is due to.
    ended: Option<(u16, Option<&'static str>)>,
}

impl Dispatch {
    /// Lets spans that begin in `work` belong to this one.
    pub(crate) fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        let context = self.0.as_ref().map_or_else(Context::current, |it| it.span.context.clone());
        work.with_context(context)
    }

    pub(crate) fn answered(mut self, status: u16) {
        if let Some(dispatching) = &mut self.0 {
            dispatching.span.is_ok();
            dispatching.ended = Some((status, None));
        }
    }

    /// It was answered with `status` for want of something better. `E` is the error's own type.
    pub(crate) fn failed<E>(mut self, status: u16, error: &(dyn Error + 'static)) {
        if let Some(dispatching) = &mut self.0 {
            dispatching.span.has_failed(error);
            dispatching.ended = Some((status, Some(type_name::<E>())));
        }
    }
}

impl Drop for Dispatching {
    fn drop(&mut self) {
        let Dispatching { span, verb, path, ended } = self;
        let (status, error) = match ended {
            Some(ended) => *ended,
            None if std::thread::panicking() => {
                span.context.span().set_status(Status::error("the service panicked"));
                (500, Some("panic"))
            }
            None => (0, None),
        };
        span.set(KeyValue::new(STATUS, i64::from(status)));
        let attributes = [KeyValue::new(METRIC_VERB, *verb), KeyValue::new(METRIC_PATH, *path)];
        let Instruments { dispatches, dispatch_errors, dispatch_duration, .. } = &*span.instruments;
        dispatches.add(1, &attributes);
        dispatch_duration.record(span.duration(), &attributes);
        if let Some(error) = error {
            dispatch_errors.add(1, &[KeyValue::new(ERROR_TYPE, error)]);
        }
    }
}

/// A reply on its way. Dropped, it was given up.
pub(crate) struct Reply(Option<Replying>);

struct Replying {
    span: Span,
    /// The response's, or 0.
    status: u16,
}

impl Reply {
    pub(crate) fn answered(mut self, status: u16) {
        if let Some(replying) = &mut self.0 {
            replying.span.is_ok();
            replying.status = status;
        }
    }

    pub(crate) fn failed(self, error: &(dyn Error + 'static)) {
        if let Some(replying) = &self.0 {
            replying.span.has_failed(error);
        }
    }
}

impl Drop for Replying {
    fn drop(&mut self) {
        self.span.set(KeyValue::new(STATUS, i64::from(self.status)));
        let Instruments { sends, send_duration, .. } = &*self.span.instruments;
        sends.add(1, &[]);
        send_duration.record(self.span.duration(), &[]);
    }
}
