//! Replies on their way: how many at once, and in which order.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::observe::{Observer, SessionEvent};
use crate::session::UntilWritten;
use crate::{Error, ErrorKind};

/// What bounds the replies of one end, all its turns together. An end's calls have no such bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyLimits {
    /// How many are sent, or wait for the other end's answer, at once. Default: 10.
    pub running_max: usize,
    /// How many more wait for their turn. Where a batch does not fit, all of it is refused.
    /// Default: 100.
    pub queued_max: usize,
    /// How long one may take from its start to the other end's answer. Then it has failed, and the
    /// next one is started; an answer is waited for still, as long as a call waits, and its content
    /// is sent whole. Default: 15 seconds.
    pub timeout: Duration,
}

impl Default for ReplyLimits {
    fn default() -> Self {
        ReplyLimits { running_max: 10, queued_max: 100, timeout: Duration::from_secs(15) }
    }
}

impl ReplyLimits {
    /// Whether they can be kept.
    ///
    /// # Errors
    ///
    /// Of kind [`Usage`](ErrorKind::Usage): none may run, or none has any time.
    pub fn check(&self) -> Result<(), Error> {
        if self.running_max == 0 || self.timeout.is_zero() {
            let bad = "running_max or the timeout of replies is 0";
            return Err(Error::new(ErrorKind::Usage, bad));
        }
        Ok(())
    }
}

/// Those whose order is kept among each other: the replies of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Lane(u64);

/// What the other end says of an activity that it took: the id that it gave it.
pub(crate) type Receipt = Option<String>;

/// The sending of a reply, to the other end's answer.
pub(crate) type Sending = Pin<Box<dyn Future<Output = Result<Receipt, Error>> + Send>>;

/// A reply that is to be sent.
pub(crate) struct Reply {
    pub(crate) lane: Lane,
    pub(crate) slot: Slot,
    pub(crate) send: Box<dyn FnOnce(UntilWritten) -> Sending + Send>,
    /// Who waits for what becomes of it.
    pub(crate) told_tx: Option<oneshot::Sender<Result<Receipt, Error>>>,
}

/// The replies of one end.
pub(crate) struct Replies {
    limits: ReplyLimits,
    observer: Observer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_lane: u64,
    /// Slots that are given out.
    taken: usize,
    running: usize,
    queued: VecDeque<Reply>,
    /// Lanes of which a reply is being written.
    writing: HashSet<Lane>,
    /// Whether somebody starts replies. Two at once would not keep their order.
    starts: bool,
}

impl Replies {
    pub(crate) fn new(limits: ReplyLimits, observer: Observer) -> Arc<Self> {
        Arc::new(Replies { limits, observer, state: Mutex::default() })
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    /// A lane of its own.
    pub(crate) fn lane(&self) -> Lane {
        let mut state = self.state();
        state.last_lane += 1;
        Lane(state.last_lane)
    }

    /// Places for so many replies, or none.
    pub(crate) fn reserve(self: &Arc<Self>, count: usize) -> Result<Vec<Slot>, Error> {
        let most = self.limits.running_max.saturating_add(self.limits.queued_max);
        let mut state = self.state();
        if count > most - state.taken {
            let what = format!(
                "{count} replies more can't be queued: {} of {most} places are taken",
                state.taken
            );
            return Err(Error::new(ErrorKind::SendQueueFull, what));
        }
        state.taken += count;
        Ok((0..count).map(|_| Slot { replies: Arc::clone(self), runs: false }).collect())
    }

    /// Sends them, each as soon as it may be.
    pub(crate) fn send(self: &Arc<Self>, replies: Vec<Reply>) {
        if !replies.is_empty() {
            self.state().queued.extend(replies);
            self.start();
        }
    }

    /// Starts what may be started.
    fn start(self: &Arc<Self>) {
        if std::mem::replace(&mut self.state().starts, true) {
            return;
        }
        let starting = Starting(self);
        while let Some(reply) = self.next() {
            self.begin(reply);
        }
        // `next` has said that nobody starts any more, and somebody else may by now.
        std::mem::forget(starting);
    }

    /// The next reply that may be started.
    fn next(&self) -> Option<Reply> {
        let mut guard = self.state();
        let State { running, queued, writing, starts, .. } = &mut *guard;
        let may_run = *running < self.limits.running_max;
        let at = queued.iter().position(|reply| !writing.contains(&reply.lane));
        let next = at.filter(|_| may_run).and_then(|at| queued.remove(at));
        match next {
            Some(mut reply) => {
                *running += 1;
                writing.insert(reply.lane);
                reply.slot.runs = true;
                Some(reply)
            }
            None => {
                *starts = false;
                None
            }
        }
    }

    fn begin(self: &Arc<Self>, reply: Reply) {
        let Reply { lane, slot, send, told_tx } = reply;
        let written = Written { replies: Arc::clone(self), lane };
        // Without a runtime there is nobody left to send it.
        let Ok(runtime) = Handle::try_current() else { return };
        let mut sending = send(Box::new(written));
        // Its first step queues it to be written: taken here, that is in order.
        match sending.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => self.tell(result, told_tx),
            Poll::Pending => {
                let (replies, limit) = (Arc::clone(self), self.limits.timeout);
                runtime.spawn(async move {
                    match timeout(limit, &mut sending).await {
                        Ok(result) => {
                            replies.tell(result, told_tx);
                            drop(slot);
                        }
                        Err(_) => {
                            let what = "the reply was not sent and answered in time";
                            let error = Error::new(ErrorKind::SendTimedOut, what);
                            replies.tell(Err(error), told_tx);
                            drop(slot);
                            // It is told already; but it may not be written whole.
                            let _ = sending.await;
                        }
                    }
                });
            }
        }
    }

    fn tell(
        &self,
        result: Result<Receipt, Error>,
        told_tx: Option<oneshot::Sender<Result<Receipt, Error>>>,
    ) {
        let result = match told_tx {
            Some(told_tx) => match told_tx.send(result) {
                Ok(()) => return,
                Err(result) => result,
            },
            None => result,
        };
        if let Err(error) = result {
            self.observer.tell(&SessionEvent::ReplyFailed { error: &error });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The place of a reply, given back when this is dropped.
pub(crate) struct Slot {
    replies: Arc<Replies>,
    runs: bool,
}

impl Drop for Slot {
    fn drop(&mut self) {
        {
            let mut state = self.replies.state();
            state.taken -= 1;
            state.running -= usize::from(self.runs);
        }
        self.replies.start();
    }
}

/// A reply that is being written: the next one of its lane follows when this is dropped.
struct Written {
    replies: Arc<Replies>,
    lane: Lane,
}

impl Drop for Written {
    fn drop(&mut self) {
        self.replies.state().writing.remove(&self.lane);
        self.replies.start();
    }
}

/// Dropped by a panic: others may start replies again.
struct Starting<'a>(&'a Replies);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.0.state().starts = false;
    }
}
