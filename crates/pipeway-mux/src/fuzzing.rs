//! What the fuzzers of this repository reach. Not part of the interface that others may use: it
//! changes without notice.

use bytes::BytesMut;

use crate::connection::{Connection, Key, NotWritten, Taken};
use crate::frame::{self, Code, Decoder, Naming};
use crate::{ChannelId, Limits, Options, Source, Version};

/// The most content in a frame of ours, in bytes.
pub const CONTENT_MAX: usize = crate::options::CONTENT_MAX;

/// A part of what was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A whole frame; of content, its head alone, with what is announced as its length.
    Frame {
        /// Its code, of the nine that are known.
        code: u8,
        /// Its channel, as its reader sees it.
        id: ChannelId,
        /// What it carries.
        payload: Vec<u8>,
        /// How long the content is that follows.
        content: u32,
    },
    /// A piece of the content that was announced last.
    Piece(Vec<u8>),
}

/// Reads frames from bytes that come in pieces.
#[derive(Debug)]
pub struct Frames {
    decoder: Decoder,
    input: BytesMut,
    failed: Option<&'static str>,
}

impl Frames {
    /// As the end reads that has the `odd` channels, or has not.
    pub fn new(version: Version, odd: bool, limits: &Limits) -> Self {
        let decoder = Decoder::new(Naming { version, odd }, limits);
        Frames { decoder, input: BytesMut::new(), failed: None }
    }

    /// Adds what is in `bytes` to `parts`. Nothing more comes behind what is no frame.
    pub fn read(&mut self, bytes: &[u8], parts: &mut Vec<Part>) {
        self.input.extend_from_slice(bytes);
        while self.failed.is_none() {
            match self.decoder.next(&mut self.input) {
                Ok(Some(part)) => parts.push(part.into()),
                Ok(None) => return,
                Err(malformed) => self.failed = Some(malformed.0),
            }
        }
    }

    /// What is wrong with the bytes, if they are no frames.
    pub fn failed(&self) -> Option<&'static str> {
        self.failed
    }

    /// How many bytes are kept until more come.
    pub fn kept(&self) -> usize {
        self.input.len()
    }

    /// Whether the stream may end here.
    pub fn is_between_frames(&self) -> bool {
        self.decoder.is_between_frames(&self.input)
    }
}

impl From<frame::Part> for Part {
    fn from(part: frame::Part) -> Self {
        match part {
            frame::Part::Frame { code, id, payload } => {
                Part::Frame { code: code as u8, id, payload: payload.to_vec(), content: 0 }
            }
            frame::Part::Content { id, length } => {
                Part::Frame { code: Code::Content as u8, id, payload: Vec::new(), content: length }
            }
            frame::Part::Piece(piece) => Part::Piece(piece.to_vec()),
        }
    }
}

/// Writes a frame of a known code about the channel that its reader sees as `id`.
pub fn write(out: &mut Vec<u8>, version: Version, code: u8, id: ChannelId, payload: &[u8]) {
    let Some(code) = Code::of(i128::from(code)) else { return };
    frame::write_frame(out, version, code, seen_from_there(id), payload);
}

/// The channel of that number and source.
pub const fn id(number: u64, source: Source) -> ChannelId {
    ChannelId { number, source }
}

/// A channel as the other end sees it.
pub fn seen_from_there(id: ChannelId) -> ChannelId {
    let source = match id.source {
        Source::Local => Source::Remote,
        Source::Remote => Source::Local,
        Source::Seeded => Source::Seeded,
    };
    ChannelId { source, ..id }
}

/// One end of a connection, without input and output. The channels that its application holds have
/// places, in the order in which it got them.
#[derive(Debug)]
pub struct Machine {
    connection: Connection,
    input: BytesMut,
    space: Vec<u8>,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    key: Key,
    reads: bool,
}

impl Machine {
    /// A connection after its handshake.
    pub fn new(options: Options, odd: bool) -> Self {
        Machine {
            connection: Connection::new(options, odd),
            input: BytesMut::new(),
            space: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Takes what is received.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        self.connection.receive(&mut self.input);
    }

    /// The stream below has ended.
    pub fn end_of_input(&mut self) {
        self.connection.end_of_input(&self.input);
    }

    /// Closes it.
    pub fn close(&mut self) {
        self.connection.end(Ok(()));
    }

    /// What is to be sent, as far as it has not been handed over; `sent` tells whether it goes out.
    pub fn output(&mut self, sent: bool) -> Vec<u8> {
        self.connection.take_output(&mut self.space);
        if sent {
            self.connection.output_is_sent(true);
        }
        self.connection.give_turns();
        self.connection.receive(&mut self.input);
        self.space.clone()
    }

    /// Offers a channel, with its first content.
    pub fn offer(&mut self, name: &str, window: Option<u32>, first: &[u8]) {
        if let Ok(key) = self.connection.offer(name, window, first) {
            self.held.push(Held { key, reads: true });
        }
    }

    /// Accepts the oldest offer of that name, if there is one.
    pub fn accept(&mut self, name: &str, window: Option<u32>) {
        let accept = self.connection.wait_to_accept(name);
        match self.connection.accept_waiting(name, accept, window) {
            Ok(Some(key)) => self.held.push(Held { key, reads: true }),
            Ok(None) | Err(_) => self.connection.stop_waiting(name, accept),
        }
    }

    /// Accepts the offer, or the seeded channel, of that number.
    pub fn accept_number(&mut self, number: u64, window: Option<u32>) {
        if let Ok(key) = self.connection.accept_number(number, window) {
            self.held.push(Held { key, reads: true });
        }
    }

    /// Rejects the offer of that number.
    pub fn reject(&mut self, number: u64, reason: Option<&str>) {
        let _ = self.connection.reject(number, reason);
    }

    /// Takes note of the next offer.
    pub fn next_offer(&mut self) {
        let _ = self.connection.next_offer();
    }

    /// Writes on the channel at `place`.
    pub fn write(&mut self, place: usize, content: &[u8]) {
        let Some(key) = self.key(place) else { return };
        match self.connection.write(key, content) {
            Ok(written) => assert!((1..=content.len()).contains(&written)),
            Err(NotWritten::Wait | NotWritten::Failed(_)) => {}
        }
        self.connection.is_flushed(key);
    }

    /// Ends this end's direction.
    pub fn finish(&mut self, place: usize) {
        if let Some(key) = self.key(place) {
            self.connection.finish(key);
        }
    }

    /// Reads a piece.
    pub fn read(&mut self, place: usize) {
        let Some(key) = self.key(place) else { return };
        if !self.held[place % self.held.len()].reads {
            return;
        }
        if let Taken::Piece(piece) = self.connection.take(key) {
            assert!(!piece.is_empty());
            self.connection.acknowledge(key, piece.len());
            self.connection.receive(&mut self.input);
        }
    }

    /// Reads no more.
    pub fn stop_reading(&mut self, place: usize) {
        if let Some(key) = self.key(place) {
            self.connection.stop_reading(key);
            let count = self.held.len();
            self.held[place % count].reads = false;
            self.connection.receive(&mut self.input);
        }
    }

    /// Terminates a channel.
    pub fn terminate(&mut self, place: usize, error: Option<&str>) {
        if let Some(key) = self.key(place) {
            self.connection.terminate(key, error);
        }
    }

    /// Drops a channel.
    pub fn release(&mut self, place: usize) {
        let Some(key) = self.key(place) else { return };
        self.held.swap_remove(place % self.held.len());
        self.connection.release(key);
        self.connection.receive(&mut self.input);
    }

    fn key(&self, place: usize) -> Option<Key> {
        (!self.held.is_empty()).then(|| self.held[place % self.held.len()].key)
    }

    /// Whom the last action concerns is told; how many that were.
    pub fn events(&mut self) -> usize {
        self.connection.events().count()
    }

    /// Whether it is over.
    pub fn has_ended(&self) -> bool {
        self.connection.ended().is_some()
    }

    /// How many channels there are.
    pub fn channels(&self) -> usize {
        self.connection.channels()
    }

    /// How many channels the application holds.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// How many bytes of content are kept until they are read, and how many of them for channels
    /// that are over and that nobody holds.
    pub fn kept(&self) -> (usize, usize) {
        self.connection.kept()
    }
}
