//! How often memory is allocated. The bounds are what was counted, so that what allocates in addition
//! is seen.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io::IoSlice;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use pipeway_directline::pipes::Place;
use pipeway_directline::{
    Body, Connection, Connector, ConnectorOptions, Event, Header, Limits, Pace, Server,
    ServerOptions, StreamHead, StreamHeads,
};

/// How many round trips are counted; the average is told.
const ROUNDS: u64 = 256;

#[test]
fn a_header_is_written_and_read_without_an_allocation() {
    let bytes = b"S.004096.6f1c0f5e-7f3a-4c53-9a0e-2b8d1c4e5f60.0\n";
    let mut written = [0; 48];
    let counted = measure(|| written = Header::decode(bytes).unwrap().encode().unwrap());
    assert_eq!(&written, bytes);
    assert_eq!(counted.count_total, 0);
}

#[test]
fn frames_of_a_stream_are_made_without_an_allocation() {
    let now = Instant::now();
    let limits = Limits { pace: Pace::Modern, ..Limits::agent() };
    let mut end = Connection::new(limits, now).unwrap();
    let length = 64 * 4096;
    let head = Some(StreamHead::new("a/b", length));
    let heads = StreamHeads { body: head, ..StreamHeads::default() };
    let (_, keys) = end.send_request("POST", "/", &heads, None, now).unwrap();
    let content = Bytes::from(vec![0; usize::try_from(length).unwrap()]);
    end.push(keys.body.unwrap(), content, now).unwrap();
    // The queue of frames has its size with the first write.
    let mut left = 0;
    for counts in [false, true] {
        let mut slices = [IoSlice::new(&[]); 16];
        let mut wrote = 0;
        let counted = measure(|| {
            let count = end.outgoing(&mut slices);
            wrote = slices[..count].iter().map(|slice| slice.len()).sum();
        });
        end.wrote(wrote, now);
        assert!(wrote > 7 * 4096);
        assert!(!counts || counted.count_total == 0, "{counted:?}");
        left += wrote;
    }
    assert!(left < 64 * 4096);
}

/// Takes all that waits.
fn drain(end: &mut Connection, into: &mut BytesMut, now: Instant) {
    while end.has_outgoing() {
        let mut slices = [IoSlice::new(&[]); 64];
        let count = end.outgoing(&mut slices);
        let before = into.len();
        slices[..count].iter().for_each(|slice| into.extend_from_slice(slice));
        let wrote = into.len() - before;
        end.wrote(wrote, now);
    }
}

#[test]
fn a_small_round_trip_takes_few_allocations_at_each_end() {
    let now = Instant::now();
    let new = || Connection::new(Limits::agent(), now).unwrap();
    let (mut asks, mut answers) = (new(), new());
    let activity = Bytes::from_static(&[b'x'; 200]);
    let (mut asking, mut answering) = (0, 0);
    let mut wire = BytesMut::with_capacity(1 << 20);
    for round in 0..ROUNDS + 16 {
        let asked = measure(|| {
            let head = Some(StreamHead::new("application/json", 200));
            let heads = StreamHeads { body: head, ..StreamHeads::default() };
            let sent = asks.send_request("POST", "/api/messages", &heads, None, now);
            asks.push(sent.unwrap().1.body.unwrap(), activity.clone(), now).unwrap();
            drain(&mut asks, &mut wire, now);
        });
        let request = wire.split().freeze();
        let answered = measure(|| {
            answers.receive(request, now);
            let Some(Event::Request(request)) = answers.next_event() else { panic!("none came") };
            answers.respond(request.key, 200, &StreamHeads::default(), now).unwrap();
            drain(&mut answers, &mut wire, now);
        });
        let response = wire.split().freeze();
        let received = measure(|| {
            asks.receive(response, now);
            assert!(matches!(asks.next_event(), Some(Event::Response { result: Ok(_), .. })));
        });
        // What grows with the first ones is there then.
        if round >= 16 {
            asking += asked.count_total + received.count_total;
            answering += answered.count_total;
        }
    }
    let (asking, answering) = (asking / ROUNDS, answering / ROUNDS);
    assert!(asking <= 12, "{asking} at the end that asks");
    assert!(answering <= 13, "{answering} at the end that answers");
}

#[derive(Clone)]
struct Answers;

impl tower_service::Service<Request<Body>> for Answers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(Body::empty())))
    }
}

/// Both ends, after what grows with the first calls.
async fn ends(name: &str) -> (Server, Connector) {
    let place: Place = format!("pipeway-{name}-{}", std::process::id()).parse().unwrap();
    let server = Server::new(place.clone(), ServerOptions::default(), Answers).unwrap();
    server.start();
    let connector = Connector::new(place, ConnectorOptions::default(), Answers).unwrap();
    connector.start();
    let both = async { tokio::join!(server.ready(), connector.ready()) };
    let (served, connected) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    served.unwrap();
    connected.unwrap();
    for _ in 0..16 {
        call(&connector, Body::from(&[b'x'; 200][..])).await;
    }
    (server, connector)
}

async fn call(connector: &Connector, body: Body) {
    let request = Request::post("/api/messages").body(body).unwrap();
    assert_eq!(connector.client().call(request).await.unwrap().status(), 200);
}

#[test]
fn a_call_over_real_pipes_takes_few_allocations_at_both_ends_together() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, connector) = runtime.block_on(ends("calls"));
    let counted = measure(|| {
        runtime.block_on(async {
            for _ in 0..ROUNDS {
                call(&connector, Body::from(&[b'x'; 200][..])).await;
            }
        });
    });
    runtime.block_on(async { tokio::join!(server.stop(), connector.stop()) });
    let each = counted.count_total / ROUNDS;
    // The API of OpenTelemetry takes a few for spans that go nowhere.
    let most = if cfg!(feature = "otel") { 50 } else { 44 };
    // On named pipes the runtime takes memory for each write.
    let most = if cfg!(windows) { most + 8 } else { most };
    assert!(each <= most, "{each} for each call");
}

#[test]
fn the_memory_of_a_long_body_is_kept_for_the_next_one_and_let_go_after_a_second() {
    const LENGTH: usize = 40 << 20;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, connector) = runtime.block_on(ends("bodies"));
    let body = Bytes::from(vec![b'x'; LENGTH]);
    let upload = || measure(|| runtime.block_on(call(&connector, Body::from(body.clone()))));
    let (first, second) = (upload(), upload());
    let kept = i64::try_from(LENGTH).unwrap();
    assert!(first.bytes_current >= kept, "{first:?}");
    assert!(second.bytes_current < 1 << 20 && second.bytes_total < 1 << 22, "{second:?}");
    let later = measure(|| {
        runtime.block_on(async {
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(2)).await;
            tokio::time::resume();
            call(&connector, Body::empty()).await;
        });
    });
    assert!(later.bytes_current <= -kept, "{later:?}");
    runtime.block_on(async { tokio::join!(server.stop(), connector.stop()) });
}
