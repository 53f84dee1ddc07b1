//! WebSocket on the wire (RFC 6455, 5.2), written out by hand: neither the agent nor the library
//! under test has a part in it.

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// The key and the answer to it that stand in RFC 6455, 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// One frame, its payload without the mask.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub is_last: bool,
    pub opcode: u8,
    pub is_masked: bool,
    pub payload: Vec<u8>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.payload);
        write!(f, "{}{}: {text:?}", self.opcode, if self.is_last { "" } else { "..." })
    }
}

impl Frame {
    /// A whole message in one frame, as a client sends it.
    pub fn of(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Frame { is_last: true, opcode, is_masked: true, payload: payload.into() }
    }

    /// The bytes on the wire.
    pub fn encode(&self, mask: [u8; 4]) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.is_last) << 7 | self.opcode];
        let masked = u8::from(self.is_masked) << 7;
        match self.payload.len() {
            length @ 0..126 => bytes.push(masked | length as u8),
            length @ 126..0x1_0000 => {
                bytes.push(masked | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(masked | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if self.is_masked {
            bytes.extend(mask);
            bytes.extend(
                self.payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask),
            );
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }

    /// The first frame of `bytes` and its length on the wire, if it is there whole.
    pub fn decode(bytes: &[u8]) -> Option<(Frame, usize)> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        assert_eq!(first & 0x70, 0, "no extension was agreed on");
        let (length, mut at) = match second & 0x7f {
            126 => (u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()).into(), 4),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()), 10),
            length => (length.into(), 2),
        };
        let is_masked = second & 0x80 != 0;
        let mut mask = [0; 4];
        if is_masked {
            mask.copy_from_slice(bytes.get(at..at + 4)?);
            at += 4;
        }
        let end = at + usize::try_from(length).unwrap();
        let masked = bytes.get(at..end)?;
        let payload = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let (is_last, opcode) = (first & 0x80 != 0, first & 0x0f);
        Some((Frame { is_last, opcode, is_masked, payload: payload.collect() }, end))
    }
}

/// Every frame of what was recorded, which must end with a whole one.
#[track_caller]
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, length) = Frame::decode(bytes)
            .unwrap_or_else(|| panic!("{} bytes are left of a frame: {bytes:?}", bytes.len()));
        frames.push(frame);
        bytes = &bytes[length..];
    }
    frames
}

/// The head of a request or an answer, and what follows it; `None` if it is not there whole.
pub fn split_head(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    Some((std::str::from_utf8(&bytes[..end]).unwrap(), &bytes[end..]))
}

/// The value of a header.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The request that opens a WebSocket at the agent.
pub fn handshake(token: Option<&str>) -> String {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!(
        "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nUser-Agent: by hand\r\n{token}\r\n"
    )
}

#[test]
fn every_form_of_length_is_read_as_it_was_written() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536] {
        let frame = Frame::of(TEXT, vec![b'x'; length]);
        let bytes = frame.encode([1, 2, 3, 4]);
        assert_eq!(Frame::decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(frames(&bytes), [frame]);
    }
}
