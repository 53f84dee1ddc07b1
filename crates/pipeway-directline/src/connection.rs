//! One end of a session as a state machine: it takes what was received and what the application
//! does, and leaves what is to be sent and whom to tell. It does no input or output and has no
//! clock: each call that can depend on the time is told it.

mod assembly;
mod budget;
mod clock;
mod event;
mod inbox;
mod messages;
mod outbox;
mod partial;
mod receive;
mod recognition;
mod timers;

use std::collections::{HashMap, VecDeque};
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::budget::Budget;
pub(crate) use self::budget::Charge;
pub use self::event::{
    Content, Event, IncomingRequest, IncomingResponse, Refusal, RequestKey, StreamHead,
    StreamHeads, StreamKey, StreamKeys, Warning,
};
use self::inbox::{Inbox, ParkedKey};
use self::outbox::{NotPushed, Outbox};
use self::partial::Partial;
use self::receive::Input;
use self::timers::{Due, TimerKey, Timers};
use crate::error::{Error, ErrorKind};
use crate::header::{HEADER_LENGTH, Kind, PayloadLength};
use crate::id::{Id, IdSource};
use crate::limits::Limits;
use crate::payload::{self, Announced, BODY_TYPE};

/// A call that waits for its response.
#[derive(Debug)]
struct Call {
    started: Instant,
    timer: Option<TimerKey>,
    /// Its response, which waits for streams.
    response: Option<ParkedKey>,
}

/// A request that was handed over.
#[derive(Debug)]
struct Running {
    id: Id,
    _charge: Charge,
}

/// One end of a session; both ends are alike.
///
/// The driver gives it what it reads ([`receive`](Self::receive), [`end_of_input`]), writes what it
/// has to send ([`outgoing`](Self::outgoing), [`wrote`](Self::wrote)), calls [`tick`](Self::tick) at
/// [`next_deadline`](Self::next_deadline), and takes [`next_event`](Self::next_event) after each of
/// these until there is none. Once [`ended`](Self::ended) tells something, what is left to be
/// written is the notice to the other end, which should not take longer than half a second.
///
/// [`end_of_input`]: Self::end_of_input
#[derive(Debug)]
pub struct Connection {
    limits: Limits,
    ids: IdSource,
    /// Whether the other end is known to be this crate's.
    is_recognised: bool,
    budget: Budget,
    input: Input,
    frame_timer: Option<TimerKey>,
    trailing_timer: Option<TimerKey>,
    watchdog_timer: Option<TimerKey>,
    inbox: Inbox,
    partials: HashMap<(Kind, Id), Partial>,
    calls: HashMap<Id, Call>,
    running: HashMap<RequestKey, Running>,
    running_ids: HashMap<Id, RequestKey>,
    last_request: u64,
    outbox: Outbox,
    write_due: Option<Instant>,
    timers: Timers,
    last_frame: Instant,
    timeouts_in_silence: u32,
    events: VecDeque<Event>,
    ended: Option<Result<(), Error>>,
}

impl Connection {
    /// A session that begins now.
    ///
    /// # Errors
    ///
    /// If [`Limits::check`] finds one.
    pub fn new(limits: Limits, now: Instant) -> Result<Self, Error> {
        limits.check()?;
        Ok(Connection {
            ids: IdSource::new(),
            is_recognised: false,
            budget: Budget::default(),
            input: Input::default(),
            frame_timer: None,
            trailing_timer: None,
            watchdog_timer: None,
            inbox: Inbox::default(),
            partials: HashMap::new(),
            calls: HashMap::new(),
            running: HashMap::new(),
            running_ids: HashMap::new(),
            last_request: 0,
            outbox: Outbox::new(
                limits.chunk_bytes,
                limits.batch_bytes(),
                limits.outgoing_bytes_max,
            ),
            write_due: None,
            timers: Timers::default(),
            last_frame: now,
            timeouts_in_silence: 0,
            events: VecDeque::new(),
            ended: None,
            limits,
        })
    }

    /// What happened, in order.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether [`next_event`](Self::next_event) has something to tell.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The limits that it keeps.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How the session ended, if it has: in order, or with an error.
    pub fn ended(&self) -> Option<&Result<(), Error>> {
        self.ended.as_ref()
    }

    /// What ended the session, if it was an error.
    pub fn failed(&self) -> Option<&Error> {
        self.ended.as_ref()?.as_ref().err()
    }

    /// The memory that received bytes hold, in bytes; see [`Limits::memory_bytes_max`].
    pub fn held_bytes(&self) -> usize {
        self.budget.held()
    }

    /// What waits to be sent, in bytes.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.queued_bytes()
    }

    /// How many bytes of whole frames are handed over for one write.
    pub(crate) fn write_at_once(&mut self, bytes: usize) {
        self.outbox.set_batch(bytes);
    }

    /// How many requests of the other end run.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Whether no request of the other end runs, and all that was to be sent has been written.
    pub fn is_settled(&self) -> bool {
        self.running.is_empty() && self.outbox.is_empty()
    }

    /// How many calls wait for their responses.
    pub fn waiting(&self) -> usize {
        self.calls.len()
    }

    /// Asks the other end for something, and tells the call's id, which its
    /// [`Response`](Event::Response) has. The streams' content is [pushed](Self::push). `timeout`
    /// takes the place of [`Limits::response_timeout`].
    ///
    /// # Errors
    ///
    /// - [`NotConnected`](ErrorKind::NotConnected): the session has ended;
    /// - [`Usage`](ErrorKind::Usage): verb or path are blank, or a stream's id is in use twice;
    /// - [`PayloadTooLarge`](ErrorKind::PayloadTooLarge): the envelope is above 999,999 bytes;
    /// - [`OutgoingFull`](ErrorKind::OutgoingFull): too much waits to be sent.
    ///
    /// Nothing is sent then.
    pub fn send_request(
        &mut self,
        verb: &str,
        path: &str,
        streams: &StreamHeads,
        timeout: Option<Duration>,
        now: Instant,
    ) -> Result<(Id, StreamKeys), Error> {
        self.is_connected()?;
        if verb.trim().is_empty() || path.trim().is_empty() {
            return Err(Error::new(ErrorKind::Usage, "a request has a verb and a path"));
        }
        let id = match self.limits.keeps_mark() {
            true => self.ids.draw_marked()?,
            false => self.ids.draw()?,
        };
        let keys = self.send(Kind::Request, id, streams, now, |out, streams| {
            payload::write_request(out, verb, path, streams);
        })?;
        let after = timeout.unwrap_or(self.limits.response_timeout);
        let timer = self.timers.set(now, after, Due::Call(id));
        self.calls.insert(id, Call { started: now, timer, response: None });
        self.watch(now);
        Ok((id, keys))
    }

    /// Answers a request. It does not run any more then; its streams' content is
    /// [pushed](Self::push).
    ///
    /// # Errors
    ///
    /// - [`NotConnected`](ErrorKind::NotConnected): the session has ended;
    /// - [`Cancelled`](ErrorKind::Cancelled): the request was cancelled, or is answered;
    /// - [`Usage`](ErrorKind::Usage): the status is not 100 to 999, or a stream's id is in use twice;
    /// - [`PayloadTooLarge`](ErrorKind::PayloadTooLarge), [`OutgoingFull`](ErrorKind::OutgoingFull):
    ///   as for [`send_request`](Self::send_request).
    ///
    /// Nothing is sent then, and the request runs on.
    pub fn respond(
        &mut self,
        request: RequestKey,
        status: u16,
        streams: &StreamHeads,
        now: Instant,
    ) -> Result<StreamKeys, Error> {
        self.is_connected()?;
        let Some(Running { id, .. }) = self.running.get(&request) else {
            return Err(Error::new(ErrorKind::Cancelled, "the request is no more"));
        };
        if !(100..1000).contains(&status) {
            return Err(Error::new(ErrorKind::Usage, "a status is 100 to 999"));
        }
        let id = *id;
        let keys = self.send(Kind::Response, id, streams, now, |out, streams| {
            payload::write_response(out, status, streams);
        })?;
        self.running.remove(&request);
        self.running_ids.remove(&id);
        Ok(keys)
    }

    /// Whether the source of a stream should give more: the stream is not complete, and little of
    /// it waits. It may change with [`wrote`](Self::wrote).
    pub fn may_push(&self, stream: StreamKey) -> bool {
        self.outbox.may_push(stream)
    }

    /// Whether a stream lacks content still: it is neither complete nor given up.
    pub fn wants_content(&self, stream: StreamKey) -> bool {
        self.outbox.wants_content(stream)
    }

    /// Whether some of a stream is still to be handed over for writing.
    pub(crate) fn is_sending(&self, stream: StreamKey) -> bool {
        self.outbox.is_sending(stream)
    }

    /// Adds content to a stream. The last byte of its length ends it; a stream without bytes is
    /// complete from the start.
    ///
    /// # Errors
    ///
    /// - [`Cancelled`](ErrorKind::Cancelled): the stream is no more;
    /// - [`Usage`](ErrorKind::Usage): it is more than the stream's length;
    /// - [`OutgoingFull`](ErrorKind::OutgoingFull): too much waits to be sent.
    ///
    /// Nothing of it is sent then.
    pub fn push(&mut self, stream: StreamKey, content: Bytes, now: Instant) -> Result<(), Error> {
        let outcome = self.outbox.push(stream, content);
        self.watch_writing(now);
        outcome.map_err(|why| match why {
            NotPushed::Gone => Error::new(ErrorKind::Cancelled, "the stream is no more"),
            NotPushed::Beyond => {
                Error::new(ErrorKind::Usage, "it is more than the stream's length")
            }
            NotPushed::Full => outgoing_full(),
        })
    }

    /// Gives a stream up whose content can't be had: the other end is told that it is cancelled,
    /// and drops what it belongs to. A stream that is complete is none any more.
    pub fn cancel_stream(&mut self, stream: StreamKey, now: Instant) {
        self.outbox.abandon(stream);
        self.watch_writing(now);
    }

    /// Waits no longer for a call's response. The other end is told nothing; what comes of it is
    /// dropped. Streams that are being sent are to be brought to their ends, or
    /// [cancelled](Self::cancel_stream).
    pub fn cancel_call(&mut self, call: &Id) {
        self.forget_call(call);
    }

    /// Tells the other end that everything is cancelled, and cancels it here: calls fail, requests
    /// get no answer, nothing of what waits is sent. The session stays.
    pub fn cancel_all(&mut self, now: Instant) {
        if self.ended.is_none() {
            self.outbox.cancel();
            self.outbox.notice(Kind::CancelAll, Id::ZERO);
            self.watch_writing(now);
            self.drop_all(&Error::new(ErrorKind::Cancelled, "everything was cancelled here"));
        }
    }

    /// Ends the session from this end: the notice to the other one is all that is still sent.
    /// Nothing happens the second time.
    pub fn shutdown(&mut self) {
        self.end(Ok(()));
    }

    /// The stream below can't be written. What was left to be written is left.
    pub fn write_failed(&mut self, error: io::Error) {
        if self.ended.is_some() {
            self.outbox.give_up();
        }
        self.end(Err(Error::write(error)));
    }

    /// The stream below can't be read.
    pub fn read_failed(&mut self, error: io::Error) {
        self.end(Err(Error::read(error)));
    }

    /// Fills `slices`, of which there should be at least 2, with what is to be written next, and
    /// tells how many it filled. A header and its payload stand next to each other and belong into
    /// one write: some peers fail on a header that comes in two reads.
    pub fn outgoing<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        self.outbox.slices(slices)
    }

    /// Whether something can be written.
    pub fn has_outgoing(&self) -> bool {
        !self.outbox.is_idle()
    }

    /// So many bytes were written of what [`outgoing`](Self::outgoing) gave.
    ///
    /// # Panics
    ///
    /// If it gave less.
    pub fn wrote(&mut self, bytes: usize, now: Instant) {
        self.outbox.wrote(bytes);
        if bytes > 0 {
            self.write_due = None;
        }
        self.watch_writing(now);
    }

    fn is_connected(&self) -> Result<(), Error> {
        match &self.ended {
            None => Ok(()),
            Some(how) => Err(Error::not_connected(how.as_ref().err())),
        }
    }

    /// Queues an envelope with its streams.
    fn send(
        &mut self,
        kind: Kind,
        id: Id,
        heads: &StreamHeads,
        now: Instant,
        write: impl FnOnce(&mut Vec<u8>, &[Announced<'_>]),
    ) -> Result<StreamKeys, Error> {
        // Without it the other end would take the first attachment for the body.
        let empty = StreamHead::new(BODY_TYPE, 0);
        let stands_in = heads.body.is_none() && !heads.attachments.is_empty();
        let body = heads.body.as_ref().or(stands_in.then_some(&empty));
        let all: Vec<&StreamHead> = body.into_iter().chain(&heads.attachments).collect();
        let mut streams: Vec<Id> = Vec::with_capacity(all.len());
        for head in &all {
            let id = match head.id {
                None => self.ids.draw()?,
                Some(id) if self.outbox.sends(&id) || streams.contains(&id) => {
                    return Err(Error::new(ErrorKind::Usage, "another stream has the same id"));
                }
                Some(id) => id,
            };
            streams.push(id);
        }
        let announced: Vec<Announced<'_>> = all
            .iter()
            .zip(&streams)
            .map(|(head, id)| Announced { id, media_type: &head.media_type, length: head.length })
            .collect();
        let mut envelope = Vec::with_capacity(64 + 128 * announced.len());
        write(&mut envelope, &announced);
        if PayloadLength::try_from(envelope.len()).is_err() {
            let what = "the message's envelope is above 999,999 bytes";
            return Err(Error::new(ErrorKind::PayloadTooLarge, what));
        }
        if !self.outbox.has_room(envelope.len() + HEADER_LENGTH) {
            return Err(outgoing_full());
        }
        let streams: Vec<(Id, u64)> =
            streams.iter().zip(&all).map(|(id, head)| (*id, head.length)).collect();
        let mut keys = self.outbox.message(kind, id, envelope.into(), &streams).into_iter();
        self.watch_writing(now);
        let first = body.and_then(|_| keys.next());
        let body = first.filter(|_| !stands_in);
        Ok(StreamKeys { body, attachments: keys.collect() })
    }

    fn end(&mut self, how: Result<(), Error>) {
        if self.ended.is_some() {
            return;
        }
        let cause = how.as_ref().err();
        self.outbox.clear();
        match cause.map(Error::kind) {
            Some(ErrorKind::WriteFailed) => self.outbox.give_up(),
            _ => self.outbox.notice(Kind::CancelAll, Id::ZERO),
        }
        let for_calls = Error::not_connected(cause);
        self.ended = Some(how);
        self.drop_all(&for_calls);
        self.input = Input::default();
        self.timers = Timers::default();
        self.write_due = None;
    }

    fn fail(&mut self, kind: ErrorKind, why: &str) {
        self.end(Err(Error::new(kind, why)));
    }

    /// Forgets what was received, cancels what runs and fails what waits.
    fn drop_all(&mut self, error: &Error) {
        self.inbox.clear(&mut self.timers);
        self.partials.clear();
        self.running_ids.clear();
        let mut running: Vec<_> = self.running.drain().map(|(key, _)| key).collect();
        running.sort_unstable();
        self.events.extend(running.into_iter().map(Event::RequestCancelled));
        let mut calls: Vec<_> = self.calls.drain().collect();
        calls.sort_by_key(|(_, waiting)| waiting.started);
        for (call, mut waiting) in calls {
            self.timers.clear(&mut waiting.timer);
            self.events.push_back(Event::Response { call, result: Err(error.clone()) });
        }
    }

    fn warn(&mut self, warning: Warning) {
        self.events.push_back(Event::Warning(warning));
    }

    fn next_request(&mut self) -> RequestKey {
        self.last_request += 1;
        RequestKey(NonZeroU64::new(self.last_request).expect("it counts from 1"))
    }
}

fn outgoing_full() -> Error {
    Error::new(ErrorKind::OutgoingFull, "too much waits to be sent")
}
