//! Cases 17 to 32: what is on the wire.

use pipeway_mux::{ChannelOptions, OfferError, Options, Version};
use tokio::io::AsyncWriteExt;

use crate::rig::{
    ALL, CONTENT, Of, TERMINATED, WINDOWED, accepted, default, each, even, odd, offered, run, text,
    unhex,
};
use crate::vectors;

/// The row of others' frames, of the channel's offerer.
fn row(name: &str, version: Version) -> Vec<u8> {
    vectors::frame(name, &format!("v{}", version.number()))
}

/// The row as the channel's acceptor writes it.
fn acceptors(name: &str, version: Version) -> Vec<u8> {
    let found = vectors::frames().into_iter().find(|row| row.name == name && row.version == "v3r");
    match (version, found) {
        (Version::V3, Some(row)) => row.bytes,
        _ => row(name, version),
    }
}

/// As `npm`: a window of 102400.
const NPM: ChannelOptions = ChannelOptions::window(102_400);

#[test]
fn case_17_25_offers_are_as_others_write_them() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        // The rows are the first, second, third, fifth and sixth offers of a connection.
        let rows =
            [("test", NPM, "G02"), ("e", ChannelOptions::window(16), "G11"), ("", NPM, "G13")];
        let mut offers = Vec::new();
        for (name, options, frame) in rows {
            let mux = mux.clone();
            offers.push(tokio::spawn(async move { mux.offer(name, options).await }));
            wire.expect_bytes(&row(frame, version)).await;
        }
        let fourth = mux.offer_anonymous(default()).unwrap();
        let number = fourth.id().number();
        wire.expect_offer(number, "", 1_024_000).await;
        drop(fourth);
        wire.expect_bytes(&row("G15", version)).await;
        for (name, frame) in [("né☃", "G16"), (&"x".repeat(32)[..], "G17")] {
            let (mux, name) = (mux.clone(), name.to_owned());
            offers.push(tokio::spawn(async move { mux.offer(&name, NPM).await }));
            wire.expect_bytes(&row(frame, version)).await;
        }
        offers.into_iter().for_each(|offer| offer.abort());
    });
}

#[test]
fn case_18_to_22_content_ends_and_terminations_are_as_others_write_them() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 1 << 20).await;
        channel.write_all(b"hello").await.unwrap();
        wire.expect_bytes(&row("G03", version)).await;
        channel.write_all(&[0x61; 128]).await.unwrap();
        wire.expect_bytes(&row("G04", version)).await;
        channel.write_all(&[0x61; 256]).await.unwrap();
        wire.expect_bytes(&row("G06", version)).await;
        channel.write_all(&[0x61; 20_481]).await.unwrap();
        wire.expect_bytes(&row("G07", version)).await;
        wire.expect_bytes(&row("G08", version)).await;
        channel.shutdown().await.unwrap();
        wire.expect_bytes(&row("G09", version)).await;
        channel.terminate(None);
        wire.expect_bytes(&row("G10", version)).await;
        wire.expect_nothing().await;
    });
}

#[test]
fn case_18_21_22_26_the_acceptors_frames_are_as_others_write_them() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        wire.offer(1, "test", 1 << 20).await;
        let mut channel = mux.accept("test", NPM).await.unwrap();
        wire.expect_bytes(&acceptors("G18", version)).await;
        channel.write_all(b"yo").await.unwrap();
        wire.expect_bytes(&acceptors("G24", version)).await;
        channel.shutdown().await.unwrap();
        wire.expect_bytes(&acceptors("G25", version)).await;
        channel.terminate(None);
        wire.expect_bytes(&acceptors("G26", version)).await;
        // The third of the peer's channels, with a window of 300000.
        let third = if version == Version::V3 { 3 } else { 5 };
        wire.offer(third, "third", 1 << 20).await;
        let _channel = mux.accept("third", ChannelOptions::window(300_000)).await.unwrap();
        wire.expect_bytes(&acceptors("G28", version)).await;
    });
}

#[test]
fn case_20_255_bytes_have_a_length_of_8_bits() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 1 << 20).await;
        channel.write_all(&[0x61; 255]).await.unwrap();
        let head = if version == Version::V2 { "930201c4ff" } else { "94020101c4ff" };
        wire.expect_bytes(&[unhex(head), vec![0x61; 255]].concat()).await;
    });
}

#[test]
fn case_23_a_termination_with_an_error_has_its_text_but_in_version_1() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let first = offered(&mux, &mut wire, 1 << 20).await;
        let number = if version == Version::V3 { 2 } else { 3 };
        let second = mux.offer("e", ChannelOptions::window(16));
        let answered = async {
            wire.expect_offer(number, "e", 16).await;
            wire.accept(number, 1_000).await;
        };
        let (second, ()) = tokio::join!(second, answered);
        second.unwrap().terminate(Some("Error: Hello world"));
        wire.expect_bytes(&row("G12", version)).await;
        drop(first);
    });
}

#[test]
fn case_24_an_anonymous_channel_has_the_empty_name() {
    each(&[Version::V1], async |version| {
        let (mux, mut wire) = odd(version).await;
        let channel = mux.offer_anonymous(default()).unwrap();
        assert!(!channel.is_accepted());
        wire.expect_bytes(&unhex("00000000010000")).await;
    });
}

#[test]
fn case_27_rejections_are_as_others_write_them() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        let second = if version == Version::V3 { 2 } else { 3 };
        wire.offer(second, "unwanted", 1 << 20).await;
        mux.next_offer().await.unwrap().reject(None).unwrap();
        wire.expect_bytes(&acceptors("G27", version)).await;
    });
}

#[test]
fn case_27_a_rejection_may_have_a_reason() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = even(version).await;
        wire.offer(1, "unwanted", 1 << 20).await;
        mux.next_offer().await.unwrap().reject(Some("NotFound: nobody")).unwrap();
        wire.expect(TERMINATED, 1, Of::Receiver, &text("NotFound: nobody")).await;
    });
}

#[test]
fn case_28_acknowledgements_are_as_others_write_them() {
    use tokio::io::AsyncReadExt;
    each(&WINDOWED, async |version| {
        for (count, frame) in
            [(5, "G19"), (128, "G20"), (255, "G21"), (256, "G22"), (20_480, "G23")]
        {
            let (mux, mut wire) = even(version).await;
            wire.offer(1, "test", 1 << 20).await;
            // A window of as many bytes is acknowledged in one when all of it was read.
            let channel = mux.accept("test", ChannelOptions::window(count)).await.unwrap();
            let mut channel = channel;
            wire.expect_accepted(1, u64::from(count)).await;
            wire.send(CONTENT, 1, Of::Sender, &vec![1; count as usize]).await;
            let mut got = vec![0; count as usize];
            channel.read_exact(&mut got).await.unwrap();
            wire.expect_bytes(&acceptors(frame, version)).await;
        }
    });
}

#[test]
fn case_29_reading_completed_and_growth_are_as_others_write_them() {
    each(&WINDOWED, async |version| {
        let (mux, mut wire) = odd(version).await;
        let channel = offered(&mux, &mut wire, 100).await;
        let (read, mut write) = channel.into_split();
        drop(read);
        wire.expect_bytes(&row("H1", version)).await;
        write.write_all(&[1; 100]).await.unwrap();
        wire.expect(CONTENT, 1, Of::Sender, &[1; 100]).await;
        let more = tokio::spawn(async move { write.write_all(&[1; 1]).await });
        wire.expect_bytes(&row("H2", version)).await;
        more.abort();
    });
}

#[test]
fn case_31_version_1_never_sends_flow_control() {
    use tokio::io::AsyncReadExt;
    run(async {
        let (mux, mut wire) = even(Version::V1).await;
        let channel = accepted(&mux, &mut wire, 0).await;
        let (mut read, mut write) = channel.into_split();
        for _ in 0..100 {
            wire.send(CONTENT, 1, Of::Sender, &[1; 20_480]).await;
            let mut got = vec![0; 20_480];
            read.read_exact(&mut got).await.unwrap();
        }
        drop(read);
        wire.expect_nothing().await;
        write.write_all(&[2; 5]).await.unwrap();
        wire.expect(CONTENT, 1, Of::Receiver, &[2; 5]).await;
    });
}

#[test]
fn case_32_nothing_empty_is_sent() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 1_000).await;
        assert_eq!(channel.write(&[]).await.unwrap(), 0);
        channel.flush().await.unwrap();
        wire.expect_nothing().await;
    });
}

#[test]
fn a_name_that_fits_into_no_frame_is_refused_here() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let longest = if version == Version::V1 { 20_480 } else { 20_471 };
        let error = mux.offer(&"x".repeat(longest + 1), default()).await.unwrap_err();
        assert!(matches!(error, OfferError::Connection(_)), "{error}");
        wire.expect_nothing().await;
        let name = "x".repeat(longest);
        let offer = tokio::spawn({
            let mux = mux.clone();
            async move { mux.offer(&name, default()).await }
        });
        let mut head = [0; 1];
        tokio::io::AsyncReadExt::read_exact(&mut wire.io, &mut head).await.unwrap();
        offer.abort();
    });
}

#[test]
fn a_long_error_is_cut_between_two_characters() {
    use tokio::io::AsyncReadExt;
    each(&WINDOWED, async |version| {
        let (mux, other) = crate::rig::pair(Options::new(version), Options::new(version)).await;
        let (offered, accepted) =
            tokio::join!(mux.offer("a", default()), other.accept("a", default()));
        let text = "☃".repeat(20_000);
        offered.unwrap().terminate(Some(&text));
        let mut accepted = accepted.unwrap();
        accepted.read(&mut [0; 8]).await.unwrap_err();
        let error = accepted.completion().await.unwrap_err();
        let pipeway_mux::ChannelError::Remote(got) = error else { panic!("{error}") };
        assert!(got.len() > 20_000 && got.chars().all(|c| c == '☃'), "{} bytes", got.len());
    });
}
