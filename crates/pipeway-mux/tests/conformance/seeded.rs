//! Case 92, and 30: seeded channels.

use futures_util::FutureExt as _;
use pipeway_mux::{Ended, ErrorKind, Options, Source, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{CONTENT, Of, TERMINATED, WRITTEN, all, array, default, odd_with, pair, run};
use crate::vectors;

fn seeded() -> Options {
    Options { seeded: vec![1_024_000, 5], ..Options::new(Version::V3) }
}

fn row(name: &str) -> Vec<u8> {
    vectors::frame(name, "v3")
}

#[test]
fn case_30_their_frames_are_as_others_write_them() {
    run(async {
        let (mux, mut wire) = odd_with(seeded()).await;
        let mut first = mux.seeded(0).unwrap();
        let mut second = mux.seeded(1).unwrap();
        wire.expect_nothing().await;
        first.write_all(b"abc").await.unwrap();
        wire.expect_bytes(&row("G32")).await;
        wire.send(CONTENT, 1, Of::Nobody, b"abc").await;
        let mut got = [0; 3];
        second.read_exact(&mut got).await.unwrap();
        wire.expect_bytes(&row("G33")).await;
        first.shutdown().await.unwrap();
        wire.expect_bytes(&row("G34")).await;
        first.terminate(None);
        wire.expect_bytes(&row("G35")).await;
        let npm = pipeway_mux::ChannelOptions::window(102_400);
        let offering = tokio::spawn(async move { mux.offer("n", npm).await });
        wire.expect_bytes(&row("G36")).await;
        offering.abort();
    });
}

#[test]
fn case_92_they_are_there_on_both_ends_and_end_like_others() {
    run(async {
        let (here, there) = pair(seeded(), seeded()).await;
        for number in [0, 1] {
            let mut ours = here.seeded(number).unwrap();
            assert_eq!(ours.id().source(), Source::Seeded);
            // What comes before it is taken there is kept.
            ours.write_all(b"hello").await.unwrap();
            let mut theirs = there.accept_id(u64::from(number), default()).unwrap();
            let mut got = [0; 5];
            theirs.read_exact(&mut got).await.unwrap();
            theirs.write_all(&got).await.unwrap();
            ours.read_exact(&mut got).await.unwrap();
            assert_eq!(&got, b"hello");
            for taken in [&here, &there] {
                assert_eq!(taken.seeded(number).unwrap_err().kind(), ErrorKind::Usage);
                taken.accept_id(u64::from(number), default()).unwrap_err();
                taken.reject(u64::from(number), None).unwrap_err();
            }
            ours.shutdown().await.unwrap();
            theirs.shutdown().await.unwrap();
            assert!(all(&mut ours).await.is_empty() && all(&mut theirs).await.is_empty());
            assert_eq!(ours.completion().await.unwrap(), Ended::Complete);
        }
        here.seeded(2).unwrap_err();
    });
}

#[test]
fn case_92_what_ended_before_it_was_taken_is_still_read() {
    run(async {
        let (mux, mut wire) = odd_with(seeded()).await;
        wire.send(CONTENT, 0, Of::Nobody, b"last words").await;
        wire.send(TERMINATED, 0, Of::Nobody, &[]).await;
        wire.expect(TERMINATED, 0, Of::Nobody, &[]).await;
        let mut channel = mux.seeded(0).unwrap();
        assert_eq!(all(&mut channel).await, b"last words");
        channel.write_all(b"x").await.unwrap_err();
        drop(channel);
        wire.send(WRITTEN, 1, Of::Nobody, &[]).await;
        wire.expect_nothing().await;
        assert!(all(&mut mux.seeded(1).unwrap()).await.is_empty());
    });
}

#[test]
fn case_92_a_peer_with_another_default_is_put_up_with() {
    run(async {
        let options = Options { seeded: vec![102_400], ..Options::new(Version::V3) };
        let (mux, mut wire) = odd_with(options).await;
        let mut channel = mux.seeded(0).unwrap();
        // As much as the default of others, and far more than is configured here.
        for _ in 0..50 {
            wire.send(CONTENT, 0, Of::Nobody, &[1; 20_480]).await;
        }
        let mut got = vec![0; 50 * 20_480];
        channel.read_exact(&mut got).await.unwrap();
        assert!(channel.completion().now_or_never().is_none());
    });
}

#[test]
fn an_offer_or_an_acceptance_of_a_seeded_channel_ends_the_connection() {
    run(async {
        for (code, payload) in [(0, vec![0x92, 0xa1, b'a', 9]), (1, array(9))] {
            let (mux, mut wire) = odd_with(seeded()).await;
            wire.send(code, 0, Of::Nobody, &payload).await;
            wire.expect_end().await;
            assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Protocol);
        }
    });
}
