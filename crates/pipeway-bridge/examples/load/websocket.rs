//! Just enough WebSocket (RFC 6455): small messages in one frame each.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// A client's frame with this payload is this long: two bytes, a mask, the payload.
pub const CLIENT_FRAME: usize = 2 + 4 + PAYLOAD;

/// A server's frame has no mask.
pub const SERVER_FRAME: usize = 2 + PAYLOAD;

pub const PAYLOAD: usize = 32;

/// A binary message, masked with zeros: its payload stands as it is.
pub fn client_frame() -> [u8; CLIENT_FRAME] {
    let mut frame = [b'm'; CLIENT_FRAME];
    frame[0] = 0x82;
    frame[1] = 0x80 | PAYLOAD as u8;
    frame[2..6].fill(0);
    frame
}

/// The answer to a handshake with the key of RFC 6455's own example.
pub const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const HANDSHAKE: &[u8] = b" HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// Connects, asks for `path`, and waits for the handshake's end.
pub fn connect(address: &str, path: &str) -> io::Result<UnixStream> {
    let mut stream = crate::address::connect(address)?;
    stream.write_all(&[b"GET ", path.as_bytes(), HANDSHAKE].concat())?;
    let mut head = Vec::new();
    let mut byte = [0; 1];
    // A byte at a time: what follows the head is not for us to take.
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101 ") {
        let head = String::from_utf8_lossy(&head).into_owned();
        return Err(io::Error::other(format!("the handshake was answered with {head}")));
    }
    Ok(stream)
}
