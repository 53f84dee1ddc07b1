//! Cases 56 and 59 to 62: data. Cases 57 and 58 are with npm's package at the other end.

use pipeway_mux::{ChannelOptions, Ended, ErrorKind, FIRST_MAX, OfferError, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::offers::until_empty;
use crate::rig::{
    ACCEPTED, ALL, CONTENT, GROW, Of, PROCESSED, WINDOWED, WRITTEN, accepted, all, array, default,
    each, even, odd, pair_of, pattern,
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
fn first_content_goes_with_its_offer_and_counts_in_the_window() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let offering = {
            let mux = mux.clone();
            tokio::spawn(async move { mux.offer_with("a", default(), b"first").await })
        };
        wire.expect_offer(1, "a", 1_024_000).await;
        wire.expect(CONTENT, 1, Of::Sender, b"first").await;
        wire.expect_nothing().await;
        wire.accept(1, 7).await;
        let mut channel = offering.await.unwrap().unwrap();
        let rest = if version == Version::V1 { &b"second"[..] } else { b"se" };
        let writing = tokio::spawn(async move {
            channel.write_all(b"second").await.unwrap();
            channel
        });
        wire.expect(CONTENT, 1, Of::Sender, rest).await;
        if version != Version::V1 {
            wire.expect(GROW, 1, Of::Sender, &[]).await;
            wire.send(PROCESSED, 1, Of::Receiver, &array(7)).await;
            wire.expect(CONTENT, 1, Of::Sender, b"cond").await;
        }
        writing.await.unwrap();
    });
}

#[test]
fn more_first_content_than_the_window_is_waited_for() {
    each(&WINDOWED, async |version| {
        let (here, there) = pair_of(version).await;
        let first = pattern(FIRST_MAX);
        let offer = here.offer_with("a", default(), &first);
        let (offered, accepted) =
            tokio::join!(offer, there.accept("a", ChannelOptions::window(10)));
        let (mut offered, mut accepted) = (offered.unwrap(), accepted.unwrap());
        let writing = tokio::spawn(async move {
            offered.write_all(b"rest").await.unwrap();
            offered.shutdown().await.unwrap();
            offered
        });
        let all = all(&mut accepted).await;
        assert_eq!((&all[..FIRST_MAX], &all[FIRST_MAX..]), (&first[..], &b"rest"[..]));
        writing.await.unwrap();
    });
}

#[test]
fn first_content_of_an_offer_that_comes_to_nothing_harms_nothing() {
    each(&ALL, async |version| {
        let (here, there) = pair_of(version).await;
        let cancelled = {
            let here = here.clone();
            tokio::spawn(async move { here.offer_with("no", default(), b"first").await })
        };
        let offer = there.next_offer().await.unwrap();
        cancelled.abort();
        let _ = cancelled.await;
        // It may have been withdrawn.
        let _ = offer.reject(None);
        let (offered, offer) = tokio::join!(
            async {
                let refused = here.offer_with("no", default(), b"first").await;
                assert!(matches!(refused, Err(OfferError::Rejected { .. })), "{refused:?}");
                here.offer("yes", default()).await
            },
            async {
                there.next_offer().await.unwrap().reject(Some("Error: no")).unwrap();
                there.accept("yes", default()).await
            }
        );
        let mut offered = offered.unwrap();
        offered.write_all(b"alive").await.unwrap();
        offered.shutdown().await.unwrap();
        assert_eq!(all(&mut offer.unwrap()).await, b"alive");
        let too_much = here.offer_with("a", default(), &pattern(FIRST_MAX + 1)).await;
        let Err(OfferError::Connection(error)) = too_much else { panic!("{too_much:?}") };
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("4096"), "{error}");
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
        assert_eq!(taken, 64 * 1024, "and no more, though a frame does not end there");
        assert!(pieces.iter().all(|piece| piece.iter().all(|byte| *byte == 7)));
        let rest = std::future::poll_fn(|cx| channel.poll_read_pieces(cx, &mut pieces, 1 << 20));
        assert_eq!(taken + rest.await.unwrap(), 8 * 20_480);
        wire.expect(PROCESSED, 1, Of::Receiver, &array(8 * 20_480)).await;
        wire.send(WRITTEN, 1, Of::Sender, &[]).await;
        let end = std::future::poll_fn(|cx| channel.poll_read_pieces(cx, &mut pieces, 1 << 20));
        assert_eq!(end.await.unwrap(), 0);
    });
}
