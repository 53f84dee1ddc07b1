//! Sessions of both ends over real pipes, with a peer that is written out by hand: the cases L and K
//! of the conformance list, and those of M that depend on the driver. Each test begins with the
//! number of its case.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod abuse;
mod agent;
mod calls;
mod connector;
#[cfg(target_os = "linux")]
mod pace;
mod phases;
mod stop;
mod wire;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::{any, get};
use bytes::Bytes;
use http::StatusCode;
use pipeway_directline::pipes::{PairListenOptions, Place};
use pipeway_directline::{
    Connector, ConnectorOptions, ErrorKind, Limits, Observer, Server, ServerOptions, SessionEvent,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// No wait of a test takes longer, even under Wine on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Long enough to see that something does not happen.
const MOMENT: Duration = Duration::from_millis(50);

/// In place of the limits' times, where a test waits for one.
const SHORT: Duration = Duration::from_millis(300);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { within(test).await });
}

async fn within<T>(wait: impl Future<Output = T>) -> T {
    timeout(LIMIT, wait).await.expect("it hangs")
}

async fn stays_pending<T>(wait: impl Future<Output = T>, what: &str) {
    assert!(timeout(MOMENT, wait).await.is_err(), "{what}");
}

/// A place that no other test and no other run uses.
fn place() -> Place {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let moment = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    format!("pipeway-dls-{}-{count}-{moment}", std::process::id()).parse().unwrap()
}

/// What an end tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Connecting,
    NotConnected { again: bool },
    Connected,
    Disconnected(Option<ErrorKind>),
    HandlerTimedOut { request: String, kind: ErrorKind },
}

type ToldRx = mpsc::UnboundedReceiver<Told>;

fn observer() -> (Observer, ToldRx) {
    let (told_tx, told_rx) = mpsc::unbounded_channel();
    let observer = Observer::new(move |event| {
        eprintln!("{event:?}");
        let told = match event {
            SessionEvent::Connecting => Told::Connecting,
            SessionEvent::NotConnected { retry_in, .. } => {
                Told::NotConnected { again: retry_in.is_some() }
            }
            SessionEvent::Connected => Told::Connected,
            SessionEvent::Disconnected { error, .. } => {
                Told::Disconnected(error.map(pipeway_directline::Error::kind))
            }
            SessionEvent::HandlerTimedOut { id, error } => {
                Told::HandlerTimedOut { request: id.to_string(), kind: error.kind() }
            }
            _ => return,
        };
        // The test may be over.
        let _ = told_tx.send(told);
    });
    (observer, told_rx)
}

/// The next end of a session.
async fn disconnected(told_rx: &mut ToldRx) -> Option<ErrorKind> {
    loop {
        if let Told::Disconnected(error) = within(told_rx.recv()).await.unwrap() {
            return error;
        }
    }
}

/// How many requests to `/never` are being worked on.
static WORKING: AtomicUsize = AtomicUsize::new(0);

struct Working;

impl Drop for Working {
    fn drop(&mut self) {
        WORKING.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn never() {
    WORKING.fetch_add(1, Ordering::SeqCst);
    let _working = Working;
    std::future::pending::<()>().await;
}

/// The body of an answer: `sent`, and then never any more of `length`.
struct Stalls {
    sent: Option<Bytes>,
    length: Option<u64>,
}

impl http_body::Body for Stalls {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        match self.sent.take() {
            Some(sent) => Poll::Ready(Some(Ok(http_body::Frame::data(sent)))),
            None => Poll::Pending,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length.map_or_else(http_body::SizeHint::new, http_body::SizeHint::with_exact)
    }
}

async fn stalls(length: Option<u64>) -> axum::body::Body {
    axum::body::Body::new(Stalls { sent: Some(Bytes::from_static(&[7; 4096])), length })
}

/// Waits until the work on every request has ended.
async fn none_works() {
    within(async {
        while WORKING.load(Ordering::SeqCst) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn router() -> Router {
    Router::new()
        .route("/echo", any(async |body: axum::body::Bytes| body))
        .route("/bytes/{length}", get(async |Path(length): Path<usize>| vec![7; length]))
        .route("/never", any(never))
        .route("/stalls", get(|| stalls(Some(1 << 20))))
        .route("/stalls-untold", get(|| stalls(None)))
}

fn server_options(limits: Limits, observer: Observer) -> ServerOptions {
    ServerOptions {
        limits,
        observer,
        pause: Duration::from_millis(1),
        listen: PairListenOptions {
            bind_attempts: 3,
            bind_pause: Duration::from_millis(20),
            ..PairListenOptions::default()
        },
        ..ServerOptions::default()
    }
}

/// An agent's end of this crate's, that was started.
struct Agent {
    server: Server,
    place: Place,
    told_rx: ToldRx,
}

impl Agent {
    fn start() -> Agent {
        Agent::with(Limits::agent())
    }

    fn with(limits: Limits) -> Agent {
        let (observer, told_rx) = observer();
        let place = place();
        let server =
            Server::new(place.clone(), server_options(limits, observer), router()).unwrap();
        server.start();
        Agent { server, place, told_rx }
    }

    /// A connector that is connected, and served.
    async fn peer(&self) -> wire::Wire {
        wire::Wire::connect_served(&self.place).await
    }

    /// Another session works after the one before.
    async fn assert_serves_again(&self) {
        self.peer().await.assert_alive().await;
    }

    async fn disconnected(&mut self) -> Option<ErrorKind> {
        disconnected(&mut self.told_rx).await
    }

    /// The next request that the service took too long for.
    async fn timed_out(&mut self) -> (String, ErrorKind) {
        loop {
            let told = within(self.told_rx.recv()).await.unwrap();
            if let Told::HandlerTimedOut { request, kind } = told {
                return (request, kind);
            }
        }
    }
}

/// A connector's end of this crate's, that was started.
struct Caller {
    connector: Connector,
    told_rx: ToldRx,
}

impl Caller {
    fn start(place: &Place) -> Caller {
        Caller::with(place, Limits::connector())
    }

    fn with(place: &Place, limits: Limits) -> Caller {
        Caller::serving(place, limits, router())
    }

    fn serving(place: &Place, limits: Limits, router: Router) -> Caller {
        let (observer, told_rx) = observer();
        let options = ConnectorOptions { limits, observer, ..ConnectorOptions::default() };
        let connector = Connector::new(place.clone(), options, router).unwrap();
        connector.start();
        Caller { connector, told_rx }
    }

    /// A connector and the agent that it is connected to.
    async fn with_agent(limits: Limits) -> (Caller, wire::Gate, wire::Wire) {
        let place = place();
        let mut gate = wire::Gate::bind(&place);
        let caller = Caller::with(&place, limits);
        let wire = gate.accept().await;
        within(caller.connector.ready()).await.unwrap();
        (caller, gate, wire)
    }

    /// Asks for a path, in a task of its own.
    fn ask(&self, path: &str) -> tokio::task::JoinHandle<Answer> {
        let client = self.connector.client().clone();
        let request = http::Request::get(path).body(pipeway_directline::Body::empty()).unwrap();
        tokio::spawn(async move { client.call(request).await })
    }

    async fn disconnected(&mut self) -> Option<ErrorKind> {
        disconnected(&mut self.told_rx).await
    }
}

type Answer = Result<http::Response<pipeway_directline::Body>, pipeway_directline::Error>;
