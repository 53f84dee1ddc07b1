//! Replies that are held until their turn is not being polled, and behind its answer.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use super::replies::{Replies, Reply};
use super::{InvokeResponse, Turn};
use crate::Activity;
use crate::message::BodyError;

/// What a turn has made and not let go.
pub(super) struct Held {
    replies: Arc<Replies>,
    state: Mutex<State>,
}

struct State {
    /// Whether replies are kept in `waiting`. They are while the turn is polled, since that may be
    /// its last step, and from its end until its answer is queued.
    holds: bool,
    waiting: Vec<Reply>,
    /// What goes into the answer, where replies are expected there.
    collected: Option<Vec<Activity>>,
    invoke: Option<InvokeResponse>,
}

/// What a turn ended with.
pub(super) struct Outcome {
    pub(super) collected: Option<Vec<Activity>>,
    pub(super) invoke: Option<InvokeResponse>,
}

impl Held {
    pub(super) fn new(replies: Arc<Replies>, expects_replies: bool) -> Self {
        let collected = expects_replies.then(Vec::new);
        Held {
            replies,
            state: Mutex::new(State { holds: true, waiting: Vec::new(), collected, invoke: None }),
        }
    }

    /// Keeps activities for the answer, if they are expected there, or gives them back.
    pub(super) fn collect(
        &self,
        batch: Vec<Activity>,
        invoke: Option<InvokeResponse>,
    ) -> Result<(), (Vec<Activity>, Option<InvokeResponse>)> {
        let mut state = self.state();
        let State { collected: Some(collected), invoke: kept, .. } = &mut *state else {
            return Err((batch, invoke));
        };
        collected.extend(batch);
        if invoke.is_some() {
            *kept = invoke;
        }
        Ok(())
    }

    pub(super) fn answer_invoke(&self, invoke: Option<InvokeResponse>) {
        if invoke.is_some() {
            self.state().invoke = invoke;
        }
    }

    /// Sends replies, as soon as the turn lets them go.
    pub(super) fn send(&self, replies: Vec<Reply>) {
        let mut state = self.state();
        if state.holds {
            state.waiting.extend(replies);
        } else {
            drop(state);
            self.replies.send(replies);
        }
    }

    /// Sends what has been held so far.
    pub(super) fn start(&self) {
        let waiting = std::mem::take(&mut self.state().waiting);
        self.replies.send(waiting);
    }

    fn hold(&self) {
        self.state().holds = true;
    }

    /// Sends what was held, and holds nothing more.
    fn let_go(&self) {
        let waiting = {
            let mut state = self.state();
            state.holds = false;
            std::mem::take(&mut state.waiting)
        };
        self.replies.send(waiting);
    }

    /// Takes what the answer is made of. What is sent from now on goes the ordinary way.
    pub(super) fn outcome(&self) -> Outcome {
        let mut state = self.state();
        Outcome { collected: state.collected.take(), invoke: state.invoke.take() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The work of a turn.
pub(super) type Work = Pin<Box<dyn Future<Output = Result<(), BodyError>> + Send>>;

/// Does the work of a turn. Its replies are let go each time that it waits; what is made in its last
/// step is held on to. Work that panics has failed.
pub(super) struct Working {
    pub(super) turn: Turn,
    pub(super) work: Work,
}

impl Future for Working {
    type Output = Result<(), BodyError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.turn.inner.held.hold();
        // It is dropped after a panic, and not polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| self.work.as_mut().poll(cx)));
        let polled = polled.unwrap_or_else(|_| Poll::Ready(Err("the work panicked".into())));
        if polled.is_pending() {
            self.turn.inner.held.let_go();
        }
        polled
    }
}

/// Lets a turn's replies go when the last of its clones is dropped: an extension of the turn's
/// answer, which is kept until that is queued.
#[derive(Clone)]
pub(super) struct UntilAnswered(
    #[expect(dead_code, reason = "it is there to be dropped")] Arc<LetGo>,
);

struct LetGo(Turn);

impl UntilAnswered {
    pub(super) fn new(turn: Turn) -> Self {
        UntilAnswered(Arc::new(LetGo(turn)))
    }
}

impl Drop for LetGo {
    fn drop(&mut self) {
        self.0.inner.held.let_go();
    }
}
