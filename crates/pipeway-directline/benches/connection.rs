//! What the machine alone takes: headers, envelopes, and messages from one end to the other in
//! memory. `cargo bench --package pipeway-directline`.

#![allow(missing_docs, reason = "criterion's macros have none")]
#![allow(clippy::unwrap_used, reason = "what fails here is not measured")]

use std::cell::RefCell;
use std::hint::black_box;
use std::io::IoSlice;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use pipeway_directline::{
    Connection, Event, Header, Id, Kind, Limits, Pace, PayloadLength, StreamHead, StreamHeads,
};

const HEADER: &[u8] = b"S.004096.6f1c0f5e-7f3a-4c53-9a0e-2b8d1c4e5f60.0\n";

/// How much of what is sent the other end gets at once, as from a read.
const READ_BYTES: usize = 64 * 1024;

fn headers(criterion: &mut Criterion) {
    let header = Header::decode(HEADER).unwrap();
    assert_eq!(
        (header.kind, header.length),
        (Kind::Stream, PayloadLength::try_from(4096).unwrap())
    );
    criterion.bench_function("a header is written", |bench| {
        bench.iter(|| black_box(&header).encode());
    });
    criterion.bench_function("a header is read", |bench| {
        bench.iter(|| Header::decode(black_box(HEADER)));
    });
}

/// Two ends, the first of which asks.
struct Ends {
    asks: Connection,
    answers: Connection,
    now: Instant,
}

impl Ends {
    fn new(limits: &Limits) -> Ends {
        let now = Instant::now();
        let end = || Connection::new(limits.clone(), now).unwrap();
        Ends { asks: end(), answers: end(), now }
    }

    fn ask(&mut self, body: &Bytes) -> Id {
        let head =
            (!body.is_empty()).then(|| StreamHead::new("application/json", body.len() as u64));
        let heads = StreamHeads { body: head, ..StreamHeads::default() };
        let (call, keys) =
            self.asks.send_request("POST", "/api/messages", &heads, None, self.now).unwrap();
        if let Some(key) = keys.body {
            self.asks.push(key, body.clone(), self.now).unwrap();
        }
        call
    }

    fn answer(&mut self) {
        let Some(Event::Request(request)) = self.answers.next_event() else { panic!("none came") };
        self.answers.respond(request.key, 200, &StreamHeads::default(), self.now).unwrap();
    }

    fn round_trip(&mut self, body: &Bytes) {
        self.ask(body);
        carry(&mut self.asks, &mut self.answers, self.now);
        self.answer();
        carry(&mut self.answers, &mut self.asks, self.now);
        let Some(Event::Response { result: Ok(_), .. }) = self.asks.next_event() else {
            panic!("no response came")
        };
    }
}

/// Takes all that waits.
fn drain(from: &mut Connection, now: Instant) -> Bytes {
    let mut all = BytesMut::new();
    while from.has_outgoing() && all.len() < READ_BYTES {
        let mut slices = [IoSlice::new(&[]); 64];
        let count = from.outgoing(&mut slices);
        let before = all.len();
        slices[..count].iter().for_each(|slice| all.extend_from_slice(slice));
        let wrote = all.len() - before;
        from.wrote(wrote, now);
    }
    all.freeze()
}

fn carry(from: &mut Connection, to: &mut Connection, now: Instant) {
    while from.has_outgoing() {
        let bytes = drain(from, now);
        to.receive(bytes, now);
    }
}

fn envelopes(criterion: &mut Criterion) {
    criterion.bench_function("a request without a body is written", |bench| {
        let mut ends = Ends::new(&Limits::agent());
        bench.iter(|| {
            let call = ends.ask(&Bytes::new());
            ends.asks.cancel_call(&call);
            drain(&mut ends.asks, ends.now)
        });
    });
    criterion.bench_function("a request without a body is read and answered", |bench| {
        let ends = RefCell::new(Ends::new(&Limits::agent()));
        let ask = || {
            let mut ends = ends.borrow_mut();
            let call = ends.ask(&Bytes::new());
            ends.asks.cancel_call(&call);
            let now = ends.now;
            drain(&mut ends.asks, now)
        };
        let answer = |bytes: Bytes| {
            let mut ends = ends.borrow_mut();
            let now = ends.now;
            ends.answers.receive(bytes, now);
            ends.answer();
            drain(&mut ends.answers, now)
        };
        bench.iter_batched(ask, answer, BatchSize::SmallInput);
    });
}

fn messages(criterion: &mut Criterion) {
    let activity = Bytes::from(vec![b'x'; 200]);
    criterion.bench_function("an activity of 200 bytes there and its answer back", |bench| {
        let mut ends = Ends::new(&Limits::agent());
        bench.iter(|| ends.round_trip(&activity));
    });
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    let mut group = criterion.benchmark_group("a body of 1 MiB");
    group.throughput(Throughput::Bytes(body.len() as u64));
    for chunk_bytes in [4096, 65_536] {
        group.bench_function(format!("in chunks of {chunk_bytes}"), |bench| {
            let pace = Pace::Legacy;
            let mut ends = Ends::new(&Limits { chunk_bytes, pace, ..Limits::agent() });
            bench.iter(|| ends.round_trip(&body));
        });
    }
}

criterion_group!(benches, headers, envelopes, messages);
criterion_main!(benches);
