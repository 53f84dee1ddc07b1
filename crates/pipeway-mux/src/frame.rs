//! Frames: bytes in, frames out, and back.
//!
//! | version | layout |
//! |---|---|
//! | 1 | code (1 byte), channel (4), payload's length (2), payload |
//! | 2 | MessagePack array: code, channel, payload (left out where empty) |
//! | 3 | MessagePack array: code, channel, source, payload (left out where empty) |
//!
//! Numbers are big-endian. In version 3 the source is told from the sender's point of view: 1
//! where the sender offered the channel, -1 where the receiver did, 0 for a seeded one.

use bytes::{Buf, Bytes, BytesMut};

use crate::id::{ChannelId, Source};
use crate::msgpack::{self, ReadError, Reader, Skip};
use crate::options::{Limits, Version};

/// What a frame is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Offer = 0,
    OfferAccepted = 1,
    Content = 2,
    ContentWritingCompleted = 3,
    ChannelTerminated = 4,
    ContentProcessed = 5,
    ContentReadingCompleted = 6,
    ChannelWindowAdjust = 7,
    ChannelWindowGrowthRequest = 8,
}

impl Code {
    pub(crate) fn of(number: i128) -> Option<Self> {
        Some(match number {
            0 => Code::Offer,
            1 => Code::OfferAccepted,
            2 => Code::Content,
            3 => Code::ContentWritingCompleted,
            4 => Code::ChannelTerminated,
            5 => Code::ContentProcessed,
            6 => Code::ContentReadingCompleted,
            7 => Code::ChannelWindowAdjust,
            8 => Code::ChannelWindowGrowthRequest,
            _ => return None,
        })
    }
}

/// What a frame's channel is, for who reads or writes the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Naming {
    pub(crate) version: Version,
    /// Whether this end's channels have odd numbers (versions 1 and 2).
    pub(crate) odd: bool,
}

impl Naming {
    /// The channel of that number, as this end sees it; versions 1 and 2.
    fn by_parity(self, number: u64) -> ChannelId {
        let source = if (number % 2 == 1) == self.odd { Source::Local } else { Source::Remote };
        ChannelId { number, source }
    }
}

/// The largest number of a channel in version 1.
const V1_NUMBER_MAX: u64 = 0x7fff_ffff;

const V1_HEAD: usize = 7;

/// Writes a frame's head, for a payload of `length` bytes that is written behind it.
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    version: Version,
    code: Code,
    id: ChannelId,
    length: usize,
) {
    if version == Version::V1 {
        out.push(code as u8);
        out.extend_from_slice(&(id.number as u32).to_be_bytes());
        out.extend_from_slice(&(length as u16).to_be_bytes());
        return;
    }
    let elements = 2 + u8::from(version == Version::V3) + u8::from(length > 0);
    out.extend_from_slice(&[0x90 | elements, code as u8]);
    msgpack::write_unsigned(out, id.number);
    if version == Version::V3 {
        out.push(match id.source {
            Source::Local => 0x01,
            Source::Remote => 0xff,
            Source::Seeded => 0x00,
        });
    }
    if length > 0 {
        msgpack::write_binary_head(out, length);
    }
}

/// Writes a frame.
pub(crate) fn write_frame(
    out: &mut Vec<u8>,
    version: Version,
    code: Code,
    id: ChannelId,
    payload: &[u8],
) {
    write_head(out, version, code, id, payload.len());
    out.extend_from_slice(payload);
}

/// A part of what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A whole frame other than content.
    Frame { code: Code, id: ChannelId, payload: Bytes },
    /// The head of a content frame, whose payload comes next, in one piece or in many.
    Content { id: ChannelId, length: u32 },
    /// The next piece of that payload, never empty.
    Piece(Bytes),
}

/// Bytes that are no frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Finds the frames in a stream of bytes that comes in pieces of any size.
///
/// What is not content is kept until it is whole, up to the limit of a payload. Content is handed
/// out as it comes, without a copy.
#[derive(Debug)]
pub(crate) struct Decoder {
    naming: Naming,
    payload_max: u32,
    nesting_max: u8,
    state: State,
}

#[derive(Debug)]
enum State {
    Head,
    /// The rest of a content frame's payload, then elements that nobody knows.
    Content {
        left: u32,
        extra: u64,
    },
    Payload {
        code: Code,
        id: ChannelId,
        length: u32,
        extra: u64,
    },
    Skip(Skip),
}

/// A head as it was read.
struct Head {
    length: usize,
    what: What,
}

enum What {
    Known {
        code: Code,
        id: ChannelId,
        payload: u32,
        extra: u64,
    },
    /// A code that nobody knows: what is to be skipped of it.
    Unknown {
        values: u64,
    },
    UnknownBytes {
        payload: u32,
    },
}

impl Decoder {
    pub(crate) fn new(naming: Naming, limits: &Limits) -> Self {
        Decoder {
            naming,
            payload_max: limits.payload_bytes_max,
            nesting_max: limits.nesting_max,
            state: State::Head,
        }
    }

    /// Whether the stream may end here without cutting a frame.
    pub(crate) fn is_between_frames(&self, input: &BytesMut) -> bool {
        matches!(self.state, State::Head) && input.is_empty()
    }

    /// The next part, taken from the front of `input`; `None` where more bytes are needed.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Part>, Malformed> {
        loop {
            match &mut self.state {
                State::Head => {
                    let Some(head) = self.head(input)? else { return Ok(None) };
                    input.advance(head.length);
                    match head.what {
                        What::Known { code: Code::Content, id, payload, extra } => {
                            self.state = State::Content { left: payload, extra };
                            return Ok(Some(Part::Content { id, length: payload }));
                        }
                        What::Known { code, id, payload, extra } => {
                            self.state = State::Payload { code, id, length: payload, extra };
                        }
                        What::Unknown { values } => self.skip(values),
                        What::UnknownBytes { payload } => {
                            self.state = State::Skip(Skip::of_bytes(payload));
                        }
                    }
                }
                State::Content { left: 0, extra } => {
                    let extra = *extra;
                    self.skip(extra);
                }
                State::Content { left, .. } => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let count = (*left as usize).min(input.len());
                    *left -= count as u32;
                    return Ok(Some(Part::Piece(input.split_to(count).freeze())));
                }
                State::Payload { code, id, length, extra } => {
                    let (code, id, length, extra) = (*code, *id, *length as usize, *extra);
                    if input.len() < length {
                        return Ok(None);
                    }
                    let payload = input.split_to(length).freeze();
                    self.skip(extra);
                    return Ok(Some(Part::Frame { code, id, payload }));
                }
                State::Skip(skip) => {
                    let (used, done) = skip.advance(input).map_err(malformed)?;
                    input.advance(used);
                    if !done {
                        return Ok(None);
                    }
                    self.state = State::Head;
                }
            }
        }
    }

    fn skip(&mut self, values: u64) {
        self.state = if values == 0 {
            State::Head
        } else {
            State::Skip(Skip::new(values, self.nesting_max, self.payload_max))
        };
    }

    fn head(&self, input: &[u8]) -> Result<Option<Head>, Malformed> {
        let read =
            if self.naming.version == Version::V1 { self.v1(input) } else { self.v23(input) };
        let head = match read {
            Ok(head) => head,
            Err(ReadError::Short) => return Ok(None),
            Err(ReadError::Wrong(what)) => return Err(Malformed(what)),
        };
        let (What::Known { payload, .. } | What::UnknownBytes { payload }) = head.what else {
            return Ok(Some(head));
        };
        if payload > self.payload_max {
            return Err(Malformed("a frame's payload is longer than is allowed"));
        }
        Ok(Some(head))
    }

    fn v1(&self, input: &[u8]) -> Result<Head, ReadError> {
        let Some(head) = input.first_chunk::<V1_HEAD>() else { return Err(ReadError::Short) };
        let number = u64::from(u32::from_be_bytes([head[1], head[2], head[3], head[4]]));
        let payload = u32::from(u16::from_be_bytes([head[5], head[6]]));
        if number > V1_NUMBER_MAX {
            return Err(ReadError::Wrong("a channel's number is above 2147483647"));
        }
        let what = match Code::of(i128::from(head[0])) {
            Some(code) => {
                What::Known { code, id: self.naming.by_parity(number), payload, extra: 0 }
            }
            None => What::UnknownBytes { payload },
        };
        Ok(Head { length: V1_HEAD, what })
    }

    fn v23(&self, input: &[u8]) -> Result<Head, ReadError> {
        let mut reader = Reader::new(input);
        let elements = u64::from(reader.array()?);
        if elements == 0 {
            return Err(ReadError::Wrong("a frame has no elements"));
        }
        let Some(code) = Code::of(reader.integer()?) else {
            return Ok(Head {
                length: reader.position(),
                what: What::Unknown { values: elements - 1 },
            });
        };
        let v3 = self.naming.version == Version::V3;
        let known = 2 + u64::from(v3);
        if elements < known {
            return Err(ReadError::Wrong("a frame names no channel"));
        }
        let number = u64::try_from(reader.integer()?)
            .map_err(|_| ReadError::Wrong("a channel's number is negative or above 2^64"))?;
        let id = if v3 {
            let source = match reader.integer()? {
                1 => Source::Remote,
                -1 => Source::Local,
                0 => Source::Seeded,
                _ => return Err(ReadError::Wrong("a channel's source is none of -1, 0 and 1")),
            };
            ChannelId { number, source }
        } else {
            self.naming.by_parity(number)
        };
        let (payload, extra) =
            if elements > known { (reader.binary_length()?, elements - known - 1) } else { (0, 0) };
        Ok(Head { length: reader.position(), what: What::Known { code, id, payload, extra } })
    }
}

fn malformed(error: ReadError) -> Malformed {
    match error {
        ReadError::Short => Malformed("a value is cut off"),
        ReadError::Wrong(what) => Malformed(what),
    }
}
