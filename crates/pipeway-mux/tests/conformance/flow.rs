//! Cases 73 to 79 and 85: windows.

use std::time::Duration;

use futures_util::FutureExt as _;
use pipeway_mux::{ChannelError, ChannelOptions, ErrorKind, Limits, Options, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{
    CONTENT, GROW, Of, PROCESSED, TERMINATED, WINDOWED, accepted, all, array, default, each, even,
    even_with, odd, offered, pair, pair_of, pattern, works,
};

fn second(version: Version) -> u64 {
    if version == Version::V3 { 2 } else { 3 }
}

#[test]
fn case_73_a_window_is_filled_and_no_more_than_what_is_acknowledged_follows() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 16).await;
        let writing = tokio::spawn(async move {
            channel.write_all(&[5; 40]).await.unwrap();
            channel
        });
        wire.expect(CONTENT, 1, Of::Sender, &[5; 16]).await;
        wire.expect(GROW, 1, Of::Sender, &[]).await;
        wire.expect_nothing().await;
        wire.send(PROCESSED, 1, Of::Receiver, &array(10)).await;
        wire.expect(CONTENT, 1, Of::Sender, &[5; 10]).await;
        wire.expect_nothing().await;
        wire.send(PROCESSED, 1, Of::Receiver, &array(16)).await;
        wire.expect(CONTENT, 1, Of::Sender, &[5; 14]).await;
        writing.await.unwrap();
    });
}

#[test]
fn case_74_the_last_frame_before_a_stall_is_what_is_left_of_the_window() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 30_000).await;
        let writing = tokio::spawn(async move { channel.write_all(&[5; 60_000]).await });
        wire.expect(CONTENT, 1, Of::Sender, &[5; 20_480]).await;
        wire.expect(CONTENT, 1, Of::Sender, &[5; 9_520]).await;
        wire.expect(GROW, 1, Of::Sender, &[]).await;
        wire.expect_nothing().await;
        writing.abort();
    });
}

#[test]
fn case_75_77_every_window_lets_everything_through() {
    each(&WINDOWED, async |version| {
        for window in [1, 2, 16, 100, 1_024, 20_479, 20_480, 20_481, 102_400, 1 << 20, 8 << 20] {
            // No growth, which would hide a window that is stuck.
            let options = Options { window_max_bytes: 0, ..Options::new(version) };
            let (here, there) = pair(options.clone(), options).await;
            let length = if window < 100 { 5_000 } else { 400_000 };
            for offerer_sends in [true, false] {
                let options = ChannelOptions::window(window);
                let (offered, accepted) =
                    tokio::join!(here.offer("a", options), there.accept("a", options));
                let (mut from, mut to) = (offered.unwrap(), accepted.unwrap());
                if !offerer_sends {
                    std::mem::swap(&mut from, &mut to);
                }
                let sent = pattern(length);
                let sending = async {
                    from.write_all(&sent).await.unwrap();
                    from.shutdown().await.unwrap();
                };
                let ((), got) = tokio::join!(sending, all(&mut to));
                assert!(sent == got, "{window}");
            }
        }
    });
}

#[test]
fn case_76_who_does_not_read_stops_its_sender_and_nobody_else() {
    each(&WINDOWED, async |version| {
        let (here, there) = pair_of(version).await;
        let open = async |name: &str| {
            let (offered, accepted) =
                tokio::join!(here.offer(name, default()), there.accept(name, default()));
            (offered.unwrap(), accepted.unwrap())
        };
        let (stuck, mut unread) = open("unread").await;
        let (mut reading, mut writing) = stuck.into_split();
        let mut stuck = tokio::spawn(async move {
            writing.write_all(&pattern(3 << 20)).await.unwrap();
            writing.shutdown().await.unwrap();
        });
        // As far as its window goes.
        assert!(tokio::time::timeout(Duration::from_secs(5), &mut stuck).await.is_err());
        let (mut other, mut others) = open("other").await;
        for _ in 0..20 {
            other.write_all(&pattern(100_000)).await.unwrap();
            let mut got = vec![0; 100_000];
            others.read_exact(&mut got).await.unwrap();
        }
        // Its own other direction works, too.
        unread.write_all(b"back").await.unwrap();
        let mut got = [0; 4];
        reading.read_exact(&mut got).await.unwrap();
        let ((), got) = tokio::join!(async { stuck.await.unwrap() }, all(&mut unread));
        assert!(got == pattern(3 << 20));
    });
}

#[test]
fn case_76_nothing_is_acknowledged_that_nobody_reads() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = even(version).await;
        let mut channel = accepted(&mux, &mut wire, 1_000).await;
        for _ in 0..50 {
            wire.send(CONTENT, 1, Of::Sender, &[7; 20_480]).await;
        }
        wire.expect_nothing().await;
        let mut got = vec![0; 50 * 20_480];
        channel.read_exact(&mut got).await.unwrap();
        // 1,024,000 bytes in portions of at least an eighth, by the pieces that were read.
        let mut acknowledged = 0;
        while acknowledged + 128_000 <= got.len() {
            let portion = wire.expect_acknowledgement(1, Of::Receiver).await;
            assert!((128_000..128_000 + 64 * 1024).contains(&portion), "{portion}");
            acknowledged += portion as usize;
        }
        assert!(acknowledged <= got.len());
        wire.expect_nothing().await;
    });
}

#[test]
fn case_78_what_was_not_sent_is_not_acknowledged() {
    each(&WINDOWED, async |version| {
        for payload in [&array(6)[..], &[0x91, 0xff], &[], &[0x90], &[0x91, 0xa0]] {
            let (mux, mut wire) = odd(version).await;
            let mut channel = offered(&mux, &mut wire, 1_000).await;
            channel.write_all(b"hello").await.unwrap();
            wire.expect(CONTENT, 1, Of::Sender, b"hello").await;
            wire.send(PROCESSED, 1, Of::Receiver, &array(0)).await;
            wire.expect_nothing().await;
            wire.send(PROCESSED, 1, Of::Receiver, payload).await;
            wire.expect_end().await;
            assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Protocol);
        }
    });
}

#[test]
fn case_79_content_past_the_window_terminates_the_channel_alone() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = even(version).await;
        wire.offer(1, "test", 1_000).await;
        let mut channel = mux.accept("test", ChannelOptions::window(10)).await.unwrap();
        wire.expect_accepted(1, 10).await;
        wire.send(CONTENT, 1, Of::Sender, &[1; 10]).await;
        wire.send(CONTENT, 1, Of::Sender, &[2; 1]).await;
        let error = b"FlowControl: more content was sent than the window allows";
        let payload = [&[0x91, 0xd9, error.len() as u8][..], error].concat();
        wire.expect(TERMINATED, 1, Of::Receiver, &payload).await;
        wire.send(CONTENT, 1, Of::Sender, &[3; 1]).await;
        wire.send(TERMINATED, 1, Of::Sender, &[]).await;
        let mut got = [0; 10];
        channel.read_exact(&mut got).await.unwrap();
        assert_eq!(got, [1; 10]);
        channel.read(&mut got).await.unwrap_err();
        assert!(matches!(channel.completion().await, Err(ChannelError::Overrun)));
        works(&mux, &mut wire, second(version)).await;
    });
}

#[test]
fn what_nobody_has_accepted_takes_little() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = even(version).await;
        wire.offer(1, "test", 1_000).await;
        for _ in 0..3 {
            wire.send(CONTENT, 1, Of::Sender, &[1; 20_480]).await;
        }
        wire.expect_nothing().await;
        wire.send(CONTENT, 1, Of::Sender, &[1; 20_480]).await;
        let mut code = [0; 2];
        wire.io.read_exact(&mut code).await.unwrap();
        assert_eq!(code[1], TERMINATED);
        let error = mux.accept_id(1, default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    });
}

#[test]
fn beyond_the_bound_of_all_windows_a_channels_window_is_small() {
    each(&WINDOWED, async |version| {
        let limits = Limits { windows_bytes_max: 150_000, ..Limits::default() };
        let options = Options { window_bytes: 100_000, limits, ..Options::new(version) };
        let (mux, mut wire) = even_with(options).await;
        let first = mux.offer_anonymous(default()).unwrap();
        wire.expect_offer(first.id().number(), "", 100_000).await;
        let second = mux.offer_anonymous(default()).unwrap();
        wire.expect_offer(second.id().number(), "", 20_480).await;
    });
}

#[test]
fn case_85_in_version_1_a_channel_that_nobody_reads_stops_all_until_it_is_read() {
    each(&[Version::V1], async |version| {
        let (here, there) = pair_of(version).await;
        let open = async |name: &str| {
            let (offered, accepted) =
                tokio::join!(here.offer(name, default()), there.accept(name, default()));
            (offered.unwrap(), accepted.unwrap())
        };
        let (mut full, mut unread) = open("unread").await;
        let (mut other, mut others) = open("other").await;
        let mut filling = tokio::spawn(async move {
            full.write_all(&pattern(3 << 20)).await.unwrap();
            full.shutdown().await.unwrap();
        });
        assert!(tokio::time::timeout(Duration::from_secs(5), &mut filling).await.is_err());
        let asking = tokio::spawn(async move {
            other.write_all(b"hello").await.unwrap();
            other
        });
        let mut got = [0; 5];
        let mut reading = Box::pin(others.read_exact(&mut got));
        assert!(tokio::time::timeout(Duration::from_secs(5), &mut reading).await.is_err());
        let (got, _) = tokio::join!(all(&mut unread), reading);
        assert!(got == pattern(3 << 20));
        filling.await.unwrap();
        asking.await.unwrap();
    });
}

#[test]
fn case_85_in_version_1_dropping_the_full_channel_frees_the_connection() {
    each(&[Version::V1], async |version| {
        let (mux, mut wire) = even(version).await;
        let channel = accepted(&mux, &mut wire, 0).await;
        for _ in 0..60 {
            wire.send(CONTENT, 1, Of::Sender, &[7; 20_480]).await;
        }
        wire.offer(3, "next", 0).await;
        wire.expect_nothing().await;
        assert!(mux.next_offer().now_or_never().is_none());
        drop(channel);
        assert_eq!(mux.next_offer().await.unwrap().name(), "next");
    });
}

#[test]
fn a_hundred_senders_all_get_their_share() {
    each(&WINDOWED, async |version| {
        let (here, there) = pair_of(version).await;
        let mut readers = Vec::new();
        for n in 0..100 {
            let name = n.to_string();
            let (offered, accepted) =
                tokio::join!(here.offer(&name, default()), there.accept(&name, default()));
            let mut offered = offered.unwrap();
            tokio::spawn(async move {
                // For ever.
                while offered.write_all(&[1; 50_000]).await.is_ok() {}
            });
            readers.push(accepted.unwrap());
        }
        let mut got = [0u64; 100];
        let mut buffer = vec![0; 20_480];
        for _ in 0..50 {
            for (reader, got) in readers.iter_mut().zip(&mut got) {
                *got += reader.read(&mut buffer).await.unwrap() as u64;
            }
        }
        let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
        assert!(*least * 4 > *most, "{least} {most}");
    });
}

#[test]
fn a_small_message_passes_a_large_transfer() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut large = offered(&mux, &mut wire, 1 << 30).await;
        let number = second(version);
        let offering = mux.offer("small", default());
        let answering = async {
            wire.expect_offer(number, "small", 1_024_000).await;
            wire.accept(number, 1_000).await;
        };
        let (small, ()) = tokio::join!(offering, answering);
        let mut small = small.unwrap();
        let bulk = tokio::spawn(async move { large.write_all(&vec![1; 64 << 20]).await });
        // The wire is full from here on: 4 MiB lie in it.
        let frame = crate::rig::frame(version, CONTENT, 1, Of::Sender, &[1; 20_480]);
        wire.expect_bytes(&frame).await;
        tokio::time::timeout(Duration::from_secs(5), small.write_all(b"quick"))
            .await
            .unwrap()
            .unwrap();
        let wanted = crate::rig::frame(version, CONTENT, number, Of::Sender, b"quick");
        let mut frames = 0;
        loop {
            let mut head = vec![0; wanted.len()];
            wire.io.read_exact(&mut head).await.unwrap();
            if head == wanted {
                break;
            }
            let mut rest = vec![0; frame.len() - head.len()];
            wire.io.read_exact(&mut rest).await.unwrap();
            frames += 1;
        }
        // What the wire holds, and at most twice 128 KiB and a frame before it.
        assert!(frames <= (4 << 20) / 20_480 + 16, "{frames}");
        bulk.abort();
    });
}
