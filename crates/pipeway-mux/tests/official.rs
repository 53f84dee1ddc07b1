//! The multiplexer with the crate `nerdbank-streams` at the other end, over a stream in memory. The
//! crate writes a frame for each byte, so little is sent here; it neither rejects nor announces
//! offers, and does not answer a termination.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::future::Future;
use std::io::ErrorKind;

use nerdbank_streams::mxstream as official;
use official::{MultiplexingStream, ProtocolVersion};
use pipeway_mux::{Channel, ChannelError, ChannelOptions, Mux, Options, Version};
use support::{pattern, run};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

type Theirs = MultiplexingStream<DuplexStream>;

const VERSIONS: [Version; 3] = [Version::V1, Version::V2, Version::V3];
const PLAIN: ChannelOptions = ChannelOptions { window_bytes: None };

/// A connection over a transport that holds so much.
async fn pair(version: Version, window: u32, seeded: &[u32]) -> (Mux, Theirs) {
    let (near, far) = duplex(4096);
    let protocol_version = match version {
        Version::V1 => ProtocolVersion::V1,
        Version::V2 => ProtocolVersion::V2,
        Version::V3 => ProtocolVersion::V3,
    };
    let channel =
        |window: &u32| official::ChannelOptions { receive_window: Some(*window as usize) };
    let theirs = official::Options {
        protocol_version,
        default_receive_window: window as usize,
        max_channel_receive_window: 16 * window as usize,
        seeded_channels: seeded.iter().map(channel).collect(),
        ..official::Options::default()
    };
    let seeded = seeded.to_vec();
    let ours = Options { version, window_bytes: window, seeded, ..Options::default() };
    let (ours, theirs) =
        tokio::join!(Mux::connect(near, ours), MultiplexingStream::connect(far, theirs));
    (ours.unwrap(), theirs.unwrap())
}

/// A channel that either end offers.
async fn channel(ours: &Mux, theirs: &Theirs, by_us: bool) -> (Channel, official::Channel) {
    if by_us {
        let (near, far) =
            tokio::join!(ours.offer("name", PLAIN), theirs.accept_channel("name", None));
        (near.unwrap(), far.unwrap())
    } else {
        let (near, far) =
            tokio::join!(ours.accept("name", PLAIN), theirs.offer_channel("name", None));
        (near.unwrap(), far.unwrap())
    }
}

/// Runs a test for each version, with a channel that either end offers.
fn over_all<F: Future<Output = ()>>(
    versions: &[Version],
    test: impl Fn(Channel, official::Channel) -> F,
) {
    run(async {
        for version in versions {
            for by_us in [true, false] {
                // Shown if the test fails.
                eprintln!("{version:?}, offered by {}", if by_us { "us" } else { "the crate" });
                let (ours, theirs) = pair(*version, 100_000, &[]).await;
                let (near, far) = channel(&ours, &theirs, by_us).await;
                test(near, far).await;
                // The connection works on.
                let (near, far) = channel(&ours, &theirs, !by_us).await;
                exchange(near, far, 10).await;
            }
        }
    });
}

/// So many bytes each way at once, then both ends.
async fn exchange<A, B>(near: A, far: B, length: usize)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let sent = pattern(length);
    let one = async |stream: &mut dyn Duplex| {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut received = Vec::new();
        let (written, read) = tokio::join!(
            async {
                writer.write_all(&sent).await?;
                writer.shutdown().await
            },
            reader.read_to_end(&mut received)
        );
        written.unwrap();
        read.unwrap();
        assert!(received == sent);
    };
    let (mut near, mut far) = (near, far);
    tokio::join!(one(&mut near), one(&mut far));
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Duplex for S {}

#[test]
fn case_56_bytes_go_both_ways_at_once() {
    over_all(&VERSIONS, async |near, far| exchange(near, far, 20_481).await);
}

/// Sends several times what a window takes, or half as much again where it takes a frame of the
/// greatest length: the crate makes a frame of each byte, and needs seconds for that much.
fn lets_everything_through(version: Version) {
    run(async {
        for window in [1, 2, 16, 100, 1024, 20_480, 20_481, 4 << 20] {
            for by_us in [true, false] {
                let (ours, theirs) = pair(version, window, &[]).await;
                let (near, far) = channel(&ours, &theirs, by_us).await;
                let count = match window {
                    0..1024 => 600,
                    20_480..=20_481 => 30_000,
                    _ => 3000,
                };
                exchange(near, far, count).await;
            }
        }
    });
}

#[test]
fn case_75_every_window_of_version_2_lets_everything_through() {
    lets_everything_through(Version::V2);
}

#[test]
fn case_75_every_window_of_version_3_lets_everything_through() {
    lets_everything_through(Version::V3);
}

#[test]
fn case_46_anonymous_channels_are_accepted_by_number() {
    run(async {
        for version in VERSIONS {
            let (ours, theirs) = pair(version, 100_000, &[]).await;
            let near = ours.offer_anonymous(PLAIN).unwrap();
            let number = near.id().number();
            // The crate takes only what has come; a named channel behind it shows that it has.
            let _behind = channel(&ours, &theirs, true).await;
            let far = theirs.accept_channel_by_id(number, None).await.unwrap();
            exchange(near, far, 100).await;
            let far = theirs.create_channel(None).unwrap();
            let offer = ours.next_offer().await.unwrap();
            assert_eq!((offer.id().number(), offer.name()), (far.id().id, ""));
            exchange(offer.accept(PLAIN).unwrap(), far, 100).await;
        }
    });
}

#[test]
fn case_63_and_64_one_direction_ends_and_the_other_goes_on() {
    over_all(&VERSIONS, async |mut near, mut far| {
        near.write_all(b"ours").await.unwrap();
        near.shutdown().await.unwrap();
        let mut read = String::new();
        far.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "ours");
        far.write_all(&pattern(5000)).await.unwrap();
        far.shutdown().await.unwrap();
        let mut read = Vec::new();
        near.read_to_end(&mut read).await.unwrap();
        assert!(read == pattern(5000));
    });
    over_all(&VERSIONS, async |mut near, mut far| {
        far.write_all(b"theirs").await.unwrap();
        far.shutdown().await.unwrap();
        let mut read = String::new();
        near.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "theirs");
        near.write_all(&pattern(100_000)).await.unwrap();
        near.shutdown().await.unwrap();
        let mut read = Vec::new();
        far.read_to_end(&mut read).await.unwrap();
        assert!(read == pattern(100_000));
    });
}

#[test]
fn case_83_its_end_of_reading_is_a_broken_pipe_to_a_writer_that_waits() {
    over_all(&[Version::V2, Version::V3], async |mut near, mut far| {
        let waiting = tokio::spawn(async move {
            let error = loop {
                if let Err(error) = near.write_all(&[0; 10_000]).await {
                    break error;
                }
            };
            (error, near)
        });
        far.read_exact(&mut [0; 1000]).await.unwrap();
        far.close_read().await.unwrap();
        let (error, mut near) = waiting.await.unwrap();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
        // The other direction works on.
        far.write_all(b"still").await.unwrap();
        far.shutdown().await.unwrap();
        let mut read = String::new();
        near.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "still");
    });
}

#[test]
fn our_end_of_reading_lets_it_write_on() {
    over_all(&[Version::V2, Version::V3], async |near, mut far| {
        let (reader, mut writer) = near.into_split();
        drop(reader);
        // More than the window.
        far.write_all(&pattern(150_000)).await.unwrap();
        writer.write_all(b"still").await.unwrap();
        writer.shutdown().await.unwrap();
        let mut read = String::new();
        far.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "still");
    });
}

#[test]
fn case_70_its_error_is_the_end_of_the_channel() {
    over_all(&VERSIONS, async |near, far| {
        far.terminate(Some("Error: Hello world")).await.unwrap();
        match near.completion().await {
            // Version 1 can't say it.
            Ok(_) => {}
            Err(ChannelError::Remote(text)) => assert_eq!(text, "Error: Hello world"),
            Err(other) => panic!("{other:?}"),
        }
    });
}

#[test]
fn case_23_our_error_is_told_to_it() {
    over_all(&VERSIONS, async |near, far| {
        near.terminate(Some("Error: Hello world"));
        match far.completion().await {
            Ok(()) => {}
            Err(official::Error::Remote(text)) => assert!(text.contains("Hello world"), "{text}"),
            Err(other) => panic!("{other:?}"),
        }
    });
}

#[test]
fn case_92_seeded_channels_carry_bytes_both_ways() {
    run(async {
        let (ours, theirs) = pair(Version::V3, 100_000, &[5000, 102_400]).await;
        for index in 0..2 {
            let near = ours.seeded(index).unwrap();
            let far = theirs.accept_seeded_channel(index.into()).unwrap();
            exchange(near, far, 10_000).await;
        }
        let (near, far) = channel(&ours, &theirs, true).await;
        assert_eq!(near.id().number(), 3);
        exchange(near, far, 10).await;
    });
}

#[test]
fn the_end_of_either_is_the_end_of_the_other() {
    run(async {
        for version in VERSIONS {
            let (ours, theirs) = pair(version, 100_000, &[]).await;
            let (mut near, _far) = channel(&ours, &theirs, true).await;
            theirs.shutdown().await.unwrap();
            assert_eq!(near.read(&mut [0]).await.unwrap(), 0);
            ours.completion().await.unwrap();

            let (ours, theirs) = pair(version, 100_000, &[]).await;
            let (_near, mut far) = channel(&ours, &theirs, true).await;
            ours.close().await;
            assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
            // It calls every end but its own an error.
            let ended = theirs.completion().await;
            assert!(matches!(ended, Err(official::Error::Closed(_))), "{ended:?}");
        }
    });
}
