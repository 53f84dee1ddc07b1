//! What OpenTelemetry is told; cases 155 to 158, and that nothing a peer makes up becomes an
//! attribute of a metric.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::pin::Pin;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::Router;
use http::{Request, Response, StatusCode};
use opentelemetry::trace::Status;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{
    InMemoryMetricExporter, InMemoryMetricExporterBuilder, SdkMeterProvider, Temporality,
};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use pipeway_directline::pipes::{PairListenOptions, Place};
use pipeway_directline::{
    Body, Client, Connector, ConnectorOptions, Limits, Server, ServerOptions,
};
use tokio::time::timeout;

const WATCHDOG: Duration = Duration::from_secs(60);

/// What was exported. The providers are global, so one test at a time has them.
struct Exported {
    spans: InMemorySpanExporter,
    metrics: InMemoryMetricExporter,
    meters: SdkMeterProvider,
}

static EXPORTED: LazyLock<Mutex<Exported>> = LazyLock::new(|| {
    let spans = InMemorySpanExporter::default();
    let tracers = SdkTracerProvider::builder().with_simple_exporter(spans.clone()).build();
    global::set_tracer_provider(tracers);
    let metrics = InMemoryMetricExporterBuilder::new().with_temporality(Temporality::Delta).build();
    let meters = SdkMeterProvider::builder().with_periodic_exporter(metrics.clone()).build();
    global::set_meter_provider(meters.clone());
    Mutex::new(Exported { spans, metrics, meters })
});

impl Exported {
    fn take() -> MutexGuard<'static, Exported> {
        let exported = EXPORTED.lock().unwrap_or_else(PoisonError::into_inner);
        exported.meters.force_flush().unwrap();
        exported.metrics.reset();
        exported.spans.reset();
        exported
    }

    fn spans(&self, name: &str) -> Vec<SpanData> {
        let all = self.spans.get_finished_spans().unwrap();
        all.into_iter().filter(|span| span.name == name).collect()
    }

    fn span(&self, name: &str) -> SpanData {
        let mut spans = self.spans(name);
        assert_eq!(spans.len(), 1, "{spans:?}");
        spans.remove(0)
    }

    /// The points of a metric: attributes, and the counter's sum or the histogram's count. The unit
    /// is checked.
    fn points(&self, name: &str, unit: &str) -> Vec<(Vec<(String, String)>, u64)> {
        let finished = self.metrics.get_finished_metrics().unwrap();
        let scopes = finished.iter().flat_map(|resource| resource.scope_metrics());
        let mut points = Vec::new();
        for metric in scopes.flat_map(|scope| scope.metrics()).filter(|it| it.name() == name) {
            assert_eq!(metric.unit(), unit, "{name}");
            match metric.data() {
                AggregatedMetrics::U64(MetricData::Sum(sum)) => points.extend(
                    sum.data_points().map(|point| (texts(point.attributes()), point.value())),
                ),
                AggregatedMetrics::F64(MetricData::Histogram(histogram)) => {
                    for point in histogram.data_points() {
                        assert!(point.sum() >= 0.0 && point.sum() < 60_000.0);
                        points.push((texts(point.attributes()), point.count()));
                    }
                }
                other => panic!("{name}: {other:?}"),
            }
        }
        points
    }

    fn flush(&self) {
        self.meters.force_flush().unwrap();
    }
}

fn texts<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> Vec<(String, String)> {
    let mut texts: Vec<_> = attributes
        .map(|attribute| (attribute.key.to_string(), attribute.value.to_string()))
        .collect();
    texts.sort();
    texts
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn name() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("pipeway-telemetry-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The agent's service. It fails, panics, hangs and replies as the path says.
#[derive(Clone)]
struct Answers;

impl tower_service::Service<Request<Body>> for Answers {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Response<Body>>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            match request.uri().path() {
                "/fails" => return Err(std::io::Error::other("as it was asked to")),
                "/panics" => panic!("as it was asked to"),
                "/hangs" => std::future::pending().await,
                "/replies" => {
                    let client = request.extensions().get::<Client>().unwrap();
                    for verb in ["POST", "PUT"] {
                        let path = "/v3/conversations/c/activities/a";
                        let call = Request::builder().method(verb).uri(path);
                        client.call(call.body(Body::from("hello")).unwrap()).await.unwrap();
                    }
                }
                _ => {}
            }
            Ok(Response::new(Body::empty()))
        })
    }
}

struct Ends {
    name: String,
    server: Server,
    connector: Connector,
}

impl Ends {
    async fn start() -> Ends {
        Ends::with(Limits::agent()).await
    }

    async fn with(limits: Limits) -> Ends {
        let name = name();
        let place: Place = name.parse().unwrap();
        let options = ServerOptions { limits, ..ServerOptions::default() };
        let server = Server::new(place.clone(), options, Answers).unwrap();
        server.start();
        let created = Router::new().fallback(async || StatusCode::CREATED);
        let connector = Connector::new(place, ConnectorOptions::default(), created).unwrap();
        connector.start();
        let (served, connected) = tokio::join!(server.ready(), connector.ready());
        served.unwrap();
        connected.unwrap();
        Ends { name, server, connector }
    }

    async fn call(&self, verb: &str, path: &str) -> StatusCode {
        let request = Request::builder().method(verb).uri(path).body(Body::empty()).unwrap();
        self.connector.client().call(request).await.unwrap().status()
    }

    async fn stop(self) {
        self.server.stop().await;
        self.connector.stop().await;
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(WATCHDOG, test).await.expect("the test hangs") });
}

const DISPATCH: &str = "agents.named_pipe.dispatch";

#[test]
fn case_155_a_session_is_a_connect_span_and_is_counted() {
    let exported = Exported::take();
    run(async {
        let ends = Ends::start().await;
        let span = exported.span("agents.named_pipe.connect");
        assert_eq!(
            texts(span.attributes.iter()),
            pairs(&[("agents.named_pipe.pipe_name", &ends.name)])
        );
        assert_eq!(span.status, Status::Ok);
        exported.flush();
        let count = exported.points("agents.named_pipe.connection.count", "connection");
        assert_eq!(count, [(vec![], 1)]);
        ends.stop().await;
    });
}

#[test]
fn a_pair_that_can_not_be_made_is_a_failed_connect_span_and_is_not_counted() {
    let exported = Exported::take();
    run(async {
        let ends = Ends::start().await;
        exported.flush();
        exported.metrics.reset();
        exported.spans.reset();
        let place: Place = ends.name.parse().unwrap();
        // The name is in use, and tried once.
        let listen = PairListenOptions { bind_attempts: 1, ..PairListenOptions::default() };
        let options = ServerOptions { listen, reconnect: false, ..ServerOptions::default() };
        let second = Server::new(place, options, Answers).unwrap();
        second.start();
        second.ready().await.unwrap_err();
        let span = exported.span("agents.named_pipe.connect");
        assert!(matches!(span.status, Status::Error { .. }), "{:?}", span.status);
        assert_eq!(span.events[0].name, "exception");
        exported.flush();
        assert_eq!(exported.points("agents.named_pipe.connection.count", "connection"), []);
        ends.stop().await;
    });
}

#[test]
fn case_156_a_request_is_a_dispatch_span_and_is_counted_and_timed() {
    let exported = Exported::take();
    run(async {
        let ends = Ends::start().await;
        assert_eq!(ends.call("POST", "/api/messages").await, 200);
        let span = exported.span(DISPATCH);
        assert_eq!(
            texts(span.attributes.iter()),
            pairs(&[
                ("agents.named_pipe.request.path", "/api/messages"),
                ("agents.named_pipe.request.verb", "POST"),
                ("agents.named_pipe.response.status_code", "200"),
            ])
        );
        assert_eq!(span.status, Status::Ok);
        exported.flush();
        let of = pairs(&[("request.path", "/api/messages"), ("request.verb", "POST")]);
        let expected = [(of, 1)];
        assert_eq!(exported.points("agents.named_pipe.dispatch.count", "request"), expected);
        assert_eq!(exported.points("agents.named_pipe.dispatch.duration", "ms"), expected);
        assert_eq!(exported.points("agents.named_pipe.dispatch.error.count", "error"), []);
        ends.stop().await;
    });
}

#[test]
fn what_a_peer_makes_up_stands_in_spans_alone() {
    let exported = Exported::take();
    run(async {
        let ends = Ends::start().await;
        for (verb, path) in [("GET", "/made/up/1"), ("INVENTED", "/made/up/2")] {
            assert_eq!(ends.call(verb, path).await, 200);
        }
        let spans = exported.spans(DISPATCH);
        let paths: Vec<_> =
            spans.iter().map(|span| texts(span.attributes.iter())[0].1.clone()).collect();
        assert_eq!(paths, ["/made/up/1", "/made/up/2"]);
        exported.flush();
        let mut counts = exported.points("agents.named_pipe.dispatch.count", "request");
        counts.sort();
        let of = |verb| (pairs(&[("request.path", "other"), ("request.verb", verb)]), 1);
        assert_eq!(counts, [of("GET"), of("other")]);
        ends.stop().await;
    });
}

#[test]
fn case_157_a_dispatch_that_fails_is_an_error_with_its_type() {
    let exported = Exported::take();
    run(async {
        let ends = Ends::start().await;
        assert_eq!(ends.call("POST", "/fails").await, 500);
        assert_eq!(ends.call("POST", "/panics").await, 500);
        let spans = exported.spans(DISPATCH);
        for span in &spans {
            assert!(matches!(span.status, Status::Error { .. }), "{:?}", span.status);
            assert_eq!(texts(span.attributes.iter())[2].1, "500");
        }
        assert_eq!(spans.len(), 2);
        assert_eq!(spans[0].events[0].name, "exception");
        exported.flush();
        let mut errors = exported.points("agents.named_pipe.dispatch.error.count", "error");
        errors.sort();
        let of = |error| (pairs(&[("error.type", error)]), 1);
        assert_eq!(errors, [of("panic"), of("std::io::error::Error")]);
        ends.stop().await;
    });
}

#[test]
fn a_dispatch_that_takes_too_long_is_an_error() {
    let exported = Exported::take();
    run(async {
        let handler_timeout = Some(Duration::from_millis(50));
        let ends = Ends::with(Limits { handler_timeout, ..Limits::agent() }).await;
        assert_eq!(ends.call("POST", "/hangs").await, 504);
        let span = exported.span(DISPATCH);
        assert!(matches!(span.status, Status::Error { .. }), "{:?}", span.status);
        assert_eq!(texts(span.attributes.iter())[2].1, "504");
        exported.flush();
        let of = pairs(&[("error.type", "pipeway_directline::error::Error")]);
        let errors = exported.points("agents.named_pipe.dispatch.error.count", "error");
        assert_eq!(errors, [(of, 1)]);
        ends.stop().await;
    });
}

#[test]
fn an_aborted_dispatch_ends_without_a_status() {
    let exported = Exported::take();
    run(async {
        let ends = Ends::start().await;
        let client = ends.connector.client().clone();
        let waiting = tokio::spawn(async move {
            client.call(Request::get("/hangs").body(Body::empty()).unwrap()).await
        });
        // It is at the agent when the answer to a later one is here.
        ends.call("GET", "/").await;
        ends.stop().await;
        waiting.await.unwrap().unwrap_err();
        let spans = exported.spans(DISPATCH);
        assert_eq!(spans.len(), 2);
        assert_eq!(spans[1].status, Status::Unset);
        assert_eq!(texts(spans[1].attributes.iter())[2].1, "0");
    });
}

#[test]
fn case_158_a_reply_is_a_send_span_below_its_dispatch_and_is_counted_and_timed() {
    let exported = Exported::take();
    run(async {
        let ends = Ends::start().await;
        assert_eq!(ends.call("POST", "/replies").await, 200);
        // The update is none.
        let span = exported.span("agents.named_pipe.send");
        assert_eq!(
            texts(span.attributes.iter()),
            pairs(&[
                ("agents.named_pipe.response.body_size", "5"),
                ("agents.named_pipe.response.status_code", "201"),
            ])
        );
        assert_eq!(span.status, Status::Ok);
        assert_eq!(span.parent_span_id, exported.span(DISPATCH).span_context.span_id());
        exported.flush();
        assert_eq!(exported.points("agents.named_pipe.send.count", "response"), [(vec![], 1)]);
        assert_eq!(exported.points("agents.named_pipe.send.duration", "ms"), [(vec![], 1)]);
        ends.stop().await;
    });
}
