//! Cases 1 to 16.

use std::collections::HashSet;
use std::time::Duration;

use pipeway_mux::{ErrorKind, Mux, Options, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::rig::{ALL, WINDOWED, Wire, default, each, even, odd, pattern, run, unhex};

const V1_HEAD: &str = "2fdf1d50";
const V2_HEAD: &str = "92920200c410";

/// An end that is shaking hands, and the wire.
fn shaking(
    version: Version,
) -> (tokio::task::JoinHandle<Result<Mux, pipeway_mux::Error>>, DuplexStream) {
    let (here, there) = duplex(64 * 1024);
    (tokio::spawn(Mux::connect(here, Options::new(version))), there)
}

/// What becomes of an end that receives `bytes` for a handshake.
async fn refused(version: Version, bytes: &[u8]) -> ErrorKind {
    let (end, mut wire) = shaking(version);
    wire.write_all(bytes).await.unwrap();
    let error = end.await.unwrap().unwrap_err();
    // The transport is let go: what was sent can be read, and then its end.
    let mut sent = Vec::new();
    wire.read_to_end(&mut sent).await.unwrap();
    error.kind()
}

#[test]
fn case_01_02_04_the_handshake_is_sent_at_once_and_has_fresh_random_bytes() {
    for (version, head) in [(Version::V1, V1_HEAD), (Version::V2, V2_HEAD)] {
        run(async {
            let mut seen = HashSet::new();
            for _ in 0..2 {
                let (_end, mut wire) = shaking(version);
                let mut sent = vec![0; head.len() / 2 + 16];
                wire.read_exact(&mut sent).await.unwrap();
                assert_eq!(sent[..head.len() / 2], unhex(head));
                assert!(seen.insert(sent));
            }
        });
    }
}

#[test]
fn case_03_version_3_sends_nothing_before_its_first_frame() {
    run(async {
        let (_mux, mut wire) = odd(Version::V3).await;
        wire.expect_nothing().await;
    });
}

#[test]
fn case_05_06_the_larger_random_bytes_have_the_odd_channels() {
    each(&[Version::V1, Version::V2], async |version| {
        let (mux, mut wire) = even(version).await;
        let _channels = [mux.offer_anonymous(default()), mux.offer_anonymous(default())];
        wire.expect_offer(2, "", 1_024_000).await;
        wire.expect_offer(4, "", 1_024_000).await;
        let (mux, mut wire) = odd(version).await;
        let _channels = [mux.offer_anonymous(default()), mux.offer_anonymous(default())];
        wire.expect_offer(1, "", 1_024_000).await;
        wire.expect_offer(3, "", 1_024_000).await;
    });
}

#[test]
fn case_07_the_first_byte_that_differs_decides() {
    for (version, head) in [(Version::V1, V1_HEAD), (Version::V2, V2_HEAD)] {
        for larger in [false, true] {
            run(async {
                let (end, mut wire) = shaking(version);
                let mut sent = vec![0; head.len() / 2 + 16];
                wire.read_exact(&mut sent).await.unwrap();
                // The peer's are the same but for the last byte, which is smaller or larger; where
                // it can't be, the test is about nothing and the next connection is tried.
                let last = sent.last_mut().unwrap();
                let Some(other) = (if larger { last.checked_add(1) } else { last.checked_sub(1) })
                else {
                    return;
                };
                *last = other;
                wire.write_all(&sent).await.unwrap();
                let mux = end.await.unwrap().unwrap();
                let _channel = mux.offer_anonymous(default()).unwrap();
                let mut wire = Wire { io: wire, version };
                wire.expect_offer(if larger { 2 } else { 1 }, "", 1_024_000).await;
            });
        }
    }
}

#[test]
fn case_08_ones_own_random_bytes_are_refused() {
    for (version, length) in [(Version::V1, 20), (Version::V2, 22)] {
        run(async {
            let (end, mut wire) = shaking(version);
            let mut sent = vec![0; length];
            wire.read_exact(&mut sent).await.unwrap();
            wire.write_all(&sent).await.unwrap();
            let error = end.await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Version);
            assert_eq!(wire.read(&mut [0; 8]).await.unwrap(), 0, "the transport is open");
        });
    }
}

#[test]
fn case_09_10_12_13_what_is_no_handshake_of_the_version_is_refused() {
    let random = [7; 16];
    let with = |head: &str, random: &[u8]| [&unhex(head)[..], random].concat();
    let wrong = [
        (Version::V1, with("2fdf1d51", &random)),
        (Version::V1, vec![0x2f, 0x00]),
        (Version::V2, with("92920300c410", &random)),
        (Version::V2, with("92920100c410", &random)),
        (Version::V2, unhex("91920200")),
        (Version::V2, unhex("929102c410")),
        (Version::V2, with("92920200c411", &[7; 17])),
        (Version::V2, with("92920200c404", &[7; 4])),
        (Version::V1, with(V2_HEAD, &random)),
        (Version::V2, with(V1_HEAD, &random)),
        // What an end of version 3 begins with.
        (Version::V1, unhex("94000101c40b92a474657374ce00019000940203")),
        (Version::V2, unhex("94000101c40b92a474657374ce00019000")),
    ];
    for (version, bytes) in wrong {
        assert_eq!(run(refused(version, &bytes)), ErrorKind::Version, "{bytes:02x?}");
    }
}

#[test]
fn case_10_11_minor_versions_and_elements_that_nobody_knows_are_taken() {
    let random = "ff".repeat(16);
    for handshake in [format!("92920209c410{random}"), format!("9393020005c410{random}a3616263")] {
        run(async {
            let (end, wire) = shaking(Version::V2);
            let mut wire = Wire { io: wire, version: Version::V2 };
            wire.bytes(&unhex(&handshake)).await;
            let mux = end.await.unwrap().unwrap();
            wire.io.read_exact(&mut [0; 22]).await.unwrap();
            let _channel = mux.offer_anonymous(default()).unwrap();
            wire.expect_offer(2, "", 1_024_000).await;
        });
    }
}

#[test]
fn case_14_the_end_of_the_stream_inside_the_handshake_is_refused() {
    for (version, head) in [(Version::V1, V1_HEAD), (Version::V2, V2_HEAD)] {
        for length in 0..head.len() / 2 + 16 {
            run(async {
                let (end, mut wire) = shaking(version);
                let whole = [unhex(head), vec![7; 16]].concat();
                wire.write_all(&whole[..length]).await.unwrap();
                wire.shutdown().await.unwrap();
                assert_eq!(end.await.unwrap().unwrap_err().kind(), ErrorKind::Truncated);
            });
        }
    }
}

#[test]
fn case_15_frames_behind_the_handshake_are_handled_in_one_piece_and_byte_by_byte() {
    each(&ALL, async |version| {
        for in_one in [true, false] {
            let (end, io) = shaking(version);
            let mut wire = Wire { io, version };
            let mut bytes = match version {
                Version::V1 => [unhex(V1_HEAD), vec![0xff; 16]].concat(),
                Version::V2 => [unhex(V2_HEAD), vec![0xff; 16]].concat(),
                Version::V3 => Vec::new(),
            };
            bytes.extend(crate::rig::frame(
                version,
                0,
                1,
                crate::rig::Of::Sender,
                &match version {
                    Version::V1 => b"a".to_vec(),
                    _ => vec![0x92, 0xa1, b'a', 0x64],
                },
            ));
            bytes.extend(crate::rig::frame(version, 2, 1, crate::rig::Of::Sender, b"hello"));
            if in_one {
                wire.bytes(&bytes).await;
            } else {
                for byte in bytes {
                    wire.bytes(&[byte]).await;
                    tokio::task::yield_now().await;
                }
            }
            let mux = end.await.unwrap().unwrap();
            let mut channel = mux.accept("a", default()).await.unwrap();
            let mut got = [0; 5];
            channel.read_exact(&mut got).await.unwrap();
            assert_eq!(&got, b"hello");
        }
    });
}

#[test]
fn case_16_what_contradicts_itself_is_refused_before_a_byte_is_written() {
    for version in [0, 4] {
        assert_eq!(Version::from_number(version).unwrap_err().kind(), ErrorKind::Usage);
    }
    for version in ALL {
        assert_eq!(Version::from_number(version.number()).unwrap(), version);
    }
    let seeded = |version| Options { seeded: vec![100], ..Options::new(version) };
    let windowless = |version| Options { window_bytes: 0, ..Options::new(version) };
    let wrong = [seeded(Version::V1), seeded(Version::V2), windowless(WINDOWED[0])];
    for options in wrong {
        run(async {
            let (here, mut wire) = duplex(1024);
            let error = Mux::connect(here, options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert_eq!(wire.read(&mut [0; 8]).await.unwrap(), 0);
        });
    }
    run(async {
        let (here, _wire) = duplex(1024);
        let error = Mux::create(here, Options::new(Version::V2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    });
}

#[test]
fn a_connection_may_be_moved_by_a_task_of_something_else() {
    run(async {
        let (here, there) = duplex(1024);
        let mut tasks = tokio::task::JoinSet::new();
        let near = Mux::create_on(here, Options::default(), |task| drop(tasks.spawn(task)));
        let far = Mux::create_on(there, Options::default(), |task| drop(tasks.spawn(task)));
        let (near, far) = (near.unwrap(), far.unwrap());
        for _ in 0..50 {
            let (mut ours, mut theirs) = tokio::join!(
                async { near.offer_with("echo", default(), b"there").await.unwrap() },
                async { far.accept("echo", default()).await.unwrap() }
            );
            let mut space = [0; 5];
            theirs.read_exact(&mut space).await.unwrap();
            assert_eq!(&space, b"there");
            theirs.write_all(b"back!").await.unwrap();
            ours.read_exact(&mut space).await.unwrap();
            assert_eq!(&space, b"back!");
        }
        near.close().await;
        far.completion().await.unwrap();
        // Both are done.
        assert_eq!(tasks.join_all().await.len(), 2);
        let (here, _wire) = duplex(1024);
        let wrong = Mux::create_on(here, Options::new(Version::V2), |_| unreachable!());
        assert_eq!(wrong.unwrap_err().kind(), ErrorKind::Usage);
    });
}

#[test]
fn a_handshake_that_does_not_come_is_given_up() {
    each(&[Version::V1, Version::V2], async |version| {
        let (here, mut wire) = duplex(1024);
        let began = tokio::time::Instant::now();
        let options =
            Options { handshake_timeout: Duration::from_secs(3), ..Options::new(version) };
        let error = Mux::connect(here, options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 3);
        let mut sent = Vec::new();
        wire.read_to_end(&mut sent).await.unwrap();
        assert!(!sent.is_empty());
    });
}

#[test]
fn a_handshake_without_an_end_is_refused() {
    // An array of many elements, each of which is nothing: none of it may be kept for ever.
    let bytes =
        [unhex("dd00ffffff"), unhex("920200c410"), vec![7; 16], pattern(0), vec![0xc0; 8192]];
    assert_eq!(run(refused(Version::V2, &bytes.concat())), ErrorKind::Version);
}
