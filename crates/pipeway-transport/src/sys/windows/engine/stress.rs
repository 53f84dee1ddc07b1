//! Random conversations over pipes: sizes, waits that are given up, drops and closes, from both
//! ends. What one end was told is written must be what the other reads, and nothing may be left.

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::super::handles;
use super::super::pipe::{Instance, Pipe};
use super::super::security::{Descriptor, current_user};
use super::Worker;
use super::buffer::{LARGE_BYTES, LIVE};
use super::handle::OPEN;
use super::left;
use crate::{Direction, HalfClose, PipeName};

/// How many operations there are, where nothing else is asked for.
const OPERATIONS: u64 = 50_000;

/// The variable that asks for another number.
const OPERATIONS_VARIABLE: &str = "PIPEWAY_STRESS_OPERATIONS";

/// The variable that has a run begin with the seed that a failed one told.
const SEED_VARIABLE: &str = "PIPEWAY_STRESS_SEED";

/// How many conversations go on at once.
const AT_ONCE: u64 = 8;

/// No conversation takes longer, nor does anything else here, or something hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Steele's and Vigna's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Mostly small, sometimes larger than all buffers together.
    fn size(&mut self) -> usize {
        let bound = match self.below(16) {
            0 => 300_000,
            1..4 => 70_000,
            4..8 => 5_000,
            _ => 100,
        };
        1 + self.below(bound) as usize
    }
}

/// What stands at each place of a direction's bytes: so a lost or doubled one shows.
fn byte_at(place: u64) -> u8 {
    (place ^ (place >> 8) ^ (place >> 16)) as u8
}

/// How one end's conversation went.
#[derive(Debug, Default)]
struct Told {
    written: u64,
    read: u64,
    operations: u64,
    /// Everything that was sent was read, up to the end.
    whole: bool,
}

/// How a conversation may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Each end says that it has ended, and reads until the other has.
    InOrder,
    /// The client sends, closes, and goes away; the server reads all of it.
    TailLeft,
    /// Both are dropped at any moment.
    Dropped,
}

/// Writes so many bytes, in pieces, some of them given up while they wait. Stops where the other
/// end is gone.
async fn send(pipe: &mut (impl AsyncWrite + Unpin), random: &mut Random, told: &mut Told) -> bool {
    let mut left = random.size();
    while left > 0 {
        let piece: Vec<u8> = (0..left.min(1 + random.below(150_000) as usize))
            .map(|index| byte_at(told.written + index as u64))
            .collect();
        told.operations += 1;
        let (first, second) = piece.split_at(random.below(piece.len() as u64 + 1) as usize);
        let parts = [IoSlice::new(first), IoSlice::new(second)];
        let give_up = random.once_in(4);
        let written = poll_fn(|cx| match Pin::new(&mut *pipe).poll_write_vectored(cx, &parts) {
            Poll::Pending if give_up => Poll::Ready(None),
            polled => polled.map(Some),
        })
        .await;
        match written {
            None => yield_now().await,
            Some(Ok(count)) => {
                told.written += count as u64;
                left -= count;
            }
            Some(Err(error)) => {
                assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
                return false;
            }
        }
    }
    true
}

/// Reads once, or gives up where nothing is there. Whether it was the end.
async fn receive(
    pipe: &mut (impl AsyncRead + Unpin),
    random: &mut Random,
    told: &mut Told,
    buffer: &mut [u8],
) -> bool {
    told.operations += 1;
    let room = random.size().min(buffer.len());
    let give_up = random.once_in(4);
    let mut buf = ReadBuf::new(&mut buffer[..room]);
    let read = poll_fn(|cx| match Pin::new(&mut *pipe).poll_read(cx, &mut buf) {
        Poll::Pending if give_up => Poll::Ready(None),
        polled => polled.map(Some),
    })
    .await;
    match read {
        None => {
            yield_now().await;
            false
        }
        Some(read) => {
            read.unwrap();
            for &byte in buf.filled() {
                assert_eq!(byte, byte_at(told.read), "at {}", told.read);
                told.read += 1;
            }
            buf.filled().is_empty()
        }
    }
}

/// One end's part. `rounds` of sending, reading meanwhile.
async fn converse(pipe: Pipe, mut random: Random, way: Way, server: bool) -> Told {
    let rounds = 1 + random.below(12);
    let (mut reading, mut writing) = tokio::io::split(pipe);
    let (mut sent, mut got) = (Told::default(), Told::default());
    let mut random_of_reader = Random(random.next());
    let sends = way != Way::TailLeft || !server;
    let reads = way != Way::TailLeft || server;
    let drops_after = match way {
        Way::Dropped => random.below(60),
        Way::InOrder | Way::TailLeft => u64::MAX,
    };
    let sender = async {
        for _ in 0..if sends { rounds } else { 0 } {
            if sent.operations >= drops_after || !send(&mut writing, &mut random, &mut sent).await {
                break;
            }
        }
        if way != Way::Dropped {
            writing.shutdown().await.unwrap();
        }
    };
    let reader = async {
        let mut buffer = vec![0; 300_000];
        while reads && got.operations < drops_after {
            if receive(&mut reading, &mut random_of_reader, &mut got, &mut buffer).await {
                got.whole = true;
                break;
            }
        }
    };
    if way == Way::Dropped {
        // Whichever has had enough first takes the other with it, wherever that is.
        tokio::select! { () = sender => {}, () = reader => {} }
    } else {
        tokio::join!(sender, reader);
    }
    Told {
        written: sent.written,
        read: got.read,
        operations: sent.operations + got.operations,
        whole: got.whole,
    }
}

/// What `work` gives, run by the worker if there is one.
async fn on<T: Send + 'static>(
    worker: Option<Arc<Worker>>,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let Some(worker) = worker else { return work.await };
    let (tell, told) = oneshot::channel();
    worker.spawn(Box::pin(async move {
        let _ = tell.send(work.await);
    }));
    told.await.expect("it ended before it was done")
}

/// Either end may have its operations taken by the worker, and be run by it.
async fn conversation(name: PipeName, seed: u64, worker: Arc<Worker>) -> u64 {
    let mut random = Random(seed);
    let [of_server, of_client] = [(); 2].map(|()| random.once_in(2).then(|| Arc::clone(&worker)));
    let half_close = if random.once_in(2) { HalfClose::Message } else { HalfClose::None };
    let way = match random.below(3) {
        // A pipe of bytes can't say that one direction has ended.
        0 if half_close == HalfClose::Message => Way::InOrder,
        1 => Way::Dropped,
        _ => Way::TailLeft,
    };
    let descriptor =
        Descriptor::from_sddl(&format!("D:P(A;;FA;;;{})", current_user().unwrap())).unwrap();
    let mut instance =
        Instance::create(&name, true, &descriptor, half_close, of_server.clone()).unwrap();
    // A wait that is given up, and one for a client that never comes.
    let waits = random.once_in(2);
    if waits {
        let polled = poll_fn(|cx| Poll::Ready(instance.poll_connect(cx))).await;
        assert!(polled.is_pending());
    }
    if random.once_in(16) {
        return 1;
    }
    let opening = async move { Pipe::open(&name, HalfClose::Auto, Direction::Both) };
    let client = on(of_client.clone(), opening).await.unwrap();
    poll_fn(|cx| instance.poll_connect(cx)).await.unwrap();
    let server = instance.into_pipe();
    let (seed_of_server, seed_of_client) = (Random(random.next()), Random(random.next()));
    let (server, client) = tokio::join!(
        on(of_server, converse(server, seed_of_server, way, true)),
        on(of_client, converse(client, seed_of_client, way, false)),
    );
    match way {
        Way::InOrder => {
            assert!(server.whole && client.whole);
            assert_eq!((server.written, client.written), (client.read, server.read));
        }
        Way::TailLeft => {
            assert!(server.whole);
            assert_eq!(client.written, server.read);
        }
        Way::Dropped => {
            assert!(server.read <= client.written && client.read <= server.written);
        }
    }
    3 + server.operations + client.operations
}

/// A number that a variable of the environment gives.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

pub(super) fn pair(half_close: HalfClose) -> (Pipe, Pipe) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name: PipeName = format!("pipeway-engine-{}-{count}", std::process::id()).parse().unwrap();
    let descriptor =
        Descriptor::from_sddl(&format!("D:P(A;;FA;;;{})", current_user().unwrap())).unwrap();
    let mut instance = Instance::create(&name, true, &descriptor, half_close, None).unwrap();
    let client = Pipe::open(&name, HalfClose::Auto, Direction::Both).unwrap();
    let polled = instance.poll_connect(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_ready(), "its client is there");
    (instance.into_pipe(), client)
}

/// Writes what the system takes over at once, and as much again, which stays in flight. How many
/// bytes.
pub(super) async fn fill(pipe: &mut Pipe) -> usize {
    let content = vec![1; 2 * LARGE_BYTES];
    timeout(LIMIT, pipe.write_all(&content)).await.unwrap().unwrap();
    content.len()
}

/// Waits until so many buffers are in use, for less time than what is left of a pipe has: else that
/// would hide two ends that wait for each other.
pub(in super::super) async fn live(count: usize) {
    let reached = async {
        while LIVE.load(Ordering::Relaxed) != count {
            yield_now().await;
        }
    };
    timeout(left::PATIENCE / 2, reached).await.expect("a buffer was not given back");
}

/// Waits until no pipe has an object of the pool's.
async fn none_open() {
    while OPEN.load(Ordering::Relaxed) > 0 {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_read_that_waits_gives_its_large_buffer_back() {
    let (mut server, mut client) = pair(HalfClose::None);
    // Fills one read after another, so that the next has a large buffer.
    let content = vec![1; 8 * LARGE_BYTES];
    let mut received = vec![0; content.len()];
    let (sent, read) = tokio::join!(client.write_all(&content), server.read_exact(&mut received));
    sent.unwrap();
    read.unwrap();
    let mut rest = [0; 1];
    let mut grew = false;
    let shrinks = poll_fn(|cx| {
        assert!(Pin::new(&mut server).poll_read(cx, &mut ReadBuf::new(&mut rest)).is_pending());
        grew |= server.has_large_buffer();
        // It is called off after a look or two, and we are woken.
        if server.has_large_buffer() { Poll::Pending } else { Poll::Ready(()) }
    });
    timeout(LIMIT, shrinks).await.unwrap();
    assert!(grew, "no read had a large buffer");
    client.write_all(b"x").await.unwrap();
    assert_eq!(server.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn two_ends_that_are_dropped_with_writes_in_flight_are_both_closed() {
    let (mut server, mut client) = pair(HalfClose::None);
    fill(&mut server).await;
    fill(&mut client).await;
    assert!(LIVE.load(Ordering::Relaxed) >= 2);
    drop(server);
    drop(client);
    live(0).await;
}

#[tokio::test]
async fn what_was_written_before_a_drop_is_read_although_it_was_in_flight() {
    let (mut server, mut client) = pair(HalfClose::None);
    let written = fill(&mut client).await;
    drop(client);
    let mut received = Vec::new();
    timeout(LIMIT, server.read_to_end(&mut received)).await.unwrap().unwrap();
    assert_eq!(received.len(), written);
}

#[test]
fn random_conversations_lose_no_byte_and_leave_nothing() {
    let operations = variable(OPERATIONS_VARIABLE).unwrap_or(OPERATIONS);
    let moment = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let seed = variable(SEED_VARIABLE).unwrap_or(moment);
    eprintln!("{SEED_VARIABLE}={seed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let worker = {
        let _context = runtime.enter();
        Worker::start().unwrap()
    };
    let (mut done, mut conversations, mut before) = (0, 0, 0);
    let began = Instant::now();
    while done < operations {
        let batch = (0..AT_ONCE).map(|_| {
            conversations += 1;
            let name = format!("pipeway-stress-{}-{conversations}", std::process::id());
            let seed = seed.wrapping_add(conversations << 32);
            conversation(name.parse().unwrap(), seed, Arc::clone(&worker))
        });
        let batch: Vec<_> = batch.collect();
        done += runtime.block_on(async {
            let tasks: Vec<_> =
                batch.into_iter().map(|one| tokio::spawn(timeout(LIMIT, one))).collect();
            let mut done = 0;
            for task in tasks {
                done += task.await.unwrap().expect("a conversation hangs");
            }
            // What was called off is given back by the thread pool's calls.
            live(0).await;
            timeout(LIMIT, none_open()).await.expect("an object of the pool's was left open");
            done
        });
        // With the runtime's threads, and whatever the system opens once.
        if conversations == 10 * AT_ONCE {
            before = handles::count();
        }
    }
    assert!(conversations > 10 * AT_ONCE, "too few operations to judge by");
    let after = handles::count();
    assert!(after <= before + 4, "{before} handles were open, now {after}");
    eprintln!("{done} operations, {conversations} conversations, {:?}", began.elapsed());
}
