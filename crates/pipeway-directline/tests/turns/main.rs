//! Turns over real pipes: an agent before a peer whose frames are written by hand.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod outbound;
mod peer;
mod replies;
mod routing;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pipeway_directline::pipes::{PairConnectOptions, Place, connect_pair};
use pipeway_directline::{
    Activity, Limits, Messages, MessagesOptions, Observer, ReplyLimits, Server, ServerOptions,
    SessionEvent, Turn, TurnResult,
};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use peer::Peer;

/// No test takes longer, even under Wine on a busy machine.
const WATCHDOG: Duration = Duration::from_secs(60);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(WATCHDOG, test).await.expect("the test hangs") });
}

fn place() -> Place {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("pipeway-turns-{}-{next}", std::process::id()).parse().unwrap()
}

/// An agent and the peer that is connected to it.
struct Ends {
    server: Server,
    place: Place,
    peer: Peer,
    /// What the agent's observer was told.
    told: Told,
}

#[derive(Clone, Default)]
struct Told(watch::Sender<Vec<String>>);

impl Told {
    fn observer(&self) -> Observer {
        let told_tx = self.0.clone();
        Observer::new(move |event| {
            let what = match event {
                SessionEvent::ReplyFailed { error } => format!("reply failed: {error}"),
                SessionEvent::TurnFailed { error } => format!("turn failed: {error}"),
                other => format!("{other:?}"),
            };
            told_tx.send_modify(|told| told.push(what));
        })
    }

    fn count(&self, part: &str) -> usize {
        self.0.borrow().iter().filter(|what| what.contains(part)).count()
    }
}

impl Told {
    /// Waits until the agent was told of something.
    async fn until(&self, part: &str) {
        let told = |told: &Vec<String>| told.iter().any(|what| what.contains(part));
        self.0.subscribe().wait_for(told).await.unwrap();
    }
}

/// How an agent differs from the default one.
#[derive(Default)]
struct Setting {
    messages: MessagesOptions,
    replies: ReplyLimits,
    limits: Limits,
}

async fn serve<F, R>(setting: Setting, work: F) -> Ends
where
    F: Fn(Turn, Activity) -> R + Send + Sync + 'static,
    R: Future<Output = TurnResult> + Send + 'static,
{
    let messages = Messages::with(setting.messages, work);
    serve_with(setting.limits, setting.replies, |place, options| {
        Server::new(place, options, messages).unwrap()
    })
    .await
}

/// An agent that `make` makes.
async fn serve_with(
    limits: Limits,
    replies: ReplyLimits,
    make: impl FnOnce(Place, ServerOptions) -> Server,
) -> Ends {
    let told = Told::default();
    let options = ServerOptions {
        limits,
        replies,
        observer: told.observer(),
        pause: Duration::from_millis(1),
        ..ServerOptions::default()
    };
    let place = place();
    let server = make(place.clone(), options);
    let peer = connect(&server, &place).await;
    Ends { server, place, peer, told }
}

async fn connect(server: &Server, place: &Place) -> Peer {
    server.start();
    let pair = connect_pair(place, &PairConnectOptions::default()).await.unwrap();
    server.client().connected().await;
    Peer::new(pair)
}

async fn agent<F, R>(work: F) -> Ends
where
    F: Fn(Turn, Activity) -> R + Send + Sync + 'static,
    R: Future<Output = TurnResult> + Send + 'static,
{
    serve(Setting::default(), work).await
}

/// An activity of a user, with other members in addition or in place.
fn said(other: Value) -> Value {
    let mut activity = json!({
        "type": "message", "id": "in1", "channelId": "directline",
        "serviceUrl": "urn:botframework:namedpipe:bfv4.pipes",
        "conversation": {"id": "conv1"}, "from": {"id": "u1"}, "recipient": {"id": "bot"},
        "text": "hi",
    });
    for (name, value) in other.as_object().unwrap() {
        activity[name] = value.clone();
    }
    activity
}
