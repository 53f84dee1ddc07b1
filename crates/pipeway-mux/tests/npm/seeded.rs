//! Channels that are there from the start (version 3).

use pipeway_mux::Options;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::{By, CASES, Pair, with_npm};
use crate::support::pattern;

const WINDOWS: [u32; 2] = [102_400, 5_000];

async fn seeded(npm: &std::sync::Arc<crate::peer::Npm>) -> Pair {
    let options = Options { seeded: WINDOWS.to_vec(), ..Options::default() };
    Pair::connect(npm, CASES[4], options, json!({ "seeded": WINDOWS })).await
}

fn kept(index: u32, then: &str) -> Value {
    json!({ "as": format!("seeded {index}"), "channel": index, "then": then })
}

#[test]
fn case_92_seeded_channels_carry_bytes_both_ways() {
    with_npm(async |npm| {
        let pair = seeded(&npm).await;
        for index in 0..2 {
            pair.npm("acceptId", kept(index, "echo")).await.unwrap();
            let mut channel = pair.mux.seeded(index).unwrap();
            assert!(channel.is_accepted() && channel.id().number() == u64::from(index));
            let sent = pattern(200_000);
            let mut received = vec![0; sent.len()];
            let (mut reader, mut writer) = tokio::io::split(&mut channel);
            let (written, read) =
                tokio::join!(writer.write_all(&sent), reader.read_exact(&mut received));
            written.unwrap();
            read.unwrap();
            assert!(received == sent);
            channel.shutdown().await.unwrap();
            assert_eq!(channel.read(&mut [0]).await.unwrap(), 0);
            let done = json!({ "as": format!("seeded {index}") });
            pair.npm("completion", done).await.unwrap();
            assert!(pair.mux.seeded(index).is_err());
        }
        assert!(pair.mux.seeded(2).is_err());
    });
}

#[test]
fn case_92_what_comes_on_a_seeded_channel_before_it_is_taken_is_kept() {
    with_npm(async |npm| {
        let pair = seeded(&npm).await;
        pair.npm("acceptId", kept(0, "keep")).await.unwrap();
        pair.npm("write", json!({ "as": "seeded 0", "text": "early" })).await.unwrap();
        // Behind it on the wire.
        let _behind = pair.channel(By::Npm, "behind").await;
        let mut channel = pair.mux.seeded(0).unwrap();
        let mut word = [0; 5];
        channel.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"early");
        // The other way round.
        let mut channel = pair.mux.seeded(1).unwrap();
        channel.write_all(b"early, too").await.unwrap();
        let _behind = pair.channel(By::Us, "behind ours").await;
        pair.npm("acceptId", kept(1, "keep")).await.unwrap();
        let told = pair.npm("text", json!({ "as": "seeded 1", "length": 10 })).await.unwrap();
        assert_eq!(told["text"], "early, too");
    });
}

#[test]
fn case_36_the_first_offer_beside_seeded_channels_has_the_next_number() {
    with_npm(async |npm| {
        let pair = seeded(&npm).await;
        for by in [By::Us, By::Npm] {
            let channel = pair.channel(by, &format!("{by:?}")).await;
            assert_eq!(channel.id().number(), 3);
        }
    });
}

#[test]
fn case_92_a_seeded_channel_is_terminated_and_not_rejected() {
    with_npm(async |npm| {
        let pair = seeded(&npm).await;
        pair.npm("acceptId", kept(0, "keep")).await.unwrap();
        let channel = pair.mux.seeded(0).unwrap();
        assert!(pair.mux.reject(channel.id().number(), None).is_err());
        channel.terminate(Some("Gone: enough"));
        let told = pair.npm("completion", json!({ "as": "seeded 0" })).await.unwrap_err();
        assert!(told.ends_with("Gone: enough"), "{told}");
        pair.npm("acceptId", kept(1, "keep")).await.unwrap();
        let channel = pair.mux.seeded(1).unwrap();
        pair.npm("terminate", json!({ "as": "seeded 1" })).await.unwrap();
        channel.completion().await.unwrap();
        let mut echoed = pair.echoed(By::Us, "works on").await;
        echoed.write_all(b"x").await.unwrap();
        assert_eq!(echoed.read_u8().await.unwrap(), b'x');
    });
}
