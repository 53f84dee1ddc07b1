//! The agent's end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pipeway_transport::{Access, Endpoint, ErrorKind, HalfClose, ListenOptions, Listener};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::pair::Pair;
use super::usher::{Tally, Usher};
use super::{PipesError, Place};

/// How many instances of a pipe there may be: one that is served, some that wait, and some that
/// are just being turned away.
const INSTANCES_MAX: u32 = 64;

/// How many clients may wait in a socket's queue while nobody accepts.
const BACKLOG: u32 = 64;

/// How an agent listens.
#[derive(Clone, Debug)]
pub struct PairListenOptions {
    /// Who may connect. Default: the owner alone. A connector that runs as another account needs
    /// more, and then whoever has that access can be the connector.
    pub access: Access,
    /// How often a name that is in use is tried, for each of the two pipes; at least once.
    /// Default: 30.
    pub bind_attempts: u32,
    /// The pause between two such tries. Default: 250 milliseconds.
    pub bind_pause: Duration,
    /// How long a client may hold one pipe of the two without the other, which keeps everybody
    /// else out. Default: 30 seconds.
    pub lone_half_timeout: Duration,
}

impl Default for PairListenOptions {
    fn default() -> Self {
        PairListenOptions {
            access: Access::Owner,
            bind_attempts: 30,
            bind_pause: Duration::from_millis(250),
            lone_half_timeout: Duration::from_secs(30),
        }
    }
}

/// How many connections came to nothing since the listener was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairCounts {
    /// Closed at once, because the half, or both, were taken.
    pub turned_away: u64,
    /// Half a pair that closed before the other half came.
    pub halves_lost: u64,
    /// Half a pair that was closed because the other half did not come in time.
    pub halves_given_up: u64,
    /// Closed because of who they are.
    pub peers_rejected: u64,
}

/// The agent's end: both pipes' names, held from [`bind`](PairListener::bind) until this is dropped.
///
/// There is one session at a time. During a session whoever connects is closed at once; between the
/// end of a session (its [`Reader`](super::Reader) and [`Writer`](super::Writer) are dropped) and the
/// next call of [`accept`](PairListener::accept), clients wait in the system's queue. The halves of a
/// pair may come in either order; one without the other is watched, and closed where it stays alone.
/// A task of this listener's does all that, so nothing needs to be polled.
#[derive(Debug)]
pub struct PairListener {
    place: Place,
    warnings: Vec<String>,
    demand_tx: mpsc::Sender<()>,
    pairs_rx: mpsc::Receiver<Result<Pair, PipesError>>,
    /// Whether a demand was not answered yet.
    is_demanded: bool,
    task: JoinHandle<()>,
    tally: Arc<Tally>,
}

impl PairListener {
    /// Makes both pipes. Must be called in a tokio runtime with I/O and time enabled.
    ///
    /// A name that is in use is tried again as the options say. Cancel safe: nothing is left.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InUse`] after the last try, and at once what the transport's listener says
    /// otherwise; see [`PipesError::is_lasting`].
    pub async fn bind(
        place: &Place,
        options: &PairListenOptions,
    ) -> Result<PairListener, PipesError> {
        let incoming = bind_one(place, place.incoming(), options).await?;
        let outgoing = bind_one(place, place.outgoing(), options).await?;
        let warnings = incoming.warnings().to_vec();
        let tally = Arc::new(Tally::default());
        let wait = options.lone_half_timeout;
        let usher = Usher::new(incoming, outgoing, wait, Arc::clone(&tally));
        let (demand_tx, demand_rx) = mpsc::channel(1);
        let (pairs_tx, pairs_rx) = mpsc::channel(1);
        Ok(PairListener {
            place: place.clone(),
            warnings,
            demand_tx,
            pairs_rx,
            is_demanded: false,
            task: tokio::spawn(usher.run(demand_rx, pairs_tx)),
            tally,
        })
    }

    /// The next pair. Waits without limit, and for the end of the session before, if that is not over.
    /// Cancel safe: halves that have connected, and a pair, are kept for the next call.
    ///
    /// # Errors
    ///
    /// A failure of the system's, such as too many open files; the listener goes on, so wait a moment
    /// and call again.
    pub async fn accept(&mut self) -> Result<Pair, PipesError> {
        loop {
            if !self.is_demanded {
                // Full, it holds a demand; closed, the answer below says so.
                let _ = self.demand_tx.try_send(());
                self.is_demanded = true;
            }
            let Some(made) = self.pairs_rx.recv().await else {
                return Err(PipesError::new(
                    ErrorKind::Io,
                    format!("the listener at {} has ended with its runtime", self.place),
                ));
            };
            self.is_demanded = false;
            let pair = made?;
            // It may have lain here for a while, if an earlier call was given up.
            if !pair.is_gone() {
                return Ok(pair);
            }
            self.tally.halves_lost.fetch_add(2, Ordering::Relaxed);
        }
    }

    /// Where it listens.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What the user should know about the access that was asked for; see
    /// [`Listener::warnings`].
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How many connections came to nothing.
    pub fn counts(&self) -> PairCounts {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        PairCounts {
            turned_away: read(&self.tally.turned_away),
            halves_lost: read(&self.tally.halves_lost),
            halves_given_up: read(&self.tally.halves_given_up),
            peers_rejected: read(&self.tally.peers_rejected),
        }
    }

    /// Gives up both names and returns when they are given up (on Windows the system frees a name a
    /// moment later). A pair that was accepted lives on. Waits for no peer.
    pub async fn close(mut self) {
        self.task.abort();
        // It was aborted, or had ended.
        let _ = (&mut self.task).await;
    }
}

impl Drop for PairListener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn bind_one(
    place: &Place,
    endpoint: &Endpoint,
    options: &PairListenOptions,
) -> Result<Listener, PipesError> {
    let listen = ListenOptions {
        access: options.access.clone(),
        backlog: BACKLOG,
        max_instances: INSTANCES_MAX,
        half_close: HalfClose::None,
        private_folder: place.wants_private_folder(),
        ..ListenOptions::default()
    };
    let mut tries = 1;
    loop {
        let error = match Listener::bind(endpoint, &listen) {
            Ok(listener) => return Ok(listener),
            Err(error) => error,
        };
        if error.kind() != ErrorKind::InUse {
            let message = format!("pipes can't be made at {place}: {error}");
            return Err(PipesError::from_transport(message, error));
        }
        if tries >= options.bind_attempts {
            let message = format!("pipes can't be made at {place} after {tries} tries: {error}");
            return Err(PipesError::from_transport(message, error));
        }
        tries += 1;
        sleep(options.bind_pause).await;
    }
}
