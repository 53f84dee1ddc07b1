//! The side that starts the guest and keeps the link up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pipeway_mux::{Channel, ChannelOptions, Mux, OfferError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::config::LinkConfig;
use super::lines;
use super::opening::Opening;
use super::pauses::Pauses;
use super::report;
use super::start::{NotUp, Process, Started, start};
use super::state::{Inner, LinkDown, LinkDownReason, LinkState, LinkUp, LinkWatch, Live};
use super::stream::LinkStream;
use crate::{Error, ErrorKind, Stream};

/// How long the guest's own answer to a connect may be late: it knows better why it failed.
const GRACE: Duration = Duration::from_millis(500);

/// How long a lost link's connection may take to be let go before its process is ended.
const LET_GO: Duration = Duration::from_millis(100);

/// A link: one process at the other side that opens endpoints there, for any number of streams at
/// once. Cheap to clone; all clones are one link, which ends with the last of them.
///
/// A link that is lost, or does not come up, is tried again, after pauses that grow. Streams that
/// went through it fail at once and are not brought back.
#[derive(Clone, Debug)]
pub struct Link {
    config: Arc<LinkConfig>,
    rx: watch::Receiver<Inner>,
    /// Dropping the last one stops the link.
    stop_tx: Arc<watch::Sender<bool>>,
}

impl Link {
    /// Starts the link. Must be called inside a tokio runtime with I/O and time enabled. Whether
    /// it comes up is told by [`watch`](Link::watch).
    ///
    /// # Errors
    ///
    /// As [`LinkConfig::check`].
    pub fn start(config: LinkConfig) -> Result<Link, Error> {
        config.check()?;
        let config = Arc::new(config);
        let (tx, rx) = watch::channel(Inner { state: LinkState::Starting, live: None });
        let (stop_tx, stop_rx) = watch::channel(false);
        let holder = Holder {
            config: Arc::clone(&config),
            tx,
            stop_rx,
            pauses: Pauses::new(config.retry_first, config.retry_most),
            attempt: 0,
        };
        match &config.io_loop {
            Some(io_loop) => io_loop.spawn(holder.run()),
            None => drop(tokio::spawn(holder.run())),
        }
        Ok(Link { config, rx, stop_tx: Arc::new(stop_tx) })
    }

    /// The link's name.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Follows the link's state.
    pub fn watch(&self) -> LinkWatch {
        let mut rx = self.rx.clone();
        // The state of now is told first.
        rx.mark_changed();
        LinkWatch { rx }
    }

    /// Opens a stream at the other side. While the link is down this waits for it to come back,
    /// within the time of `opening`; a connect takes one round trip. Cancel safe: a dropped future
    /// leaves no connection behind.
    ///
    /// # Errors
    ///
    /// As [`connect`](crate::connect()) at the other side;
    /// [`LinkDown`](ErrorKind::LinkDown) where the link did not come back in time, and
    /// [`Permission`](ErrorKind::Permission) where `opening` was not among
    /// [`LinkConfig::openings`] or the guest does not allow it.
    pub async fn connect(&self, opening: &Opening) -> Result<Stream, Error> {
        self.connect_with(opening, &[]).await
    }

    /// As [`connect`](Self::connect), with the first bytes for the other side, at most
    /// [`FIRST_MAX`](super::FIRST_MAX): they go along with the wish for a connection, which spares a round trip. A
    /// link that is lost while they are under way is an error, not another try: they may have
    /// arrived.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); [`LinkDown`](ErrorKind::LinkDown) also where the link was lost
    /// before the answer.
    pub async fn connect_with(&self, opening: &Opening, first: &[u8]) -> Result<Stream, Error> {
        let deadline = Instant::now() + opening.options().timeout;
        let mut rx = self.rx.clone();
        let mut lost = None;
        loop {
            let usable = |inner: &Inner| {
                let fresh = inner.live.as_ref().is_some_and(|live| Some(live.number) != lost);
                fresh || matches!(inner.state, LinkState::Stopped)
            };
            let live = match timeout_at(deadline, rx.wait_for(usable)).await {
                Ok(Ok(inner)) => inner.live.clone(),
                Ok(Err(_)) | Err(_) => None,
            };
            let Some(live) = live else {
                let state = rx.borrow().state.clone();
                return Err(self.down(&state));
            };
            match self.open(&live, opening, first, deadline + GRACE).await {
                Err(Failed::Unsent) => lost = Some(live.number),
                // Nothing was sent but the wish for a connection, so it may be wished for again.
                Err(Failed::Lost) if first.is_empty() => lost = Some(live.number),
                Err(Failed::Lost) => {
                    let message = format!("the link {} was lost meanwhile", self.config.name);
                    return Err(Error::new(ErrorKind::LinkDown, message)
                        .hint("what was sent with the connection may have arrived"));
                }
                Err(Failed::Told(error)) => return Err(error),
                Ok(stream) => return Ok(stream),
            }
        }
    }

    /// Ends the link: streams through it fail, the guest's standard input ends, and a guest that
    /// does not end by itself is ended.
    pub async fn stop(&self) {
        self.stop_tx.send_replace(true);
        let mut rx = self.rx.clone();
        // An error is a link whose runtime has ended it.
        let _ = rx.wait_for(|inner| matches!(inner.state, LinkState::Stopped)).await;
    }

    /// A stream of this link's life.
    async fn open(
        &self,
        live: &Live,
        opening: &Opening,
        first: &[u8],
        deadline: Instant,
    ) -> Result<Stream, Failed> {
        let endpoint = match live.resolved.iter().find(|(known, _)| known == opening) {
            Some((_, Ok(endpoint))) => endpoint.clone(),
            Some((_, Err(error))) => return Err(Failed::Told(report::read(&report::line(error)))),
            None => {
                let message = format!(
                    "the link {} was not started for {}",
                    self.config.name,
                    opening.endpoint()
                );
                return Err(Failed::Told(
                    Error::new(ErrorKind::Permission, message)
                        .hint("name it among the link's openings before the link is started"),
                ));
            }
        };
        let name = opening.to_string();
        let offer = live.mux.offer_with(&name, ChannelOptions::default(), first);
        match timeout_at(deadline, offer).await {
            Ok(Ok(channel)) => {
                let mode = endpoint.mode().unwrap_or(crate::Mode::Stdio);
                Ok(Stream::link(LinkStream::new(channel, endpoint, mode)))
            }
            Ok(Err(OfferError::Rejected { reason })) => {
                Err(Failed::Told(report::read(&reason.unwrap_or_else(|| {
                    "Io: the guest gave no reason for not opening it".to_owned()
                }))))
            }
            Ok(Err(OfferError::Connection(error)))
                if error.kind() == pipeway_mux::ErrorKind::Usage =>
            {
                Err(Failed::Told(Error::new(
                    ErrorKind::Busy,
                    format!("the link can't take it: {error}"),
                )))
            }
            // Its end is known to the multiplexer already, and to `rx` in a moment.
            Ok(Err(OfferError::Connection(_))) => Err(Failed::Unsent),
            Ok(Err(OfferError::Lost(_))) => Err(Failed::Lost),
            Err(_) => Err(Failed::Told(crate::connect::timed_out(
                opening.endpoint(),
                opening.options().timeout,
            ))),
        }
    }

    fn down(&self, state: &LinkState) -> Error {
        let name = &self.config.name;
        let (what, hint) = match state {
            LinkState::Down(down) => (
                format!("is down: {}", down.message),
                down.hint.clone().unwrap_or_else(|| "it is tried again; see the events".to_owned()),
            ),
            LinkState::Stopped => {
                ("was stopped".to_owned(), "the program is shutting down".to_owned())
            }
            LinkState::Starting | LinkState::Up(_) => (
                "is not up yet".to_owned(),
                "try again soon, or allow more time for connecting".to_owned(),
            ),
        };
        Error::new(ErrorKind::LinkDown, format!("the link {name} {what}")).hint(hint)
    }
}

/// Why there is no stream.
enum Failed {
    /// This life of the link had ended before anything was sent.
    Unsent,
    /// This life of the link ended before the answer.
    Lost,
    Told(Error),
}

/// Keeps a link up.
struct Holder {
    config: Arc<LinkConfig>,
    tx: watch::Sender<Inner>,
    stop_rx: watch::Receiver<bool>,
    pauses: Pauses,
    /// Attempts since it was up.
    attempt: u32,
}

impl Holder {
    async fn run(mut self) {
        loop {
            let began = Instant::now();
            self.attempt = self.attempt.saturating_add(1);
            let config = Arc::clone(&self.config);
            let started = tokio::select! {
                () = stopped(&mut self.stop_rx) => break,
                started = start(&config) => started,
            };
            let (why, was_up) = match started {
                Err(why) => (why, None),
                Ok(started) => match self.hold(started, began.elapsed()).await {
                    None => break,
                    Some((why, was_up)) => (why, Some(was_up)),
                },
            };
            let retry_in = self.pauses.next();
            self.tell(LinkState::Down(LinkDown {
                reason: why.reason,
                message: why.message,
                hint: why.hint,
                attempt: self.attempt,
                was_up,
                retry_in,
            }));
            tokio::select! {
                () = stopped(&mut self.stop_rx) => break,
                () = sleep(retry_in) => {}
            }
        }
        self.tell(LinkState::Stopped);
    }

    /// Holds a link until it is lost, and says why and how long it was up; `None` where it was
    /// stopped.
    async fn hold(&mut self, started: Started, took: Duration) -> Option<(NotUp, Duration)> {
        static LIVES: AtomicU64 = AtomicU64::new(0);
        let Started { mut process, io, answer } = started;
        let up_since = Instant::now();
        let mux = match lines::mux(io) {
            Ok(mux) => mux,
            Err(error) => {
                process.kill().await;
                let why = NotUp::new(LinkDownReason::NotStarted, error.to_string());
                return Some((why, Duration::ZERO));
            }
        };
        let resolved = answer.resolved.into_iter().map(|resolved| resolved.map_err(Arc::new));
        let resolved: Vec<_> = self.config.openings.iter().cloned().zip(resolved).collect();
        let refused = resolved.iter().filter_map(|(_, resolved)| resolved.as_ref().err());
        let up = LinkUp {
            attempt: self.attempt,
            took,
            guest: answer.program,
            refused: refused.map(ToString::to_string).collect(),
        };
        self.attempt = 0;
        let live = Live {
            number: LIVES.fetch_add(1, Ordering::Relaxed),
            mux: mux.clone(),
            resolved: resolved.into(),
        };
        self.tx.send_replace(Inner { state: LinkState::Up(up), live: Some(live) });
        let lost = tokio::select! {
            () = stopped(&mut self.stop_rx) => None,
            lost = loss(&mux, &mut process, self.config.heartbeat) => Some(lost),
        };
        let was_up = up_since.elapsed();
        let Some(lost) = lost else {
            mux.close().await;
            process.end().await;
            return None;
        };
        // All that went through it ends now; what can't be written any more is not waited for.
        let _ = timeout(LET_GO, mux.close()).await;
        if was_up >= self.config.stable {
            self.pauses.reset();
        }
        let why = explain(lost, &mut process, self.config.heartbeat).await;
        process.kill().await;
        Some((why, was_up))
    }

    fn tell(&self, state: LinkState) {
        self.tx.send_replace(Inner { state, live: None });
    }
}

/// Ready once the link is to stop.
async fn stopped(stop_rx: &mut watch::Receiver<bool>) {
    // An error is that nobody holds the link any more.
    let _ = stop_rx.wait_for(|stop| *stop).await;
}

/// How a link was lost.
enum Loss {
    Connection(Result<(), pipeway_mux::Error>),
    Process,
    Hung,
}

async fn loss(mux: &Mux, process: &mut Process, every: Duration) -> Loss {
    let hung = async {
        match mux.seeded(lines::HEARTBEAT) {
            Ok(channel) => beat(channel, every).await,
            // The connection has ended already.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        ended = mux.completion() => Loss::Connection(ended),
        _ = process.wait() => Loss::Process,
        () = hung => Loss::Hung,
    }
}

/// Asks for signs of life; ready when one was not given in time.
async fn beat(mut channel: Channel, every: Duration) {
    let mut number = 0u8;
    loop {
        sleep(every).await;
        number = number.wrapping_add(1);
        let beat = async {
            channel.write_all(&[number]).await?;
            let mut back = [0];
            channel.read_exact(&mut back).await.map(|_| ())
        };
        match timeout(every, beat).await {
            Ok(Ok(())) => {}
            // The connection has ended, which is told elsewhere.
            Ok(Err(_)) => return std::future::pending().await,
            Err(_) => return,
        }
    }
}

/// Puts a loss into words.
async fn explain(loss: Loss, process: &mut Process, every: Duration) -> NotUp {
    if let Loss::Hung = loss {
        let message = format!("the guest gave no sign of life for {:?}", every * 2);
        return NotUp::new(LinkDownReason::Hung, message)
            .hint("its process may be stopped or its system asleep; it is started anew");
    }
    let (code, said) = process.last_words().await;
    let message = match (code, loss) {
        (Some(code), _) => format!("the guest's process ended with code {code}{said}"),
        (None, Loss::Connection(Err(error))) => format!("{error}{said}"),
        (None, _) => format!("the guest closed the link{said}"),
    };
    NotUp::new(LinkDownReason::Lost, message)
}
