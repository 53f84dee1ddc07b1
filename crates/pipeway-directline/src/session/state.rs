//! What the task of a session and those who use it have in common.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::body::Body;
use crate::message::Sent;
use crate::{
    Connection, Error, ErrorKind, Event, Id, IncomingResponse, RequestKey, StreamKey, StreamKeys,
};

/// How much of a body that comes as a stream is taken over at once, in bytes.
const PIECE_MAX: usize = 64 * 1024;

/// The time of tokio's clock, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) connection: Connection,
    /// Who waits for the responses of calls.
    pub(super) calls: HashMap<Id, oneshot::Sender<Result<IncomingResponse, Error>>>,
    /// The work on requests, until they are answered.
    pub(super) running: HashMap<RequestKey, Option<AbortHandle>>,
    /// Who waits until a stream takes more.
    pub(super) pushers: HashMap<StreamKey, Waker>,
    /// Who waits until all of a stream is handed over for writing.
    pub(super) leaving: HashMap<StreamKey, Waker>,
    /// The driver, unless it is woken already.
    pub(super) driver: Option<Waker>,
    /// What was due last when the driver slept.
    pub(super) due: Option<Instant>,
}

impl Shared {
    pub(super) fn new(connection: Connection) -> Arc<Self> {
        Arc::new(Shared {
            state: Mutex::new(State {
                connection,
                calls: HashMap::new(),
                running: HashMap::new(),
                pushers: HashMap::new(),
                leaving: HashMap::new(),
                driver: None,
                due: None,
            }),
        })
    }

    /// Does something with the state for one who uses it, and wakes the driver if there is something
    /// for it to do.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let (result, driver) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let result = work(&mut state);
            let driver = if state.wants_driver() { state.driver.take() } else { None };
            (result, driver)
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        result
    }

    /// Does something with the state for the driver.
    pub(super) fn drive<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn wants_driver(&self) -> bool {
        self.connection.has_outgoing()
            || self.connection.ended().is_some()
            || self.connection.has_events()
            || match (self.connection.next_deadline(), self.due) {
                (Some(next), Some(due)) => next < due,
                (Some(_), None) => true,
                (None, _) => false,
            }
    }

    /// How much more may wait to be sent, in bytes.
    fn room(&self) -> usize {
        let most = self.connection.limits().outgoing_bytes_max;
        most.saturating_sub(self.connection.queued_bytes())
    }

    /// Pushes what there is room for of a body's next piece, which is nothing where others were
    /// faster.
    pub(super) fn push_some(&mut self, key: StreamKey, data: &mut Bytes) -> Result<(), Error> {
        let some = data.len().min(self.room()).min(PIECE_MAX);
        if some == 0 {
            return Ok(());
        }
        self.connection.push(key, data.split_to(some), now())
    }

    /// Whether there is room for what is there whole, before anything of the message is sent.
    pub(super) fn has_room(&self, body: Option<&Sent>, attachments: &[Body]) -> Result<(), Error> {
        let of_body = match body {
            Some(Sent::Whole(whole)) => whole.len(),
            _ => 0,
        };
        let all = of_body + attachments.iter().map(Body::len).sum::<u64>();
        if all > self.room() as u64 {
            let what = format!("{all} bytes more would wait to be sent than the limit allows");
            return Err(Error::new(ErrorKind::OutgoingFull, what));
        }
        Ok(())
    }

    /// Pushes what is there whole. What comes as a stream stays in `body`.
    pub(super) fn push_whole(
        &mut self,
        keys: &StreamKeys,
        body: &mut Option<Sent>,
        attachments: Vec<Body>,
    ) {
        let now = now();
        let whole = match body.take() {
            Some(Sent::Whole(whole)) => Some(whole),
            other => {
                *body = other;
                None
            }
        };
        let of_body = keys.body.zip(whole);
        for (key, content) in
            of_body.into_iter().chain(keys.attachments.iter().copied().zip(attachments))
        {
            for piece in super::pieces(content) {
                if self.connection.push(key, piece, now).is_err() {
                    // The envelope alone took the last room: the other end drops the message.
                    self.connection.cancel_stream(key, now);
                    break;
                }
            }
        }
    }

    /// Tells who waits for a response, or ends the work on a request that was cancelled. Another
    /// event is given back.
    pub(super) fn settle(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Response { call, result } => {
                if let Some(waiting) = self.calls.remove(&call) {
                    // Who waited may have given up.
                    let _ = waiting.send(result);
                }
                None
            }
            Event::RequestCancelled(key) => {
                if let Some(Some(work)) = self.running.remove(&key) {
                    work.abort();
                }
                None
            }
            other => Some(other),
        }
    }

    /// Wakes those whose streams take more now, or are handed over, or never will be.
    pub(super) fn wake_pushers(&mut self) {
        if self.pushers.is_empty() && self.leaving.is_empty() {
            return;
        }
        let State { connection, pushers, leaving, .. } = self;
        let ended = connection.ended().is_some();
        let is_ready =
            |key: &StreamKey| ended || connection.may_push(*key) || !connection.wants_content(*key);
        for (_, waker) in pushers.extract_if(|key, _| is_ready(key)) {
            waker.wake();
        }
        let is_gone = |key: &StreamKey| ended || !connection.is_sending(*key);
        for (_, waker) in leaving.extract_if(|key, _| is_gone(key)) {
            waker.wake();
        }
    }
}
