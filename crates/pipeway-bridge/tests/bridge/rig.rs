//! A bridge in this process between a raw client and a scripted upstream: a test says each byte
//! that either side sends, and reads each byte that arrives.
//!
//! A test is one straight script. Nothing in it needs to run at the same time, because a socket
//! takes a connection before it is accepted and a few tens of kilobytes before they are read.
//!
//! With [`run_paused`] the clock stands still and jumps to the next timer once nothing else can
//! happen. That is sound because both ends and the bridge share one thread and sockets of one
//! system: what was written is readable before the next look at the clock.
//! Pipes are completed by the system at its own time, so there such a test is left out.

use std::cell::Cell;
use std::future::Future;
use std::panic::Location;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use pipeway_bridge::{Bridge, BridgeConfig, Shutdown, ShutdownHandle, Summary};
use pipeway_telemetry::{Sink, SinkOptions};
use pipeway_transport::{
    ConnectOptions, Endpoint, ErrorKind, ListenOptions, Listener, Stream, connect,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// How long a test may take by the wall's clock.
const DEADLINE: Duration = Duration::from_secs(30);

thread_local! {
    /// The line of the test that waits, told where it waits for ever.
    static WAITS_AT: Cell<Option<&'static Location<'static>>> = const { Cell::new(None) };
}

/// Runs a test against the real clock; it fails if it is not done within the deadline.
pub fn run(test: impl Future<Output = ()>) {
    drive(test, false);
}

/// Runs a test against a clock that stands still, and jumps to the next timer when idle.
pub fn run_paused(test: impl Future<Output = ()>) {
    drive(test, true);
}

fn drive(test: impl Future<Output = ()>, paused: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(paused)
        .build()
        .expect("a runtime");
    let (done_tx, done_rx) = std::sync::mpsc::channel::<()>();
    let (late_tx, late_rx) = oneshot::channel();
    std::thread::spawn(move || {
        if done_rx.recv_timeout(DEADLINE) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let _ = late_tx.send(());
        if done_rx.recv_timeout(Duration::from_secs(10)) == Err(RecvTimeoutError::Timeout) {
            // The runtime's thread does not even look at the message: a loop that never waits.
            eprintln!("the test's thread spins without waiting");
            std::process::abort();
        }
    });
    runtime.block_on(async {
        tokio::select! {
            () = test => {}
            Ok(()) = late_rx => {
                panic!("nothing happened within {DEADLINE:?}, waiting at {:?}", WAITS_AT.get())
            }
        }
    });
    drop(runtime);
    drop(done_tx);
}

/// A bridge between a client and an upstream of the test's own.
pub struct Rig {
    pub upstream: Upstream,
    pub listen: Endpoint,
    shutdown: ShutdownHandle,
    bridge: JoinHandle<Summary>,
    events: mpsc::UnboundedReceiver<String>,
    folder: TempDir,
}

impl Rig {
    /// A bridge with every default.
    pub fn start() -> Rig {
        Rig::with(|_| {})
    }

    /// A bridge whose configuration `change` has gone over.
    pub fn with(change: impl FnOnce(&mut BridgeConfig)) -> Rig {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let upstream = Upstream::bind(&own_endpoint(&folder, "upstream"));
        let (sink, lines) = Sink::channel(4096, SinkOptions::default());
        let (events_tx, events) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            while let Ok(line) = lines.recv() {
                if events_tx.send(line).is_err() {
                    break;
                }
            }
        });
        let mut config =
            BridgeConfig::new("rig", own_endpoint(&folder, "bridge"), upstream.endpoint().clone());
        config.events = sink;
        change(&mut config);
        let bridge = Bridge::bind(config).unwrap_or_else(|error| panic!("{error}"));
        let listen = bridge.endpoint().clone();
        let (shutdown, ordered) = Shutdown::new();
        let bridge = tokio::spawn(bridge.run(ordered));
        Rig { upstream, listen, shutdown, bridge, events, folder }
    }

    /// An endpoint that nobody else uses, for a further listener.
    pub fn own_endpoint(&self, name: &str) -> Endpoint {
        own_endpoint(&self.folder, name)
    }

    /// The folder of this test's files.
    #[cfg(unix)] // Only the tests of sockets look into it.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A new client's connection to the bridge.
    #[track_caller]
    pub fn client(&self) -> impl Future<Output = Wire> + use<> {
        let at = Location::caller();
        let listen = self.listen.clone();
        async move {
            WAITS_AT.set(Some(at));
            let stream = connect(&listen, &ConnectOptions::default()).await;
            Wire::new(stream.unwrap_or_else(|error| panic!("{error}, at {at}")))
        }
    }

    /// One request on a connection of its own, sent whole; the client is returned.
    pub async fn client_that_sent(&self, request: impl AsRef<[u8]>) -> Wire {
        let mut client = self.client().await;
        client.send(request).await;
        client
    }

    /// Gives the order to stop without waiting.
    pub fn order_stop(&self) {
        self.shutdown.order();
    }

    /// Waits until the bridge has stopped, after [`Rig::order_stop`].
    pub async fn stopped(&mut self) -> Summary {
        (&mut self.bridge).await.expect("the bridge does not panic")
    }

    /// Stops the bridge, and returns what it did.
    pub async fn stop(&mut self) -> Summary {
        self.order_stop();
        self.stopped().await
    }

    /// Stops the bridge, and fails if it ever connected to the upstream and was not accepted.
    #[track_caller]
    pub fn upstream_saw_nothing(&mut self) -> impl Future<Output = ()> + '_ {
        let at = Location::caller();
        async move {
            self.stop().await;
            WAITS_AT.set(Some(at));
            // The queue is in order: whatever the bridge had dialled would be accepted first.
            let endpoint = self.upstream.endpoint().clone();
            let own = connect(&endpoint, &ConnectOptions::default()).await.expect("connects");
            Wire::new(own).send("the test's own").await;
            let seen = self.upstream.accept().await.until_end().await;
            assert_eq!(
                String::from_utf8_lossy(&seen),
                "the test's own",
                "the upstream was dialled, at {at}"
            );
        }
    }

    /// The next event of `kind`; others are skipped.
    #[track_caller]
    pub fn event<'a>(&'a mut self, kind: &'a str) -> impl Future<Output = Value> + 'a {
        let at = Location::caller();
        async move {
            loop {
                WAITS_AT.set(Some(at));
                let line = self.events.recv().await.expect("the sink lives");
                let event: Value = serde_json::from_str(&line)
                    .unwrap_or_else(|error| panic!("not JSON: {error}: {line}"));
                if event["event"] == kind {
                    return event;
                }
            }
        }
    }
}

/// An endpoint in `folder`, where sockets have paths; elsewhere a name of its own.
fn own_endpoint(folder: &TempDir, name: &str) -> Endpoint {
    let text = if cfg!(unix) {
        format!("unix:{}/{name}.sock", folder.path().display())
    } else {
        let unique = folder.path().file_name().expect("a name").to_string_lossy();
        format!("local:{}-{name}", unique.trim_start_matches('.'))
    };
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The listener of the service that the bridge stands before.
pub struct Upstream {
    listener: Listener,
}

impl Upstream {
    pub fn bind(endpoint: &Endpoint) -> Upstream {
        Upstream::bind_with(endpoint, &ListenOptions::default())
    }

    pub fn bind_with(endpoint: &Endpoint, options: &ListenOptions) -> Upstream {
        let listener = Listener::bind(endpoint, options);
        Upstream { listener: listener.unwrap_or_else(|error| panic!("{error}")) }
    }

    /// As [`Upstream::bind`], where the last listener of that name has been dropped and, as with
    /// a pipe, may still be ending.
    pub async fn bind_when_free(endpoint: &Endpoint) -> Upstream {
        loop {
            match Listener::bind(endpoint, &ListenOptions::default()) {
                Ok(listener) => return Upstream { listener },
                Err(error) if error.kind() == ErrorKind::InUse => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub fn endpoint(&self) -> &Endpoint {
        self.listener.endpoint()
    }

    /// The next connection.
    #[track_caller]
    pub fn accept(&mut self) -> impl Future<Output = Wire> + '_ {
        let at = Location::caller();
        async move {
            WAITS_AT.set(Some(at));
            let (stream, _) =
                self.listener.accept().await.unwrap_or_else(|error| panic!("{error}"));
            Wire::new(stream)
        }
    }
}

/// One connection, either the client's or the upstream's end, byte by byte.
pub struct Wire {
    stream: Stream,
    unread: Vec<u8>,
}

/// A head as it stood on the wire.
#[derive(Debug, Clone)]
pub struct Head {
    /// The request line or the status line.
    pub first: String,
    /// The fields in order, with their names as written.
    pub fields: Vec<(String, String)>,
}

/// A message as it stood on the wire.
#[derive(Debug)]
pub struct Message {
    pub head: Head,
    pub body: Vec<u8>,
    /// The size of each chunk; empty where the body was not chunked.
    pub chunks: Vec<usize>,
    pub trailers: Vec<(String, String)>,
}

/// A body that ended before its framing said so: what came of it.
#[derive(Debug)]
pub struct Cut(pub Vec<u8>);

impl Wire {
    pub fn new(stream: Stream) -> Wire {
        Wire { stream, unread: Vec::new() }
    }

    /// The stream itself, for a test that writes and reads at once.
    pub fn into_stream(self) -> Stream {
        assert!(self.unread.is_empty(), "bytes were read and not looked at");
        self.stream
    }

    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            WAITS_AT.set(Some(at));
            let sent = self.stream.write_all(bytes.as_ref()).await;
            sent.unwrap_or_else(|error| panic!("sending at {at}: {error}"));
        }
    }

    /// Sends, whether or not the other end still reads.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Sends one byte at a time, and lets everybody act in between.
    pub async fn send_slowly(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            self.send([*byte]).await;
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits until something can be read, and leaves it where it is.
    #[cfg(unix)] // Only a test of sockets wants it.
    #[track_caller]
    pub fn stream_readable(&mut self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            WAITS_AT.set(Some(at));
            while self.stream.probe() == pipeway_transport::Probe::Quiet {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Ends the sending half.
    pub async fn end_sending(&mut self) {
        self.stream.shutdown().await.expect("half-closes");
    }

    /// Reads once more; false at the end, be it an orderly one or not.
    #[track_caller]
    fn fill(&mut self) -> impl Future<Output = bool> {
        let at = Location::caller();
        async move {
            WAITS_AT.set(Some(at));
            self.unread.reserve(64 * 1024);
            matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..))
        }
    }

    /// Exactly `count` bytes.
    #[track_caller]
    pub fn take(&mut self, count: usize) -> impl Future<Output = Vec<u8>> {
        let at = Location::caller();
        async move {
            while self.unread.len() < count {
                WAITS_AT.set(Some(at));
                assert!(
                    self.fill().await,
                    "the connection ended at {at} after {:?}, wanted {count} bytes",
                    String::from_utf8_lossy(&self.unread)
                );
            }
            self.unread.drain(..count).collect()
        }
    }

    /// Everything up to and with `mark`; `None` if the end came first.
    async fn take_through(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(mark.len()).position(|window| window == mark) {
                return Some(self.unread.drain(..at + mark.len()).collect());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Fails unless exactly `expected` comes next.
    #[track_caller]
    pub fn expect<'a>(
        &'a mut self,
        expected: &'a (impl AsRef<[u8]> + ?Sized),
    ) -> impl Future<Output = ()> + 'a {
        let at = Location::caller();
        async move {
            let expected = expected.as_ref();
            let mut got = Vec::new();
            while got.len() < expected.len() {
                if self.unread.is_empty() {
                    WAITS_AT.set(Some(at));
                    if !self.fill().await {
                        break;
                    }
                }
                let count = self.unread.len().min(expected.len() - got.len());
                got.extend(self.unread.drain(..count));
                if !expected.starts_with(&got) {
                    break;
                }
            }
            assert_eq!(
                String::from_utf8_lossy(&got),
                String::from_utf8_lossy(expected),
                "what came at {at}"
            );
        }
    }

    /// Everything until the end of the connection, orderly or not.
    #[track_caller]
    pub fn until_end(&mut self) -> impl Future<Output = Vec<u8>> {
        let at = Location::caller();
        async move {
            WAITS_AT.set(Some(at));
            while self.fill().await {}
            std::mem::take(&mut self.unread)
        }
    }

    /// Fails unless the connection ends with nothing left to read.
    #[track_caller]
    pub fn ends(&mut self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            let rest = self.until_end().await;
            assert_eq!(String::from_utf8_lossy(&rest), "", "what came before the end, at {at}");
        }
    }

    /// Fails unless the connection ends with nothing left to read, where its transport lets the
    /// bridge end its half at once; elsewhere the bridge waits a while for the client to close.
    #[track_caller]
    pub fn ends_after_refusal(&mut self) -> impl Future<Output = ()> {
        let at = Location::caller();
        async move {
            if self.stream.can_half_close() {
                let rest = self.until_end().await;
                assert_eq!(String::from_utf8_lossy(&rest), "", "what came before the end, at {at}");
            }
        }
    }

    /// The next head.
    #[track_caller]
    pub fn head(&mut self) -> impl Future<Output = Head> {
        let at = Location::caller();
        async move { self.head_for(at).await }
    }

    /// The next request, whole.
    #[track_caller]
    pub fn request(&mut self) -> impl Future<Output = Message> {
        let at = Location::caller();
        async move {
            let head = self.head_for(at).await;
            let length = head.length().unwrap_or(Length::Bytes(0));
            let body = self.body(head, length).await;
            body.unwrap_or_else(|cut| panic!("the request was cut, at {at}: {cut:?}"))
        }
    }

    /// The next answer to anything but HEAD, whole; an informational one counts.
    #[track_caller]
    pub fn answer(&mut self) -> impl Future<Output = Message> {
        let at = Location::caller();
        async move {
            let answer = self.answer_for(at).await;
            answer.unwrap_or_else(|cut| {
                panic!("the answer was cut, at {at}: {:?}", String::from_utf8_lossy(&cut.0))
            })
        }
    }

    /// The next answer, or what came of it before the connection ended.
    #[track_caller]
    pub fn answer_or_cut(&mut self) -> impl Future<Output = Result<Message, Cut>> {
        let at = Location::caller();
        async move { self.answer_for(at).await }
    }

    /// Fails unless the next answer has `status` and says `kind` in its JSON body.
    #[track_caller]
    pub fn refusal(&mut self, status: u16, kind: &str) -> impl Future<Output = Message> {
        let at = Location::caller();
        async move {
            let answer = self.answer_for(at).await;
            let answer = answer.unwrap_or_else(|cut| panic!("cut, at {at}: {cut:?}"));
            assert_eq!(
                (answer.head.status(), answer.error_kind().as_str()),
                (status, kind),
                "at {at}: {}",
                String::from_utf8_lossy(&answer.body)
            );
            answer
        }
    }

    async fn head_for(&mut self, at: &'static Location<'static>) -> Head {
        WAITS_AT.set(Some(at));
        match self.take_through(b"\r\n\r\n").await {
            Some(bytes) => Head::parse(&bytes),
            None => panic!(
                "the connection ended before a head, at {at}, after {:?}",
                String::from_utf8_lossy(&self.unread)
            ),
        }
    }

    async fn answer_for(&mut self, at: &'static Location<'static>) -> Result<Message, Cut> {
        let head = self.head_for(at).await;
        let length = match head.status() {
            100..200 | 204 | 304 => Length::Bytes(0),
            _ => head.length().unwrap_or(Length::UntilEnd),
        };
        self.body(head, length).await
    }

    async fn body(&mut self, head: Head, length: Length) -> Result<Message, Cut> {
        let mut message = Message { head, body: vec![], chunks: vec![], trailers: vec![] };
        match length {
            Length::Bytes(count) => {
                while self.unread.len() < count {
                    if !self.fill().await {
                        return Err(Cut(std::mem::take(&mut self.unread)));
                    }
                }
                message.body = self.unread.drain(..count).collect();
            }
            Length::UntilEnd => message.body = self.until_end().await,
            Length::Chunks => loop {
                let Some(line) = self.take_through(b"\r\n").await else {
                    return Err(Cut(message.body));
                };
                let line = std::str::from_utf8(&line).expect("a chunk's size");
                let text = line.split(';').next().expect("a size").trim_end();
                let size = usize::from_str_radix(text, 16)
                    .unwrap_or_else(|_| panic!("not a plain chunk size: {text:?}"));
                if size == 0 {
                    loop {
                        let Some(line) = self.take_through(b"\r\n").await else {
                            return Err(Cut(message.body));
                        };
                        if line == b"\r\n" {
                            return Ok(message);
                        }
                        message.trailers.push(field(&line));
                    }
                }
                while self.unread.len() < size + 2 {
                    if !self.fill().await {
                        message.body.append(&mut self.unread);
                        return Err(Cut(message.body));
                    }
                }
                message.chunks.push(size);
                message.body.extend(self.unread.drain(..size));
                let end: Vec<u8> = self.unread.drain(..2).collect();
                assert_eq!(end, b"\r\n", "a chunk ends with a line's end");
            },
        }
        Ok(message)
    }
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Bytes(usize),
    Chunks,
    UntilEnd,
}

impl Head {
    fn parse(bytes: &[u8]) -> Head {
        let text = bytes.strip_suffix(b"\r\n\r\n").expect("a head");
        let mut lines = text.split(|byte| *byte == b'\n').map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            assert!(!line.contains(&b'\r'), "a bare CR in {:?}", String::from_utf8_lossy(bytes));
            line
        });
        let first = String::from_utf8_lossy(lines.next().expect("a first line")).into_owned();
        Head { first, fields: lines.map(field).collect() }
    }

    /// The status of an answer.
    pub fn status(&self) -> u16 {
        let mut words = self.first.split(' ');
        assert_eq!(words.next(), Some("HTTP/1.1"), "{}", self.first);
        words.next().expect("a status").parse().expect("a number")
    }

    /// The value of the one field of this name, in whatever case; `None` if there is none.
    #[track_caller]
    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "{name} stands there more than once: {all:?}");
        all.first().copied()
    }

    /// The values of the fields of this name, in whatever case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = self.fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// The framing, where the head says any.
    #[track_caller]
    pub fn length(&self) -> Option<Length> {
        let length = self.get("content-length").map(|text| text.parse().expect("a number"));
        match (self.get("transfer-encoding"), length) {
            (Some("chunked"), None) => Some(Length::Chunks),
            (None, Some(count)) => Some(Length::Bytes(count)),
            (None, None) => None,
            both => panic!("unsound framing: {both:?}"),
        }
    }

    /// Whether the sender closes the connection after this message.
    pub fn closes(&self) -> bool {
        self.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Message {
    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// `error.type` of a JSON body made by the bridge, which has a message as well.
    #[track_caller]
    pub fn error_kind(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            panic!("not JSON: {} {:?}", self.head.first, String::from_utf8_lossy(&self.body))
        });
        assert_eq!(self.head.get("content-type"), Some("application/json"));
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(!message.is_empty());
        assert!(body["error"]["hint"].is_string(), "a hint: {body}");
        body["error"]["type"].as_str().expect("a type").to_owned()
    }
}

fn field(line: &[u8]) -> (String, String) {
    let line = String::from_utf8_lossy(line);
    let (name, value) = line.trim_end().split_once(':').unwrap_or_else(|| panic!("{line:?}"));
    (name.to_owned(), value.trim().to_owned())
}

/// Bytes that differ from place to place, so that a shifted or repeated piece is seen.
pub fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8 ^ (at / 65_521) as u8).collect()
}

/// `body` as chunks of `size` bytes, with the last one.
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut coded = Vec::new();
    for piece in body.chunks(size) {
        coded.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        coded.extend(piece);
        coded.extend(b"\r\n");
    }
    coded.extend(b"0\r\n\r\n");
    coded
}

/// An answer with a body of known length.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A request without a body.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: pipe\r\n\r\n")
}

/// A request with a body of known length.
pub fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: pipe\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
