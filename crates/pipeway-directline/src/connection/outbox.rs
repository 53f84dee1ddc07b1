//! What is to be sent: whole frames, each header with its payload, turn by turn.

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::num::NonZeroU64;

use bytes::{Buf, Bytes, BytesMut};

use super::event::StreamKey;
use crate::header::{HEADER_LENGTH, Header, Kind, PayloadLength};
use crate::id::Id;

/// How much of a stream waits before its source is held back, in bytes, or a chunk if that is more.
const PENDING_MAX: usize = 64 * 1024;

/// A message's streams, which are sent one after the other.
type Message = NonZeroU64;

#[derive(Debug)]
struct Frame {
    header: [u8; HEADER_LENGTH],
    payload: Bytes,
}

impl Frame {
    fn length(&self) -> usize {
        HEADER_LENGTH + self.payload.len()
    }
}

#[derive(Debug)]
struct Control {
    frame: Frame,
    /// Whose streams may follow.
    opens: Option<Message>,
}

#[derive(Debug)]
struct Stream {
    id: Id,
    message: Message,
    /// What has not been pushed yet, in bytes.
    missing: u64,
    pending: VecDeque<Bytes>,
    pending_bytes: usize,
}

impl Stream {
    /// Whether a whole chunk waits, or what is left.
    fn has_frame(&self, chunk: usize) -> bool {
        self.missing == 0 || self.pending_bytes >= chunk
    }

    /// How long the next frame is: as far as the content lies in one piece, which is not copied, but
    /// a chunk at least.
    fn next_length(&self, chunk: usize, longest: usize) -> usize {
        let piece = self.pending.front().map_or(0, Bytes::len);
        piece.clamp(chunk, longest).min(self.pending_bytes)
    }
}

#[derive(Debug, Default)]
struct Queue {
    streams: VecDeque<StreamKey>,
    /// Whether its envelope has gone before.
    open: bool,
    /// Whether it stands in the queue of those that have a frame.
    waits: bool,
}

/// Why content was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotPushed {
    /// The stream is over.
    Gone,
    /// It is more than was declared.
    Beyond,
    /// Too much waits already.
    Full,
}

#[derive(Debug)]
pub(crate) struct Outbox {
    /// From so much on a stream has a frame.
    chunk: usize,
    /// The longest frame of a stream.
    longest_chunk: usize,
    batch: usize,
    bytes_max: usize,
    last_key: u64,
    /// Frames that are handed over for writing, and how much of the first one is written.
    writing: VecDeque<Frame>,
    writing_bytes: usize,
    written: usize,
    control: VecDeque<Control>,
    streams: HashMap<StreamKey, Stream>,
    messages: HashMap<Message, Queue>,
    turns: VecDeque<Message>,
    control_is_next: bool,
    /// All that is not written yet, in bytes.
    queued_bytes: usize,
}

impl Outbox {
    pub fn new(chunk: u32, batch: usize, bytes_max: usize) -> Self {
        Outbox {
            chunk: chunk as usize,
            longest_chunk: chunk as usize,
            batch,
            bytes_max,
            last_key: 0,
            writing: VecDeque::new(),
            writing_bytes: 0,
            written: 0,
            control: VecDeque::new(),
            streams: HashMap::new(),
            messages: HashMap::new(),
            turns: VecDeque::new(),
            control_is_next: true,
            queued_bytes: 0,
        }
    }

    fn next_key(&mut self) -> NonZeroU64 {
        self.last_key += 1;
        NonZeroU64::new(self.last_key).expect("it counts from 1")
    }

    /// How many bytes of whole frames are handed over for one write; one frame is, whatever its
    /// length.
    pub fn set_batch(&mut self, bytes: usize) {
        self.batch = bytes.max(1);
    }

    /// How long a frame of a stream may be, where more than a chunk waits. Also of those that are being
    /// sent.
    pub fn set_longest_chunk(&mut self, bytes: u32) {
        self.longest_chunk = self.chunk.max(bytes as usize);
    }

    /// How many bytes wait to be sent, headers included.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Whether so many bytes more may wait.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.queued_bytes.saturating_add(bytes) <= self.bytes_max
    }

    /// Whether anything can be written now.
    pub fn is_idle(&self) -> bool {
        self.writing.is_empty() && self.control.is_empty() && self.turns.is_empty()
    }

    /// Whether nothing is to be written any more, and no stream waits for its content.
    pub fn is_empty(&self) -> bool {
        self.is_idle() && self.streams.is_empty()
    }

    /// Queues an envelope and opens its streams, whose ids and lengths are told.
    pub fn message(
        &mut self,
        kind: Kind,
        id: Id,
        envelope: Bytes,
        streams: &[(Id, u64)],
    ) -> Vec<StreamKey> {
        let message = self.next_key();
        let mut queue = Queue::default();
        for (id, length) in streams {
            let key = StreamKey(self.next_key());
            let stream = Stream {
                id: *id,
                message,
                missing: *length,
                pending: VecDeque::new(),
                pending_bytes: 0,
            };
            self.streams.insert(key, stream);
            queue.streams.push_back(key);
        }
        let keys = queue.streams.iter().copied().collect();
        self.messages.insert(message, queue);
        self.push_control(kind, id, envelope, Some(message));
        keys
    }

    /// Queues a frame without payload.
    pub fn notice(&mut self, kind: Kind, id: Id) {
        self.push_control(kind, id, Bytes::new(), None);
    }

    /// Queues the cancel of a stream that never was, before all that is not begun.
    pub fn greet(&mut self, id: Id) {
        let frame = frame(Kind::CancelStream, id, Bytes::new(), true);
        self.queued_bytes += frame.length();
        self.control.push_front(Control { frame, opens: None });
        self.control_is_next = true;
    }

    fn push_control(&mut self, kind: Kind, id: Id, payload: Bytes, opens: Option<Message>) {
        let frame = frame(kind, id, payload, true);
        self.queued_bytes += frame.length();
        self.control.push_back(Control { frame, opens });
    }

    /// Whether the stream's source should give more.
    pub fn may_push(&self, key: StreamKey) -> bool {
        self.streams.get(&key).is_some_and(|stream| {
            stream.missing > 0
                && stream.pending_bytes < self.chunk.max(PENDING_MAX)
                && self.has_room(1)
        })
    }

    /// Whether the stream is there, and not all of it was pushed.
    pub fn wants_content(&self, key: StreamKey) -> bool {
        self.streams.get(&key).is_some_and(|stream| stream.missing > 0)
    }

    /// Whether the stream is there, and not all of it was handed over for writing.
    pub fn is_sending(&self, key: StreamKey) -> bool {
        self.streams.contains_key(&key)
    }

    /// Adds content to a stream; the last of it ends the stream.
    pub fn push(&mut self, key: StreamKey, content: Bytes) -> Result<(), NotPushed> {
        let has_room = self.has_room(content.len());
        let stream = self.streams.get_mut(&key).ok_or(NotPushed::Gone)?;
        if content.len() as u64 > stream.missing {
            return Err(NotPushed::Beyond);
        }
        if !has_room {
            return Err(NotPushed::Full);
        }
        stream.missing -= content.len() as u64;
        stream.pending_bytes += content.len();
        self.queued_bytes += content.len();
        if !content.is_empty() {
            stream.pending.push_back(content);
        }
        let message = stream.message;
        self.give_turn(message);
        Ok(())
    }

    /// Gives a stream up: nothing more of it is sent, and the other end is told if it knows of it.
    pub fn abandon(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.remove(&key) else { return };
        self.queued_bytes -= stream.pending_bytes;
        let message = stream.message;
        if let Some(queue) = self.messages.get_mut(&message) {
            queue.streams.retain(|other| *other != key);
            // Its turn was this stream's, and the next one may have no frame.
            if std::mem::take(&mut queue.waits) {
                self.turns.retain(|other| *other != message);
            }
        }
        self.notice(Kind::CancelStream, stream.id);
        self.give_turn(message);
    }

    /// Puts a message into the queue if it has a frame, and forgets it if it is over.
    fn give_turn(&mut self, message: Message) {
        let Some(queue) = self.messages.get_mut(&message) else { return };
        if !queue.open || queue.waits {
            return;
        }
        let Some(first) = queue.streams.front() else {
            self.messages.remove(&message);
            return;
        };
        if self.streams[first].has_frame(self.chunk) {
            queue.waits = true;
            self.turns.push_back(message);
        }
    }

    /// Whether a stream of this id is being sent.
    pub fn sends(&self, id: &Id) -> bool {
        self.streams.values().any(|stream| stream.id == *id)
    }

    /// Drops what is not begun; the other end is told of streams that it can know of.
    pub fn cancel(&mut self) {
        let is_open = |stream: &&Stream| self.messages.get(&stream.message).is_some_and(|m| m.open);
        let open: Vec<Id> = self.streams.values().filter(is_open).map(|stream| stream.id).collect();
        self.clear();
        open.into_iter().for_each(|id| self.notice(Kind::CancelStream, id));
    }

    /// Nothing is sent any more.
    pub fn give_up(&mut self) {
        self.clear();
        self.writing.clear();
        (self.writing_bytes, self.written, self.queued_bytes) = (0, 0, 0);
    }

    /// Whatever is not begun is dropped, and everything that was open with it.
    pub fn clear(&mut self) {
        let is_begun = self.written > 0;
        self.writing.truncate(usize::from(is_begun));
        self.writing_bytes = self.writing.iter().map(Frame::length).sum();
        self.control.clear();
        self.streams.clear();
        self.messages.clear();
        self.turns.clear();
        self.queued_bytes = self.writing_bytes - self.written;
    }

    /// Fills `slices` with what is to be written next, and tells how many it filled. A header and
    /// its payload are always both in it.
    pub fn slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        while self.writing_bytes - self.written < self.batch {
            let Some(frame) = self.next_frame() else { break };
            self.writing_bytes += frame.length();
            self.writing.push_back(frame);
        }
        let (mut filled, mut skip, mut bytes) = (0, self.written, 0);
        for frame in &self.writing {
            if slices.len() - filled < 2 || bytes > 0 && bytes + frame.length() > self.batch {
                break;
            }
            let skipped = skip.min(HEADER_LENGTH);
            for part in [&frame.header[skipped..], &frame.payload[skip - skipped..]] {
                if !part.is_empty() {
                    slices[filled] = IoSlice::new(part);
                    filled += 1;
                    bytes += part.len();
                }
            }
            skip = 0;
        }
        filled
    }

    /// So many bytes of them were written.
    pub fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        self.queued_bytes -= bytes;
        while let Some(first) = self.writing.front().map(Frame::length)
            && self.written >= first
        {
            self.writing.pop_front();
            self.written -= first;
            self.writing_bytes -= first;
        }
    }

    /// Envelopes and content take turns, and messages among themselves.
    fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let takes_control = self.control_is_next || self.turns.is_empty();
            if takes_control && let Some(Control { frame, opens }) = self.control.pop_front() {
                self.control_is_next = false;
                if let Some(message) = opens
                    && let Some(queue) = self.messages.get_mut(&message)
                {
                    queue.open = true;
                    self.give_turn(message);
                }
                return Some(frame);
            }
            self.control_is_next = true;
            let message = self.turns.pop_front()?;
            if let Some(frame) = self.next_chunk(message) {
                return Some(frame);
            }
        }
    }

    /// `None`: the stream whose turn it was has been given up, and the message has nothing else.
    fn next_chunk(&mut self, message: Message) -> Option<Frame> {
        let queue = self.messages.get_mut(&message)?;
        queue.waits = false;
        let Some(key) = queue.streams.front().copied() else {
            self.messages.remove(&message);
            return None;
        };
        let stream = self.streams.get_mut(&key)?;
        if !stream.has_frame(self.chunk) {
            return None;
        }
        let length = stream.next_length(self.chunk, self.longest_chunk);
        let payload = take(&mut stream.pending, length);
        stream.pending_bytes -= payload.len();
        let end = stream.missing == 0 && stream.pending_bytes == 0;
        let frame = frame(Kind::Stream, stream.id, payload, end);
        self.queued_bytes += HEADER_LENGTH;
        if end {
            queue.streams.pop_front();
            self.streams.remove(&key);
        }
        self.give_turn(message);
        Some(frame)
    }
}

fn frame(kind: Kind, id: Id, payload: Bytes, end: bool) -> Frame {
    let length = PayloadLength::try_from(payload.len()).expect("chunks and envelopes are checked");
    let header = Header { kind, length, id, end }.encode().expect("its kind is known");
    Frame { header, payload }
}

/// Takes the first bytes: without a copy where they lie in one piece.
fn take(pieces: &mut VecDeque<Bytes>, bytes: usize) -> Bytes {
    let Some(first) = pieces.front_mut() else { return Bytes::new() };
    if first.len() > bytes {
        return first.split_to(bytes);
    }
    if first.len() == bytes {
        return pieces.pop_front().expect("it is there");
    }
    let mut gathered = BytesMut::with_capacity(bytes);
    while gathered.len() < bytes {
        let Some(first) = pieces.front_mut() else { break };
        let length = first.len().min(bytes - gathered.len());
        gathered.extend_from_slice(&first[..length]);
        first.advance(length);
        if first.is_empty() {
            pieces.pop_front();
        }
    }
    gathered.freeze()
}
