//! Half-closes, terminations with and without an error, and the end of the connection.

use pipeway_mux::{ChannelError, ChannelOptions, Ended, Options};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::{By, CASES, Pair, over_all, over_all_both_ways, with_npm};
use crate::support::pattern;

const MUCH: usize = 300_000;

/// The connection works on.
async fn works_on(pair: &Pair) {
    let mut channel = pair.echoed(By::Us, "works on").await;
    channel.write_all(b"yes").await.unwrap();
    channel.read_exact(&mut [0; 3]).await.unwrap();
}

#[test]
fn case_63_after_npms_end_much_still_goes_to_it() {
    over_all_both_ways(async |pair, by| {
        let mut channel = pair.channel(by, "half").await;
        pair.npm("write", json!({ "as": "half", "length": 1000 })).await.unwrap();
        pair.npm("end", json!({ "as": "half" })).await.unwrap();
        let mut received = Vec::new();
        channel.read_to_end(&mut received).await.unwrap();
        assert!(received == pattern(1000));
        channel.write_all(&pattern(MUCH)).await.unwrap();
        channel.shutdown().await.unwrap();
        let told = pair.npm("readAll", json!({ "as": "half" })).await.unwrap();
        assert_eq!(told["length"], MUCH);
        // Both directions are done, so this end has closed the channel, and the package follows.
        assert_eq!(channel.completion().await.unwrap(), Ended::Complete);
        pair.npm("completion", json!({ "as": "half" })).await.unwrap();
        pair.is_forgotten().await;
    });
}

#[test]
fn case_64_after_our_end_much_still_comes_in() {
    over_all_both_ways(async |pair, by| {
        let mut channel = pair.channel(by, "half").await;
        channel.write_all(&pattern(1000)).await.unwrap();
        channel.shutdown().await.unwrap();
        let told = pair.npm("readAll", json!({ "as": "half" })).await.unwrap();
        assert_eq!((&told["length"], &told["ended"]), (&json!(1000), &json!(true)));
        pair.npm("push", json!({ "as": "half", "length": MUCH })).await.unwrap();
        pair.npm("end", json!({ "as": "half" })).await.unwrap();
        let mut received = Vec::new();
        channel.read_to_end(&mut received).await.unwrap();
        assert!(received == pattern(MUCH));
        pair.npm("completion", json!({ "as": "half" })).await.unwrap();
        pair.is_forgotten().await;
    });
}

#[test]
fn case_23_npm_is_told_the_error_of_a_termination() {
    over_all_both_ways(async |pair, by| {
        let channel = pair.channel(by, "ends").await;
        channel.terminate(Some("Error: Hello world"));
        let ended = channel.completion().await;
        assert!(matches!(ended, Err(ChannelError::Local(_))), "{ended:?}");
        let told = pair.npm("completion", json!({ "as": "ends" })).await;
        let expected = "Received error from remote side: Error: Hello world";
        if pair.case.has_windows() {
            assert_eq!(told.unwrap_err(), expected, "{:?}", pair.case);
        } else {
            told.unwrap();
        }
        pair.is_forgotten().await;
        works_on(&pair).await;
    });
}

#[test]
fn case_22_a_termination_without_an_error_is_an_end() {
    over_all_both_ways(async |pair, by| {
        // Ours.
        let channel = pair.channel(by, "ours").await;
        channel.terminate(None);
        pair.npm("completion", json!({ "as": "ours" })).await.unwrap();
        assert_eq!(channel.completion().await.unwrap(), Ended::Terminated);
        // Its own.
        let mut channel = pair.channel(by, "theirs").await;
        pair.npm("write", json!({ "as": "theirs", "text": "last" })).await.unwrap();
        // So that it is not overtaken by the termination.
        channel.read_exact(&mut [0; 4]).await.unwrap();
        pair.npm("terminate", json!({ "as": "theirs" })).await.unwrap();
        assert_eq!(channel.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(channel.completion().await.unwrap(), Ended::Terminated);
        pair.is_forgotten().await;
    });
}

#[test]
fn case_70_npms_error_is_the_end_of_the_channel() {
    over_all_both_ways(async |pair, by| {
        let channel = pair.channel(by, "ends").await;
        pair.npm("terminate", json!({ "as": "ends", "error": "Hello world" })).await.unwrap();
        match channel.completion().await {
            Err(error @ ChannelError::Remote(_)) if pair.case.has_windows() => {
                let text = "Received error from remote side: Error: Hello world";
                assert_eq!(error.to_string(), text);
            }
            Ok(Ended::Terminated) if !pair.case.has_windows() => {}
            other => panic!("{:?}: {other:?}", pair.case),
        }
        works_on(&pair).await;
    });
}

#[test]
fn case_70_a_text_of_30000_characters_is_read_whole() {
    with_npm(async |npm| {
        for case in CASES.into_iter().filter(|case| case.has_windows()) {
            let pair = Pair::connect(&npm, case, Options::default(), json!({})).await;
            let channel = pair.channel(By::Us, "ends").await;
            let long = "z".repeat(30_000);
            pair.npm("terminate", json!({ "as": "ends", "error": long })).await.unwrap();
            let Err(ChannelError::Remote(text)) = channel.completion().await else {
                panic!("{case:?}");
            };
            assert_eq!(text, format!("Error: {long}"));
        }
    });
}

#[test]
fn case_68_npms_termination_stops_a_large_send() {
    over_all_both_ways(async |pair, by| {
        let mut channel = pair.channel(by, "cut").await;
        let sending = tokio::spawn(async move {
            let piece = pattern(1 << 16);
            loop {
                if let Err(error) = channel.write_all(&piece).await {
                    return error;
                }
            }
        });
        pair.npm("readLength", json!({ "as": "cut", "length": 1_000_000 })).await.unwrap();
        pair.npm("terminate", json!({ "as": "cut" })).await.unwrap();
        sending.await.unwrap();
        // Its own stream may have seen content after its end; its connection must not have.
        works_on(&pair).await;
    });
}

#[test]
fn case_69_what_npm_sends_after_its_own_termination_is_ignored() {
    over_all_both_ways(async |pair, by| {
        for _ in 0..5 {
            let channel = pair.channel(by, "late").await;
            pair.npm("push", json!({ "as": "late", "length": 50_000 })).await.unwrap();
            pair.npm("terminate", json!({ "as": "late" })).await.unwrap();
            channel.completion().await.unwrap();
        }
        works_on(&pair).await;
    });
}

#[test]
fn case_72_a_dropped_channel_ends_there_and_so_does_a_dropped_half() {
    over_all_both_ways(async |pair, by| {
        drop(pair.channel(by, "whole").await);
        pair.npm("completion", json!({ "as": "whole" })).await.unwrap();
        let (mut reader, mut writer) = pair.channel(by, "half").await.into_split();
        writer.write_all(&pattern(1000)).await.unwrap();
        drop(writer);
        let told = pair.npm("readAll", json!({ "as": "half" })).await.unwrap();
        assert_eq!(told["length"], 1000);
        pair.npm("write", json!({ "as": "half", "length": 1000 })).await.unwrap();
        let mut received = vec![0; 1000];
        reader.read_exact(&mut received).await.unwrap();
        assert!(received == pattern(1000));
    });
}

#[test]
fn case_86_npms_end_is_the_end_of_everything_here() {
    over_all(async |pair| {
        let mut channel = pair.channel(By::Us, "open").await;
        let mux = pair.mux.clone();
        let accepting =
            tokio::spawn(async move { mux.accept("never", ChannelOptions::default()).await });
        pair.npm("dispose", json!({})).await.unwrap();
        assert_eq!(channel.read(&mut [0]).await.unwrap(), 0, "{:?}", pair.case);
        assert!(accepting.await.unwrap().is_err());
        assert!(pair.mux.next_offer().await.is_none());
        pair.mux.completion().await.unwrap();
        assert!(pair.mux.offer("late", ChannelOptions::default()).await.is_err());
    });
}

#[test]
fn case_88_our_close_is_a_clean_end_there_with_input_unread() {
    over_all(async |pair| {
        let channel = pair.channel(By::Us, "unread").await;
        let write = json!({ "as": "unread", "length": 50_000 });
        pair.npm("push", write).await.unwrap();
        pair.mux.close().await;
        pair.npm("muxCompletion", json!({})).await.unwrap();
        pair.mux.completion().await.unwrap();
        drop(channel);
    });
}
