//! The guest: the process at the other side, which opens what it is asked for.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::task::Poll;
use std::time::Duration;

use pipeway_mux::{ChannelOptions, IncomingOffer, Mux};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{timeout, timeout_at};

use super::handshake::{Failed, Rewound, hear};
use super::lines;
use super::opening::Opening;
use super::preface::{Answer, Hello, PROGRAM, Unfit, VERSIONS};
use super::{relay, report};
use crate::spawned::{Spawned, spawn};
use crate::{Endpoint, Error, ErrorKind, connect};

/// How long the first words may take: who starts a guest says them at once.
const HELLO: Duration = Duration::from_secs(30);

/// How many signs of life may be missing before the link counts as lost.
const BEATS_MISSED: u32 = 6;

/// The shortest time after which a link without signs of life counts as lost: the process at the
/// other end may be looked at in a debugger.
const SILENCE_MIN: Duration = Duration::from_secs(60);

/// The most sessions at once.
const SESSIONS_MAX: usize = 10_000;

/// What a guest may do.
#[derive(Clone, Debug, Default)]
pub struct GuestOptions {
    /// The endpoints that may be opened, whatever the other end asks for. Empty: those that the
    /// handshake names. Default: empty.
    pub allow: Vec<Endpoint>,
}

/// Serves a link over `io`, which is the guest's standard input and output, until the other end
/// closes it. Nothing is opened but what the handshake names and `options` allow. Dropping the
/// future ends all sessions at once. Must be called inside a tokio runtime with I/O and time
/// enabled.
///
/// # Errors
///
/// [`ErrorKind::TimedOut`] where nobody says the first words, [`Unsupported`](ErrorKind::Unsupported)
/// where what comes is no link or one of another version, and [`LinkDown`](ErrorKind::LinkDown)
/// where the link was lost.
pub async fn serve<S>(mut io: S, options: GuestOptions) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let heard = timeout(HELLO, hear(&mut io)).await;
    let (hello, rest) = match heard {
        Ok(Ok(heard)) => heard,
        Ok(Err(failed)) => return Err(not_heard(failed)),
        Err(_) => {
            let message = format!("no link was begun on standard input within {HELLO:?}");
            return Err(Error::new(ErrorKind::TimedOut, message)
                .hint("this is started by a bridge with --through, not by hand"));
        }
    };
    let common = *VERSIONS.end().min(hello.versions.end());
    if common < *VERSIONS.start() || common < *hello.versions.start() {
        write(&mut io, &Answer::refusal(hello.nonce)).await?;
        // The process may end next; what was written leaves before it. The other end hears it, or has
        // gone.
        let _ = timeout(HELLO, io.shutdown()).await;
        let (first, last) = (hello.versions.start(), hello.versions.end());
        let message = format!(
            "the other end speaks versions {first} to {last} of the link, this is pipeway {PROGRAM} with version {common}"
        );
        return Err(Error::new(ErrorKind::Unsupported, message)
            .hint("update the older of the two pipeways"));
    }
    let may = Permitted::new(&hello, &options);
    let resolved = hello.openings.iter().map(|opening| may.resolve(opening)).collect();
    let answer = Answer { version: common, program: PROGRAM.to_owned(), resolved };
    write(&mut io, &answer.write(hello.nonce)).await?;
    let mux = lines::mux(Rewound::new(rest, io)).map_err(lost)?;
    let silence = (hello.heartbeat * BEATS_MISSED).max(SILENCE_MIN);
    tokio::select! {
        ended = sessions(&mux, &may) => ended,
        () = beats(&mux, silence) => {
            mux.close().await;
            let message = format!("the other end has given no sign of life for {silence:?}");
            Err(Error::new(ErrorKind::LinkDown, message))
        }
    }
}

/// What a guest may open.
struct Permitted {
    /// By what an offer is named; whether it may be opened.
    openings: BTreeMap<String, (Opening, Result<(), Error>)>,
}

impl Permitted {
    fn new(hello: &Hello, options: &GuestOptions) -> Self {
        let openings = hello.openings.iter().map(|opening| {
            let judged = judge(opening, &options.allow);
            (opening.to_string(), (opening.clone(), judged))
        });
        Permitted { openings: openings.collect() }
    }

    /// What an opening leads to.
    fn resolve(&self, opening: &Opening) -> Result<Endpoint, Error> {
        self.find(&opening.to_string())?;
        opening.options().check(opening.endpoint())
    }

    /// The opening that an offer names.
    fn find(&self, name: &str) -> Result<&Opening, Error> {
        match self.openings.get(name) {
            Some((opening, Ok(()))) => Ok(opening),
            Some((_, Err(error))) => Err(report::read(&report::line(error))),
            None => Err(Error::new(
                ErrorKind::Permission,
                format!("`{}` was not named when the link began", name.escape_debug()),
            )),
        }
    }
}

/// Whether `opening` leads to an endpoint that is allowed.
fn judge(opening: &Opening, allow: &[Endpoint]) -> Result<(), Error> {
    let wanted = opening.options().check(opening.endpoint())?;
    let is_it = |allowed: &Endpoint| allowed.resolve().is_ok_and(|allowed| allowed == wanted);
    if allow.is_empty() || allow.iter().any(is_it) {
        return Ok(());
    }
    let message = format!("the guest is not allowed to open {}", opening.endpoint());
    let hint = format!("start it with --allow {}", opening.endpoint());
    Err(Error::new(ErrorKind::Permission, message).hint(hint))
}

/// Opens what is asked for, until the link ends.
async fn sessions(mux: &Mux, may: &Permitted) -> Result<(), Error> {
    let mut sessions = Sessions::default();
    while let Some(offer) = mux.next_offer().await {
        match may.find(offer.name()) {
            Ok(_) if sessions.is_full() => refuse(
                offer,
                &Error::new(
                    ErrorKind::Busy,
                    format!("the guest has {SESSIONS_MAX} sessions, and takes no more"),
                ),
            ),
            Ok(opening) => {
                let mut session = Box::pin(session(offer, opening.clone()));
                // Its first steps are taken here and now: a task waits for its turn.
                let first = poll_fn(|cx| Poll::Ready(session.as_mut().poll(cx)));
                if first.await.is_pending() {
                    sessions.add(spawn(session));
                }
            }
            Err(error) => refuse(offer, &error),
        }
    }
    mux.completion().await.map_err(lost)
}

/// The sessions that were begun, which end when this is dropped. Those that are done are let go
/// when as many again have come.
#[derive(Default)]
struct Sessions {
    begun: Vec<Spawned>,
    /// How many there were when those that were done were last let go.
    left: usize,
}

impl Sessions {
    fn add(&mut self, session: Spawned) {
        if self.begun.len() >= (2 * self.left).max(64) {
            self.let_go();
        }
        self.begun.push(session);
    }

    /// Whether there are as many as may be.
    fn is_full(&mut self) -> bool {
        if self.begun.len() >= SESSIONS_MAX {
            self.let_go();
        }
        self.begun.len() >= SESSIONS_MAX
    }

    fn let_go(&mut self) {
        self.begun.retain(|session| !session.is_done());
        self.left = self.begun.len();
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.begun.iter().for_each(Spawned::cut);
    }
}

/// Opens what was asked for, and carries it to its end.
async fn session(offer: IncomingOffer, opening: Opening) {
    match connect(opening.endpoint(), opening.options()).await {
        // An offer that was withdrawn meanwhile can't be accepted any more.
        Ok(stream) => {
            if let Ok(channel) = offer.accept(ChannelOptions::default()) {
                relay::relay(channel, stream).await;
            }
        }
        Err(error) => refuse(offer, &error),
    }
}

fn refuse(offer: IncomingOffer, error: &Error) {
    // It may have been withdrawn.
    let _ = offer.reject(Some(&report::line(error)));
}

/// Answers signs of life; ready when there has been none for `silence`.
async fn beats(mux: &Mux, silence: Duration) {
    let Ok(mut channel) = mux.seeded(lines::HEARTBEAT) else {
        return std::future::pending().await;
    };
    let mut beat = [0; 64];
    loop {
        match timeout(silence, channel.read(&mut beat)).await {
            Ok(Ok(length @ 1..)) => {
                if channel.write_all(&beat[..length]).await.is_err() {
                    break;
                }
            }
            Ok(_) => break,
            Err(_) => return,
        }
    }
    // The link has ended, which is told elsewhere.
    std::future::pending().await
}

async fn write<S: AsyncWrite + Unpin>(io: &mut S, bytes: &[u8]) -> Result<(), Error> {
    let written = async {
        io.write_all(bytes).await?;
        io.flush().await
    };
    let deadline = tokio::time::Instant::now() + HELLO;
    let error = match timeout_at(deadline, written).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    Err(Error::new(ErrorKind::LinkDown, "the answer could not be written to standard output")
        .source(error))
}

fn not_heard(failed: Failed) -> Error {
    let (kind, message) = match failed {
        Failed::Ended => {
            (ErrorKind::LinkDown, "standard input ended before a link was begun on it".to_owned())
        }
        Failed::Io(error) => {
            return Error::new(ErrorKind::Io, "standard input can't be read").source(error);
        }
        Failed::Unfit(Unfit::Malformed(what)) => {
            (ErrorKind::Unsupported, format!("what comes on standard input is no link: {what}"))
        }
        Failed::Unfit(_) => (
            ErrorKind::Unsupported,
            "what comes on standard input was changed on its way, as a terminal does".to_owned(),
        ),
    };
    Error::new(kind, message).hint("this is started by a bridge with --through, not by hand")
}

fn lost(error: pipeway_mux::Error) -> Error {
    Error::new(ErrorKind::LinkDown, format!("the link was lost: {error}"))
}
