//! The head of an answer.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

use super::Framing;
use super::field::{self, Connection, Field, Kinds, content_length};
use crate::conn::COPY_MAX;

/// As many headers as are parsed without asking the allocator.
const HEADERS_ON_STACK: usize = 128;

/// About how much longer a head becomes than it was, in bytes.
const ADDED: usize = 32;

/// What the proxy must know of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// The head's length in the input.
    pub(crate) length: usize,
    pub(crate) status: u16,
    pub(crate) body: Framing,
    /// Whether the upstream keeps the connection.
    pub(crate) keep_alive: bool,
}

/// How the client's head is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseStyle {
    /// Whether the client speaks HTTP/1.1.
    pub(crate) is_http11: bool,
    /// Whether the connection ends with this answer.
    pub(crate) close: bool,
    /// Whether the client must be told that the connection is kept (HTTP/1.0).
    pub(crate) tell_keep_alive: bool,
    /// Whether this is the answer that ends HTTP on the connection (101).
    pub(crate) upgrade: bool,
}

/// What was wrong with an answer's head.
pub(crate) type Malformed = &'static str;

/// Parses the head at the start of `input`, and writes it for the client in the style that `decide`
/// finds for it, to `out`; not at all where it finds none. `None` where the head is not whole yet.
///
/// `to_head` says that the request was HEAD, whose answer has no body whatever its head says.
pub(crate) fn pass_response(
    input: &[u8],
    max_headers: usize,
    to_head: bool,
    out: &mut Vec<u8>,
    decide: impl FnOnce(&ResponseHead) -> Result<Option<ResponseStyle>, Malformed>,
) -> Result<Option<ResponseHead>, Malformed> {
    with_headers(input, max_headers, |response, length| {
        let kinds = Kinds::of(response.headers);
        let (head, connection) = read_head(response, &kinds, length, to_head)?;
        if let Some(style) = decide(&head)? {
            // A small body goes along.
            out.reserve(input.len().min(head.length + COPY_MAX) + ADDED);
            write_head(response, &kinds, &head, &connection, style, out);
        }
        Ok(head)
    })
}

/// What the proxy must know of it, and what its `Connection` fields say.
fn read_head<'a>(
    response: &httparse::Response<'_, 'a>,
    kinds: &Kinds,
    length: usize,
    to_head: bool,
) -> Result<(ResponseHead, Connection<'a>), Malformed> {
    let status = response.code.expect("a complete answer has a status");
    if status < 100 {
        return Err("its status is malformed");
    }
    let is_http11 = response.version == Some(1);
    let mut connection = Connection::default();
    let (mut content, mut chunked) = (None, false);
    for (kind, header) in kinds.with(response.headers) {
        match kind {
            Field::Connection => connection.read(header.value),
            Field::ContentLength => {
                let value =
                    content_length(header.value).ok_or("its Content-Length is not a number")?;
                if content.replace(value).is_some_and(|other| other != value) {
                    return Err("it has differing Content-Length headers");
                }
            }
            Field::TransferEncoding => {
                if chunked || !header.value.eq_ignore_ascii_case(b"chunked") {
                    return Err("it has a Transfer-Encoding other than chunked");
                }
                chunked = true;
            }
            _ => {}
        }
    }
    if chunked && content.is_some() {
        return Err("it has both Content-Length and Transfer-Encoding");
    }
    if chunked && !is_http11 {
        return Err("it is HTTP/1.0 and has a Transfer-Encoding");
    }
    let no_body = to_head || matches!(status, 100..=199 | 204 | 304);
    let body = match (no_body, chunked, content) {
        (true, _, _) | (false, false, Some(0)) => Framing::Empty,
        (false, true, _) => Framing::Chunked,
        (false, false, Some(length)) => Framing::Length(length),
        (false, false, None) => Framing::UntilClose,
    };
    let keep_alive = body != Framing::UntilClose
        && if is_http11 { !connection.close } else { connection.keep_alive };
    Ok((ResponseHead { length, status, body, keep_alive }, connection))
}

fn write_head(
    response: &httparse::Response<'_, '_>,
    kinds: &Kinds,
    head: &ResponseHead,
    connection: &Connection<'_>,
    style: ResponseStyle,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend([100, 10, 1].map(|place| b'0' + (head.status / place % 10) as u8));
    out.push(b' ');
    out.extend_from_slice(response.reason.unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let bodiless_status = matches!(head.status, 100..=199 | 204);
    let mut lengths = 0;
    for (kind, header) in kinds.with(response.headers) {
        let keep = match kind {
            Field::Connection | Field::HopByHop | Field::TransferEncoding => false,
            // Told once: equal ones may be repeated. Where there can't be a body it is wrong.
            Field::ContentLength => {
                lengths += 1;
                lengths == 1 && !bodiless_status
            }
            Field::Upgrade => style.upgrade || head.status == 426,
            _ => !connection.names(header.name),
        };
        if keep {
            field::write(out, header.name.as_bytes(), header.value);
        }
    }
    let chunked = match head.body {
        Framing::Chunked | Framing::UntilClose => style.is_http11,
        Framing::Empty | Framing::Length(_) => false,
    };
    if chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if style.upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
    } else if head.status >= 200 {
        if style.close {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if style.tell_keep_alive {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn with_headers<T>(
    input: &[u8],
    max_headers: usize,
    read: impl FnOnce(&httparse::Response<'_, '_>, usize) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    if max_headers <= HEADERS_ON_STACK {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_ON_STACK];
        parse_with(input, &mut headers[..max_headers], read)
    } else {
        let mut headers = vec![MaybeUninit::uninit(); max_headers];
        parse_with(input, &mut headers, read)
    }
}

fn parse_with<'a, T>(
    input: &'a [u8],
    headers: &mut [MaybeUninit<Header<'a>>],
    read: impl FnOnce(&httparse::Response<'_, '_>, usize) -> Result<T, Malformed>,
) -> Result<Option<T>, Malformed> {
    let mut response = httparse::Response::new(&mut []);
    let config = ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut response, input, headers) {
        Ok(Status::Complete(length)) => read(&response, length).map(Some),
        Ok(Status::Partial) => Ok(None),
        Err(httparse::Error::TooManyHeaders) => Err("it has too many headers"),
        Err(httparse::Error::Version) => Err("it is not HTTP/1.1 or HTTP/1.0"),
        Err(httparse::Error::Status) => Err("its status is malformed"),
        Err(_) => Err("its head is malformed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<(Framing, bool), Malformed> {
        let head = pass_response(head.as_bytes(), 64, false, &mut Vec::new(), |_| Ok(None))?
            .expect("a whole head");
        Ok((head.body, head.keep_alive))
    }

    #[test]
    fn the_end_of_an_answer_is_told_by_its_head() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", (Framing::Length(5), true)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", (Framing::Empty, true)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", (Framing::Chunked, true)),
            ("HTTP/1.1 200 OK\r\n\r\n", (Framing::UntilClose, false)),
            ("HTTP/1.1 204 No Content\r\n\r\n", (Framing::Empty, true)),
            ("HTTP/1.1 304 X\r\nContent-Length: 5\r\n\r\n", (Framing::Empty, true)),
            (
                "HTTP/1.1 200\r\nConnection: close\r\nContent-Length: 1\r\n\r\n",
                (Framing::Length(1), false),
            ),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", (Framing::Length(1), false)),
            (
                "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n",
                (Framing::Length(1), true),
            ),
        ] {
            assert_eq!(parse(head), Ok(expected), "{head}");
        }
    }

    #[test]
    fn an_answer_with_two_ends_is_refused() {
        for head in [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/2 200 OK\r\n\r\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert!(parse(head).is_err(), "{head}");
        }
    }

    #[test]
    fn the_clients_head_has_nothing_of_the_upstreams_hop() {
        let input = b"HTTP/1.1 200 Fine\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nx-Kept: 2\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc";
        let style =
            ResponseStyle { is_http11: true, close: false, tell_keep_alive: false, upgrade: false };
        let mut out = Vec::new();
        pass_response(input, 64, false, &mut out, |_| Ok(Some(style))).unwrap().unwrap();
        assert_eq!(out, b"HTTP/1.1 200 Fine\r\nx-Kept: 2\r\nContent-Length: 3\r\n\r\n");
    }
}
