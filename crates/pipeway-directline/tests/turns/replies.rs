//! When replies are sent, and how many.

use std::io;
use std::sync::Mutex;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use pipeway_directline::{Body, ErrorKind, code};
use tokio::sync::{mpsc, oneshot};
use tower_service::Service;

use super::*;

fn numbered(count: usize) -> Vec<Activity> {
    (0..count).map(|number| Activity::message(number.to_string())).collect()
}

/// How many messages a turn is to send.
fn wanted(activity: &Activity) -> usize {
    activity.text.as_deref().unwrap().parse().unwrap()
}

#[test]
fn o09_the_answer_comes_though_replies_are_not_answered() {
    run(async {
        let ends = agent(async |turn: Turn, _| {
            turn.reply("one")?;
            tokio::task::yield_now().await;
            turn.reply("two")?;
            turn.reply("three")?;
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        let id = peer.post(&said(json!({}))).await;
        // The turn waited behind the first one, and not behind the others.
        assert_eq!(peer.next().await.text(), "one");
        let answer = peer.next().await;
        assert_eq!((answer.id.as_str(), answer.status()), (id.as_str(), 200));
        assert_eq!(peer.next().await.text(), "two");
        assert_eq!(peer.next().await.text(), "three");
    });
}

#[test]
fn the_answer_comes_before_replies_on_many_threads_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let test = async {
        let ends = agent(async |turn: Turn, _| Ok(turn.send_all(numbered(8))?));
        let Ends { mut peer, server: _server, .. } = ends.await;
        for _ in 0..50 {
            peer.say(&said(json!({}))).await;
            for number in 0..8 {
                let reply = peer.next().await;
                assert_eq!(reply.text(), number.to_string());
                peer.answer(&reply, 200, None).await;
            }
        }
    };
    runtime.block_on(async { timeout(WATCHDOG, test).await.expect("the test hangs") });
}

/// Messages whose answers have a body that fails.
#[derive(Clone)]
struct Failing(Messages);

impl Service<Request<Body>> for Failing {
    type Response = Response<BoxBody<bytes::Bytes, io::Error>>;
    type Error = <Messages as Service<Request<Body>>>::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Request<Body>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        let body = StreamBody::new(stream::iter([Err(io::Error::other("as it was asked to"))]));
        Box::pin(async move { Ok(answer.await?.map(|_| BodyExt::boxed(body))) })
    }
}

#[test]
fn replies_wait_for_the_500_of_an_answer_whose_body_fails() {
    run(async {
        let messages = Messages::new(async |turn: Turn, _: Activity| -> TurnResult {
            turn.reply("before")?;
            Ok(())
        });
        let ends = serve_with(Limits::default(), ReplyLimits::default(), |place, options| {
            Server::new(place, options, Failing(messages)).unwrap()
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        let id = peer.post(&said(json!({}))).await;
        let answer = peer.next().await;
        assert_eq!((answer.id.as_str(), answer.status()), (id.as_str(), 500));
        assert_eq!(peer.next().await.text(), "before");
    });
}

#[test]
fn a_short_reply_does_not_overtake_a_long_one() {
    run(async {
        let ends = agent(async |turn: Turn, _| {
            turn.reply("x".repeat(300_000))?;
            turn.reply("short")?;
            turn.reply("y".repeat(20_000))?;
            turn.reply("short too")?;
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        peer.say(&said(json!({}))).await;
        assert_eq!(peer.next().await.text().len(), 300_000);
        assert_eq!(peer.next().await.text(), "short");
        assert_eq!(peer.next().await.text().len(), 20_000);
        assert_eq!(peer.next().await.text(), "short too");
    });
}

#[test]
fn a_long_reply_does_not_hold_up_another_turn() {
    run(async {
        let ends = agent(async |turn: Turn, activity: Activity| {
            match activity.text.as_deref() {
                Some("long") => turn.reply("x".repeat(3_000_000))?,
                _ => turn.reply("short")?,
            }
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        peer.say(&said(json!({"text": "long"}))).await;
        peer.say(&said(json!({}))).await;
        assert_eq!(peer.next().await.text(), "short");
        assert_eq!(peer.next().await.text().len(), 3_000_000);
    });
}

#[test]
fn o10_a_batch_that_does_not_fit_is_refused_as_a_whole() {
    run(async {
        let ends = agent(async |turn: Turn, activity: Activity| {
            turn.send_all(numbered(wanted(&activity)))?;
            Ok(())
        });
        let Ends { mut peer, told, server: _server, .. } = ends.await;
        assert_eq!(peer.say(&said(json!({"text": "111"}))).await.status(), 500);
        peer.is_quiet().await;
        let expected = format!("turn failed: [{}]", code::SEND_QUEUE_FULL);
        assert_eq!(told.count(&expected), 1);
        assert_eq!(peer.say(&said(json!({"text": "110"}))).await.status(), 200);
        assert_eq!(peer.next().await.text(), "0");
        // All places are taken, by those that are not sent too.
        let id = peer.post(&said(json!({"text": "1"}))).await;
        for number in 1..10 {
            assert_eq!(peer.next().await.text(), number.to_string());
        }
        let refused = peer.next().await;
        assert_eq!((refused.id, refused.envelope["statusCode"].as_u64()), (id, Some(500)));
    });
}

#[test]
fn o10_ten_run_at_once_and_all_arrive_in_order() {
    run(async {
        let ends = agent(async |turn: Turn, activity: Activity| {
            turn.send_all(numbered(wanted(&activity)))?;
            Ok(())
        });
        let Ends { mut peer, server: _server, told, .. } = ends.await;
        peer.say(&said(json!({"text": "50"}))).await;
        let mut open = std::collections::VecDeque::new();
        for number in 0..10 {
            open.push_back(peer.next().await);
            assert_eq!(open[number].text(), number.to_string());
        }
        peer.is_quiet().await;
        for number in 10..50 {
            let first = open.pop_front().unwrap();
            peer.answer(&first, 200, None).await;
            open.push_back(peer.next().await);
            assert_eq!(open[9].text(), number.to_string());
            peer.is_quiet().await;
        }
        // One that is refused frees its place as well.
        peer.answer(&open.pop_front().unwrap(), 500, None).await;
        peer.is_quiet().await;
        assert_eq!(told.count("reply failed: the other end answered with 500"), 1);
    });
}

#[test]
fn a_reply_without_an_answer_frees_its_place_and_may_be_answered_still() {
    run(async {
        let (failed_tx, failed_rx) = oneshot::channel();
        let failed_tx = Mutex::new(Some(failed_tx));
        let replies = ReplyLimits {
            running_max: 1,
            timeout: Duration::from_millis(30),
            ..ReplyLimits::default()
        };
        let setting = Setting { replies, ..Setting::default() };
        let ends = serve(setting, move |turn: Turn, _| {
            let failed_tx = failed_tx.lock().unwrap().take().unwrap();
            async move {
                let error = turn.reply_and_wait("one").await.unwrap_err();
                failed_tx.send(error).unwrap();
                turn.reply("two")?;
                Ok(())
            }
        });
        let Ends { mut peer, told, server: _server, .. } = ends.await;
        peer.post(&said(json!({}))).await;
        let one = peer.next().await;
        let error = failed_rx.await.unwrap();
        assert_eq!((error.kind(), error.code()), (ErrorKind::SendTimedOut, Some(-180_016)));
        assert_eq!(peer.next().await.status(), 200);
        assert_eq!(peer.next().await.text(), "two");
        peer.answer(&one, 200, None).await;
        peer.is_quiet().await;
        // An answer that nobody waits for would be odd.
        assert_eq!(told.count("Warning"), 0);
    });
}

#[test]
fn a_kept_turn_sends_when_it_has_long_ended() {
    run(async {
        let (turn_tx, mut turn_rx) = mpsc::unbounded_channel();
        let ends = agent(move |turn: Turn, _| {
            turn_tx.send(turn).unwrap();
            async { Ok(()) }
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        peer.say(&said(json!({"deliveryMode": "expectReplies"}))).await;
        let turn = turn_rx.recv().await.unwrap();
        turn.send("later").unwrap();
        assert_eq!(peer.next().await.text(), "later");
    });
}

#[test]
fn replies_of_a_cancelled_turn_are_sent_and_no_answer() {
    run(async {
        let ends = agent(async |turn: Turn, _| {
            turn.reply("I shall think about it")?;
            std::future::pending().await
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        let id = peer.post(&said(json!({}))).await;
        let reply = peer.next().await;
        assert_eq!(reply.text(), "I shall think about it");
        peer.frame('C', &id, b"").await;
        peer.is_quiet().await;
        peer.answer(&reply, 200, None).await;
        peer.is_quiet().await;
    });
}

#[test]
fn what_is_queued_when_the_peer_leaves_fails_and_is_told() {
    run(async {
        let ends = agent(async |turn: Turn, activity: Activity| {
            turn.send_all(numbered(wanted(&activity)))?;
            Ok(())
        });
        let Ends { mut peer, server, place, told } = ends.await;
        peer.say(&said(json!({"text": "110"}))).await;
        for _ in 0..10 {
            peer.next().await;
        }
        drop(peer);
        told.until("Disconnected").await;
        let mut next = connect(&server, &place).await;
        next.is_quiet().await;
        assert_eq!(told.count("reply failed"), 110);
        assert_eq!(next.say(&said(json!({"text": "110"}))).await.status(), 200);
    });
}
