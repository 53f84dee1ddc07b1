//! Requests and responses of the pipe as requests and responses of HTTP, and back.

use std::fmt::Write as _;
use std::pin::Pin;

use bytes::{Buf, Bytes};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;

use crate::body::{Attachment, Attachments, Body};
use crate::{
    Content, Error, ErrorKind, Id, IncomingRequest, IncomingResponse, StreamHead, StreamHeads,
};

/// A body of a known length up to this is collected before it is sent: it goes in one piece.
const COLLECTED_MAX: u64 = 64 * 1024;

/// The media type of a body of which nothing is said, in bytes that go.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// The route of activities, whose case is ignored.
pub(crate) const MESSAGES: &str = "/api/messages";

/// The path as the other end wrote it: an extension of a request. Where it holds characters that no
/// URI may have, the request's URI has them percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPath(pub String);

/// The request's id, as the other end wrote it: an extension of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub Id);

/// An error of a body that is to be sent.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is sent as it comes.
pub(crate) type Source = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>;

/// What is to be sent of a message: its streams, and where their content comes from.
pub(crate) struct Outgoing {
    pub(crate) heads: StreamHeads,
    pub(crate) body: Option<Sent>,
    pub(crate) attachments: Vec<Body>,
}

/// Where the content of a stream comes from.
pub(crate) enum Sent {
    Whole(Body),
    Source(Source),
}

impl Outgoing {
    /// Nothing but a status.
    pub(crate) fn empty() -> Self {
        Outgoing { heads: StreamHeads::default(), body: None, attachments: Vec::new() }
    }

    /// What goes with a message of these parts. A body whose length is not known is collected first.
    ///
    /// # Errors
    ///
    /// Of kind [`Usage`](ErrorKind::Usage): the body fails, or is longer than `bytes_max`; an
    /// attachment's id is none.
    pub(crate) async fn prepare<B>(
        headers: &HeaderMap,
        attachments: Option<Attachments>,
        body: B,
        bytes_max: u64,
    ) -> Result<Outgoing, Error>
    where
        B: http_body::Body<Data: Send> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let mut outgoing = Outgoing::empty();
        for Attachment { media_type, content, id } in attachments.unwrap_or_default().0 {
            let head = StreamHead::new(media_type, content.len());
            outgoing.heads.attachments.push(match id {
                Some(id) => head.with_id(&id)?,
                None => head,
            });
            outgoing.attachments.push(content);
        }
        let (length, sent) = match body.size_hint().exact() {
            Some(0) => (0, None),
            Some(length) if length > COLLECTED_MAX => {
                let source: Source = Box::pin(
                    body.map_frame(|frame| {
                        frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
                    })
                    .map_err(Into::into),
                );
                (length, Some(Sent::Source(source)))
            }
            _ => {
                let body = collect(body, bytes_max).await?;
                (body.len(), (!body.is_empty()).then_some(Sent::Whole(body)))
            }
        };
        if sent.is_some() {
            let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let media_type = media_type.unwrap_or(UNKNOWN_TYPE);
            outgoing.heads.body = Some(StreamHead::new(media_type, length));
            outgoing.body = sent;
        }
        Ok(outgoing)
    }
}

async fn collect<B>(body: B, bytes_max: u64) -> Result<Body, Error>
where
    B: http_body::Body,
    B::Error: Into<BodyError>,
{
    let mut body = std::pin::pin!(body);
    let mut all = Body::empty();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let error: BodyError = error.into();
            Error::new(ErrorKind::Usage, format!("the body can't be had: {error}"))
        })?;
        let Ok(mut data) = frame.into_data() else { continue };
        if all.len() + data.remaining() as u64 > bytes_max {
            let what = format!("the body is longer than {bytes_max} bytes");
            return Err(Error::new(ErrorKind::Usage, what));
        }
        // What lies in one piece is not copied.
        all.push(data.copy_to_bytes(data.remaining()));
    }
    Ok(all)
}

/// A request as HTTP has it; a status to answer with where HTTP can't have it.
pub(crate) fn request(incoming: IncomingRequest) -> Result<Request<Body>, StatusCode> {
    let IncomingRequest { id, verb, path, body, attachments, .. } = incoming;
    let method = Method::from_bytes(verb.to_ascii_uppercase().as_bytes())
        .map_err(|_| StatusCode::NOT_FOUND)?;
    let uri = uri(&path).ok_or(StatusCode::NOT_FOUND)?;
    let mut request = Request::new(Body::empty());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    request.extensions_mut().insert(RawPath(path));
    request.extensions_mut().insert(RequestId(id));
    let (mut parts, _) = request.into_parts();
    let body = content(&mut parts.headers, &mut parts.extensions, body, attachments);
    Ok(Request::from_parts(parts, body))
}

/// A response as HTTP has it. Its media type is JSON where it is none.
pub(crate) fn response(incoming: IncomingResponse) -> Result<Response<Body>, Error> {
    let IncomingResponse { status, body, attachments } = incoming;
    let status = StatusCode::from_u16(status)
        .map_err(|_| Error::new(ErrorKind::Protocol, "the response's status is none"))?;
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    let body = content(&mut parts.headers, &mut parts.extensions, body, attachments);
    if let Some(media_type) = parts.headers.get_mut(CONTENT_TYPE)
        && !is_media_type(media_type.as_bytes())
    {
        *media_type = HeaderValue::from_static("application/json");
    }
    Ok(Response::from_parts(parts, body))
}

/// Whether it is two words with a slash between, whatever its parameters are.
fn is_media_type(text: &[u8]) -> bool {
    let end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
    let mut words = text[..end].trim_ascii().split(|byte| *byte == b'/');
    let is_word = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
    let both = (words.next(), words.next(), words.next());
    matches!(both, (Some(kind), Some(subtype), None) if is_word(kind) && is_word(subtype))
}

fn content(
    headers: &mut HeaderMap,
    extensions: &mut http::Extensions,
    body: Option<Content>,
    attachments: Vec<Content>,
) -> Body {
    if !attachments.is_empty() {
        extensions.insert(Attachments(attachments.into_iter().map(Attachment::from).collect()));
    }
    let Some(body) = body else { return Body::empty() };
    // What can't stand in a header is no media type that anybody knows.
    let media_type = HeaderValue::from_bytes(body.media_type().as_bytes())
        .unwrap_or(HeaderValue::from_static(UNKNOWN_TYPE));
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    body.into()
}

/// The path as a URI, with what no URI may have percent-encoded.
fn uri(path: &str) -> Option<Uri> {
    if path.eq_ignore_ascii_case(MESSAGES) {
        return Some(Uri::from_static(MESSAGES));
    }
    if !path.starts_with('/') {
        return None;
    }
    if let Ok(uri) = Uri::try_from(path) {
        return Some(uri);
    }
    let mut encoded = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/%?=&+:@!$'()*,;".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Uri::try_from(encoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_uri_whatever_stands_in_it() {
        let of = |path: &str| uri(path).map(|uri| uri.to_string());
        assert_eq!(of("/API/Messages").as_deref(), Some("/api/messages"));
        assert_eq!(of("/v3/a b/ü?x=1").as_deref(), Some("/v3/a%20b/%C3%BC?x=1"));
        assert_eq!(of("/v3/a%20b").as_deref(), Some("/v3/a%20b"));
        assert_eq!(of(""), None);
        assert_eq!(of("api/messages"), None);
        assert_eq!(of("http://x/api/messages"), None);
    }
}
