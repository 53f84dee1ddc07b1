//! Much at once.

use std::hash::Hasher;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::rig::{link, run, service, session};

const TOTAL: u64 = 64 << 20;

/// Writes bytes that no pattern of lengths repeats, and ends; the hash of all.
async fn send(mut to: impl AsyncWrite + Unpin, mut seed: u64) -> u64 {
    let mut hash = std::collections::hash_map::DefaultHasher::new();
    let mut piece = vec![0; 99_991];
    let mut left = TOTAL;
    while left > 0 {
        for byte in &mut piece {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (seed >> 56) as u8;
        }
        let length = left.min(piece.len() as u64);
        let part = &piece[..usize::try_from(length).unwrap()];
        to.write_all(part).await.unwrap();
        part.iter().for_each(|byte| hash.write_u8(*byte));
        left -= length;
    }
    to.shutdown().await.unwrap();
    hash.finish()
}

/// Reads to the end; the hash of all.
async fn receive(mut from: impl AsyncRead + Unpin) -> u64 {
    let mut hash = std::collections::hash_map::DefaultHasher::new();
    let mut piece = vec![0; 65_536];
    let mut total = 0;
    loop {
        let length = from.read(&mut piece).await.unwrap();
        if length == 0 {
            assert_eq!(total, TOTAL);
            return hash.finish();
        }
        total += length as u64;
        piece[..length].iter().for_each(|byte| hash.write_u8(*byte));
    }
}

#[test]
fn much_goes_both_ways_at_once_and_arrives_as_it_was() {
    run(async {
        let (listener, opening) = service().await;
        let (link, _watch) = link(std::slice::from_ref(&opening)).await;
        let (stream, at_service) = session(&link, &listener, &opening).await;
        let (from_link, to_link) = tokio::io::split(stream);
        let (from_service, to_service) = at_service.into_split();
        let (up, came_up, down, came_down) = tokio::join!(
            send(to_link, 1),
            receive(from_service),
            send(to_service, 2),
            receive(from_link)
        );
        assert_eq!((up, down), (came_up, came_down));
    });
}

#[test]
fn hundreds_of_streams_are_open_at_once() {
    run(async {
        const COUNT: usize = 500;
        let (listener, opening) = service().await;
        let (link, _watch) = link(std::slice::from_ref(&opening)).await;
        let mut open = Vec::new();
        for _ in 0..COUNT {
            open.push(session(&link, &listener, &opening).await);
        }
        for (number, (stream, at_service)) in open.iter_mut().enumerate() {
            stream.write_all(number.to_string().as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut text = String::new();
            at_service.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, number.to_string());
            at_service.write_all(text.as_bytes()).await.unwrap();
        }
        for (number, (mut stream, at_service)) in open.into_iter().enumerate() {
            drop(at_service);
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, number.to_string());
        }
    });
}

#[test]
fn a_large_transfer_does_not_hold_up_a_small_question() {
    run(async {
        let (listener, opening) = service().await;
        let (link, _watch) = link(std::slice::from_ref(&opening)).await;
        let (mut large, mut flood) = session(&link, &listener, &opening).await;
        let (mut small, mut answering) = session(&link, &listener, &opening).await;
        let flooding = tokio::spawn(async move {
            let piece = vec![0; 1 << 20];
            while flood.write_all(&piece).await.is_ok() {}
        });
        let moving = tokio::spawn(async move {
            let mut sink = vec![0; 1 << 20];
            let mut moved = 0u64;
            while moved < 256 << 20 {
                moved += large.read(&mut sink).await.unwrap() as u64;
            }
        });
        let mut slowest = Duration::ZERO;
        let mut asked = 0;
        while !moving.is_finished() {
            let began = Instant::now();
            small.write_all(b"?").await.unwrap();
            let mut byte = [0];
            answering.read_exact(&mut byte).await.unwrap();
            answering.write_all(b"!").await.unwrap();
            small.read_exact(&mut byte).await.unwrap();
            slowest = slowest.max(began.elapsed());
            asked += 1;
        }
        moving.await.unwrap();
        flooding.abort();
        // The transfer takes a second or so. Behind it, one question would take all of that.
        assert!(asked >= 10 && slowest < Duration::from_millis(500), "{asked} asked, {slowest:?}");
    });
}

#[test]
fn a_reader_that_stops_holds_up_its_own_stream_alone_and_bounds_memory() {
    run(async {
        let (listener, opening) = service().await;
        let (link, _watch) = link(std::slice::from_ref(&opening)).await;
        let (stuck, flood) = session(&link, &listener, &opening).await;
        let piece = vec![0; 1 << 20];
        let mut taken = 0;
        // Until nothing more is taken.
        while let Ok(ready) =
            tokio::time::timeout(Duration::from_millis(500), flood.writable()).await
        {
            ready.unwrap();
            taken += flood.try_write(&piece).unwrap_or(0);
            assert!(taken < 128 << 20, "{taken} bytes were taken and nobody reads");
        }
        let (mut other, mut at_service) = session(&link, &listener, &opening).await;
        other.write_all(b"ping").await.unwrap();
        let mut word = [0; 4];
        at_service.read_exact(&mut word).await.unwrap();
        at_service.write_all(b"pong").await.unwrap();
        other.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"pong");
        drop(stuck);
    });
}
