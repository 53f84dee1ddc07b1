//! Bytes on their way.

use std::time::Duration;

use pipeway_transport::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::rig::{pattern, run, run_paused};
use crate::{each_kind, joined, raw};

/// How much is sent each way, in bytes.
const MUCH: usize = 64 << 20;

#[test]
fn one_byte_at_a_time_passes_at_once() {
    for (_, start) in each_kind() {
        run(async {
            let mut rig = start();
            let (mut client, mut upstream) = joined(&mut rig).await;
            for byte in 0..200 {
                client.send([byte]).await;
                upstream.expect(&[byte]).await;
                upstream.send([!byte]).await;
                assert_eq!(client.take(1).await, [!byte]);
            }
        });
    }
}

/// Sends `MUCH` bytes and then the end, where there is one, while as many come.
async fn exchange(stream: Stream) -> (bool, impl Sized) {
    let (mut reads, mut writes) = tokio::io::split(stream);
    let piece = pattern(1 << 20);
    let write = async {
        for _ in 0..MUCH >> 20 {
            writes.write_all(&piece).await.expect("written");
        }
    };
    let read = async {
        let mut got = vec![0; 1 << 20];
        let mut same = true;
        for _ in 0..MUCH >> 20 {
            reads.read_exact(&mut got).await.expect("read");
            same &= got == piece;
        }
        same
    };
    let ((), same) = tokio::join!(write, read);
    // Neither closes before the other has everything.
    (same, (reads, writes))
}

#[test]
#[cfg_attr(windows, ignore = "slow under Wine: the runtime reads 4 KiB at a time")]
fn much_passes_both_ways_at_once_unchanged() {
    for (kind, start) in each_kind() {
        run(async {
            let mut rig = start();
            let (client, upstream) = joined(&mut rig).await;
            let (up, down) =
                tokio::join!(exchange(client.into_stream()), exchange(upstream.into_stream()));
            assert!(up.0 && down.0, "{kind}");
            drop((up, down));
            let event = rig.event("session").await;
            assert_eq!(event["bytes.received"], MUCH, "{event}");
            assert_eq!(event["bytes.sent"], MUCH, "{event}");
        });
    }
}

#[test]
fn little_after_much_and_much_after_little_pass_in_order() {
    for (kind, start) in each_kind() {
        run(async {
            let mut rig = start();
            let (mut client, mut upstream) = joined(&mut rig).await;
            for round in 0..20 {
                let piece = pattern(if round % 2 == 0 { 900_000 } else { 1 });
                let (got, ()) = tokio::join!(upstream.take(piece.len()), client.send(&piece));
                assert!(got == piece, "{kind} {round}");
            }
        });
    }
}

#[test]
fn five_hundred_sessions_at_once_are_all_served() {
    run(async {
        pipeway_transport::raise_file_limit();
        let mut rig = raw();
        let mut pairs = Vec::new();
        for _ in 0..500 {
            pairs.push(joined(&mut rig).await);
        }
        // All have something under way before any of it is read.
        for (number, (client, _)) in pairs.iter_mut().enumerate() {
            client.send(format!("{number:08}")).await;
        }
        // They were accepted in the order in which they connected, on a socket; a pipe's instances
        // may differ.
        let mut seen = std::collections::HashSet::new();
        for (_, upstream) in &mut pairs {
            let said = upstream.take(8).await;
            upstream.send(&said).await;
            assert!(seen.insert(said));
        }
        for (number, (client, _)) in pairs.iter_mut().enumerate() {
            client.expect(&format!("{number:08}")).await;
        }
        drop(pairs);
        assert_eq!(rig.stop().await.sessions, 500);
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_reader_that_stops_holds_its_writer_back_and_loses_nothing() {
    for (kind, start) in each_kind() {
        run_paused(async {
            let mut rig = start();
            let (mut client, mut upstream) = joined(&mut rig).await;
            let piece = pattern(251 * 256);
            let mut taken = 0;
            // With the clock standing still, a second passes only when nobody can go on.
            loop {
                let sent = timeout(Duration::from_secs(1), upstream.stream().write(&piece)).await;
                let Ok(sent) = sent else { break };
                let sent = sent.expect("written");
                taken += sent;
                assert!(taken < 32 << 20, "{kind}: {taken} bytes and no end");
                if sent < piece.len() {
                    break;
                }
            }
            drop(upstream);
            let got = client.until_end().await;
            assert_eq!(got.len(), taken, "{kind}");
        });
    }
}
