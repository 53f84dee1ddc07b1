//! What a connection tells its driver.

use std::fmt;
use std::num::NonZeroU64;

use bytes::{Bytes, BytesMut};

use crate::error::Error;
use crate::id::Id;

/// A request of the other end, from its hand-over until it is answered or cancelled. Ids may come
/// again; keys do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey(pub(crate) NonZeroU64);

/// A stream that is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(pub(crate) NonZeroU64);

/// The content of a stream that has come. Its memory counts for the connection until it, and what
/// was taken out of it, is dropped; nobody need be told.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Content {
    pub(crate) id: Option<Id>,
    pub(crate) media_type: String,
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) length: u64,
}

impl Content {
    /// The stream's id; `None` where the other end gave none that can be one.
    pub fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }

    /// The media type, as the other end wrote it, or the default for its place.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The bytes, in pieces as they lie.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The pieces alone.
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }

    /// All bytes in a row: copied, unless they lie so. What is copied does not count for the
    /// connection's memory any more.
    pub fn into_bytes(self) -> Bytes {
        let [piece] = &self.pieces[..] else {
            let mut all = BytesMut::with_capacity(self.pieces.iter().map(Bytes::len).sum());
            self.pieces.iter().for_each(|piece| all.extend_from_slice(piece));
            return all.freeze();
        };
        piece.clone()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bytes may be secret.
        write!(f, "Content({:?}, {:?}, {} bytes)", self.id, self.media_type, self.length)
    }
}

/// A request of the other end, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingRequest {
    /// What it is answered by.
    pub key: RequestKey,
    /// Its id, as the other end wrote it.
    pub id: Id,
    /// What is to be done; empty if the other end told nothing.
    pub verb: String,
    /// What with; empty if the other end told nothing.
    pub path: String,
    /// The body; `None` if there is none or it is empty.
    pub body: Option<Content>,
    /// The attachments, in order.
    pub attachments: Vec<Content>,
}

/// The answer to a call, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingResponse {
    /// The HTTP status, 100 to 999.
    pub status: u16,
    /// The body; `None` if there is none or it is empty.
    pub body: Option<Content>,
    /// The attachments, in order.
    pub attachments: Vec<Content>,
}

/// What a stream that is to be sent is told to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHead {
    /// Its media type.
    pub media_type: String,
    /// Its length in bytes, exactly.
    pub length: u64,
    /// Its id; `None`: a random one.
    pub id: Option<Id>,
}

impl StreamHead {
    /// A stream of that type and length with a random id.
    pub fn new(media_type: impl Into<String>, length: u64) -> Self {
        StreamHead { media_type: media_type.into(), length, id: None }
    }

    /// The same with an id of the caller's.
    ///
    /// # Errors
    ///
    /// Of kind [`InvalidAttachmentId`](crate::ErrorKind::InvalidAttachmentId) for what is no
    /// hyphenated GUID.
    pub fn with_id(self, id: &str) -> Result<Self, Error> {
        Ok(StreamHead { id: Some(id.parse()?), ..self })
    }
}

/// The streams of a message that is to be sent. Where there are attachments and no body, an empty
/// stream is sent in the body's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamHeads {
    /// The body.
    pub body: Option<StreamHead>,
    /// The attachments, in order.
    pub attachments: Vec<StreamHead>,
}

/// What the content of a message's streams is pushed by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamKeys {
    /// The body's.
    pub body: Option<StreamKey>,
    /// The attachments', in order.
    pub attachments: Vec<StreamKey>,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The other end asks for something. It counts among those that run until
    /// [`respond`](super::Connection::respond) or [`RequestCancelled`](Event::RequestCancelled).
    Request(IncomingRequest),
    /// Whoever works on that request is to stop; it gets no answer.
    RequestCancelled(RequestKey),
    /// A call is over.
    Response {
        /// Which one.
        call: Id,
        /// The answer, or why there is none.
        result: Result<IncomingResponse, Error>,
    },
    /// The other end cancelled everything: what runs and waits is told by events of its own.
    CancelledAll,
    /// Something was odd, and was passed over.
    Warning(Warning),
}

/// Why a request was answered with 503 by the connection itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// As many run as may.
    Running,
    /// As many wait for their streams as may.
    Parked,
    /// All memory is held.
    Memory,
}

/// Something odd that does not end the session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A frame of a type that is not known was skipped.
    UnknownKind(u8),
    /// A response to nothing that waits for one.
    UnknownResponse(Id),
    /// A request, or a response, without an envelope.
    EmptyEnvelope(Id),
    /// An envelope that is `null`.
    NullEnvelope(Id),
    /// Descriptors without a usable id.
    Descriptors {
        /// Whose.
        id: Id,
        /// How many.
        count: usize,
    },
    /// A stream that two descriptors name; it is the first one's.
    StreamNamedTwice(Id),
    /// A request whose id another one has that is not answered yet; it is not handed over.
    RequestTwice(Id),
    /// Content behind a stream's last frame.
    ContentAfterEnd(Id),
    /// A stream ended with less than was declared.
    StreamShort {
        /// Which one.
        id: Id,
        /// How many bytes came.
        received: u64,
        /// How many were declared.
        declared: u64,
    },
    /// Content came without frames and was taken for the stream's.
    Unframed {
        /// Which one's.
        id: Id,
        /// How many bytes.
        bytes: u64,
    },
    /// A message goes on without streams that have not come.
    StreamsMissing {
        /// The message's.
        id: Id,
        /// How many.
        count: usize,
    },
    /// A request was answered with 503.
    Refused {
        /// Which one.
        id: Id,
        /// Why.
        why: Refusal,
    },
}
