//! Cases 80 to 84: windows that grow, readers that leave.

use std::io;

use pipeway_mux::{ChannelOptions, Options, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{
    ADJUST, CONTENT, GROW, Of, PROCESSED, READ, WINDOWED, WRITTEN, accepted, array, each, even,
    even_with, odd, offered, run,
};

#[test]
fn case_80_a_stall_asks_once_and_after_refusals_later() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 10).await;
        let _writing = tokio::spawn(async move { channel.write_all(&[1; 10_000]).await });
        wire.expect(CONTENT, 1, Of::Sender, &[1; 10]).await;
        for refusals in 0..4 {
            for _ in 1..1 << refusals {
                wire.expect_nothing().await;
                wire.send(PROCESSED, 1, Of::Receiver, &array(10)).await;
                wire.expect(CONTENT, 1, Of::Sender, &[1; 10]).await;
            }
            wire.expect(GROW, 1, Of::Sender, &[]).await;
            // No second one before the answer.
            wire.send(PROCESSED, 1, Of::Receiver, &array(10)).await;
            wire.expect(CONTENT, 1, Of::Sender, &[1; 10]).await;
            wire.expect_nothing().await;
            wire.send(ADJUST, 1, Of::Receiver, &array(10)).await;
            wire.expect_nothing().await;
            wire.send(PROCESSED, 1, Of::Receiver, &array(10)).await;
            wire.expect(CONTENT, 1, Of::Sender, &[1; 10]).await;
        }
    });
}

#[test]
fn case_81_a_larger_window_is_used_at_once_and_a_smaller_one_changes_nothing() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 10).await;
        let _writing = tokio::spawn(async move { channel.write_all(&[1; 100]).await });
        wire.expect(CONTENT, 1, Of::Sender, &[1; 10]).await;
        wire.expect(GROW, 1, Of::Sender, &[]).await;
        wire.send(ADJUST, 1, Of::Receiver, &array(25)).await;
        wire.expect(CONTENT, 1, Of::Sender, &[1; 15]).await;
        wire.expect(GROW, 1, Of::Sender, &[]).await;
        wire.send(ADJUST, 1, Of::Receiver, &array(5)).await;
        wire.expect_nothing().await;
        wire.send(PROCESSED, 1, Of::Receiver, &array(25)).await;
        wire.expect(CONTENT, 1, Of::Sender, &[1; 25]).await;
    });
}

#[test]
fn case_82_the_wish_to_grow_is_granted_once_the_reader_waits() {
    each(&WINDOWED, async |version| {
        let options = Options { window_max_bytes: 1_000, ..Options::new(version) };
        let (mux, mut wire) = even_with(options).await;
        wire.offer(1, "test", 1_000).await;
        let channel = mux.accept("test", ChannelOptions::window(100)).await.unwrap();
        wire.expect_accepted(1, 100).await;
        let (mut read, _write) = channel.into_split();
        wire.send(CONTENT, 1, Of::Sender, b"unread").await;
        wire.send(GROW, 1, Of::Sender, &[]).await;
        wire.expect_nothing().await;
        let _reading = tokio::spawn(async move {
            let mut got = vec![0; 1_000];
            while read.read(&mut got).await.is_ok_and(|count| count > 0) {}
        });
        wire.expect(ADJUST, 1, Of::Receiver, &array(400)).await;
        // With the reader waiting, at once; and up to the limit.
        wire.send(GROW, 1, Of::Sender, &[]).await;
        wire.expect(ADJUST, 1, Of::Receiver, &array(1_000)).await;
        wire.send(GROW, 1, Of::Sender, &[]).await;
        wire.expect(ADJUST, 1, Of::Receiver, &array(1_000)).await;
        // The larger window is really there.
        wire.send(CONTENT, 1, Of::Sender, &[1; 994]).await;
        wire.expect(PROCESSED, 1, Of::Receiver, &array(1_000)).await;
    });
}

#[test]
fn case_82_without_a_budget_the_window_stays_and_what_a_channel_took_comes_back() {
    each(&WINDOWED, async |version| {
        let options = Options { growth_budget_bytes: 300, ..Options::new(version) };
        let (mux, mut wire) = even_with(options).await;
        let numbers = if version == Version::V3 { [1, 2, 3] } else { [1, 3, 5] };
        let mut readings = Vec::new();
        for (number, grown) in numbers.into_iter().zip([400, 100, 400]) {
            wire.offer(number, "test", 1_000).await;
            let mut channel = mux.accept("test", ChannelOptions::window(100)).await.unwrap();
            wire.expect_accepted(number, 100).await;
            readings.push(tokio::spawn(async move {
                assert_eq!(channel.read(&mut [0; 8]).await.unwrap(), 0);
            }));
            wire.expect_nothing().await;
            wire.send(GROW, number, Of::Sender, &[]).await;
            wire.expect(ADJUST, number, Of::Receiver, &array(grown)).await;
            if grown == 100 {
                // The first channel ends, and gives back what it grew by.
                wire.send(4, numbers[0], Of::Sender, &[]).await;
                wire.expect(4, numbers[0], Of::Receiver, &[]).await;
            }
        }
    });
}

#[test]
fn case_83_when_the_peer_reads_no_more_the_writer_is_told_and_the_rest_goes_on() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let channel = offered(&mux, &mut wire, 10).await;
        let (mut read, mut write) = channel.into_split();
        let writing = tokio::spawn(async move {
            let error = write.write_all(&[1; 100]).await.unwrap_err();
            (write, error)
        });
        wire.expect(CONTENT, 1, Of::Sender, &[1; 10]).await;
        wire.expect(GROW, 1, Of::Sender, &[]).await;
        wire.send(READ, 1, Of::Receiver, &[]).await;
        wire.expect(WRITTEN, 1, Of::Sender, &[]).await;
        let (_write, error) = writing.await.unwrap();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        wire.send(CONTENT, 1, Of::Receiver, b"still").await;
        let mut got = [0; 5];
        read.read_exact(&mut got).await.unwrap();
        wire.send(READ, 1, Of::Receiver, &[]).await;
        wire.expect_nothing().await;
    });
}

#[test]
fn case_84_a_peer_that_knows_nothing_of_it_is_let_go_on() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = even(version).await;
        wire.offer(1, "test", 1_000).await;
        let channel = mux.accept("test", ChannelOptions::window(100)).await.unwrap();
        wire.expect_accepted(1, 100).await;
        wire.send(CONTENT, 1, Of::Sender, &[1; 100]).await;
        wire.expect_nothing().await;
        let (read, _write) = channel.into_split();
        drop(read);
        wire.expect(READ, 1, Of::Receiver, &[]).await;
        wire.expect(PROCESSED, 1, Of::Receiver, &array(100)).await;
        for _ in 0..10 {
            wire.send(CONTENT, 1, Of::Sender, &[1; 100]).await;
            wire.expect(PROCESSED, 1, Of::Receiver, &array(100)).await;
        }
    });
}

#[test]
fn case_84_what_was_half_read_when_its_reader_left_is_acknowledged() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = even(version).await;
        wire.offer(1, "test", 1_000).await;
        let channel = mux.accept("test", ChannelOptions::window(100)).await.unwrap();
        wire.expect_accepted(1, 100).await;
        wire.send(CONTENT, 1, Of::Sender, &[1; 100]).await;
        let (mut read, _write) = channel.into_split();
        assert_eq!(read.read_u8().await.unwrap(), 1);
        drop(read);
        wire.expect(READ, 1, Of::Receiver, &[]).await;
        wire.expect(PROCESSED, 1, Of::Receiver, &array(100)).await;
    });
}

#[test]
fn case_81_the_largest_window_is_still_one() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 10).await;
        let writing = tokio::spawn(async move {
            channel.write_all(&[1; 20]).await.unwrap();
            channel
        });
        wire.expect(CONTENT, 1, Of::Sender, &[1; 10]).await;
        wire.expect(GROW, 1, Of::Sender, &[]).await;
        wire.send(ADJUST, 1, Of::Receiver, &[&[0x91, 0xcf][..], &[0xff; 8]].concat()).await;
        wire.expect(CONTENT, 1, Of::Sender, &[1; 10]).await;
        wire.send(PROCESSED, 1, Of::Receiver, &array(20)).await;
        wire.expect_nothing().await;
        let mut channel = writing.await.unwrap();
        channel.write_all(b"on").await.unwrap();
        wire.expect(CONTENT, 1, Of::Sender, b"on").await;
    });
}

#[test]
fn a_window_of_nothing_ends_the_connection() {
    each(&WINDOWED, async |version| {
        for payload in [&[0x91, 0x00][..], &[0x91, 0xff], &[]] {
            let (mux, mut wire) = odd(version).await;
            let _channel = offered(&mux, &mut wire, 10).await;
            wire.send(ADJUST, 1, Of::Receiver, payload).await;
            wire.expect_end().await;
            mux.completion().await.unwrap_err();
        }
    });
}

#[test]
fn version_1_ignores_flow_control() {
    run(async {
        let (mux, mut wire) = even(Version::V1).await;
        let mut channel = accepted(&mux, &mut wire, 0).await;
        for code in [PROCESSED, READ, ADJUST, GROW] {
            wire.send(code, 1, Of::Sender, &[]).await;
            wire.send(code, 1, Of::Sender, &array(0)).await;
        }
        wire.expect_nothing().await;
        channel.write_all(b"on").await.unwrap();
        wire.expect(CONTENT, 1, Of::Receiver, b"on").await;
    });
}
