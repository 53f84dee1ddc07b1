//! Offers and acceptances, rejected and withdrawn ones, names and numbers.

use futures_util::FutureExt as _;
use pipeway_mux::{Channel, ChannelOptions, OfferError};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::peer::{By, Pair, over_all, over_all_both_ways};

const PLAIN: ChannelOptions = ChannelOptions { window_bytes: None };

/// Sends a word over the channel that the package knows as `name`, and has it arrive.
async fn is_joined(pair: &Pair, channel: &mut Channel, name: &str, word: &str) {
    channel.write_all(word.as_bytes()).await.unwrap();
    let until = json!({ "as": name, "length": word.len() });
    let told = pair.npm("text", until).await.unwrap();
    assert_eq!(told["text"], word, "{:?}", pair.case);
    pair.npm("write", json!({ "as": name, "text": word })).await.unwrap();
    let mut back = vec![0; word.len()];
    channel.read_exact(&mut back).await.unwrap();
    assert_eq!(back, word.as_bytes());
}

/// The connection works on.
async fn works_on(pair: &Pair) {
    for by in [By::Us, By::Npm] {
        let name = format!("works on {by:?}");
        let mut channel = pair.channel(by, &name).await;
        is_joined(pair, &mut channel, &name, "yes").await;
    }
}

#[test]
fn case_43_an_offer_and_an_acceptance_meet_in_either_order() {
    over_all(async |pair| {
        // Our offer first.
        let mux = pair.mux.clone();
        let offering = tokio::spawn(async move { mux.offer("a", PLAIN).await });
        assert_eq!(pair.npm("nextOffer", json!({})).await.unwrap()["name"], "a");
        pair.npm("accept", json!({ "as": "a", "name": "a" })).await.unwrap();
        let mut channel = offering.await.unwrap().unwrap();
        is_joined(&pair, &mut channel, "a", "one").await;
        // Its acceptance first.
        let accepting = pair.npm("accept", json!({ "as": "b", "name": "b" }));
        let mut channel = pair.mux.offer("b", PLAIN).await.unwrap();
        accepting.await.unwrap();
        is_joined(&pair, &mut channel, "b", "two").await;
        // Its offer first: the one behind it is there.
        let offering = pair.npm("offer", json!({ "as": "c", "name": "c" }));
        let _behind = pair.channel(By::Npm, "behind").await;
        let mut channel = pair.mux.accept("c", PLAIN).await.unwrap();
        offering.await.unwrap();
        is_joined(&pair, &mut channel, "c", "three").await;
        // Our acceptance first.
        let mux = pair.mux.clone();
        let accepting = tokio::spawn(async move { mux.accept("d", PLAIN).await });
        tokio::task::yield_now().await;
        pair.npm("offer", json!({ "as": "d", "name": "d" })).await.unwrap();
        let mut channel = accepting.await.unwrap().unwrap();
        is_joined(&pair, &mut channel, "d", "four").await;
    });
}

#[test]
fn case_44_offers_of_one_name_are_taken_in_their_order() {
    over_all(async |pair| {
        // Ours, in three tasks that begin one after the other.
        let mut offering = Vec::new();
        let mut numbers = Vec::new();
        for _ in 0..3 {
            let mux = pair.mux.clone();
            offering.push(tokio::spawn(async move { mux.offer("same", PLAIN).await }));
            let told = pair.npm("nextOffer", json!({})).await.unwrap();
            numbers.push(told["channel"].as_u64().unwrap());
        }
        for number in &numbers {
            let told = pair.npm("accept", json!({ "as": "same", "name": "same" })).await.unwrap();
            assert_eq!(told["channel"], *number);
        }
        for (offer, number) in offering.into_iter().zip(numbers) {
            assert_eq!(offer.await.unwrap().unwrap().id().number(), number);
        }
        // Its own.
        let offers: Vec<_> = ["x", "y", "z"]
            .map(|kept| pair.npm("offer", json!({ "as": kept, "name": "theirs" })))
            .into();
        for offer in offers {
            let channel = pair.mux.accept("theirs", PLAIN).await.unwrap();
            assert_eq!(offer.await.unwrap()["channel"], channel.id().number());
        }
    });
}

#[test]
fn case_45_an_acceptance_that_was_given_up_takes_no_offer() {
    over_all(async |pair| {
        let mut given_up = Box::pin(pair.mux.accept("a", PLAIN));
        assert!((&mut given_up).now_or_never().is_none());
        drop(given_up);
        let mut channel = pair.channel(By::Npm, "a").await;
        is_joined(&pair, &mut channel, "a", "ours").await;
        // And there.
        let accepting = pair.npm("accept", json!({ "as": "no", "name": "b", "cancel": "it" }));
        pair.npm("cancel", json!({ "cancel": "it" })).await.unwrap();
        accepting.await.unwrap_err();
        let mut channel = pair.channel(By::Us, "b").await;
        is_joined(&pair, &mut channel, "b", "theirs").await;
    });
}

#[test]
fn case_46_anonymous_channels_are_accepted_by_number_and_once() {
    over_all(async |pair| {
        // Ours.
        let mut channel = pair.mux.offer_anonymous(PLAIN).unwrap();
        let number = channel.id().number();
        let accept = json!({ "as": "ours", "channel": number });
        pair.npm("nextOffer", json!({})).await.unwrap();
        pair.npm("acceptId", accept.clone()).await.unwrap();
        pair.npm("acceptId", accept).await.unwrap_err();
        is_joined(&pair, &mut channel, "ours", "ours").await;
        // Its own.
        let told = pair.npm("create", json!({ "as": "theirs" })).await.unwrap();
        let offer = pair.mux.next_offer().await.unwrap();
        let id = offer.id();
        assert_eq!(told["channel"], id.number());
        let mut channel = pair.mux.accept_id(id.number(), PLAIN).unwrap();
        assert!(pair.mux.accept_id(id.number(), PLAIN).is_err());
        pair.npm("accepted", json!({ "as": "theirs" })).await.unwrap();
        is_joined(&pair, &mut channel, "theirs", "theirs").await;
        // By the empty name.
        pair.npm("create", json!({ "as": "nameless" })).await.unwrap();
        let mut channel = pair.mux.accept("", PLAIN).await.unwrap();
        is_joined(&pair, &mut channel, "nameless", "nameless").await;
    });
}

#[test]
fn case_47_a_rejected_offer_fails_and_is_forgotten() {
    over_all(async |pair| {
        // By the package.
        let mux = pair.mux.clone();
        let offering = tokio::spawn(async move { mux.offer("no", PLAIN).await });
        let told = pair.npm("nextOffer", json!({})).await.unwrap();
        pair.npm("reject", json!({ "channel": told["channel"] })).await.unwrap();
        match offering.await.unwrap() {
            Err(OfferError::Rejected { reason: None }) => {}
            other => panic!("{:?}: {other:?}", pair.case),
        }
        // By us, with and without a reason.
        for reason in [None, Some("NotAllowed: not that one")] {
            let offering = pair.npm("offer", json!({ "as": "no", "name": "no" }));
            pair.mux.next_offer().await.unwrap().reject(reason).unwrap();
            offering.await.unwrap_err();
        }
        pair.is_forgotten().await;
        works_on(&pair).await;
    });
}

#[test]
fn case_48_an_offer_that_is_withdrawn_is_gone() {
    over_all(async |pair| {
        // By the package, after it came here.
        let offering = pair.npm("offer", json!({ "as": "no", "name": "no", "cancel": "it" }));
        let offer = pair.mux.next_offer().await.unwrap();
        pair.npm("cancel", json!({ "cancel": "it" })).await.unwrap();
        assert_eq!(offering.await.unwrap_err(), "cancelled by the test");
        let _behind = pair.channel(By::Npm, "behind").await;
        assert!(offer.accept(PLAIN).is_err());
        let mut waiting = Box::pin(pair.mux.accept("no", PLAIN));
        assert!((&mut waiting).now_or_never().is_none());
        drop(waiting);
        // By us, after it came there.
        let mux = pair.mux.clone();
        let offering = tokio::spawn(async move { mux.offer("no", PLAIN).await });
        pair.npm("nextOffer", json!({})).await.unwrap();
        offering.abort();
        assert!(offering.await.is_err());
        let mut later = pair.channel(By::Us, "later").await;
        is_joined(&pair, &mut later, "later", "on").await;
        works_on(&pair).await;
    });
}

#[test]
fn case_48_an_offer_withdrawn_while_it_is_being_accepted_harms_nothing() {
    over_all(async |pair| {
        let mux = pair.mux.clone();
        let accepting = tokio::spawn(async move {
            while let Some(offer) = mux.next_offer().await {
                // It may be gone by now. No content: content that reaches a channel which the
                // package has just withdrawn ends its whole process.
                if let Ok(mut channel) = offer.accept(PLAIN) {
                    let _ = channel.shutdown().await;
                }
            }
        });
        for round in 0..30 {
            // Ours: the package waits to accept it, so that its answer is on its way when the offer
            // is withdrawn.
            let cancel = format!("accept {round}");
            let accept = json!({ "as": "crossed", "name": "crossed", "cancel": cancel });
            let waiting = pair.npm("accept", accept);
            let mut offer = Box::pin(pair.mux.offer("crossed", PLAIN));
            for _ in 0..round {
                if (&mut offer).now_or_never().is_some() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(offer);
            pair.npm("cancel", json!({ "cancel": cancel })).await.unwrap();
            let _ = waiting.await;
            // Its own, accepted here at the same moment; the package may not even have sent it.
            let cancel = format!("offer {round}");
            let offer = json!({ "as": "crossing", "name": "crossing", "cancel": cancel });
            let offering = pair.npm("offer", offer);
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            pair.npm("cancel", json!({ "cancel": cancel })).await.unwrap();
            let _ = offering.await;
        }
        accepting.abort();
        works_on(&pair).await;
    });
}

#[test]
fn case_55_equal_numbers_of_the_two_ends_are_two_channels() {
    over_all(async |pair| {
        let mut ours = pair.channel(By::Us, "ours").await;
        let mut theirs = pair.channel(By::Npm, "theirs").await;
        if pair.case.version == pipeway_mux::Version::V3 {
            assert_eq!((ours.id().number(), theirs.id().number()), (1, 1));
        } else {
            assert_eq!(ours.id().number() + theirs.id().number(), 3);
        }
        is_joined(&pair, &mut ours, "ours", "over ours").await;
        is_joined(&pair, &mut theirs, "theirs", "over theirs").await;
    });
}

#[test]
fn names_arrive_as_they_are() {
    over_all_both_ways(async |pair, by| {
        let long = "y".repeat(20_000);
        let thirty_two = "x".repeat(32);
        for name in ["né☃", &thirty_two, "a b\n\0", "A", "a", &long] {
            let mut channel = pair.channel(by, name).await;
            assert_eq!(channel.name(), name);
            is_joined(&pair, &mut channel, name, "named").await;
        }
    });
}
