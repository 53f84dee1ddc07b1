//! The turns of the task that moves a connection's bytes: how many there are, and what the first does.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pipeway_mux::{Channel, ChannelOptions, Mux, Options, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const ECHOES: usize = 100;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection, and how many turns its task has had.
fn connection(io: DuplexStream) -> (Mux, Arc<AtomicUsize>) {
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let mux = Mux::create_on(io, Options::new(Version::V3), move |mut task: Task| {
        tokio::spawn(poll_fn(move |cx| {
            counted.fetch_add(1, Ordering::Relaxed);
            task.as_mut().poll(cx)
        }));
    })
    .unwrap();
    (mux, turns)
}

async fn echo(channel: &mut Channel) {
    channel.write_all(b"x").await.unwrap();
    channel.flush().await.unwrap();
    assert_eq!(channel.read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn an_exchange_takes_a_turn_for_what_is_sent_and_one_for_what_is_received() {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let ((near, near_turns), (far, far_turns)) = (connection(near), connection(far));
    tokio::spawn(async move {
        let mut channel = far.accept("echo", ChannelOptions::default()).await.unwrap();
        let mut byte = [0];
        while channel.read(&mut byte).await.unwrap() > 0 {
            channel.write_all(&byte).await.unwrap();
            channel.flush().await.unwrap();
        }
    });
    let mut channel = near.offer("echo", ChannelOptions::default()).await.unwrap();
    echo(&mut channel).await;
    let before = [&near_turns, &far_turns].map(|turns| turns.load(Ordering::Relaxed));
    for _ in 0..ECHOES {
        echo(&mut channel).await;
    }
    for (turns, before) in [near_turns, far_turns].iter().zip(before) {
        let turns = turns.load(Ordering::Relaxed) - before;
        assert!(turns <= 2 * ECHOES + 1, "{turns} turns for {ECHOES} echoes");
    }
}

#[tokio::test]
async fn what_came_with_the_handshake_is_handled_before_the_end_that_follows_it() {
    for version in [Version::V1, Version::V2] {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let near = tokio::spawn(Mux::connect(near, Options::new(version)));
        // All that the far end says, and its end, is there when the near one reads the first byte.
        let (relayed, between) = tokio::io::duplex(64 * 1024);
        let talks = tokio::spawn(async move {
            let far = Mux::connect(relayed, Options::new(version)).await.unwrap();
            let _offer = far.offer_anonymous(ChannelOptions::default()).unwrap();
            far.close().await;
        });
        let (mut reads, mut writes) = tokio::io::split(between);
        let mut said = Vec::new();
        let mut handshake = vec![0; 64 * 1024];
        let count = far.read(&mut handshake).await.unwrap();
        writes.write_all(&handshake[..count]).await.unwrap();
        reads.read_to_end(&mut said).await.unwrap();
        writes.shutdown().await.unwrap();
        talks.await.unwrap();
        // There is room for it, so no other task has its turn between these two.
        far.write_all(&said).await.unwrap();
        far.shutdown().await.unwrap();
        let near = near.await.unwrap().unwrap();
        assert!(near.completion().await.is_ok(), "{version:?}: {:?}", near.completion().await);
    }
}
