//! The platform, the gateway and the agent in one process.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use pipeway_bridge::{Gateway, GatewayConfig, Shutdown, ShutdownHandle, Summary};
use pipeway_directline::pipes::Place;
use pipeway_directline::{Body, Connector, ConnectorOptions, RawPath};
use pipeway_telemetry::{Sink, SinkOptions};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const WATCHDOG: Duration = Duration::from_secs(60);

/// What the platform says that it is.
pub const ORIGIN: &str = "urn:botframework:namedpipe:the.platform";

pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(WATCHDOG, test).await.expect("the test hangs") });
}

pub type Answering = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

/// A call that came to the platform.
#[derive(Clone, Debug)]
pub struct Called {
    pub method: String,
    pub path: String,
    pub media_type: Option<String>,
    pub body: Bytes,
}

/// An agent on a loopback port.
pub struct Agent {
    pub address: SocketAddr,
    pub connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Agent {
    /// One that answers each request with what `answer` makes of its head and its body.
    pub async fn new(
        answer: impl Fn(http::request::Parts, Bytes) -> Answering + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    let service = hyper::service::service_fn(|request: Request<Incoming>| {
                        let answer = Arc::clone(&answer);
                        async move {
                            let (parts, body) = request.into_parts();
                            let body = body.collect().await.unwrap().to_bytes();
                            Ok::<_, Infallible>(answer(parts, body).await)
                        }
                    });
                    let served = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    // One that the gateway gave up ends with an error.
                    let _ = served.await;
                });
            }
        });
        Agent { address, connections, task }
    }

    /// One that answers with a status and a body.
    pub async fn fixed(status: u16, body: &'static str) -> Self {
        Agent::new(move |_, _| Box::pin(async move { answer(status, body) })).await
    }

    /// One that answers with what it got.
    pub async fn echo() -> Self {
        Agent::new(|_, body| Box::pin(async move { answer(200, body) })).await
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response
}

/// Pipes that no other test uses.
pub fn place() -> Place {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("pipeway-gateway-{}-{next}", std::process::id()).parse().unwrap()
}

pub struct Rig {
    pub connector: Connector,
    pub place: Place,
    /// Where the agent calls back, without the secret.
    pub callback: String,
    pub called: Arc<Mutex<Vec<Called>>>,
    handle: ShutdownHandle,
    pub running: JoinHandle<Summary>,
    lines: mpsc::Receiver<String>,
    /// What was read of the lines before the end.
    told: Vec<Value>,
    events: Sink,
}

impl Rig {
    /// A gateway to `agent`, and the platform connected to it.
    pub async fn new(agent: &Agent) -> Rig {
        Rig::with(agent, |_| {}).await
    }

    pub async fn with(agent: &Agent, change: impl FnOnce(&mut GatewayConfig)) -> Rig {
        let to = format!("tcp:{}", agent.address);
        Rig::to(&to, change).await
    }

    pub async fn to(to: &str, change: impl FnOnce(&mut GatewayConfig)) -> Rig {
        let place = place();
        let (events, lines) = Sink::channel(100_000, SinkOptions::default());
        let mut config = GatewayConfig::new("gate", place.clone(), to.parse().unwrap());
        config.events = events.clone();
        change(&mut config);
        let gateway = Gateway::bind(config).await.unwrap();
        let callback = gateway.callback().to_owned();
        let (handle, shutdown) = Shutdown::new();
        let running = tokio::spawn(gateway.run(shutdown));
        let called = Arc::new(Mutex::new(Vec::new()));
        let of_platform = Arc::clone(&called);
        let service = tower_service_fn(move |call| {
            let never = call.path.ends_with("/never");
            let of_conversation = call.path == "/v3/conversations";
            of_platform.lock().unwrap().push(call);
            Box::pin(async move {
                if never {
                    std::future::pending::<()>().await;
                }
                match of_conversation {
                    true => answer(201, json!({ "id": "c", "serviceUrl": ORIGIN }).to_string()),
                    false => answer(201, r#"{"id":"r1"}"#),
                }
            })
        });
        let mut options = ConnectorOptions::default();
        options.limits.requests_max = 300;
        let connector = Connector::new(place.clone(), options, service).unwrap();
        connector.start();
        connector.ready().await.unwrap();
        Rig { connector, place, callback, called, handle, running, lines, told: Vec::new(), events }
    }

    /// Sends an activity as the platform does.
    pub async fn send(&self, activity: impl Into<Bytes>) -> (u16, Bytes) {
        let response = self.connector.client().call(message(activity)).await.unwrap();
        (response.status().as_u16(), response.into_body().into_bytes())
    }

    /// Orders the stop.
    pub fn order(&self) {
        self.handle.order();
    }

    /// Waits until an event of that kind was told.
    pub async fn until_told(&mut self, kind: &str) {
        loop {
            self.read();
            if !of(&self.told, kind).is_empty() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn read(&mut self) {
        let lines = self.lines.try_iter();
        self.told.extend(lines.map(|line| serde_json::from_str::<Value>(&line).unwrap()));
    }

    /// Stops everything; what the gateway has told.
    pub async fn end(mut self) -> (Summary, Vec<Value>) {
        self.handle.order();
        let summary = (&mut self.running).await.unwrap();
        self.connector.stop().await;
        self.events.flush();
        self.read();
        (summary, self.told)
    }
}

/// An activity's request.
pub fn message(activity: impl Into<Bytes>) -> Request<Body> {
    Request::post("/api/messages")
        .header("content-type", "application/json; charset=utf-8")
        .body(Body::from(activity.into()))
        .unwrap()
}

/// A small activity.
pub fn hello() -> Value {
    json!({ "type": "message", "serviceUrl": ORIGIN, "text": "hi" })
}

/// The `serviceUrl` of an activity.
pub fn service_url(activity: &[u8]) -> String {
    let activity: Value = serde_json::from_slice(activity).unwrap();
    activity["serviceUrl"].as_str().unwrap().to_owned()
}

/// Calls a URL on a loopback port, as an agent does.
pub async fn call(method: &str, url: &str, body: impl Into<Bytes>) -> (u16, Bytes) {
    call_as(method, url, None, body).await
}

/// The same, with a `Host` of its own.
pub async fn call_as(
    method: &str,
    url: &str,
    name: Option<&str>,
    body: impl Into<Bytes>,
) -> (u16, Bytes) {
    let rest = url.strip_prefix("http://").unwrap();
    let (authority, path) = rest.split_at(rest.find('/').unwrap());
    let stream = TcpStream::connect(authority).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", name.unwrap_or(authority))
        .header("content-type", "application/json")
        .header("user-agent", "an agent")
        .body(Full::new(body.into()))
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

/// The events of that kind.
pub fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

/// The platform's service.
fn tower_service_fn(answer: impl Fn(Called) -> Answering + Send + Sync + 'static) -> Platform {
    Platform(Arc::new(answer))
}

#[derive(Clone)]
struct Platform(Arc<dyn Fn(Called) -> Answering + Send + Sync>);

impl tower_service::Service<Request<Body>> for Platform {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let RawPath(path) = parts.extensions.get().cloned().unwrap();
        let media_type = parts.headers.get("content-type");
        let answering = (self.0)(Called {
            method: parts.method.to_string(),
            path,
            media_type: media_type.map(|value| value.to_str().unwrap().to_owned()),
            body: body.into_bytes(),
        });
        Box::pin(async move { Ok(answering.await) })
    }
}
