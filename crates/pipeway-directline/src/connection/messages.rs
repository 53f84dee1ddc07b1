//! From frames to messages, and what becomes of them.

use std::time::Instant;

use super::inbox::{Clock, Message, ParkedKey, Subject};
use super::partial::Partial;
use super::{
    Connection, Event, IncomingRequest, IncomingResponse, Refusal, RequestKey, Running,
    StreamHeads, Warning,
};
use crate::error::{Error, ErrorKind};
use crate::header::{Header, Kind, PayloadLength};
use crate::id::Id;
use crate::payload::{self, Descriptor, DescriptorId, Envelope};

/// What an envelope takes beside its text, and each descriptor, in bytes: about what is kept of
/// them.
const ENVELOPE_TAKES: usize = 512;
const DESCRIPTOR_TAKES: usize = 256;

impl Connection {
    /// A frame of a request or a response, whole.
    pub(super) fn envelope(&mut self, header: Header, payload: &[u8], now: Instant) {
        let key = (header.kind, header.id);
        let is_first = !self.partials.contains_key(&key);
        if payload.is_empty() && is_first {
            return self.empty_envelope(&header);
        }
        if is_first && header.end {
            return self.whole_envelope(&header, payload, now);
        }
        // Whether the flag is right is known when what came is, or is no, document.
        if is_first && self.partials.len() + self.inbox.buffered() >= self.limits.streams_max {
            return self.fail(ErrorKind::LimitExceeded, "more envelopes are open than may be");
        }
        let charge = self.budget.charge(if is_first { ENVELOPE_TAKES } else { 0 });
        let partial = self.partials.entry(key).or_insert_with(|| Partial::new(charge));
        partial.push(payload);
        if PayloadLength::try_from(partial.bytes().len()).is_err() {
            return self.fail(ErrorKind::LimitExceeded, "an envelope is longer than 999,999 bytes");
        }
        if partial.is_decided() || header.end {
            let partial = self.partials.remove(&key).expect("it was just added to");
            return self.whole_envelope(&header, partial.bytes(), now);
        }
        if self.budget.held() > self.limits.memory_bytes_max {
            self.fail(ErrorKind::LimitExceeded, "received content holds all memory that it may");
        }
    }

    fn empty_envelope(&mut self, header: &Header) {
        let waits = self.calls.get(&header.id).is_some_and(|call| call.response.is_none());
        if header.kind == Kind::Response && waits {
            self.end_call(&header.id, ErrorKind::Protocol, "the response has no envelope");
        } else {
            self.warn(Warning::EmptyEnvelope(header.id));
        }
    }

    fn whole_envelope(&mut self, header: &Header, bytes: &[u8], now: Instant) {
        match payload::read(bytes, self.limits.strictness) {
            Err(payload::Malformed) => {
                self.fail(ErrorKind::Protocol, "an envelope is no JSON object");
            }
            Ok(None) => self.warn(Warning::NullEnvelope(header.id)),
            Ok(Some(envelope)) if header.kind == Kind::Request => {
                self.request(header.id, envelope, bytes.len(), now);
            }
            Ok(Some(envelope)) => self.response(header.id, envelope, bytes.len(), now),
        }
    }

    fn request(&mut self, id: Id, envelope: Envelope, bytes: usize, now: Instant) {
        if self.running_ids.contains_key(&id) || self.inbox.parked_request(&id).is_some() {
            self.warn(Warning::RequestTwice(id));
            return self.drop_streams(&envelope.streams);
        }
        let subject = Subject::Request {
            id,
            verb: envelope.verb.unwrap_or_default(),
            path: envelope.path.unwrap_or_default(),
        };
        let (key, is_ready) = self.park(id, subject, envelope.streams, bytes, now);
        if is_ready {
            self.hand_over(key, now);
        } else if self.budget.held() > self.limits.memory_bytes_max {
            self.inbox.forget(key, &mut self.timers);
            self.refuse(id, Refusal::Memory, now);
        } else if self.inbox.parked_requests() > self.limits.parked_max {
            self.inbox.forget(key, &mut self.timers);
            self.refuse(id, Refusal::Parked, now);
        }
    }

    fn response(&mut self, id: Id, envelope: Envelope, bytes: usize, now: Instant) {
        if self.calls.get(&id).is_none_or(|call| call.response.is_some()) {
            self.warn(Warning::UnknownResponse(id));
            return self.drop_streams(&envelope.streams);
        }
        let Some(status) = envelope.status else {
            self.end_call(&id, ErrorKind::Protocol, "the response has no status");
            return self.drop_streams(&envelope.streams);
        };
        let subject = Subject::Response { id, status };
        let (key, is_ready) = self.park(id, subject, envelope.streams, bytes, now);
        if let Some(call) = self.calls.get_mut(&id) {
            call.response = Some(key);
        }
        if is_ready {
            self.hand_over(key, now);
        } else if self.budget.held() > self.limits.memory_bytes_max {
            self.fail(ErrorKind::LimitExceeded, "received content holds all memory that it may");
        }
    }

    /// Takes a message in. Tells its key, and whether it waits for nothing.
    fn park(
        &mut self,
        id: Id,
        subject: Subject,
        streams: Vec<Descriptor>,
        bytes: usize,
        now: Instant,
    ) -> (ParkedKey, bool) {
        let takes = bytes + ENVELOPE_TAKES + streams.len() * DESCRIPTOR_TAKES;
        let charge = self.budget.charge(takes);
        let clock = &mut Clock { now, timers: &mut self.timers, limits: &self.limits };
        let parking = self.inbox.park(subject, streams, charge, clock);
        if parking.unusable > 0 {
            self.warn(Warning::Descriptors { id, count: parking.unusable });
        }
        parking.named_twice.into_iter().for_each(|id| self.warn(Warning::StreamNamedTwice(id)));
        (parking.key, parking.is_ready)
    }

    /// Nobody wants these streams.
    fn drop_streams(&mut self, streams: &[Descriptor]) {
        for stream in streams {
            if let DescriptorId::Stream(id) = stream.id {
                self.inbox.forget_stream(id);
            }
        }
    }

    /// A stream has come to its end.
    pub(super) fn stream_is_over(&mut self, id: &Id, now: Instant) {
        if let Some((received, Some(declared))) = self.inbox.lengths(id)
            && received < declared
        {
            self.warn(Warning::StreamShort { id: *id, received, declared });
        }
        let clock = &mut Clock { now, timers: &mut self.timers, limits: &self.limits };
        if let Some(key) = self.inbox.finish(id, clock) {
            self.hand_over(key, now);
        }
    }

    /// Hands a message over with what has come of it.
    pub(super) fn hand_over(&mut self, key: ParkedKey, now: Instant) {
        let Some(message) = self.inbox.take(key, &mut self.timers, &self.budget) else { return };
        let Message { subject, body, attachments, charge, missing } = message;
        let (Subject::Request { id, .. } | Subject::Response { id, .. }) = subject;
        if missing > 0 {
            self.warn(Warning::StreamsMissing { id, count: missing });
        }
        match subject {
            Subject::Response { id, status } => {
                if let Some(mut call) = self.calls.remove(&id) {
                    self.timers.clear(&mut call.timer);
                    let response = IncomingResponse { status, body, attachments };
                    self.events.push_back(Event::Response { call: id, result: Ok(response) });
                }
            }
            Subject::Request { .. } if self.running.len() >= self.limits.requests_max => {
                self.refuse(id, Refusal::Running, now);
            }
            Subject::Request { .. } if self.budget.held() > self.limits.memory_bytes_max => {
                drop((body, attachments));
                self.refuse(id, Refusal::Memory, now);
            }
            Subject::Request { id, verb, path } => {
                let key = self.next_request();
                self.running.insert(key, Running { id, _charge: charge });
                self.running_ids.insert(id, key);
                let request = IncomingRequest { key, id, verb, path, body, attachments };
                self.events.push_back(Event::Request(request));
            }
        }
    }

    /// Answers a request with 503.
    fn refuse(&mut self, id: Id, why: Refusal, now: Instant) {
        self.warn(Warning::Refused { id, why });
        let sent = self.send(Kind::Response, id, &StreamHeads::default(), now, |out, streams| {
            payload::write_response(out, 503, streams);
        });
        if let Err(error) = sent {
            self.end(Err(error));
        }
    }

    /// `X` came: everything of either end is cancelled.
    pub(super) fn all_cancelled(&mut self, now: Instant) {
        self.outbox.cancel();
        self.watch_writing(now);
        self.drop_all(&Error::new(ErrorKind::CancelledAll, "the other end cancelled everything"));
        self.events.push_back(Event::CancelledAll);
    }

    /// `C` came: a stream or a request is cancelled.
    pub(super) fn cancelled(&mut self, id: Id) {
        self.partials.remove(&(Kind::Request, id));
        if let Some(key) = self.running_ids.remove(&id) {
            self.running.remove(&key);
            self.events.push_back(Event::RequestCancelled(key));
        } else if let Some(key) = self.inbox.parked_request(&id) {
            self.inbox.forget(key, &mut self.timers);
        } else if let Some(key) = self.inbox.owner(&id) {
            if let Some(Subject::Response { id, .. }) = self.inbox.forget(key, &mut self.timers) {
                let why = "the other end cancelled a stream of the response";
                self.end_call(&id, ErrorKind::StreamCancelled, why);
            }
        } else if !self.is_greeting(&id) {
            self.inbox.forget_stream(id);
        }
    }

    /// A call is over without a response.
    pub(super) fn end_call(&mut self, call: &Id, kind: ErrorKind, why: &str) {
        if self.forget_call(call) {
            let result = Err(Error::new(kind, why));
            self.events.push_back(Event::Response { call: *call, result });
        }
    }

    /// Waits for a call no longer, and tells whether it did.
    pub(super) fn forget_call(&mut self, call: &Id) -> bool {
        let Some(mut call) = self.calls.remove(call) else { return false };
        self.timers.clear(&mut call.timer);
        if let Some(response) = call.response {
            self.inbox.forget(response, &mut self.timers);
        }
        true
    }

    /// The request's key, while it runs.
    pub fn running_request(&self, id: &Id) -> Option<RequestKey> {
        self.running_ids.get(id).copied()
    }
}
