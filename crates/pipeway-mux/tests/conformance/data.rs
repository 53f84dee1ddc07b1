//! Cases 56 and 59 to 62: data. Cases 57 and 58 are with npm's package at the other end.

use pipeway_mux::Ended;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::offers::until_empty;
use crate::rig::{
    ACCEPTED, ALL, CONTENT, Of, PROCESSED, WINDOWED, WRITTEN, accepted, all, array, default, each,
    even, odd, pair_of, pattern,
};

#[test]
fn case_56_every_size_comes_back_as_it_was_sent() {
    each(&ALL, async |version| {
        let (here, there) = pair_of(version).await;
        let echo = async {
            let channel = there.accept("echo", default()).await.unwrap();
            let (mut read, mut write) = channel.into_split();
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            write.shutdown().await.unwrap();
            assert_eq!(read.completion().await.unwrap(), Ended::Complete);
        };
        let ask = async {
            let channel = here.offer("echo", default()).await.unwrap();
            let (mut read, mut write) = channel.into_split();
            for length in [1, 2, 127, 128, 255, 256, 20_479, 20_480, 20_481, 65_536, 1 << 20] {
                let sent = pattern(length);
                let mut got = vec![0; length];
                let (wrote, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut got));
                wrote.unwrap();
                read.unwrap();
                assert!(sent == got, "{length}");
            }
            write.shutdown().await.unwrap();
            assert!(all(&mut read).await.is_empty());
            assert_eq!(read.completion().await.unwrap(), Ended::Complete);
        };
        tokio::join!(echo, ask);
    });
}

#[test]
fn case_59_a_hundred_channels_one_after_the_other_leave_nothing() {
    each(&ALL, async |version| {
        let (here, there) = pair_of(version).await;
        for n in 0..100u32 {
            let name = n.to_string();
            let (mut offered, mut accepted) =
                tokio::join!(async { here.offer(&name, default()).await.unwrap() }, async {
                    there.accept(&name, default()).await.unwrap()
                },);
            offered.write_all(b"question").await.unwrap();
            offered.shutdown().await.unwrap();
            assert_eq!(all(&mut accepted).await, b"question");
            if n % 2 == 0 {
                accepted.write_all(b"answer").await.unwrap();
                accepted.shutdown().await.unwrap();
                assert_eq!(all(&mut offered).await, b"answer");
            }
        }
        until_empty(&[&here, &there]).await;
    });
}

#[test]
fn case_60_62_content_before_the_acceptance_is_kept_and_so_is_its_end() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        wire.offer(1, "test", 1_000).await;
        wire.send(CONTENT, 1, Of::Sender, b"early ").await;
        wire.send(CONTENT, 1, Of::Sender, b"bird").await;
        wire.send(WRITTEN, 1, Of::Sender, &[]).await;
        wire.expect_nothing().await;
        let mut channel = mux.accept("test", default()).await.unwrap();
        wire.expect_accepted(1, 1_024_000).await;
        assert_eq!(all(&mut channel).await, b"early bird");
        channel.write_all(b"worm").await.unwrap();
        wire.expect(CONTENT, 1, Of::Receiver, b"worm").await;
    });
}

#[test]
fn case_61_nothing_is_sent_on_an_offer_before_its_acceptance_and_then_in_order() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = mux.offer_anonymous(default()).unwrap();
        wire.expect_offer(1, "", 1_024_000).await;
        let writing = tokio::spawn(async move {
            channel.write_all(b"first").await.unwrap();
            channel.write_all(b"second").await.unwrap();
            channel.shutdown().await.unwrap();
            channel.accepted().await.unwrap();
            channel
        });
        wire.expect_nothing().await;
        let window = if version.number() == 1 { Vec::new() } else { array(1_000) };
        wire.send(ACCEPTED, 1, Of::Receiver, &window).await;
        wire.expect(CONTENT, 1, Of::Sender, b"first").await;
        wire.expect(CONTENT, 1, Of::Sender, b"second").await;
        wire.expect(WRITTEN, 1, Of::Sender, &[]).await;
        writing.await.unwrap();
    });
}

#[test]
fn case_61_a_direction_that_ends_before_the_acceptance_is_told_after_it() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = mux.offer_anonymous(default()).unwrap();
        wire.expect_offer(1, "", 1_024_000).await;
        channel.shutdown().await.unwrap();
        wire.expect_nothing().await;
        wire.accept(1, 1_000).await;
        wire.expect(WRITTEN, 1, Of::Sender, &[]).await;
        wire.send(CONTENT, 1, Of::Receiver, b"x").await;
        let mut got = [0; 1];
        channel.read_exact(&mut got).await.unwrap();
    });
}

#[test]
fn pieces_are_taken_as_they_lie_and_count_as_read() {
    use std::collections::VecDeque;
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = even(version).await;
        let mut channel = accepted(&mux, &mut wire, 1_000).await;
        for _ in 0..8 {
            wire.send(CONTENT, 1, Of::Sender, &[7; 20_480]).await;
        }
        wire.expect_nothing().await;
        let mut pieces = VecDeque::new();
        let taken = std::future::poll_fn(|cx| channel.poll_read_pieces(cx, &mut pieces, 64 * 1024));
        let taken = taken.await.unwrap();
        assert_eq!(taken, pieces.iter().map(|piece| piece.len()).sum::<usize>());
        assert!((64 * 1024..85 * 1024).contains(&taken), "{taken}");
        assert!(pieces.iter().all(|piece| piece.iter().all(|byte| *byte == 7)));
        let rest = std::future::poll_fn(|cx| channel.poll_read_pieces(cx, &mut pieces, 1 << 20));
        assert_eq!(taken + rest.await.unwrap(), 8 * 20_480);
        wire.expect(PROCESSED, 1, Of::Receiver, &array(8 * 20_480)).await;
        wire.send(WRITTEN, 1, Of::Sender, &[]).await;
        let end = std::future::poll_fn(|cx| channel.poll_read_pieces(cx, &mut pieces, 1 << 20));
        assert_eq!(end.await.unwrap(), 0);
    });
}
