//! One attack, and what became of it.

use std::time::Duration;

use pipeway_directline::pipes::{
    PairConnectOptions, PipesError, Place, RECONNECT_PAUSE, connect_pair,
};
use pipeway_transport::{ConnectOptions, Direction, HalfClose, Stream, connect};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::attacks::{Attack, Expected, Half, Step, Wanted};
use super::frames::{cancel_all, probe};
use super::session::Session;
use crate::command::directline::send::activity::guid;

/// How long a probe of a session may take.
const PROBE: Duration = Duration::from_secs(3);

/// How long an agent may take to answer on a new session before it counts as dead.
const REVIVAL: Duration = Duration::from_secs(10);

/// How long a single pipe may take to be connected.
const HALF: Duration = Duration::from_secs(2);

/// What became of an attack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// What was expected.
    Ok,
    /// Something else, after which the agent goes on.
    Differs(String),
    /// The session neither went on nor ended; a new one goes on.
    Hangs,
    /// No new session goes on.
    Dead,
}

/// Why nothing can be tried.
#[derive(Debug)]
pub(super) enum NoAgent {
    Pipes(PipesError),
    Silent,
}

/// What became of a session.
enum Fate {
    Alive,
    Closed,
    Hangs,
}

/// Attacks on one agent, one after another.
pub(super) struct Trials {
    place: Place,
    connecting: PairConnectOptions,
    /// The session of the last attack, if it goes on.
    session: Option<Session>,
    probes: u128,
}

impl Trials {
    pub(super) fn new(place: Place, connecting: PairConnectOptions) -> Self {
        Trials { place, connecting, session: None, probes: 0 }
    }

    /// Looks whether there is an agent to attack.
    pub(super) async fn begin(&mut self) -> Result<(), NoAgent> {
        let mut session = self.connect(&self.connecting.clone()).await.map_err(NoAgent::Pipes)?;
        // Some agents take a session and drop it, when the one before has only just ended.
        if !matches!(self.fate(&mut session, PROBE).await, Fate::Alive) && !self.revive().await {
            return Err(NoAgent::Silent);
        }
        self.session.get_or_insert(session);
        Ok(())
    }

    /// Makes an attack.
    pub(super) async fn run(&mut self, attack: &Attack) -> Happened {
        let is_outside =
            attack.steps.iter().any(|step| matches!(step, Step::Half(_) | Step::Reversed));
        if is_outside {
            self.session = None;
            sleep(RECONNECT_PAUSE).await;
            for step in &attack.steps {
                if let Step::Half(half) = step {
                    // What is refused is as good as closed.
                    drop(self.half(*half, Direction::Both).await);
                }
            }
            if attack.steps.iter().any(|step| matches!(step, Step::Reversed)) {
                self.session = self.reversed().await;
            }
        } else if self.session.is_none() && !self.revive().await {
            return Happened::Dead;
        }
        let Some(mut session) = self.session.take() else {
            return match (self.revive().await, attack.expected) {
                (false, _) => Happened::Dead,
                (true, Expected::Alive) => Happened::Differs("no session".to_owned()),
                (true, _) => Happened::Ok,
            };
        };
        session.forget_answers();
        self.act(attack, &mut session).await;
        let ids: Vec<&str> = attack.wanted.iter().map(|(id, _)| id.as_str()).collect();
        session.answered(&ids, Instant::now() + attack.patience).await;
        let gone = attack.steps.iter().any(|step| matches!(step, Step::Close | Step::CloseReader));
        let fate = if gone { Fate::Closed } else { self.fate(&mut session, attack.patience).await };
        let happened = judge(attack, &session, &fate);
        match fate {
            Fate::Alive => {
                // What was begun and not finished must not be the next attack's.
                let _ = session.write(&cancel_all()).await;
                self.session = Some(session);
                happened
            }
            Fate::Closed | Fate::Hangs => {
                drop(session);
                if self.revive().await { happened } else { Happened::Dead }
            }
        }
    }

    /// Whether the agent answers.
    pub(super) async fn lives(&mut self) -> bool {
        if let Some(mut session) = self.session.take()
            && matches!(self.fate(&mut session, PROBE).await, Fate::Alive)
        {
            self.session = Some(session);
            return true;
        }
        self.revive().await
    }

    /// Ends the session.
    pub(super) fn end(&mut self) {
        self.session = None;
    }

    async fn act(&mut self, attack: &Attack, session: &mut Session) {
        for step in &attack.steps {
            // An agent that closes while something is written to it has decided.
            let wrote = match step {
                Step::Write(bytes) => session.write(bytes).await,
                Step::Repeat(bytes, times) => {
                    let mut wrote = Ok(());
                    for _ in 0..*times {
                        wrote = session.write(bytes).await;
                        if wrote.is_err() || session.is_over() {
                            break;
                        }
                    }
                    wrote
                }
                Step::Pause(time) => {
                    sleep(*time).await;
                    Ok(())
                }
                Step::Deaf => {
                    session.set_deaf(true);
                    Ok(())
                }
                Step::Listen => {
                    session.set_deaf(false);
                    Ok(())
                }
                Step::CloseWriter => {
                    session.close_writer();
                    Ok(())
                }
                Step::CloseReader => {
                    session.close_reader();
                    Ok(())
                }
                Step::Close => {
                    session.close_writer();
                    session.close_reader();
                    Ok(())
                }
                Step::Newcomer => {
                    let newcomer = self.half(Half::Incoming, Direction::Both).await;
                    drop(newcomer);
                    Ok(())
                }
                Step::Half(_) | Step::Reversed => Ok(()),
            };
            if wrote.is_err() {
                break;
            }
        }
        session.set_deaf(false);
    }

    /// What becomes of a session that is asked something.
    async fn fate(&mut self, session: &mut Session, patience: Duration) -> Fate {
        self.probes += 1;
        let id = guid(self.probes);
        // What can't be written ends the session, and so it is told.
        let _ = session.write(&probe(&id)).await;
        let is_answered = session.answered(&[&id], Instant::now() + patience.max(PROBE)).await;
        match (is_answered, session.is_over()) {
            (true, _) => Fate::Alive,
            (false, true) => Fate::Closed,
            (false, false) => Fate::Hangs,
        }
    }

    /// A new session with an agent that answers, if there is one in time.
    async fn revive(&mut self) -> bool {
        let until = Instant::now() + REVIVAL;
        while Instant::now() < until {
            sleep(RECONNECT_PAUSE).await;
            let left = until.saturating_duration_since(Instant::now());
            let options = PairConnectOptions { timeout: left, ..self.connecting.clone() };
            let Ok(mut session) = self.connect(&options).await else { continue };
            if matches!(self.fate(&mut session, PROBE).await, Fate::Alive) {
                self.session = Some(session);
                return true;
            }
        }
        false
    }

    async fn connect(&self, options: &PairConnectOptions) -> Result<Session, PipesError> {
        let pair = connect_pair(&self.place, options).await?;
        let mut watch = pair.watch;
        let lost = async move { watch.closed().await };
        Ok(Session::new(Box::new(pair.reader), Box::new(pair.writer), lost))
    }

    /// A session of which `.outgoing` was connected first.
    async fn reversed(&self) -> Option<Session> {
        let outgoing = self.half(Half::Outgoing, Direction::ReadOnly).await?;
        let incoming = self.half(Half::Incoming, Direction::WriteOnly).await?;
        Some(Session::new(Box::new(outgoing), Box::new(incoming), std::future::pending()))
    }

    /// One pipe, as soon as it is there.
    async fn half(&self, half: Half, direction: Direction) -> Option<Stream> {
        let endpoint = match half {
            Half::Incoming => self.place.incoming(),
            Half::Outgoing => self.place.outgoing(),
        };
        let options = ConnectOptions {
            timeout: HALF,
            verify_server: Some(self.connecting.verify_server),
            half_close: HalfClose::None,
            direction,
            ..ConnectOptions::default()
        };
        let until = Instant::now() + HALF;
        loop {
            match timeout_at(until, connect(endpoint, &options)).await {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(_)) if Instant::now() < until => {
                    let _ = timeout(RECONNECT_PAUSE, std::future::pending::<()>()).await;
                }
                _ => return None,
            }
        }
    }
}

/// What is to be said of an attack.
fn judge(attack: &Attack, session: &Session, fate: &Fate) -> Happened {
    match (attack.expected, fate) {
        (_, Fate::Hangs) => return Happened::Hangs,
        (Expected::Closed, Fate::Alive) => return Happened::Differs("goes on".to_owned()),
        (Expected::Alive, Fate::Closed) => return Happened::Differs("closed".to_owned()),
        _ => {}
    }
    if attack.expected != Expected::Alive {
        return Happened::Ok;
    }
    let mut missing = 0;
    let mut other = None;
    for (id, wanted) in &attack.wanted {
        let Some(status) = session.answer(id) else {
            missing += 1;
            continue;
        };
        let is_wanted = match wanted {
            Wanted::Any => true,
            Wanted::Success => status.is_some_and(|status| (200..300).contains(&status)),
            Wanted::Status(wanted) => status == Some(*wanted),
        };
        if !is_wanted {
            other.get_or_insert(status);
        }
    }
    if missing > 0 {
        return Happened::Differs(format!("{missing} of {} not answered", attack.wanted.len()));
    }
    if attack.unwanted.iter().any(|id| session.answer(id).is_some()) {
        return Happened::Differs("answered".to_owned());
    }
    match other {
        None => Happened::Ok,
        Some(None) => Happened::Differs("answered without a status".to_owned()),
        Some(Some(status)) => Happened::Differs(format!("status {status}")),
    }
}
