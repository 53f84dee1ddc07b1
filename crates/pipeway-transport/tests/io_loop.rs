//! Connections and sessions on an `IoLoop`.

#![cfg(any(target_os = "linux", windows))]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use pipeway_transport::{ConnectOptions, Endpoint, IoLoop, ListenOptions, Listener, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::timeout;

const WATCHDOG: Duration = Duration::from_secs(60);

async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(WATCHDOG, work).await.expect("it hangs")
}

/// A name of this test's own.
struct Place {
    endpoint: Endpoint,
    _folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        let endpoint = if cfg!(windows) {
            format!(r"\\.\pipe\pipeway-io-loop-{name}")
        } else {
            format!("unix:{}/s", folder.path().display())
        };
        Place { endpoint: endpoint.parse().unwrap(), _folder: folder }
    }

    /// Sends back what comes, each connection on its own task of the loop.
    async fn echo(&self, io_loop: &IoLoop) -> impl Drop + use<> {
        let options = ListenOptions { io_loop: Some(io_loop.clone()), ..ListenOptions::default() };
        let mut listener = Listener::bind(&self.endpoint, &options).unwrap();
        Abort(tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                listener.spawn(async move {
                    let mut space = vec![0; 10_000];
                    while let Ok(count @ 1..) = stream.read(&mut space).await {
                        if stream.write_all(&space[..count]).await.is_err() {
                            break;
                        }
                    }
                    let _ = stream.shutdown().await;
                });
            }
        }))
    }
}

struct Abort(tokio::task::JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A conversation of many sizes, there and back.
async fn converse(endpoint: Endpoint) {
    let stream = connect(&endpoint, &ConnectOptions::default()).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let content: Vec<u8> = (0..1_500_000_u32).map(|number| (number / 3) as u8).collect();
    let sent = content.clone();
    let send = async move {
        let mut rest = &sent[..];
        let mut size = 1;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            writing.write_all(piece).await.unwrap();
            rest = after;
            size = (size * 3) % 100_003;
        }
        writing
    };
    let mut received = vec![0; content.len()];
    let (writing, read) = tokio::join!(send, reading.read_exact(&mut received));
    read.unwrap();
    assert!(received == content);
    drop(writing);
}

async fn conversations() {
    let io_loop = IoLoop::start().unwrap();
    let place = Place::new();
    let _echo = place.echo(&io_loop).await;
    // From the loop and from outside of it.
    let inside = io_loop.run(converse(place.endpoint.clone()));
    let outside = (0..4).map(|_| tokio::spawn(converse(place.endpoint.clone())));
    let outside: Vec<_> = outside.collect();
    soon(inside).await;
    for one in outside {
        soon(one).await.unwrap();
    }
}

#[tokio::test]
async fn bytes_go_both_ways_however_many_and_from_wherever() {
    conversations().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_runtime_of_several_threads_may_have_one_too() {
    for _ in 0..5 {
        conversations().await;
    }
}

#[tokio::test]
async fn a_task_is_woken_from_other_threads_and_by_the_clock() {
    let io_loop = IoLoop::start().unwrap();
    for _ in 0..100 {
        let (tell, told) = oneshot::channel();
        let (ask, asked) = oneshot::channel();
        let other = std::thread::spawn(move || {
            asked.blocking_recv().unwrap();
            tell.send(7).unwrap();
        });
        let number = io_loop.run(async move {
            assert!(IoLoop::is_here());
            assert!(timeout(Duration::from_millis(1), pending::<()>()).await.is_err());
            ask.send(()).unwrap();
            told.await.unwrap()
        });
        assert_eq!(soon(number).await, 7);
        other.join().unwrap();
    }
    assert!(!IoLoop::is_here());
}

#[tokio::test]
async fn what_is_waited_for_no_more_is_dropped_at_once() {
    let io_loop = IoLoop::start().unwrap();
    let held = Arc::new(());
    let mine = Arc::clone(&held);
    let (begun, begins) = oneshot::channel();
    let mut running = Box::pin(io_loop.run(async move {
        let _mine = mine;
        begun.send(()).unwrap();
        pending::<()>().await;
    }));
    soon(async {
        tokio::select! {
            () = &mut running => unreachable!("it never ends"),
            begun = begins => begun.unwrap(),
        }
    })
    .await;
    assert_eq!(Arc::strong_count(&held), 2);
    drop(running);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn a_panic_comes_to_who_waits_and_ends_nothing_else() {
    let io_loop = IoLoop::start().unwrap();
    let waits = io_loop.clone();
    let panics = tokio::spawn(async move {
        waits.run(async { panic!("a panic of this test") }).await;
    });
    let error = soon(panics).await.unwrap_err();
    assert!(error.is_panic());
    io_loop.spawn(async { panic!("another panic of this test") });
    assert_eq!(soon(io_loop.run(async { 1 })).await, 1);
}

#[cfg(target_os = "linux")]
#[test]
fn with_the_runtime_its_tasks_end() {
    let held = Arc::new(());
    let mine = Arc::clone(&held);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let io_loop = runtime.block_on(async {
        let io_loop = IoLoop::start().unwrap();
        let (begun, begins) = oneshot::channel();
        io_loop.spawn(async move {
            let _mine = mine;
            begun.send(()).unwrap();
            pending::<()>().await;
        });
        soon(begins).await.unwrap();
        io_loop
    });
    assert_eq!(Arc::strong_count(&held), 2);
    drop(runtime);
    assert_eq!(Arc::strong_count(&held), 1);
    // What comes after that is dropped.
    let mine = Arc::clone(&held);
    io_loop.spawn(async move {
        let _mine = mine;
        pending::<()>().await;
    });
    assert_eq!(Arc::strong_count(&held), 1);
}
