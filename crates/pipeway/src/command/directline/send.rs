//! `pipeway directline send`: plays the platform before an agent.

mod activity;
mod dialog;
mod hostile;
mod platform;
mod print;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Uri};
use pipeway_directline::pipes::{PairConnectOptions, PipesError, RECONNECT_PAUSE};
use pipeway_directline::{
    Body, CallTimeout, Connector, ConnectorOptions, Error, FrameWay, Kind, Observer, SessionEvent,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use self::activity::{Message, Shape};
use self::dialog::Dialog;
use self::platform::{Heard, Platform};
use self::print::Printer;
use crate::args::SendArgs;
use crate::exit::Exit;
use crate::output::{Failure, talk};
use crate::service::StopSignals;

/// How many things of the agent wait to be printed; then the agent waits.
const HEARD_MAX: usize = 256;

/// What is asked at first: some agents know it, the others answer 404.
const QUESTION: &str = "/api/version";

/// How long its answer is waited for.
const QUESTION_TIME: Duration = Duration::from_secs(1);

/// Sends what was asked for, or attacks.
pub(super) async fn send(args: SendArgs) -> Result<(), Failure> {
    if let Some(seed) = args.hostility.hostile {
        return hostile::attack(seed, &args).await;
    }
    let shape = Shape::new(&args)?;
    let (message_tx, message_rx) = mpsc::channel(1);
    match &args.activity {
        Some(text) => {
            let message = Message::of_argument(text, &shape, &args).await?;
            message_tx.try_send(Ok(message)).expect("the queue has room for the first");
            drop(message_tx);
        }
        None => {
            tokio::spawn(activity::read_lines(shape.clone(), message_tx));
        }
    }
    let signals = StopSignals::new().map_err(|error| {
        Failure::new(Exit::Failure, "can't take over the system's signals").cause(&error)
    })?;

    let (heard_tx, heard_rx) = mpsc::channel(HEARD_MAX);
    let (connector, over_rx) = open(&args, &heard_tx).await?;
    let dialog = Dialog {
        client: connector.client().clone(),
        printer: Printer { json: args.json },
        wait: args.wait(),
        timeout: args.timeout(),
        over_rx,
    };
    let ended = dialog.run(message_rx, heard_rx, signals).await;
    connector.stop().await;
    ended
}

/// A session with the agent, and what tells its end.
///
/// An agent that has not noticed the end of the session before refuses the next one, or takes it and
/// drops it. So something that does nothing is asked first: an activity is sent once.
async fn open(
    args: &SendArgs,
    heard_tx: &mpsc::Sender<Heard>,
) -> Result<(Connector, watch::Receiver<bool>), Failure> {
    let deadline = Instant::now() + args.connect_timeout();
    loop {
        let (over_tx, over_rx) = watch::channel(false);
        let options = ConnectorOptions {
            connect: PairConnectOptions {
                timeout: deadline.saturating_duration_since(Instant::now()),
                ..connecting(args)
            },
            reconnect: false,
            observer: observer(args.verbose, over_tx),
            ..ConnectorOptions::default()
        };
        let platform = Platform::new(heard_tx.clone(), &args.from);
        let connector = Connector::new(args.pipe.clone(), options, platform)
            .map_err(|error| Failure::new(Exit::Failure, "can't begin").cause(&error))?;
        connector.start();
        connector.ready().await.map_err(|error| no_agent(args, &error))?;
        let mut question = Request::new(Body::empty());
        *question.uri_mut() = Uri::from_static(QUESTION);
        question.extensions_mut().insert(CallTimeout(QUESTION_TIME));
        match connector.client().call(question).await {
            Ok(_) => return Ok((connector, over_rx)),
            // One that answers late, or only what it knows, is one.
            Err(error) if connector.is_connected() => {
                if args.verbose {
                    talk(&format!("* {QUESTION} was not answered: {error}"));
                }
                return Ok((connector, over_rx));
            }
            Err(error) => {
                connector.stop().await;
                let again = Instant::now() + RECONNECT_PAUSE;
                if again >= deadline {
                    return Err(Failure::new(
                        Exit::Unreachable,
                        format!("the agent at {} ends each session at once", args.pipe),
                    )
                    .cause(&error)
                    .hint("end its other session, or allow more with --connect-timeout"));
                }
                sleep_until(again).await;
            }
        }
    }
}

fn connecting(args: &SendArgs) -> PairConnectOptions {
    PairConnectOptions { timeout: args.connect_timeout(), ..PairConnectOptions::default() }
}

/// Where nobody answers, or this user may not ask.
fn no_agent(args: &SendArgs, error: &Error) -> Failure {
    let pipes = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    match pipes {
        Some(error) => no_pipes(args, error),
        None => Failure::new(Exit::Unreachable, format!("no agent answers at {}", args.pipe))
            .cause(error),
    }
}

fn no_pipes(args: &SendArgs, error: &PipesError) -> Failure {
    let failure =
        Failure::new(Exit::of_connect(error.kind()), format!("no agent answers at {}", args.pipe))
            .cause(error);
    match error.advice() {
        Some(advice) => failure.hint(advice),
        None => failure.hint("start it, or allow more with --connect-timeout"),
    }
}

/// Tells what happens where that was asked for, and that the session is over.
fn observer(verbose: bool, over_tx: watch::Sender<bool>) -> Observer {
    let over_tx = Arc::new(over_tx);
    let observer = Observer::new(move |event| {
        if verbose {
            match event {
                SessionEvent::Connected => talk("* connected"),
                SessionEvent::Disconnected { error: None, .. } => talk("* the session ended"),
                SessionEvent::Disconnected { error: Some(error), .. } => {
                    talk(&format!("* the session ended: {error}"));
                }
                SessionEvent::Warning(warning) => talk(&format!("* passed over: {warning:?}")),
                SessionEvent::Frame { way, header } => {
                    let way = match way {
                        FrameWay::Sent => '>',
                        FrameWay::Received => '<',
                    };
                    let more = if header.end { "" } else { " more" };
                    let (kind, length) = (kind_text(header.kind), header.length.bytes());
                    talk(&format!("{way} {kind} {length} {}{more}", header.id));
                }
                _ => {}
            }
        }
        if matches!(event, SessionEvent::Disconnected { .. }) {
            over_tx.send_replace(true);
        }
    });
    if verbose { observer.with_frames() } else { observer }
}

fn kind_text(kind: Kind) -> String {
    let text = match kind {
        Kind::Request => "request",
        Kind::Response => "response",
        Kind::Stream => "stream",
        Kind::CancelAll => "cancel-all",
        Kind::CancelStream => "cancel",
        Kind::Unknown(byte) => return format!("type-{byte:#04x}"),
    };
    text.to_owned()
}
