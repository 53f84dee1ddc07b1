//! One end of a connection as a state machine: it takes what was received and what the
//! application does, and leaves what is to be sent and whom to tell. It does no input or output and
//! knows no time.

mod inbox;
mod local;
mod offers;
mod outgoing;
mod received;
mod record;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use slab::Slab;

pub(crate) use self::local::{NotWritten, Taken};
pub(crate) use self::offers::AcceptId;
use self::offers::{Offers, Tell};
use self::outgoing::Outgoing;
use self::record::{Own, Phase, Record};
use self::window::{ReceiveWindow, SendWindow};
use crate::error::{ChannelError, Ended, Error, ErrorKind};
use crate::frame::{Code, Decoder, Malformed, Naming, Part};
use crate::id::{ChannelId, Source};
use crate::msgpack;
use crate::options::{CONTENT_MAX, FIRST_MAX, Options};

/// The place of a channel's record, from its beginning until it is over and nobody holds it.
pub(crate) type Key = usize;

/// The least that a seeded channel takes before its sender counts as unruly, in bytes: others'
/// defaults differ, and nothing on the wire tells them.
const SEEDED_MIN: u64 = 1_024_000;

/// What a channel that nobody has accepted takes, in bytes. A sender that honours windows sends
/// nothing then.
const UNACCEPTED_MAX: u64 = 64 * 1024;

/// What has changed for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// There is something to read, or an end.
    Readable(Key),
    /// Writing may go on, or can't any more.
    Writable(Key),
    /// What was written has been handed to the stream below.
    Flushed(Key),
    /// The other end accepted an offer, or will not.
    Answered(Key),
    /// The channel is over.
    Ended(Key),
    /// The offer that this one waits for is there.
    Accept(AcceptId),
    /// An offer arrived that nobody waits for.
    Offered,
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Connection {
    options: Options,
    naming: Naming,
    decoder: Decoder,
    records: Slab<Record>,
    /// In order: the numbers are the other end's choice, which a hash would have to be safe from, and
    /// there are few.
    ids: BTreeMap<ChannelId, Key>,
    seeded: Vec<Option<Key>>,
    offers: Offers,
    next_number: u64,
    /// Whose content is being received.
    receiving: Option<Key>,
    /// Whether small content is copied out of the buffer that it was received into.
    gather_small: bool,
    out: Outgoing,
    /// The channels whose holders wait until what they wrote is handed over.
    flushing: Vec<Key>,
    events: Vec<Event>,
    windows_bytes: u64,
    growth_left: u64,
    /// How many channels of version 1 are full.
    congested: usize,
    ended: Option<Result<(), Error>>,
}

impl Connection {
    /// A connection after its handshake, which told whether this end has the `odd` channels.
    pub(crate) fn new(options: Options, odd: bool) -> Self {
        let naming = Naming { version: options.version, odd };
        let has_windows = options.version.has_windows();
        let next_number = if has_windows && options.version.number() == 3 {
            options.seeded.len() as u64 + 1
        } else if odd {
            1
        } else {
            2
        };
        let mut connection = Connection {
            decoder: Decoder::new(naming, &options.limits),
            naming,
            records: Slab::new(),
            ids: BTreeMap::new(),
            seeded: Vec::new(),
            offers: Offers::default(),
            next_number,
            receiving: None,
            gather_small: false,
            out: Outgoing::new(options.version),
            flushing: Vec::new(),
            events: Vec::new(),
            windows_bytes: 0,
            growth_left: options.growth_budget_bytes,
            congested: 0,
            ended: None,
            options,
        };
        connection.seed();
        connection
    }

    fn seed(&mut self) {
        let name: Arc<str> = "".into();
        for (number, window) in self.options.seeded.clone().into_iter().enumerate() {
            let id = ChannelId { number: number as u64, source: Source::Seeded };
            let mut record = Record::new(id, Arc::clone(&name), Phase::Incoming);
            let window = u64::from(window);
            record.held = true;
            record.send = SendWindow::new(window);
            record.receive = ReceiveWindow::new(window).allow(SEEDED_MIN);
            record.counted = window;
            self.windows_bytes += window;
            let key = self.records.insert(record);
            self.ids.insert(id, key);
            self.seeded.push(Some(key));
        }
    }

    /// Whom to tell, since the last time.
    pub(crate) fn events(&mut self) -> std::vec::Drain<'_, Event> {
        self.events.drain(..)
    }

    /// How the connection ended, if it has.
    pub(crate) fn ended(&self) -> Option<&Result<(), Error>> {
        self.ended.as_ref()
    }

    /// Whether more may be received: not while a channel of version 1 is full, nor while the other
    /// end reads none of the answers that it causes.
    pub(crate) fn may_receive(&self) -> bool {
        self.congested == 0 && !self.out.is_flooded()
    }

    /// Whether small content is to be copied out of the buffer that it was received into, which it
    /// would keep from being used again.
    pub(crate) fn gather_small(&mut self, gather: bool) {
        self.gather_small = gather;
    }

    /// Whether there is anything to be sent now.
    pub(crate) fn has_output(&self) -> bool {
        self.out.is_urgent()
    }

    /// Whether there is something to be sent, all of which may wait a moment for more.
    pub(crate) fn has_output_that_may_wait(&self) -> bool {
        self.out.may_wait()
    }

    /// What there is to be sent is not to wait any more.
    pub(crate) fn hurry(&mut self) {
        self.out.hurry();
    }

    /// Whether somebody queues to send.
    pub(crate) fn has_queue(&self) -> bool {
        self.out.has_queue()
    }

    /// Hands over what is to be sent; the space of the last time is used anew.
    pub(crate) fn take_output(&mut self, space: &mut Vec<u8>) {
        self.out.take(space);
    }

    /// What was handed over last has been sent; whether the stream below took it at once.
    pub(crate) fn output_is_sent(&mut self, at_once: bool) {
        self.out.taken_is_written(at_once);
        let Connection { flushing, records, out, events, .. } = self;
        flushing.retain(|key| match records.get_mut(*key) {
            Some(record) if record.flush_waits && !out.is_written(record.generation) => true,
            Some(record) => {
                if std::mem::take(&mut record.flush_waits) {
                    events.push(Event::Flushed(*key));
                }
                false
            }
            None => false,
        });
    }

    /// There is room to send: gives the next ones in the queue their turns.
    pub(crate) fn give_turns(&mut self) {
        for key in self.out.turns() {
            let Some(record) = self.records.get_mut(key) else { continue };
            record.queued = false;
            record.granted = true;
            self.events.push(Event::Writable(key));
        }
    }

    /// The stream below has ended, after `rest` that was received and makes no whole frame.
    pub(crate) fn end_of_input(&mut self, rest: &BytesMut) {
        let how = if self.decoder.is_between_frames(rest) {
            Ok(())
        } else {
            Err(Error::new(ErrorKind::Truncated, "the stream below ended in the middle of a frame"))
        };
        let orderly = how.is_ok() && !self.options.fault_open_channels;
        self.end_with(how, orderly);
    }

    /// The connection is over here, and with it every channel; without an error this end closed it.
    pub(crate) fn end(&mut self, how: Result<(), Error>) {
        self.end_with(how, false);
    }

    /// `orderly` tells whether those who read a channel take it for the channel's end.
    fn end_with(&mut self, how: Result<(), Error>, orderly: bool) {
        if self.ended.is_some() {
            return;
        }
        let error = how.clone().err().unwrap_or_else(Error::closed);
        self.ended = Some(how);
        self.ids.clear();
        let keys: Vec<Key> = self.records.iter().map(|(key, _)| key).collect();
        for key in keys {
            let record = &mut self.records[key];
            record.theirs.get_or_insert_with(|| {
                if orderly { Ok(()) } else { Err(ChannelError::Connection(error.clone())) }
            });
            if record.phase != Phase::Gone {
                record.outcome.get_or_insert_with(|| Err(ChannelError::Connection(error.clone())));
                self.be_gone(key);
            }
        }
        let accepts: Vec<AcceptId> = self.offers.accepts().collect();
        self.events.extend(accepts.into_iter().map(Event::Accept));
        self.events.push(Event::Offered);
    }

    /// Sends a frame about a channel.
    fn send(&mut self, key: Key, code: Code, payload: &[u8]) {
        let record = &mut self.records[key];
        let generation = self.out.frame(code, record.id, payload);
        record.generation = generation;
    }

    /// As [`send`](Self::send), a frame that may wait a moment.
    fn send_in_a_moment(&mut self, key: Key, code: Code, payload: &[u8]) {
        let record = &mut self.records[key];
        record.generation = self.out.frame_that_may_wait(code, record.id, payload);
    }

    /// Terminates a channel from here.
    fn terminate_with(
        &mut self,
        key: Key,
        outcome: Result<Ended, ChannelError>,
        text: Option<&str>,
    ) {
        let never_accepted = self.records[key].phase == Phase::Offered;
        let payload = text.map(|text| self.error_payload(text)).unwrap_or_default();
        self.send(key, Code::ChannelTerminated, &payload);
        let record = &mut self.records[key];
        record.theirs.get_or_insert(Ok(()));
        record.outcome.get_or_insert(outcome);
        if never_accepted {
            // Some never answer this, so nothing is kept of it.
            self.be_gone(key);
            return;
        }
        record.phase = Phase::Closing;
        self.unqueue(key);
        self.tell_end(key);
    }

    /// Both directions have ended: so does the channel.
    fn end_if_complete(&mut self, key: Key) {
        let record = &self.records[key];
        if record.phase == Phase::Open && record.is_complete() {
            self.terminate_with(key, Ok(Ended::Complete), None);
        }
    }

    /// A channel is over on both ends.
    fn be_gone(&mut self, key: Key) {
        self.unqueue(key);
        self.out.purge(key);
        if self.receiving == Some(key) {
            self.receiving = None;
        }
        let record = &mut self.records[key];
        record.phase = Phase::Gone;
        self.ids.remove(&record.id);
        self.growth_left += record.receive.grown();
        self.windows_bytes -= std::mem::take(&mut record.counted);
        self.tell_end(key);
        self.forget_if_over(key);
    }

    /// Forgets a channel that is over and that nobody holds.
    fn forget_if_over(&mut self, key: Key) {
        let record = &mut self.records[key];
        if record.held {
            return;
        }
        record.inbox.clear();
        if std::mem::take(&mut record.congested) {
            self.congested -= 1;
        }
        if record.phase == Phase::Gone {
            self.records.remove(key);
        }
    }

    fn unqueue(&mut self, key: Key) {
        let record = &mut self.records[key];
        if std::mem::take(&mut record.queued) {
            self.out.unqueue(key);
        }
        record.granted = false;
    }

    fn tell_end(&mut self, key: Key) {
        self.records[key].flush_waits = false;
        self.events.extend([
            Event::Readable(key),
            Event::Writable(key),
            Event::Flushed(key),
            Event::Answered(key),
            Event::Ended(key),
        ]);
    }

    fn tell(&mut self, tell: Tell) {
        match tell {
            Tell::Nobody => {}
            Tell::Accept(accept) => self.events.push(Event::Accept(accept)),
            Tell::Announcement => self.events.push(Event::Offered),
        }
    }

    /// What this end grants a further channel that wants `window`, which counts from now on.
    fn count_window(&mut self, key: Key, window: Option<u32>) -> u64 {
        let wanted = u64::from(window.unwrap_or(self.options.window_bytes).max(1));
        let full = self.windows_bytes + wanted > self.options.limits.windows_bytes_max;
        let granted = if full { wanted.min(CONTENT_MAX as u64) } else { wanted };
        self.windows_bytes += granted;
        self.records[key].counted = granted;
        granted
    }

    /// The payload of a termination with an error: cut so that it fits into a frame.
    fn error_payload(&self, text: &str) -> Vec<u8> {
        if !self.options.version.has_windows() {
            return Vec::new();
        }
        let mut end = text.len().min(CONTENT_MAX - 4);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut payload = vec![0x91];
        msgpack::write_string(&mut payload, &text[..end]);
        payload
    }

    /// An array of one number.
    fn number_payload(number: u64) -> Vec<u8> {
        let mut payload = vec![0x91];
        msgpack::write_unsigned(&mut payload, number);
        payload
    }

    fn usage(what: &str) -> Error {
        Error::new(ErrorKind::Usage, what)
    }

    fn check_running(&self) -> Result<(), Error> {
        match &self.ended {
            None => Ok(()),
            Some(Ok(())) => Err(Error::closed()),
            Some(Err(error)) => Err(error.clone()),
        }
    }

    /// How many channels there are, those that are over and still held included.
    pub(crate) fn channels(&self) -> usize {
        self.records.len()
    }

    /// How many bytes of content are kept, and how many of them for channels that are over here
    /// and that nobody holds.
    pub(crate) fn kept(&self) -> (usize, usize) {
        self.records.iter().fold((0, 0), |(all, forgotten), (_, record)| {
            let over = !record.held && matches!(record.phase, Phase::Closing | Phase::Gone);
            let length = record.inbox.len();
            (all + length, forgotten + if over { length } else { 0 })
        })
    }
}
