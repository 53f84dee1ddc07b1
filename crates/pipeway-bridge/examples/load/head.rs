//! What load and upstream say to each other, as far as both upstreams need it.

/// A byte that no request begins with: it comes back as it is.
pub const ECHOED: u8 = 0;

/// What is read and written at once.
pub const CHUNK: usize = 256 << 10;

/// A piece of a body.
pub static BODY: [u8; CHUNK] = [b'b'; CHUNK];

/// The small answer.
pub const SMALL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Content-Length: 64\r\n\r\n\
    {\"items\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16],\"ok\":true    }";

/// How many bytes a request asks for: `GET /body/BYTES`.
pub fn body_length(head: &[u8]) -> Option<u64> {
    length_behind(head, b"GET /body/")
}

/// The number that stands behind `start` in a request line.
pub fn length_behind(head: &[u8], start: &[u8]) -> Option<u64> {
    let rest = head.strip_prefix(start)?;
    let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

/// The value of a head's `Content-Length`.
pub fn content_length(head: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\r\ncontent-length:";
    let at = memchr::memchr_iter(b'\r', head).find(|&at| {
        head.get(at..at + NAME.len()).is_some_and(|name| name.eq_ignore_ascii_case(NAME))
    })?;
    let value = &head[at + NAME.len()..];
    let end = memchr::memchr(b'\r', value).unwrap_or(value.len());
    std::str::from_utf8(&value[..end]).ok()?.trim().parse().ok()
}
