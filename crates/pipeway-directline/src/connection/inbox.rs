//! What has come and is not handed over: streams, and the messages that wait for them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::assembly::Assembly;
use super::budget::{Budget, Charge};
use super::event::Content;
use super::timers::{Due, TimerKey, Timers};
use crate::id::Id;
use crate::limits::Limits;
use crate::payload::{ATTACHMENT_TYPE, BODY_TYPE, Descriptor, DescriptorId};

/// How many cancelled ids are remembered.
const FORGOTTEN_MAX: usize = 256;

/// A message that waits, or is complete and not taken yet.
pub(crate) type ParkedKey = u64;

/// What a message is.
#[derive(Debug)]
pub(crate) enum Subject {
    Request { id: Id, verb: String, path: String },
    Response { id: Id, status: u16 },
}

/// A message as it is handed over.
#[derive(Debug)]
pub(crate) struct Message {
    pub subject: Subject,
    pub body: Option<Content>,
    pub attachments: Vec<Content>,
    /// What the envelope itself takes.
    pub charge: Charge,
    /// How many streams have not come.
    pub missing: usize,
}

/// What parking a message found.
#[derive(Debug)]
pub(crate) struct Parking {
    pub key: ParkedKey,
    /// Whether it waits for nothing.
    pub is_ready: bool,
    /// Descriptors without a usable id.
    pub unusable: usize,
    /// Streams that another descriptor had named.
    pub named_twice: Vec<Id>,
}

/// What becomes of a stream's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Keep,
    /// It belongs to what was cancelled.
    Skip,
    /// The stream has ended.
    Late,
    TooManyStreams,
    TooLong,
}

/// How a stream stands behind one of its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    More,
    Over,
    /// It had one frame, which was its last, and that many bytes are missing.
    Short(u64),
}

#[derive(Debug, Default)]
struct Buffer {
    content: Assembly,
    frames: u32,
    finished: bool,
}

#[derive(Clone, Copy, Debug)]
struct Named {
    owner: ParkedKey,
    declared: Option<u64>,
}

#[derive(Debug)]
enum Slot {
    Stream {
        id: Id,
        media_type: String,
    },
    /// It is complete, and has nothing.
    Nothing {
        media_type: String,
    },
    /// It is not there.
    Absent,
}

#[derive(Debug)]
struct Parked {
    subject: Subject,
    slots: Vec<Slot>,
    /// How many streams are not finished.
    waiting: usize,
    /// How many of these are declared to be empty and have no frame.
    silent: usize,
    timer: Option<TimerKey>,
    empty_timer: Option<TimerKey>,
    charge: Charge,
}

/// The last ids that were cancelled.
#[derive(Debug, Default)]
struct Forgotten {
    order: VecDeque<Id>,
    ids: HashSet<Id>,
}

impl Forgotten {
    fn add(&mut self, id: Id) {
        if self.ids.insert(id) {
            self.order.push_back(id);
        }
        if self.order.len() > FORGOTTEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    fn remove(&mut self, id: &Id) {
        if self.ids.remove(id) {
            self.order.retain(|other| other != id);
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Inbox {
    buffers: HashMap<Id, Buffer>,
    named: HashMap<Id, Named>,
    parked: HashMap<ParkedKey, Parked>,
    requests: HashMap<Id, ParkedKey>,
    forgotten: Forgotten,
    last_key: ParkedKey,
}

impl Inbox {
    /// How many streams are buffered.
    pub fn buffered(&self) -> usize {
        self.buffers.len()
    }

    /// How many requests wait.
    pub fn parked_requests(&self) -> usize {
        self.requests.len()
    }

    /// The request of this id that waits.
    pub fn parked_request(&self, id: &Id) -> Option<ParkedKey> {
        self.requests.get(id).copied()
    }

    /// Takes an envelope in, and claims its streams.
    pub fn park(
        &mut self,
        subject: Subject,
        descriptors: Vec<Descriptor>,
        charge: Charge,
        clock: &mut Clock<'_>,
    ) -> Parking {
        self.last_key += 1;
        let key = self.last_key;
        let mut parked = Parked {
            subject,
            slots: Vec::with_capacity(descriptors.len()),
            waiting: 0,
            silent: 0,
            timer: None,
            empty_timer: None,
            charge,
        };
        let (mut unusable, mut named_twice) = (0, Vec::new());
        for (at, Descriptor { id, media_type, length }) in descriptors.into_iter().enumerate() {
            let default = if at == 0 { BODY_TYPE } else { ATTACHMENT_TYPE };
            let media_type = media_type.unwrap_or_else(|| default.to_owned());
            parked.slots.push(match id {
                DescriptorId::Missing => {
                    unusable += 1;
                    Slot::Absent
                }
                DescriptorId::Malformed => {
                    unusable += 1;
                    Slot::Nothing { media_type }
                }
                DescriptorId::Stream(id) if self.named.contains_key(&id) => {
                    named_twice.push(id);
                    Slot::Nothing { media_type }
                }
                DescriptorId::Stream(id) => {
                    self.named.insert(id, Named { owner: key, declared: length });
                    self.forgotten.remove(&id);
                    let buffer = self.buffers.get(&id);
                    if !buffer.is_some_and(|buffer| buffer.finished) {
                        parked.waiting += 1;
                        parked.silent += usize::from(length == Some(0) && buffer.is_none());
                    }
                    Slot::Stream { id, media_type }
                }
            });
        }
        let is_ready = parked.waiting == 0;
        if let Subject::Request { id, .. } = parked.subject {
            self.requests.insert(id, key);
            if !is_ready {
                let after = clock.limits.parked_timeout;
                parked.timer = clock.timers.set(clock.now, after, Due::Parked(key));
            }
        }
        watch_silence(&mut parked, key, clock);
        self.parked.insert(key, parked);
        Parking { key, is_ready, unusable, named_twice }
    }

    /// What becomes of a frame of so many bytes of a stream; `others` count as streams too.
    pub fn begin(&mut self, id: Id, bytes: usize, others: usize, clock: &mut Clock<'_>) -> Begin {
        if self.forgotten.ids.contains(&id) {
            return Begin::Skip;
        }
        let is_new = !self.buffers.contains_key(&id);
        if is_new && self.buffers.len() + others >= clock.limits.streams_max {
            return Begin::TooManyStreams;
        }
        let buffer = self.buffers.entry(id).or_default();
        if buffer.finished {
            return Begin::Late;
        }
        if buffer.content.length() + bytes as u64 > clock.limits.stream_bytes_max {
            return Begin::TooLong;
        }
        buffer.frames = buffer.frames.saturating_add(1);
        if is_new
            && let Some(Named { owner, declared: Some(0) }) = self.named.get(&id)
            && let Some(parked) = self.parked.get_mut(owner)
        {
            parked.silent -= 1;
            clock.timers.clear(&mut parked.empty_timer);
        }
        Begin::Keep
    }

    /// Adds to a stream; what is no more is passed over.
    pub fn append(&mut self, id: &Id, piece: Bytes, budget: &Budget) {
        if let Some(buffer) = self.buffers.get_mut(id) {
            buffer.content.push(piece, budget);
        }
    }

    /// How a stream stands behind a frame of it.
    pub fn standing(&self, id: &Id, end: bool, limits: &Limits) -> Standing {
        let Some(buffer) = self.buffers.get(id) else { return Standing::More };
        if !end {
            return Standing::More;
        }
        match self.declared(id) {
            Some(declared)
                if buffer.frames == 1
                    && declared > buffer.content.length()
                    && declared <= limits.stream_bytes_max =>
            {
                Standing::Short(declared - buffer.content.length())
            }
            _ => Standing::Over,
        }
    }

    /// How many bytes of a stream have come, and how many were declared.
    pub fn lengths(&self, id: &Id) -> Option<(u64, Option<u64>)> {
        self.buffers.get(id).map(|buffer| (buffer.content.length(), self.declared(id)))
    }

    fn declared(&self, id: &Id) -> Option<u64> {
        self.named.get(id).and_then(|named| named.declared)
    }

    /// A skipped frame was a stream's last one: its id may come anew.
    pub fn skipped_last(&mut self, id: &Id) {
        self.forgotten.remove(id);
    }

    /// A stream has ended. Tells which message is complete with it.
    pub fn finish(&mut self, id: &Id, clock: &mut Clock<'_>) -> Option<ParkedKey> {
        let buffer = self.buffers.get_mut(id)?;
        if std::mem::replace(&mut buffer.finished, true) {
            return None;
        }
        let owner = self.named.get(id)?.owner;
        let parked = self.parked.get_mut(&owner)?;
        parked.waiting -= 1;
        watch_silence(parked, owner, clock);
        (parked.waiting == 0).then_some(owner)
    }

    /// Hands a message over with what has come of it.
    pub fn take(
        &mut self,
        key: ParkedKey,
        timers: &mut Timers,
        budget: &Budget,
    ) -> Option<Message> {
        let mut parked = self.parked.remove(&key)?;
        timers.clear(&mut parked.timer);
        timers.clear(&mut parked.empty_timer);
        if let Subject::Request { id, .. } = &parked.subject {
            self.requests.remove(id);
        }
        let (mut body, mut attachments, mut missing) = (None, Vec::new(), 0);
        for (at, slot) in parked.slots.into_iter().enumerate() {
            let content = match slot {
                Slot::Absent => continue,
                Slot::Nothing { media_type } => Content { media_type, ..Content::default() },
                Slot::Stream { id, media_type } => {
                    let named = self.named.remove(&id);
                    let (pieces, length) = match self.buffers.remove(&id) {
                        Some(buffer) if buffer.finished => buffer.content.finish(budget),
                        unfinished => {
                            self.forgotten.add(id);
                            // Peers that send no frame for an empty stream are in order.
                            let is_empty = named.is_some_and(|named| named.declared == Some(0));
                            missing += usize::from(unfinished.is_some() || !is_empty);
                            (Vec::new(), 0)
                        }
                    };
                    Content { id: Some(id), media_type, pieces, length }
                }
            };
            if at > 0 {
                attachments.push(content);
            } else if !content.is_empty() {
                body = Some(content);
            }
        }
        Some(Message { subject: parked.subject, body, attachments, charge: parked.charge, missing })
    }

    /// Forgets a message and all its streams.
    pub fn forget(&mut self, key: ParkedKey, timers: &mut Timers) -> Option<Subject> {
        let mut parked = self.parked.remove(&key)?;
        timers.clear(&mut parked.timer);
        timers.clear(&mut parked.empty_timer);
        if let Subject::Request { id, .. } = &parked.subject {
            self.requests.remove(id);
        }
        for slot in parked.slots {
            if let Slot::Stream { id, .. } = slot {
                self.named.remove(&id);
                self.forget_buffer(id);
            }
        }
        Some(parked.subject)
    }

    /// Which message names the stream.
    pub fn owner(&self, id: &Id) -> Option<ParkedKey> {
        self.named.get(id).map(|named| named.owner)
    }

    /// Forgets a stream that no message names, and what comes of it.
    pub fn forget_stream(&mut self, id: Id) {
        if !self.named.contains_key(&id) {
            self.forget_buffer(id);
        }
    }

    fn forget_buffer(&mut self, id: Id) {
        // Of a stream that has ended nothing more comes, and its id may come anew.
        if !self.buffers.remove(&id).is_some_and(|buffer| buffer.finished) {
            self.forgotten.add(id);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self, timers: &mut Timers) {
        for parked in self.parked.values_mut() {
            timers.clear(&mut parked.timer);
            timers.clear(&mut parked.empty_timer);
        }
        self.parked.clear();
        self.requests.clear();
        let named = self.named.drain().map(|(id, _)| id);
        let unfinished = named.filter(|id| !self.buffers.get(id).is_some_and(|b| b.finished));
        unfinished.for_each(|id| self.forgotten.add(id));
        for (id, buffer) in self.buffers.drain() {
            if !buffer.finished {
                self.forgotten.add(id);
            }
        }
    }
}

/// What time it is, and what follows from it.
pub(crate) struct Clock<'a> {
    pub now: Instant,
    pub timers: &'a mut Timers,
    pub limits: &'a Limits,
}

/// Where all that a message waits for is declared to be empty, it does not wait as long.
fn watch_silence(parked: &mut Parked, key: ParkedKey, clock: &mut Clock<'_>) {
    if parked.waiting > 0 && parked.waiting == parked.silent && parked.empty_timer.is_none() {
        let after = clock.limits.empty_stream_timeout;
        parked.empty_timer = clock.timers.set(clock.now, after, Due::EmptyStream(key));
    }
}
