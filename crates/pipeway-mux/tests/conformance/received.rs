//! Cases 33 to 42: what must be understood, though nothing here writes it so.

use pipeway_mux::{ChannelError, Ended, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{
    ACCEPTED, CONTENT, OFFER, Of, TERMINATED, WINDOWED, accepted, default, each, even, run, works,
};
use crate::vectors::{self, Vector};

/// Runs `work` on each row of these cases.
fn rows<F: Future<Output = ()>>(cases: &[&str], work: impl Fn(Version, Vec<u8>) -> F) {
    let found: Vec<Vector> =
        vectors::received().into_iter().filter(|row| cases.contains(&row.name)).collect();
    assert!(cases.iter().all(|case| found.iter().any(|row| row.name == *case)), "{cases:?}");
    for row in found {
        let version = Version::from_number(row.version[1..].parse().unwrap()).unwrap();
        run(work(version, row.bytes));
    }
}

fn second(version: Version) -> u64 {
    if version == Version::V3 { 2 } else { 3 }
}

#[test]
fn case_33_to_35_content_is_read_in_every_encoding() {
    let letters = |name: &str| match name {
        "33" => vec![b'a'; 255],
        "34b" => vec![b'b'],
        "34c" => vec![b'c'],
        _ => vec![b'a'],
    };
    for case in ["33", "34a", "34b", "34c", "35", "35b"] {
        rows(&[case], async |version, bytes| {
            for in_one in [true, false] {
                let (mux, mut wire) = even(version).await;
                let mut channel = accepted(&mux, &mut wire, 1_000).await;
                if in_one {
                    wire.bytes(&bytes).await;
                } else {
                    for byte in &bytes {
                        wire.bytes(&[*byte]).await;
                        tokio::task::yield_now().await;
                    }
                }
                let mut got = vec![0; letters(case).len()];
                channel.read_exact(&mut got).await.unwrap();
                assert_eq!(got, letters(case));
                // What stood behind the payload is gone: the next frame is understood.
                works(&mux, &mut wire, second(version)).await;
            }
        });
    }
}

#[test]
fn case_36_a_window_may_be_a_whole_floating_point_number() {
    rows(&["36"], async |version, bytes| {
        let (mux, mut wire) = even(version).await;
        let _first = accepted(&mux, &mut wire, 1_000).await;
        wire.bytes(&bytes).await;
        let mut channel = mux.accept("t", default()).await.unwrap();
        wire.expect_accepted(second(version), 1_024_000).await;
        channel.write_all(&[1; 20_480]).await.unwrap();
        wire.expect(CONTENT, second(version), Of::Receiver, &[1; 20_480]).await;
    });
}

#[test]
fn case_37_codes_that_nobody_knows_are_passed_over() {
    rows(&["37a", "37b"], async |version, bytes| {
        let (mux, mut wire) = even(version).await;
        wire.bytes(&bytes).await;
        wire.bytes(&bytes).await;
        works(&mux, &mut wire, 1).await;
    });
}

#[test]
fn case_38_a_payload_of_nil_is_none() {
    rows(&["38"], async |version, bytes| {
        let (mux, mut wire) = even(version).await;
        let mut channel = accepted(&mux, &mut wire, 1_000).await;
        wire.bytes(&bytes).await;
        wire.send(CONTENT, 1, Of::Sender, b"x").await;
        let mut got = [0; 1];
        channel.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"x");
    });
}

#[test]
fn case_39_a_frame_of_65535_bytes_is_delivered() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = even(version).await;
        let mut channel = accepted(&mux, &mut wire, 1_000).await;
        wire.send(CONTENT, 1, Of::Sender, &[3; 65_535]).await;
        let mut got = vec![0; 65_535];
        channel.read_exact(&mut got).await.unwrap();
        assert!(got.iter().all(|byte| *byte == 3));
    });
}

#[test]
fn case_40_a_name_that_is_no_utf8_has_replacement_characters() {
    rows(&["40"], async |version, bytes| {
        let (mux, mut wire) = even(version).await;
        wire.bytes(&bytes).await;
        let offer = mux.next_offer().await.unwrap();
        assert_eq!(offer.name(), "\u{fffd}\u{fffd}");
        offer.accept(default()).unwrap();
        wire.expect(ACCEPTED, 3, Of::Receiver, &[]).await;
    });
}

#[test]
fn case_41_an_error_of_30000_bytes_comes_whole() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = even(version).await;
        let channel = accepted(&mux, &mut wire, 1_000).await;
        let text = "e".repeat(30_000);
        let payload = [&[0x91, 0xda][..], &30_000u16.to_be_bytes(), text.as_bytes()].concat();
        wire.send(TERMINATED, 1, Of::Sender, &payload).await;
        let error = channel.completion().await.unwrap_err();
        assert!(matches!(error, ChannelError::Remote(got) if got == text));
    });
}

#[test]
fn case_42_a_termination_with_an_empty_array_is_without_an_error() {
    rows(&["42"], async |version, bytes| {
        let (mux, mut wire) = even(version).await;
        let channel = accepted(&mux, &mut wire, 1_000).await;
        wire.bytes(&bytes).await;
        assert_eq!(channel.completion().await.unwrap(), Ended::Terminated);
    });
}

#[test]
fn an_error_that_is_no_text_is_an_empty_one() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = even(version).await;
        let channel = accepted(&mux, &mut wire, 1_000).await;
        wire.send(TERMINATED, 1, Of::Sender, &[0x91, 0x05]).await;
        let error = channel.completion().await.unwrap_err();
        assert!(matches!(error, ChannelError::Remote(text) if text.is_empty()));
    });
}

#[test]
fn a_name_of_nil_is_the_empty_name() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = even(version).await;
        wire.send(OFFER, 1, Of::Sender, &[0x92, 0xc0, 0x64]).await;
        assert_eq!(mux.next_offer().await.unwrap().name(), "");
    });
}
