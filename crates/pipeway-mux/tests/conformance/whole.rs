//! Cases 86 to 91: the connection as a whole.

use std::time::Duration;

use pipeway_mux::{ChannelError, ErrorKind, Limits, Mux, Options, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

use crate::rig::{
    ALL, CONTENT, OFFER, Of, PROCESSED, TERMINATED, WRITTEN, accepted, all, array, default, each,
    even, even_with, frame, odd, offered, pair_of, run, works,
};
use crate::vectors;

#[test]
fn case_86_the_end_of_the_stream_ends_everything_in_order() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 1_000).await;
        let offering = tokio::spawn({
            let mux = mux.clone();
            async move { mux.offer("never", default()).await.map(|_| ()) }
        });
        let accepting = tokio::spawn({
            let mux = mux.clone();
            async move { mux.accept("never", default()).await.map(|_| ()) }
        });
        let next = tokio::spawn({
            let mux = mux.clone();
            async move { mux.next_offer().await.is_none() }
        });
        wire.expect_offer(if version == Version::V3 { 2 } else { 3 }, "never", 1_024_000).await;
        wire.send(CONTENT, 1, Of::Receiver, b"tail").await;
        wire.io.shutdown().await.unwrap();
        assert_eq!(all(&mut channel).await, b"tail");
        let error = channel.completion().await.unwrap_err();
        assert!(
            matches!(error, ChannelError::Connection(error) if error.kind() == ErrorKind::Closed)
        );
        channel.write_all(b"x").await.unwrap_err();
        offering.await.unwrap().unwrap_err();
        assert_eq!(accepting.await.unwrap().unwrap_err().kind(), ErrorKind::Closed);
        assert!(next.await.unwrap());
        mux.completion().await.unwrap();
        mux.offer("late", default()).await.unwrap_err();
        mux.accept("late", default()).await.unwrap_err();
        wire.expect_end().await;
    });
}

#[test]
fn case_86_where_it_was_asked_for_the_end_of_the_stream_is_an_error_to_readers() {
    each(&ALL, async |version| {
        let options = Options { fault_open_channels: true, ..Options::new(version) };
        let (mux, mut wire) = even_with(options).await;
        let mut open = accepted(&mux, &mut wire, 1_000).await;
        wire.send(CONTENT, 1, Of::Sender, b"tail").await;
        wire.io.shutdown().await.unwrap();
        let mut got = Vec::new();
        let error = open.read_to_end(&mut got).await.unwrap_err();
        assert_eq!((error.kind(), &got[..]), (std::io::ErrorKind::ConnectionAborted, &b"tail"[..]));

        // A direction that had ended stays ended.
        let options = Options { fault_open_channels: true, ..Options::new(version) };
        let (mux, mut wire) = even_with(options).await;
        let mut open = accepted(&mux, &mut wire, 1_000).await;
        wire.send(WRITTEN, 1, Of::Sender, &[]).await;
        wire.io.shutdown().await.unwrap();
        assert!(all(&mut open).await.is_empty());
    });
}

#[test]
fn case_87_the_end_of_the_stream_inside_a_frame_is_told() {
    each(&ALL, async |version| {
        let content = frame(version, CONTENT, 1, Of::Sender, b"hello");
        for length in 1..content.len() {
            let (mux, mut wire) = even(version).await;
            let mut channel = accepted(&mux, &mut wire, 1_000).await;
            wire.bytes(&content[..length]).await;
            wire.io.shutdown().await.unwrap();
            let mut got = Vec::new();
            let error = channel.read_to_end(&mut got).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted, "{length}");
            assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Truncated);
            wire.expect_end().await;
        }
    });
}

#[test]
fn case_88_closing_sends_no_frame_and_waits_for_the_other_end() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 1 << 20).await;
        channel.write_all(b"written before").await.unwrap();
        let closing = tokio::spawn({
            let mux = mux.clone();
            async move { mux.close().await }
        });
        wire.expect(CONTENT, 1, Of::Sender, b"written before").await;
        wire.expect_end().await;
        // Still read, so that no reset can reach the peer.
        wire.send(CONTENT, 1, Of::Receiver, &[1; 20_480]).await;
        assert!(!closing.is_finished());
        wire.io.shutdown().await.unwrap();
        closing.await.unwrap();
        mux.completion().await.unwrap();
        channel.read(&mut [0; 8]).await.unwrap_err();
    });
}

#[test]
fn case_88_a_peer_that_does_not_end_is_not_waited_for_for_ever() {
    each(&ALL, async |version| {
        let (mux, wire) = odd(version).await;
        timeout(Duration::from_secs(6), mux.close()).await.unwrap();
        drop(wire);
    });
}

#[test]
fn the_last_holder_closes_the_connection() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let channel = offered(&mux, &mut wire, 1_000).await;
        let clone = mux.clone();
        drop(mux);
        drop(clone);
        wire.expect_nothing().await;
        drop(channel);
        wire.expect(TERMINATED, 1, Of::Sender, &[]).await;
        wire.expect_end().await;
    });
}

#[test]
fn case_78_89_90_what_is_no_frame_ends_the_connection() {
    for row in vectors::fatal() {
        let version = Version::from_number(row.version[1..].parse().unwrap()).unwrap();
        run(async {
            let (mux, mut wire) = even(version).await;
            let mut channel = accepted(&mux, &mut wire, 1_000).await;
            wire.bytes(&row.bytes).await;
            timeout(Duration::from_secs(60), wire.expect_end())
                .await
                .unwrap_or_else(|_| panic!("{row:?} is taken"));
            let error = mux.completion().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{row:?}");
            channel.read(&mut [0; 8]).await.unwrap_err();
            assert!(matches!(channel.completion().await, Err(ChannelError::Connection(_))));
        });
    }
}

#[test]
fn case_90_a_payload_over_the_limit_is_refused_before_it_comes() {
    each(&[Version::V2, Version::V3], async |version| {
        let head: &[u8] = match version {
            Version::V2 => &[0x93, 0x00, 0x01, 0xc6, 0x7f, 0xff, 0xff, 0xff],
            _ => &[0x94, 0x00, 0x01, 0x01, 0xc6, 0x7f, 0xff, 0xff, 0xff],
        };
        let (mux, mut wire) = even(version).await;
        wire.bytes(head).await;
        wire.expect_end().await;
        assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Protocol);
    });
}

#[test]
fn case_91_frames_about_channels_that_nobody_knows_are_ignored() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        for of in [Of::Sender, Of::Receiver] {
            for number in [7, 8] {
                wire.send(CONTENT, number, of, &[1; 3_000]).await;
                wire.send(PROCESSED, number, of, &array(3)).await;
                wire.send(6, number, of, &[]).await;
                wire.send(7, number, of, &array(3)).await;
                wire.send(8, number, of, &[]).await;
                wire.send(WRITTEN, number, of, &[]).await;
            }
        }
        let channel = accepted(&mux, &mut wire, 1_000).await;
        drop(channel);
        wire.expect(TERMINATED, 1, Of::Receiver, &[]).await;
        wire.send(TERMINATED, 1, Of::Sender, &[]).await;
        wire.send(WRITTEN, 1, Of::Sender, &[]).await;
        wire.send(CONTENT, 1, Of::Sender, b"late").await;
        works(&mux, &mut wire, if version == Version::V3 { 2 } else { 3 }).await;
    });
}

#[test]
fn more_offers_or_channels_than_may_be_end_the_connection() {
    each(&ALL, async |version| {
        for limits in [
            Limits { offers_waiting_max: 3, ..Limits::default() },
            Limits { channels_max: 3, ..Limits::default() },
        ] {
            let (mux, mut wire) = even_with(Options { limits, ..Options::new(version) }).await;
            for n in 0..3 {
                let number = if version == Version::V3 { n + 1 } else { 2 * n + 1 };
                wire.offer(number, "a", 1_000).await;
            }
            wire.expect_nothing().await;
            wire.offer(9, "a", 1_000).await;
            wire.expect_end().await;
            assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Protocol);
        }
    });
}

#[test]
fn a_peer_that_reads_no_answers_is_not_read_for_ever() {
    each(&[Version::V1, Version::V3], async |version| {
        let (here, mut there) = duplex(64 * 1024);
        let (mux, ()) = tokio::join!(Mux::connect(here, Options::new(version)), async {
            let handshake: &[u8] = match version {
                Version::V1 => &[0x2f, 0xdf, 0x1d, 0x50],
                Version::V2 => &[0x92, 0x92, 2, 0, 0xc4, 16],
                Version::V3 => return,
            };
            there.write_all(&[handshake, &[0xff; 16]].concat()).await.unwrap();
            there.read_exact(&mut vec![0; handshake.len() + 16]).await.unwrap();
        });
        let mux = mux.unwrap();
        let payload = if version == Version::V1 { Vec::new() } else { vec![0x92, 0xa0, 1] };
        let mut sent = 0u64;
        let flood = async {
            for batch in 0.. {
                let mut bytes = Vec::new();
                for n in 1_000 * batch..1_000 * (batch + 1) {
                    let number = if version == Version::V3 { n + 1 } else { 2 * n + 1 };
                    bytes.extend(frame(version, OFFER, number, Of::Sender, &payload));
                    bytes.extend(frame(version, TERMINATED, number, Of::Sender, &[]));
                }
                there.write_all(&bytes).await.unwrap();
                sent = 1_000 * batch;
            }
        };
        timeout(Duration::from_secs(1), flood).await.unwrap_err();
        // 4 MiB of answers wait; twice, since as many are being written.
        assert!(sent > 500_000 && sent < 3_000_000, "{sent}");
        assert_eq!(mux.channels(), 0);
    });
}

#[test]
fn the_end_of_the_runtimes_task_ends_everybodys_waiting() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mux, mut channel) = runtime.block_on(async {
        let (here, there) = pair_of(Version::V3).await;
        let (offered, accepted) =
            tokio::join!(here.offer("a", default()), there.accept("a", default()));
        accepted.unwrap();
        (here, offered.unwrap())
    });
    drop(runtime);
    run(async {
        channel.write_all(b"x").await.unwrap_err();
        mux.completion().await.unwrap();
    });
}
