//! What the driver of a connection and those who use it have in common.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use crate::Error;
use crate::connection::{AcceptId, Connection, Event, Key};

/// A connection's state, and whom to wake when it changes.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) connection: Connection,
    channels: Vec<Wakers>,
    accepts: HashMap<AcceptId, Waker>,
    offers: Vec<Waker>,
    completion: Vec<Waker>,
    driver: Option<Waker>,
    /// How many hold the connection or a channel of it.
    pub(crate) holders: usize,
    /// Whether the driver has output that the stream below has not taken yet.
    pub(crate) is_writing: bool,
    /// Whether the driver has stopped reading.
    pub(crate) is_stalled: bool,
    /// Whether the driver knows that there is output that may wait.
    pub(crate) is_holding: bool,
    /// Wakers that are not needed any more. Dropping one may drop whatever waited, a channel of this
    /// connection included, so that is done outside the lock.
    discarded: Vec<Waker>,
    /// How it ended, once the driver has let the stream below go.
    pub(crate) done: Option<Result<(), Error>>,
}

/// Who waits for what of one channel.
#[derive(Debug, Default)]
struct Wakers {
    read: Option<Waker>,
    write: Option<Waker>,
    flush: Option<Waker>,
    answer: Option<Waker>,
    ended: Vec<Waker>,
}

/// What is waited for of one channel.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    Read,
    Write,
    Flush,
    Answer,
    End,
}

impl Shared {
    pub(crate) fn new(connection: Connection) -> Arc<Self> {
        Arc::new(Shared {
            state: Mutex::new(State {
                connection,
                channels: Vec::new(),
                accepts: HashMap::new(),
                offers: Vec::new(),
                completion: Vec::new(),
                driver: None,
                holders: 0,
                is_writing: false,
                is_stalled: false,
                is_holding: false,
                discarded: Vec::new(),
                done: None,
            }),
        })
    }

    /// Does something with the state, and then wakes whom it concerns.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        self.locked(|state, wake| {
            let result = work(state);
            state.collect(wake);
            if state.wants_driver() {
                wake.extend(state.driver.take());
            }
            result
        })
    }

    /// As [`with`](Self::with), for the driver, which needs not be woken for what it does itself:
    /// from here on `waker` is what wakes it.
    pub(crate) fn with_as_driver<T>(&self, waker: &Waker, work: impl FnOnce(&mut State) -> T) -> T {
        self.locked(|state, wake| {
            let result = work(state);
            state.collect(wake);
            let old = set(&mut state.driver, waker);
            state.discarded.extend(old);
            result
        })
    }

    fn locked<T>(&self, work: impl FnOnce(&mut State, &mut Wakes) -> T) -> T {
        let mut wake = Wakes::default();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut state, &mut wake);
        let discarded = std::mem::take(&mut state.discarded);
        drop(state);
        drop(discarded);
        wake.wake();
        result
    }
}

/// Whom to wake: mostly nobody or one, which takes no allocation.
#[derive(Default)]
struct Wakes {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakes {
    fn extend(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        for waker in wakers {
            match &mut self.first {
                first @ None => *first = Some(waker),
                Some(_) => self.others.push(waker),
            }
        }
    }

    fn wake(self) {
        if let Some(first) = self.first {
            first.wake();
            self.others.into_iter().for_each(Waker::wake);
        }
    }
}

impl State {
    /// Whether the connection is to be wound down.
    pub(crate) fn is_ending(&self) -> bool {
        self.holders == 0 || self.connection.ended().is_some()
    }

    fn wants_driver(&self) -> bool {
        (!self.is_writing && (self.connection.has_output() || self.connection.has_queue()))
            || (!self.is_writing && !self.is_holding && self.connection.has_output_that_may_wait())
            || (self.is_stalled && self.connection.may_receive())
            || self.is_ending()
    }

    fn collect(&mut self, wake: &mut Wakes) {
        let State { connection, channels, accepts, offers, .. } = self;
        for event in connection.events() {
            let (key, wait) = match event {
                Event::Readable(key) => (key, Wait::Read),
                Event::Writable(key) => (key, Wait::Write),
                Event::Flushed(key) => (key, Wait::Flush),
                Event::Answered(key) => (key, Wait::Answer),
                Event::Ended(key) => (key, Wait::End),
                Event::Accept(accept) => {
                    wake.extend(accepts.remove(&accept));
                    continue;
                }
                Event::Offered => {
                    wake.extend(offers.drain(..));
                    continue;
                }
            };
            let Some(wakers) = channels.get_mut(key) else { continue };
            match wait {
                Wait::Read => wake.extend(wakers.read.take()),
                Wait::Write => wake.extend(wakers.write.take()),
                Wait::Flush => wake.extend(wakers.flush.take()),
                Wait::Answer => wake.extend(wakers.answer.take()),
                Wait::End => wake.extend(wakers.ended.drain(..)),
            }
        }
    }

    /// Wakes `waker` at the next event of that kind.
    pub(crate) fn wait(&mut self, key: Key, wait: Wait, waker: &Waker) {
        if self.channels.len() <= key {
            self.channels.resize_with(key + 1, Wakers::default);
        }
        let wakers = &mut self.channels[key];
        let place = match wait {
            Wait::Read => &mut wakers.read,
            Wait::Write => &mut wakers.write,
            Wait::Flush => &mut wakers.flush,
            Wait::Answer => &mut wakers.answer,
            Wait::End => return add(&mut wakers.ended, waker),
        };
        self.discarded.extend(set(place, waker));
    }

    /// A channel's place is given back; nobody waits there any more.
    pub(crate) fn forget_waits(&mut self, key: Key) {
        if let Some(wakers) = self.channels.get_mut(key) {
            let Wakers { read, write, flush, answer, ended } = std::mem::take(wakers);
            self.discarded.extend([read, write, flush, answer].into_iter().flatten());
            self.discarded.extend(ended);
        }
    }

    pub(crate) fn wait_to_accept(&mut self, accept: AcceptId, waker: &Waker) {
        let old = self.accepts.insert(accept, waker.clone());
        self.discarded.extend(old);
    }

    pub(crate) fn stop_waiting(&mut self, name: &str, accept: AcceptId) {
        let waker = self.accepts.remove(&accept);
        self.discarded.extend(waker);
        self.connection.stop_waiting(name, accept);
    }

    pub(crate) fn wait_for_offer(&mut self, waker: &Waker) {
        add(&mut self.offers, waker);
    }

    pub(crate) fn wait_for_completion(&mut self, waker: &Waker) {
        add(&mut self.completion, waker);
    }

    /// The driver has let the stream below go. Whom to wake.
    pub(crate) fn complete(&mut self) -> Vec<Waker> {
        self.connection.end(Ok(()));
        self.done = self.connection.ended().cloned();
        std::mem::take(&mut self.completion)
    }
}

/// Puts `waker` in its place, and gives back the one that stood there.
fn set(place: &mut Option<Waker>, waker: &Waker) -> Option<Waker> {
    match place {
        Some(known) if known.will_wake(waker) => None,
        place => place.replace(waker.clone()),
    }
}

fn add(wakers: &mut Vec<Waker>, waker: &Waker) {
    if !wakers.iter().any(|known| known.will_wake(waker)) {
        wakers.push(waker.clone());
    }
}
