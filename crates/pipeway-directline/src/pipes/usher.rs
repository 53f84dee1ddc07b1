//! Who gets in: puts halves together to pairs and turns everybody else away.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use pipeway_transport::{ErrorKind, Listener, Peer, Stream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep};

use super::PipesError;
use super::pair::{Pair, Reader, SessionHold, is_unused_gone, poll_unused};

/// The pause after a listener failed during a session, as one does without descriptors.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// What became of connections that are in no pair.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) turned_away: AtomicU64,
    pub(super) halves_lost: AtomicU64,
    pub(super) halves_given_up: AtomicU64,
    pub(super) peers_rejected: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Both listeners, from the first moment to the last, and the halves that wait for their
/// counterparts.
///
/// A pipe's instance serves one client and is never used again. That the name is always held is
/// the transport's doing: its listener makes the next instance before it hands one over, and so there
/// is one, unconnected, during a session and between two. Whoever connects to it during a session is
/// accepted and dropped at once, and the instance with them.
#[derive(Debug)]
pub(super) struct Usher {
    incoming: Listener,
    outgoing: Listener,
    reading: Option<Lone<Reader>>,
    writing: Option<Lone<Unused>>,
    lone_half_timeout: Duration,
    tally: Arc<Tally>,
}

impl Usher {
    pub(super) fn new(
        incoming: Listener,
        outgoing: Listener,
        lone_half_timeout: Duration,
        tally: Arc<Tally>,
    ) -> Usher {
        Usher { incoming, outgoing, reading: None, writing: None, lone_half_timeout, tally }
    }

    /// Makes a pair for each demand, one after another, until nobody is there to demand.
    pub(super) async fn run(
        mut self,
        mut demand_rx: mpsc::Receiver<()>,
        pairs_tx: mpsc::Sender<Result<Pair, PipesError>>,
    ) {
        // Between two sessions nobody is accepted: clients wait in the system's queue.
        while demand_rx.recv().await.is_some() {
            let made = std::future::poll_fn(|cx| self.poll_pair(cx)).await;
            let (pair, over) = match made {
                Ok((pair, over)) => (Ok(pair), Some(over)),
                Err(error) => (Err(error), None),
            };
            if pairs_tx.send(pair).await.is_err() {
                return;
            }
            if let Some(over) = over {
                self.turn_away_until(over).await;
            }
        }
    }

    fn poll_pair(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Pair, oneshot::Receiver<()>), PipesError>> {
        loop {
            // First, who left: one who came back at once finds their place free.
            watch(&mut self.reading, &self.tally, cx);
            watch(&mut self.writing, &self.tally, cx);
            if self.reading.is_some() && self.writing.is_some() {
                // The runtime may not have heard yet what the system knows.
                drop_gone(&mut self.reading, &self.tally);
                drop_gone(&mut self.writing, &self.tally);
            }
            if let Some((reading, writing)) = both(&mut self.reading, &mut self.writing) {
                let (hold, over) = SessionHold::new();
                let pair = Pair::new(reading.half, writing.half.stream, reading.peer, hold);
                return Poll::Ready(Ok((pair, over)));
            }
            let mut idle = true;
            if let Poll::Ready(accepted) = self.incoming.poll_accept(cx) {
                idle = false;
                let other = self.writing.as_ref().map(|lone| &lone.peer);
                let (slot, wait) = (&mut self.reading, self.lone_half_timeout);
                place(slot, accepted, Reader::new, other, wait, &self.tally)?;
            }
            if let Poll::Ready(accepted) = self.outgoing.poll_accept(cx) {
                idle = false;
                let other = self.reading.as_ref().map(|lone| &lone.peer);
                let (slot, wait) = (&mut self.writing, self.lone_half_timeout);
                place(slot, accepted, Unused::new, other, wait, &self.tally)?;
            }
            if idle {
                return Poll::Pending;
            }
        }
    }

    /// During a session: whoever connects is closed at once.
    async fn turn_away_until(&mut self, mut over: oneshot::Receiver<()>) {
        let mut pause = std::pin::pin!(sleep(Duration::ZERO));
        std::future::poll_fn(|cx| {
            if Pin::new(&mut over).poll(cx).is_ready() {
                return Poll::Ready(());
            }
            while pause.as_mut().poll(cx).is_ready() {
                let failed = match turn_away(&mut self.incoming, &self.tally, cx) {
                    Poll::Ready(failed) => failed,
                    Poll::Pending => match turn_away(&mut self.outgoing, &self.tally, cx) {
                        Poll::Ready(failed) => failed,
                        Poll::Pending => break,
                    },
                };
                if failed {
                    pause.as_mut().reset(Instant::now() + FAILURE_PAUSE);
                }
            }
            Poll::Pending
        })
        .await;
    }
}

/// Closes the next client of `listener`. Ready with whether the listener failed.
fn turn_away(listener: &mut Listener, tally: &Tally, cx: &mut Context<'_>) -> Poll<bool> {
    listener.poll_accept(cx).map(|accepted| match accepted {
        Ok(_) => {
            count(&tally.turned_away);
            false
        }
        Err(error) if error.kind() == ErrorKind::PeerRejected => {
            count(&tally.peers_rejected);
            false
        }
        Err(_) => true,
    })
}

/// A half whose counterpart is missing.
#[derive(Debug)]
struct Lone<H> {
    half: H,
    peer: Peer,
    given_up: Pin<Box<Sleep>>,
}

/// What a half is while it waits.
trait Half {
    /// Completes when it is lost.
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether the system says that it is lost.
    fn is_gone(&self) -> bool;
}

impl Half for Reader {
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_early_end(cx)
    }

    fn is_gone(&self) -> bool {
        Reader::is_gone(self)
    }
}

/// A pipe to be written to, as it is watched before there is anything to write.
#[derive(Debug)]
pub(super) struct Unused {
    pub(super) stream: Stream,
    ended: bool,
    unasked_bytes: usize,
}

impl Unused {
    pub(super) fn new(stream: Stream) -> Unused {
        Unused { stream, ended: false, unasked_bytes: 0 }
    }

    pub(super) fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        poll_unused(&mut self.stream, &mut self.ended, &mut self.unasked_bytes, cx)
    }
}

impl Half for Unused {
    fn poll_lost(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Unused::poll_lost(self, cx)
    }

    fn is_gone(&self) -> bool {
        is_unused_gone(&self.stream)
    }
}

/// Drops a lone half that was lost or has waited too long.
fn watch<H: Half>(slot: &mut Option<Lone<H>>, tally: &Tally, cx: &mut Context<'_>) {
    let Some(lone) = slot else { return };
    if lone.half.poll_lost(cx).is_ready() {
        count(&tally.halves_lost);
    } else if lone.given_up.as_mut().poll(cx).is_ready() {
        count(&tally.halves_given_up);
    } else {
        return;
    }
    *slot = None;
}

/// Drops a lone half that the system says is lost.
fn drop_gone<H: Half>(slot: &mut Option<Lone<H>>, tally: &Tally) {
    if slot.as_ref().is_some_and(|lone| lone.half.is_gone()) {
        count(&tally.halves_lost);
        *slot = None;
    }
}

/// Both, if both are there; else they stay.
fn both<A, B>(a: &mut Option<A>, b: &mut Option<B>) -> Option<(A, B)> {
    if a.is_some() && b.is_some() { a.take().zip(b.take()) } else { None }
}

/// Takes in a newcomer, or drops them: the half is taken, or the other half is another user's.
fn place<H: Half>(
    slot: &mut Option<Lone<H>>,
    accepted: Result<(Stream, Peer), pipeway_transport::Error>,
    half: impl FnOnce(Stream) -> H,
    other: Option<&Peer>,
    wait: Duration,
    tally: &Tally,
) -> Result<(), PipesError> {
    let (stream, peer) = match accepted {
        Ok(accepted) => accepted,
        Err(error) if error.kind() == ErrorKind::PeerRejected => {
            count(&tally.peers_rejected);
            return Ok(());
        }
        Err(error) => {
            return Err(PipesError::from_transport(
                format!("could not accept a pair of pipes: {error}"),
                error,
            ));
        }
    };
    // One who left a moment ago and came back may have been faster than the word of it.
    drop_gone(slot, tally);
    if slot.is_some() {
        count(&tally.turned_away);
        return Ok(());
    }
    if other.is_some_and(|other| is_another_user(other, &peer)) {
        count(&tally.peers_rejected);
        return Ok(());
    }
    *slot = Some(Lone { half: half(stream), peer, given_up: Box::pin(sleep(wait)) });
    Ok(())
}

/// Whether two halves are of two users. What the system does not tell is no difference.
fn is_another_user(one: &Peer, other: &Peer) -> bool {
    let differ = |a: Option<&str>, b: Option<&str>| a.zip(b).is_some_and(|(a, b)| a != b);
    one.uid.zip(other.uid).is_some_and(|(a, b)| a != b)
        || differ(one.sid.as_deref(), other.sid.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_two_users_are_told_apart() {
        let unix = |uid| Peer { uid, ..Peer::default() };
        assert!(is_another_user(&unix(Some(1)), &unix(Some(2))));
        assert!(!is_another_user(&unix(Some(1)), &unix(Some(1))));
        assert!(!is_another_user(&unix(None), &unix(Some(1))));
        let windows = |sid: &str| Peer { sid: Some(sid.to_owned()), ..Peer::default() };
        assert!(is_another_user(&windows("S-1-5-1"), &windows("S-1-5-2")));
        assert!(!is_another_user(&windows("S-1-5-1"), &windows("S-1-5-1")));
    }
}
