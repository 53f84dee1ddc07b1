//! Bytes, whole and in order: every size and window, many channels, and what comes early.

use pipeway_mux::{Channel, ChannelOptions, Options, Version};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::{By, CASES, Npm, Pair, over_all, over_all_both_ways, with_npm};
use crate::support::{is_pattern, pattern};

const SIZES: [usize; 11] = [1, 2, 127, 128, 255, 256, 20_479, 20_480, 20_481, 65_536, 1 << 20];

/// Sends back all that comes, then ends.
async fn echo(channel: Channel) {
    let (mut reader, mut writer) = channel.into_split();
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
}

/// What the package would say of the pattern's first `length` bytes, were it to get them.
async fn digest_of(npm: &Npm, length: usize) -> Value {
    npm.tell("digest", json!({ "length": length })).await.unwrap()["sha256"].clone()
}

#[test]
fn content_that_goes_with_an_offer_is_read_by_npm() {
    over_all(async |pair| {
        let accepting = pair.npm("accept", json!({ "as": "a", "name": "a" }));
        let offering = pair.mux.offer_with("a", ChannelOptions::default(), b"first ");
        let (channel, accepted) = tokio::join!(offering, accepting);
        accepted.unwrap();
        let mut channel = channel.unwrap();
        channel.write_all(b"second").await.unwrap();
        let read = pair.npm("text", json!({ "as": "a", "length": 12 })).await.unwrap();
        assert_eq!(read["text"], "first second");
    });
}

#[test]
fn case_56_npm_echoes_every_size() {
    over_all_both_ways(async |pair, by| {
        let mut channel = pair.echoed(by, "echo").await;
        for size in SIZES {
            let sent = pattern(size);
            let mut received = vec![0; size];
            let (mut reader, mut writer) = tokio::io::split(&mut channel);
            let (written, read) =
                tokio::join!(writer.write_all(&sent), reader.read_exact(&mut received));
            written.unwrap();
            read.unwrap();
            assert!(received == sent, "{size}");
        }
        channel.shutdown().await.unwrap();
        assert_eq!(channel.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
fn case_56_every_size_is_echoed_to_npm() {
    over_all_both_ways(async |pair, by| {
        let channel = pair.channel(by, "echo").await;
        let echoing = tokio::spawn(echo(channel));
        let mut from = 0;
        for size in SIZES {
            let write = json!({ "as": "echo", "length": size, "from": from });
            from += size;
            let until = json!({ "as": "echo", "length": from });
            let (written, read) =
                tokio::join!(pair.npm("write", write), pair.npm("readLength", until));
            written.unwrap();
            assert_eq!(read.unwrap()["length"], from);
        }
        pair.npm("end", json!({ "as": "echo" })).await.unwrap();
        let told = pair.npm("readAll", json!({ "as": "echo" })).await.unwrap();
        assert_eq!(told["length"], from);
        assert_eq!(told["sha256"], digest_of(&pair.npm, from).await);
        echoing.await.unwrap();
    });
}

#[test]
fn case_57_64_mebibytes_go_each_way_at_once_and_the_checksums_are_equal() {
    const LENGTH: usize = 64 << 20;
    const STEP: usize = 251 * 1024;
    with_npm(async |npm| {
        for case in [CASES[0], CASES[3], CASES[4]] {
            let pair = Pair::connect(&npm, case, Options::default(), json!({})).await;
            let digest = Map::from_iter([("then".to_owned(), json!("digest"))]);
            let options = ChannelOptions::default();
            let channel = pair.channel_with(By::Us, "much", options, digest).await;
            let (mut reader, mut writer) = channel.into_split();
            let sending = tokio::spawn(async move {
                let piece = pattern(STEP);
                let mut left = LENGTH;
                while left > 0 {
                    let length = left.min(STEP);
                    writer.write_all(&piece[..length]).await.unwrap();
                    left -= length;
                }
                writer.shutdown().await.unwrap();
            });
            let there = pair.npm("writeMuch", json!({ "as": "much", "length": LENGTH }));
            let mut piece = vec![0; 1 << 16];
            let mut length = 0;
            loop {
                match reader.read(&mut piece).await.unwrap() {
                    0 => break,
                    count => {
                        assert!(is_pattern(&piece[..count], length), "{case:?} at {length}");
                        length += count;
                    }
                }
            }
            assert_eq!(length, LENGTH, "{case:?}");
            sending.await.unwrap();
            there.await.unwrap();
            let told = pair.npm("readAll", json!({ "as": "much" })).await.unwrap();
            assert_eq!(told["length"], LENGTH);
            assert_eq!(told["sha256"], digest_of(&npm, LENGTH).await, "{case:?}");
        }
    });
}

/// One channel after another or beside it: so many bytes there and back, and both ends.
async fn there_and_back(mut channel: Channel, sent: Vec<u8>) {
    channel.write_all(&sent).await.unwrap();
    channel.shutdown().await.unwrap();
    let mut received = Vec::new();
    channel.read_to_end(&mut received).await.unwrap();
    assert!(received == sent);
    channel.completion().await.unwrap();
}

#[test]
fn case_58_two_hundred_channels_at_once_do_not_disturb_each_other() {
    over_all(async |pair| {
        let serving = pair.npm("serveEchoes", json!({ "name": "many", "count": 200 }));
        let all: Vec<_> = (0..200)
            .map(|number| {
                let mux = pair.mux.clone();
                tokio::spawn(async move {
                    let channel = mux.offer("many", ChannelOptions::default()).await.unwrap();
                    there_and_back(channel, pattern(16 * 1024 + number)).await;
                })
            })
            .collect();
        for one in all {
            one.await.unwrap();
        }
        assert_eq!(serving.await.unwrap()["count"], 200);
        pair.is_forgotten().await;
    });
}

#[test]
fn case_59_of_channels_opened_and_closed_in_turn_nothing_is_left() {
    over_all(async |pair| {
        let serving = pair.npm("serveEchoes", json!({ "name": "turn", "count": 50 }));
        for _ in 0..50 {
            let channel = pair.mux.offer("turn", ChannelOptions::default()).await.unwrap();
            there_and_back(channel, pattern(100)).await;
        }
        assert_eq!(serving.await.unwrap()["count"], 50);
        let opening = pair.npm("openEchoes", json!({ "name": "turn", "count": 50, "length": 100 }));
        for _ in 0..50 {
            echo(pair.mux.accept("turn", ChannelOptions::default()).await.unwrap()).await;
        }
        assert_eq!(opening.await.unwrap()["count"], 50);
        pair.is_forgotten().await;
    });
}

#[test]
fn case_60_what_npm_sends_before_it_is_accepted_is_delivered_after() {
    over_all(async |pair| {
        // In version 1 the package sends at once; in the others once it knows the window.
        let told = pair.npm("create", json!({ "as": "early" })).await.unwrap();
        pair.npm("push", json!({ "as": "early", "length": 300_000 })).await.unwrap();
        pair.npm("end", json!({ "as": "early" })).await.unwrap();
        let offer = pair.mux.next_offer().await.unwrap();
        assert_eq!(told["channel"], offer.id().number());
        assert_eq!(offer.name(), "");
        // Behind it, so that what was sent early has come.
        let _behind = pair.channel(By::Npm, "behind").await;
        let mut channel = offer.accept(ChannelOptions::default()).unwrap();
        let mut received = Vec::new();
        channel.read_to_end(&mut received).await.unwrap();
        assert!(received == pattern(300_000));
    });
}

#[test]
fn case_61_what_is_written_before_npm_accepts_arrives_in_order() {
    over_all(async |pair| {
        let mut channel = pair.mux.offer_anonymous(ChannelOptions::default()).unwrap();
        let number = channel.id().number();
        assert!(!channel.is_accepted());
        let writing = tokio::spawn(async move {
            channel.write_all(b"before ").await.unwrap();
            channel.write_all(b"after").await.unwrap();
            channel.shutdown().await.unwrap();
            channel
        });
        let offer = pair.npm("nextOffer", json!({})).await.unwrap();
        assert_eq!((&offer["channel"], &offer["name"]), (&json!(number), &json!("")));
        // Whatever had been sent by now would be in front of this one.
        let _behind = pair.channel(By::Us, "behind").await;
        pair.npm("acceptId", json!({ "as": "late", "channel": number })).await.unwrap();
        let told = pair.npm("readAll", json!({ "as": "late" })).await.unwrap();
        assert_eq!(told["length"], 12);
        let told = pair.npm("text", json!({ "as": "late", "length": 12 })).await.unwrap();
        assert_eq!(told["text"], "before after");
        assert!(writing.await.unwrap().is_accepted());
    });
}

#[test]
fn case_62_an_end_before_acceptance_is_read_as_the_end() {
    over_all(async |pair| {
        // Theirs.
        pair.npm("create", json!({ "as": "theirs" })).await.unwrap();
        pair.npm("end", json!({ "as": "theirs" })).await.unwrap();
        let mut channel = pair.mux.accept("", ChannelOptions::default()).await.unwrap();
        assert_eq!(channel.read(&mut [0]).await.unwrap(), 0);
        channel.write_all(b"still").await.unwrap();
        let told = pair.npm("text", json!({ "as": "theirs", "length": 5 })).await.unwrap();
        assert_eq!(told["text"], "still");
        // Ours.
        let mut channel = pair.mux.offer_anonymous(ChannelOptions::default()).unwrap();
        let number = channel.id().number();
        let ending = tokio::spawn(async move {
            channel.write_all(b"all of it").await.unwrap();
            channel.shutdown().await.unwrap();
            channel
        });
        while pair.npm("nextOffer", json!({})).await.unwrap()["channel"] != number {}
        pair.npm("acceptId", json!({ "as": "ours", "channel": number })).await.unwrap();
        let told = pair.npm("readAll", json!({ "as": "ours" })).await.unwrap();
        assert_eq!(told["length"], 9);
        drop(ending.await.unwrap());
    });
}

#[test]
fn case_75_every_window_lets_everything_through() {
    with_npm(async |npm| {
        for case in CASES.into_iter().filter(|case| case.has_windows()) {
            for window in [1, 2, 16, 100, 20_479, 20_480, 20_481, 8 << 20] {
                let length = if window < 100 { 600 } else { 100_000 };
                let settings = json!({ "window": window });
                let options = Options { window_bytes: window, ..Options::default() };
                let pair = Pair::connect(&npm, case, options, settings).await;
                for by in [By::Us, By::Npm] {
                    let name = format!("{by:?}");
                    let channel = pair.channel(by, &name).await;
                    let (mut reader, mut writer) = channel.into_split();
                    let sent = pattern(length);
                    let expected = sent.clone();
                    let write = json!({ "as": name, "length": length });
                    let (theirs, ours, read) = tokio::join!(
                        pair.npm("write", write),
                        async {
                            writer.write_all(&sent).await.unwrap();
                            writer.shutdown().await.unwrap();
                        },
                        async {
                            let mut received = vec![0; length];
                            reader.read_exact(&mut received).await.unwrap();
                            received
                        }
                    );
                    theirs.unwrap();
                    let () = ours;
                    assert!(read == expected, "{case:?} {window} {by:?}");
                    let told = pair.npm("readAll", json!({ "as": name })).await.unwrap();
                    assert_eq!(told["sha256"], digest_of(&npm, length).await);
                }
            }
        }
    });
}

#[test]
fn case_76_a_channel_that_is_not_read_holds_its_own_sender_and_nobody_else() {
    with_npm(async |npm| {
        for case in CASES.into_iter().filter(|case| case.has_windows()) {
            let pair = Pair::connect(&npm, case, Options::default(), json!({})).await;
            let window = ChannelOptions::window(50_000);
            let mut full = pair.channel_with(By::Npm, "full", window, Map::new()).await;
            let write = json!({ "as": "full", "length": 5_000_000 });
            let mut writing = Box::pin(pair.npm("write", write));
            let mut other = pair.echoed(By::Npm, "other").await;
            for round in 0..20 {
                other.write_all(&pattern(100_000)).await.unwrap();
                let mut received = vec![0; 100_000];
                other.read_exact(&mut received).await.unwrap();
                assert!(received == pattern(100_000), "{round}");
                // Its own other direction, too.
                full.write_all(b"x").await.unwrap();
                let until = json!({ "as": "full", "length": round + 1 });
                pair.npm("readLength", until).await.unwrap();
            }
            let now = futures_util::FutureExt::now_or_never(&mut writing);
            assert!(now.is_none(), "{case:?}: more was taken than the window");
            let mut received = vec![0; 5_000_000];
            full.read_exact(&mut received).await.unwrap();
            assert!(received == pattern(5_000_000));
            writing.await.unwrap();
        }
    });
}

#[test]
fn case_84_npm_goes_on_writing_after_the_reader_was_dropped() {
    over_all(async |pair| {
        let channel = pair.channel(By::Npm, "dropped").await;
        let (reader, mut writer) = channel.into_split();
        drop(reader);
        // Far more than the window; the package does not know that nobody reads.
        pair.npm("write", json!({ "as": "dropped", "length": 5_000_000 })).await.unwrap();
        pair.npm("end", json!({ "as": "dropped" })).await.unwrap();
        writer.write_all(b"the other way").await.unwrap();
        writer.shutdown().await.unwrap();
        let told = pair.npm("text", json!({ "as": "dropped", "length": 13 })).await.unwrap();
        assert_eq!(told["text"], "the other way");
        pair.npm("completion", json!({ "as": "dropped" })).await.unwrap();
    });
}

#[test]
fn case_85_in_version_1_a_full_channel_that_is_drained_frees_the_connection() {
    with_npm(async |npm| {
        for case in CASES.into_iter().filter(|case| case.version == Version::V1) {
            let pair = Pair::connect(&npm, case, Options::default(), json!({})).await;
            let mut full = pair.channel(By::Npm, "full").await;
            let writing = pair.npm("write", json!({ "as": "full", "length": 20_000_000 }));
            let mut received = vec![0; 20_000_000];
            // Behind all of it on the wire.
            let ((), other) = tokio::join!(
                async {
                    full.read_exact(&mut received).await.unwrap();
                },
                pair.channel(By::Npm, "other")
            );
            assert!(received == pattern(20_000_000), "{case:?}");
            writing.await.unwrap();
            drop(other);
        }
    });
}

#[test]
fn small_writes_of_npm_arrive_as_one_stream() {
    over_all(async |pair| {
        let mut channel = pair.channel(By::Us, "small").await;
        let write = json!({ "as": "small", "length": 3000, "step": 3 });
        let mut received = vec![0; 3000];
        let (written, read) =
            tokio::join!(pair.npm("write", write), channel.read_exact(&mut received));
        written.unwrap();
        read.unwrap();
        assert!(received == pattern(3000));
    });
}
