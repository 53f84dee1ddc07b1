//! Cases 43 to 55: offers, acceptances, rejections.

use std::time::Duration;

use futures_util::FutureExt as _;
use pipeway_mux::{ChannelOptions, ErrorKind, OfferError, Source, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{
    ACCEPTED, ALL, CONTENT, OFFER, Of, TERMINATED, WINDOWED, WRITTEN, accepted, all, array,
    default, each, even, frame, odd, offered, pair_of, works,
};

fn second(version: Version) -> u64 {
    if version == Version::V3 { 2 } else { 3 }
}

#[test]
fn case_43_who_comes_first_does_not_matter() {
    each(&ALL, async |version| {
        let (here, there) = pair_of(version).await;
        let (offered, accepted) =
            tokio::join!(here.offer("a", default()), there.accept("a", default()));
        assert_eq!(offered.unwrap().id().number(), accepted.unwrap().id().number());
        let (accepted, offered) =
            tokio::join!(there.accept("b", default()), here.offer("b", default()));
        assert_eq!(offered.unwrap().id().number(), accepted.unwrap().id().number());
    });
}

#[test]
fn case_44_offers_and_accepts_of_one_name_meet_in_order() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        let numbers = if version == Version::V3 { [1, 2, 3] } else { [1, 3, 5] };
        for number in numbers {
            wire.offer(number, "a", 1_000).await;
        }
        for number in numbers {
            let channel = mux.accept("a", default()).await.unwrap();
            assert_eq!(channel.id().number(), number);
            std::mem::forget(channel);
        }
        let (mux, mut wire) = even(version).await;
        let waiting = [0, 1, 2].map(|_| {
            let mux = mux.clone();
            tokio::spawn(async move { mux.accept("a", default()).await.unwrap() })
        });
        wire.expect_nothing().await;
        for number in numbers {
            wire.offer(number, "a", 1_000).await;
        }
        for (waiting, number) in waiting.into_iter().zip(numbers) {
            let channel = waiting.await.unwrap();
            assert_eq!(channel.id().number(), number);
            std::mem::forget(channel);
        }
    });
}

#[test]
fn case_45_a_cancelled_accept_swallows_no_offer() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        let cancelled = tokio::spawn({
            let mux = mux.clone();
            async move { mux.accept("a", default()).await.map(|_| ()) }
        });
        wire.expect_nothing().await;
        cancelled.abort();
        cancelled.await.unwrap_err();
        wire.offer(1, "a", 1_000).await;
        mux.accept("a", default()).await.unwrap();
    });
}

#[test]
fn case_45_an_accept_that_leaves_with_its_offer_there_hands_it_on() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        let mut first = Box::pin(mux.accept("a", default()));
        let mut second = Box::pin(mux.accept("a", default()));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        wire.offer(1, "a", 1_000).await;
        wire.expect_nothing().await;
        drop(first);
        second.await.unwrap();
        // With nobody left to wait, the next offer is announced.
        let last = Box::pin(mux.accept("b", default()));
        drop(last);
        wire.expect_accepted(1, 1_024_000).await;
    });
}

#[test]
fn case_46_an_anonymous_offer_is_accepted_by_its_number_or_by_the_empty_name_and_once() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        let second = second(version);
        wire.offer(1, "", 1_000).await;
        wire.offer(second, "", 1_000).await;
        wire.expect_nothing().await;
        let by_number = mux.accept_id(second, default()).unwrap();
        assert_eq!(by_number.id().source(), Source::Remote);
        wire.expect_accepted(second, 1_024_000).await;
        let again = mux.accept_id(second, default()).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::Usage);
        let by_name = mux.accept("", default()).await.unwrap();
        assert_eq!(by_name.id().number(), 1);
        wire.expect_accepted(1, 1_024_000).await;
        let unknown = mux.accept_id(99, default()).unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::Usage);
        wire.expect_nothing().await;
    });
}

#[test]
fn case_47_a_rejected_offer_fails_and_is_forgotten() {
    each(&ALL, async |version| {
        let (here, there) = pair_of(version).await;
        let rejecting = async {
            there.next_offer().await.unwrap().reject(Some("NotFound: nobody")).unwrap();
        };
        let (offered, ()) = tokio::join!(here.offer("a", default()), rejecting);
        let OfferError::Rejected { reason } = offered.unwrap_err() else { panic!() };
        let expected = version != Version::V1;
        assert_eq!(reason.as_deref(), expected.then_some("NotFound: nobody"));
        let (offered, accepted) =
            tokio::join!(here.offer("b", default()), there.accept("b", default()));
        drop((offered.unwrap(), accepted.unwrap()));
        until_empty(&[&here, &there]).await;
    });
}

/// Waits until no channel is left.
pub(crate) async fn until_empty(muxes: &[&pipeway_mux::Mux]) {
    // The clock passes as soon as nobody has anything to do.
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    for _ in 0..10_000 {
        if muxes.iter().all(|mux| mux.channels() == 0) {
            return;
        }
        tick.tick().await;
    }
    panic!("channels are left: {:?}", muxes.iter().map(|mux| mux.channels()).collect::<Vec<_>>());
}

#[test]
fn case_48_a_cancelled_offer_is_withdrawn_and_late_frames_about_it_are_dropped() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let offering = tokio::spawn({
            let mux = mux.clone();
            async move { mux.offer("test", default()).await.map(|_| ()) }
        });
        wire.expect_offer(1, "test", 1_024_000).await;
        offering.abort();
        offering.await.unwrap_err();
        wire.expect(TERMINATED, 1, Of::Sender, &[]).await;
        // The acceptance was under way, and content with it.
        wire.accept(1, 1_000).await;
        wire.send(CONTENT, 1, Of::Receiver, b"late").await;
        wire.send(WRITTEN, 1, Of::Receiver, &[]).await;
        wire.send(TERMINATED, 1, Of::Receiver, &[]).await;
        wire.expect_nothing().await;
        assert_eq!(mux.channels(), 0);
        let number = if version == Version::V3 { 1 } else { 2 };
        works(&mux, &mut wire, number).await;
    });
}

#[test]
fn case_48_a_cancelled_offer_between_two_ends_leaves_nothing() {
    each(&ALL, async |version| {
        let (here, there) = pair_of(version).await;
        for polls in 0..6 {
            let mut offering = Box::pin(here.offer("a", default()).fuse());
            let mut accepting = Box::pin(there.accept("a", default()).fuse());
            for _ in 0..polls {
                let _ = (&mut offering).now_or_never();
                let _ = (&mut accepting).now_or_never();
                tokio::task::yield_now().await;
            }
            drop(offering);
            drop(accepting);
            until_empty(&[&here]).await;
            while let Some(offer) = there.next_offer().now_or_never().flatten() {
                drop(offer);
            }
        }
        let (offered, accepted) =
            tokio::join!(here.offer("b", default()), there.accept("b", default()));
        offered.unwrap();
        accepted.unwrap();
    });
}

#[test]
fn case_49_a_withdrawn_offer_leaves_the_queue_and_is_answered_once() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        wire.offer(1, "a", 1_000).await;
        let offer = mux.next_offer().await.unwrap();
        wire.send(TERMINATED, 1, Of::Sender, &[]).await;
        wire.expect(TERMINATED, 1, Of::Receiver, &[]).await;
        wire.expect_nothing().await;
        assert_eq!(offer.accept(default()).unwrap_err().kind(), ErrorKind::Usage);
        let mut accepting = Box::pin(mux.accept("a", default()));
        assert!((&mut accepting).now_or_never().is_none());
        wire.offer(second(version), "a", 1_000).await;
        assert_eq!(accepting.await.unwrap().id().number(), second(version));
    });
}

#[test]
fn case_50_the_termination_of_what_was_never_offered_is_not_answered() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        wire.send(TERMINATED, 4_001, Of::Sender, &[]).await;
        wire.send(TERMINATED, 4_001, Of::Receiver, &[]).await;
        wire.send(TERMINATED, 4_002, Of::Sender, &[]).await;
        wire.expect_nothing().await;
        works(&mux, &mut wire, 1).await;
    });
}

#[test]
fn case_51_an_acceptance_counts_once_and_only_for_what_was_offered() {
    each(&ALL, async |version| {
        let (mux, mut wire) = odd(version).await;
        let mut channel = offered(&mux, &mut wire, 4).await;
        wire.accept(1, 1_000).await;
        channel.write_all(b"four").await.unwrap();
        wire.expect(CONTENT, 1, Of::Sender, b"four").await;
        wire.expect_nothing().await;
        // Never offered.
        wire.accept(3, 1_000).await;
        wire.expect_end().await;
        assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Protocol);

        // The wire's own channel.
        let (mux, mut wire) = even(version).await;
        let _channel = accepted(&mux, &mut wire, 1_000).await;
        let payload = if version == Version::V1 { Vec::new() } else { array(1_000) };
        wire.send(ACCEPTED, 1, Of::Sender, &payload).await;
        wire.expect_end().await;
        assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Protocol);
    });
}

#[test]
fn case_52_an_open_channels_number_is_not_offered_again() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        let _channel = accepted(&mux, &mut wire, 1_000).await;
        wire.offer(1, "again", 1_000).await;
        wire.expect_end().await;
        assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Protocol);
    });
}

#[test]
fn an_offer_of_a_channel_that_is_not_the_peers_ends_the_connection() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        // An even number is not the odd end's; in version 3 only the sender offers.
        let payload =
            if version == Version::V1 { b"a".to_vec() } else { vec![0x92, 0xa1, b'a', 9] };
        wire.send(OFFER, 2, Of::Receiver, &payload).await;
        wire.expect_end().await;
        assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Protocol);
    });
}

#[test]
fn case_53_names_are_compared_with_case() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        wire.offer(1, "A", 1_000).await;
        wire.offer(second(version), "a", 1_000).await;
        let channel = mux.accept("a", default()).await.unwrap();
        assert_eq!(channel.id().number(), second(version));
        assert_eq!(mux.accept("A", default()).await.unwrap().id().number(), 1);
    });
}

#[test]
fn case_54_offers_that_nobody_looked_for_are_kept() {
    each(&ALL, async |version| {
        let (mux, mut wire) = even(version).await;
        let names: Vec<String> = (0..100).map(|n| format!("offer {n}")).collect();
        for (number, name) in names.iter().enumerate() {
            let number = if version == Version::V3 { number + 1 } else { 2 * number + 1 };
            wire.offer(number as u64, name, 1_000).await;
        }
        wire.expect_nothing().await;
        for name in &names {
            assert_eq!(mux.next_offer().await.unwrap().name(), name);
        }
        assert!(mux.next_offer().now_or_never().is_none());
        // Announced or not, each is still there.
        mux.accept(&names[50], default()).await.unwrap();
    });
}

#[test]
fn case_55_in_version_3_both_ends_have_a_channel_1() {
    each(&[Version::V3], async |version| {
        let (mux, mut wire) = odd(version).await;
        let ours = offered(&mux, &mut wire, 1_000).await;
        let theirs = accepted(&mux, &mut wire, 1_000).await;
        assert_eq!(ours.id().number(), theirs.id().number());
        wire.send(CONTENT, 1, Of::Receiver, b"ours").await;
        wire.send(CONTENT, 1, Of::Sender, b"theirs").await;
        wire.send(WRITTEN, 1, Of::Sender, &[]).await;
        wire.send(WRITTEN, 1, Of::Receiver, &[]).await;
        let (mut ours, mut theirs) = (ours, theirs);
        assert_eq!(all(&mut ours).await, b"ours");
        assert_eq!(all(&mut theirs).await, b"theirs");
        ours.write_all(b"a").await.unwrap();
        theirs.write_all(b"b").await.unwrap();
        wire.expect(CONTENT, 1, Of::Sender, b"a").await;
        wire.expect(CONTENT, 1, Of::Receiver, b"b").await;
    });
}

#[test]
fn offers_and_acceptances_without_their_parameters_end_the_connection() {
    each(&WINDOWED, async |version| {
        for payload in
            [&[][..], &[0x90], &[0x91, 0xa1, b'a'], &[0x92, 0x05, 0x05], &[0x92, 0xa1, b'a', 0]]
        {
            let (mux, mut wire) = even(version).await;
            wire.send(OFFER, 1, Of::Sender, payload).await;
            wire.expect_end().await;
            assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Protocol);
        }
        for payload in [&[][..], &[0x90], &[0x91, 0], &[0x91, 0xa0]] {
            let (mux, mut wire) = odd(version).await;
            let _channel = mux.offer_anonymous(ChannelOptions::default()).unwrap();
            wire.expect_offer(1, "", 1_024_000).await;
            wire.bytes(&frame(version, ACCEPTED, 1, Of::Receiver, payload)).await;
            wire.expect_end().await;
            assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Protocol);
        }
    });
}

#[test]
fn content_on_an_offer_before_its_acceptance_ends_the_connection() {
    each(&ALL, async |version| {
        for (code, payload) in [(CONTENT, &b"early"[..]), (WRITTEN, &[])] {
            let (mux, mut wire) = odd(version).await;
            let mut channel = mux.offer_anonymous(default()).unwrap();
            wire.expect_offer(1, "", 1_024_000).await;
            wire.send(code, 1, Of::Receiver, payload).await;
            wire.expect_end().await;
            assert_eq!(mux.completion().await.unwrap_err().kind(), ErrorKind::Protocol);
            channel.read(&mut [0; 8]).await.unwrap_err();
        }
    });
}
