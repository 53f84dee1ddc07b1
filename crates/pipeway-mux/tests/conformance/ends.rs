//! Cases 63 to 72: ends and terminations.

use std::io;

use pipeway_mux::{ChannelError, Ended, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{
    ALL, CONTENT, GROW, Of, PROCESSED, READ, TERMINATED, WINDOWED, WRITTEN, accepted, all, array,
    each, even, odd, offered, pair_of, pattern, text, works,
};

fn second(version: Version) -> u64 {
    if version == Version::V3 { 2 } else { 3 }
}

async fn open(version: Version) -> [pipeway_mux::Channel; 2] {
    let (here, there) = pair_of(version).await;
    let default = crate::rig::default;
    let (offered, accepted) =
        tokio::join!(here.offer("a", default()), there.accept("a", default()));
    [offered.unwrap(), accepted.unwrap()]
}

#[test]
fn case_63_64_the_end_of_one_direction_leaves_the_other() {
    each(&ALL, async |version| {
        for offerer_ends in [true, false] {
            let [mut first, mut second] = open(version).await;
            if !offerer_ends {
                std::mem::swap(&mut first, &mut second);
            }
            first.write_all(b"all of it").await.unwrap();
            first.shutdown().await.unwrap();
            assert_eq!(all(&mut second).await, b"all of it");
            let sent = pattern(300_000);
            let sending = async {
                second.write_all(&sent).await.unwrap();
                second.shutdown().await.unwrap();
            };
            let ((), got) = tokio::join!(sending, all(&mut first));
            assert!(sent == got);
            assert_eq!(first.completion().await.unwrap(), Ended::Complete);
            assert_eq!(second.completion().await.unwrap(), Ended::Complete);
        }
    });
}

#[test]
fn case_65_when_both_directions_have_ended_so_has_the_channel() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 1_000).await;
        wire.send(CONTENT, 1, Of::Receiver, b"unread").await;
        wire.send(WRITTEN, 1, Of::Receiver, &[]).await;
        channel.shutdown().await.unwrap();
        wire.expect(WRITTEN, 1, Of::Sender, &[]).await;
        wire.expect(TERMINATED, 1, Of::Sender, &[]).await;
        wire.send(TERMINATED, 1, Of::Receiver, &[]).await;
        wire.expect_nothing().await;
        assert_eq!(channel.completion().await.unwrap(), Ended::Complete);
        assert_eq!(all(&mut channel).await, b"unread");
        drop(channel);
        wire.expect_nothing().await;
        assert_eq!(mux.channels(), 0);
    });
}

#[test]
fn case_65_the_peers_end_and_termination_may_come_together() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 1_000).await;
        channel.shutdown().await.unwrap();
        wire.expect(WRITTEN, 1, Of::Sender, &[]).await;
        wire.send(WRITTEN, 1, Of::Receiver, &[]).await;
        wire.send(TERMINATED, 1, Of::Receiver, &[]).await;
        wire.expect(TERMINATED, 1, Of::Sender, &[]).await;
        wire.expect_nothing().await;
        assert_eq!(channel.completion().await.unwrap(), Ended::Complete);
    });
}

#[test]
fn case_66_a_termination_is_answered_once_and_nothing_follows() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        let mut channel = accepted(&mux, &mut wire, 1 << 20).await;
        wire.send(CONTENT, 1, Of::Sender, &[7; 60_000]).await;
        wire.send(TERMINATED, 1, Of::Sender, &[]).await;
        wire.expect(TERMINATED, 1, Of::Receiver, &[]).await;
        assert_eq!(all(&mut channel).await, [7; 60_000]);
        let error = channel.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        channel.shutdown().await.unwrap();
        assert_eq!(channel.completion().await.unwrap(), Ended::Terminated);
        drop(channel);
        wire.send(TERMINATED, 1, Of::Sender, &[]).await;
        wire.expect_nothing().await;
        works(&mux, &mut wire, second(version)).await;
    });
}

#[test]
fn case_67_after_the_own_termination_there_is_no_content() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let channel = offered(&mux, &mut wire, 10).await;
        let (_read, mut write) = channel.into_split();
        write.write_all(&[1; 10]).await.unwrap();
        wire.expect(CONTENT, 1, Of::Sender, &[1; 10]).await;
        write.terminate(None);
        let error = write.write_all(&[2; 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        wire.expect(TERMINATED, 1, Of::Sender, &[]).await;
        wire.send(PROCESSED, 1, Of::Receiver, &array(10)).await;
        wire.expect_nothing().await;
    });
}

#[test]
fn case_67_who_waits_to_write_is_told_of_the_own_termination() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let channel = offered(&mux, &mut wire, 10).await;
        let (read, mut write) = channel.into_split();
        let writing = tokio::spawn(async move { write.write_all(&[1; 20]).await });
        wire.expect(CONTENT, 1, Of::Sender, &[1; 10]).await;
        wire.expect(GROW, 1, Of::Sender, &[]).await;
        read.terminate(Some("Cut: here"));
        let error = writing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        wire.expect(TERMINATED, 1, Of::Sender, &text("Cut: here")).await;
        wire.expect_nothing().await;
    });
}

#[test]
fn case_68_the_peers_termination_stops_a_large_send() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 1 << 30).await;
        let sending = tokio::spawn(async move {
            let error = channel.write_all(&vec![1; 64 << 20]).await.unwrap_err();
            (channel, error)
        });
        // The wire takes 4 MiB and no more, until something of it is read.
        wire.expect(CONTENT, 1, Of::Sender, &[1; 20_480]).await;
        wire.send(TERMINATED, 1, Of::Receiver, &[]).await;
        let (channel, error) = tokio::join!(sending, async {
            let content = crate::rig::frame(version, CONTENT, 1, Of::Sender, &[1; 20_480]);
            let mut frames = 1;
            loop {
                let mut code =
                    vec![0; crate::rig::frame(version, TERMINATED, 1, Of::Sender, &[]).len()];
                wire.io.read_exact(&mut code).await.unwrap();
                if code == crate::rig::frame(version, TERMINATED, 1, Of::Sender, &[]) {
                    break;
                }
                let mut rest = vec![0; content.len() - code.len()];
                wire.io.read_exact(&mut rest).await.unwrap();
                frames += 1;
            }
            // What was on its way: the wire's buffer and about 128 KiB.
            assert!(frames < 220, "{frames} frames");
        })
        .0
        .unwrap();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        wire.expect_nothing().await;
        drop(channel);
        works(&mux, &mut wire, if version == Version::V3 { 1 } else { 2 }).await;
    });
}

#[test]
fn case_69_content_and_acknowledgements_after_the_peers_termination_are_ignored() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        let mut channel = accepted(&mux, &mut wire, 1_000).await;
        channel.write_all(b"hello").await.unwrap();
        wire.expect(CONTENT, 1, Of::Receiver, b"hello").await;
        wire.send(TERMINATED, 1, Of::Sender, &[]).await;
        wire.send(CONTENT, 1, Of::Sender, b"late").await;
        wire.send(PROCESSED, 1, Of::Sender, &array(5)).await;
        wire.send(READ, 1, Of::Sender, &[]).await;
        wire.expect(TERMINATED, 1, Of::Receiver, &[]).await;
        assert!(all(&mut channel).await.is_empty());
        works(&mux, &mut wire, second(version)).await;
    });
}

#[test]
fn case_70_the_peers_error_is_the_channels_but_in_version_1() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        let mut channel = accepted(&mux, &mut wire, 1_000).await;
        wire.send(CONTENT, 1, Of::Sender, b"before").await;
        let payload = if version == Version::V1 { Vec::new() } else { text("Error: Hello world") };
        wire.send(TERMINATED, 1, Of::Sender, &payload).await;
        wire.expect(TERMINATED, 1, Of::Receiver, &[]).await;
        let mut got = [0; 6];
        channel.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"before");
        if version == Version::V1 {
            assert!(all(&mut channel).await.is_empty());
            assert_eq!(channel.completion().await.unwrap(), Ended::Terminated);
            return;
        }
        let error = channel.read(&mut got).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let error = channel.completion().await.unwrap_err();
        assert_eq!(error.to_string(), "Received error from remote side: Error: Hello world");
        assert!(matches!(error, ChannelError::Remote(text) if text == "Error: Hello world"));
        assert_eq!(
            channel.write_all(b"x").await.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn case_71_the_answer_to_an_error_changes_nothing_where_it_was_sent() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let channel = offered(&mux, &mut wire, 1_000).await;
        channel.terminate(Some("Error: Hello world"));
        wire.expect(TERMINATED, 1, Of::Sender, &text("Error: Hello world")).await;
        let answer = [&[0x91, 0xd9, 38][..], b"Error: Received error from remote side"].concat();
        wire.send(TERMINATED, 1, Of::Receiver, &answer).await;
        wire.expect_nothing().await;
        let error = channel.completion().await.unwrap_err();
        assert!(matches!(error, ChannelError::Local(text) if text == "Error: Hello world"));
    });
}

#[test]
fn case_72_what_is_dropped_is_told() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 1_000).await;
        channel.write_all(b"rest").await.unwrap();
        drop(channel);
        wire.expect(CONTENT, 1, Of::Sender, b"rest").await;
        wire.expect(TERMINATED, 1, Of::Sender, &[]).await;

        let (mux, mut wire) = odd(version).await;
        let channel = offered(&mux, &mut wire, 1_000).await;
        let (mut read, mut write) = channel.into_split();
        write.write_all(b"rest").await.unwrap();
        drop(write);
        wire.expect(CONTENT, 1, Of::Sender, b"rest").await;
        wire.expect(WRITTEN, 1, Of::Sender, &[]).await;
        wire.send(CONTENT, 1, Of::Receiver, b"answer").await;
        let mut got = [0; 6];
        read.read_exact(&mut got).await.unwrap();
        drop(read);
        wire.expect(TERMINATED, 1, Of::Sender, &[]).await;
        wire.expect_nothing().await;

        let (mux, mut wire) = odd(version).await;
        let channel = offered(&mux, &mut wire, 1_000).await;
        let (read, mut write) = channel.into_split();
        drop(read);
        if version != Version::V1 {
            wire.expect(READ, 1, Of::Sender, &[]).await;
        }
        wire.expect_nothing().await;
        write.write_all(b"on and on").await.unwrap();
        wire.expect(CONTENT, 1, Of::Sender, b"on and on").await;
    });
}
