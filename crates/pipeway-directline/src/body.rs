//! Bodies and attachments.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};

use crate::Content;

/// A body that is there whole: what came with a request or a response, or what is to go with one.
///
/// What was received counts for its session's memory until it is read or dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    pieces: VecDeque<Bytes>,
    length: u64,
}

impl Body {
    /// Nothing.
    pub fn empty() -> Self {
        Body::default()
    }

    /// How many bytes are left of it.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing is left of it.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All its bytes in a row; copied, unless they lie so.
    pub fn into_bytes(mut self) -> Bytes {
        if self.pieces.len() == 1 {
            return self.pieces.pop_front().unwrap_or_default();
        }
        let mut all = BytesMut::with_capacity(self.pieces.iter().map(Bytes::len).sum());
        self.pieces.iter().for_each(|piece| all.extend_from_slice(piece));
        all.freeze()
    }
}

impl Body {
    /// Adds a piece behind the others.
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.length += piece.len() as u64;
        self.pieces.push_back(piece);
    }

    /// All of a body, in the pieces in which it comes.
    pub(crate) async fn gather<B>(body: B) -> Result<Body, B::Error>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let mut body = std::pin::pin!(body);
        let mut whole = Body::empty();
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            if let Ok(piece) = frame?.into_data()
                && !piece.is_empty()
            {
                whole.push(piece);
            }
        }
        Ok(whole)
    }

    pub(crate) fn into_pieces(self) -> VecDeque<Bytes> {
        self.pieces
    }
}

impl From<Content> for Body {
    fn from(content: Content) -> Self {
        Body { length: content.len(), pieces: content.into_pieces().into() }
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        let bytes = bytes.into();
        Body { length: bytes.len() as u64, pieces: VecDeque::from([bytes]) }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        loop {
            let Some(piece) = this.pieces.pop_front() else { return Poll::Ready(None) };
            if !piece.is_empty() {
                this.length -= piece.len() as u64;
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

/// A stream beside the body: a file that was attached, for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub content: Body,
    /// The stream's id, a hyphenated GUID; `None`: a random one. One that was received has one.
    pub id: Option<String>,
}

impl Attachment {
    /// An attachment of that media type, with a random id.
    pub fn new(media_type: impl Into<String>, content: impl Into<Body>) -> Self {
        Attachment { media_type: media_type.into(), content: content.into(), id: None }
    }
}

impl From<Content> for Attachment {
    fn from(content: Content) -> Self {
        Attachment {
            media_type: content.media_type().to_owned(),
            id: content.id().map(ToString::to_string),
            content: content.into(),
        }
    }
}

/// The attachments of a request or a response, in order: an extension of both, for what comes and
/// what goes. There is none where there are no attachments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachments(pub Vec<Attachment>);
