//! The header of a frame: 48 bytes of ASCII.
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 1 | type: `A`, `B`, `S`, `X`, `C` |
//! | 1 | 1 | `.` |
//! | 2 | 6 | length of the payload, decimal, with leading zeros |
//! | 8 | 1 | `.` |
//! | 9 | 36 | id: a hyphenated GUID |
//! | 45 | 1 | `.` |
//! | 46 | 1 | end flag: `1` for the last frame of this id, else `0` |
//! | 47 | 1 | LF |

use std::fmt;

use crate::id::{self, Id};
use crate::limits::Strictness;

/// How many bytes a header has.
pub const HEADER_LENGTH: usize = 48;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `A`: a request, with the id that its answer carries.
    Request,
    /// `B`: the answer to the request of this id.
    Response,
    /// `S`: content of the stream of this id.
    Stream,
    /// `X`: everything is cancelled.
    CancelAll,
    /// `C`: the stream, or the request, of this id is cancelled.
    CancelStream,
    /// Something else, with its byte: read and skipped, never written.
    Unknown(u8),
}

impl Kind {
    fn of(byte: u8) -> Kind {
        match byte {
            b'A' => Kind::Request,
            b'B' => Kind::Response,
            b'S' => Kind::Stream,
            b'X' => Kind::CancelAll,
            b'C' => Kind::CancelStream,
            other => Kind::Unknown(other),
        }
    }

    fn byte(self) -> Option<u8> {
        Some(match self {
            Kind::Request => b'A',
            Kind::Response => b'B',
            Kind::Stream => b'S',
            Kind::CancelAll => b'X',
            Kind::CancelStream => b'C',
            Kind::Unknown(_) => return None,
        })
    }
}

/// The length of a payload in bytes, which six digits can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadLength(u32);

impl PayloadLength {
    /// The most that a header can tell.
    pub const MAX: u32 = 999_999;

    /// No payload.
    pub const ZERO: PayloadLength = PayloadLength(0);

    /// The number of bytes.
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<usize> for PayloadLength {
    type Error = HeaderDefect;

    fn try_from(bytes: usize) -> Result<Self, HeaderDefect> {
        match u32::try_from(bytes) {
            Ok(bytes @ 0..=PayloadLength::MAX) => Ok(PayloadLength(bytes)),
            _ => Err(HeaderDefect::Length),
        }
    }
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderDefect {
    /// It is not 48 bytes.
    Size,
    /// Byte 1, 8 or 45 is no dot.
    Separator,
    /// The length is not six digits.
    Length,
    /// The id is no hyphenated GUID.
    Id,
    /// The end flag is neither 0 nor 1.
    End,
    /// The last byte is no line feed.
    Terminator,
    /// The type can't be written.
    Kind,
}

impl fmt::Display for HeaderDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeaderDefect::Size => "a header is 48 bytes",
            HeaderDefect::Separator => "a dot is missing in the header",
            HeaderDefect::Length => "the header's length is not six digits",
            HeaderDefect::Id => "the header's id is no hyphenated GUID",
            HeaderDefect::End => "the header's end flag is neither 0 nor 1",
            HeaderDefect::Terminator => "the header does not end with a line feed",
            HeaderDefect::Kind => "the header's type can't be written",
        })
    }
}

impl std::error::Error for HeaderDefect {}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// How many bytes follow.
    pub length: PayloadLength,
    /// What the frame is about.
    pub id: Id,
    /// Whether it is the last frame of this id.
    pub end: bool,
}

impl Header {
    /// Reads a header strictly.
    ///
    /// # Errors
    ///
    /// What is wrong with it, if it is none. A type that is not known is no defect.
    pub fn decode(bytes: &[u8]) -> Result<Header, HeaderDefect> {
        let bytes = bytes.try_into().map_err(|_| HeaderDefect::Size)?;
        Header::read(bytes, Strictness::Strict)
    }

    /// Reads a header as strictly as told.
    ///
    /// # Errors
    ///
    /// What is wrong with it, if it is none.
    pub fn read(
        bytes: &[u8; HEADER_LENGTH],
        strictness: Strictness,
    ) -> Result<Header, HeaderDefect> {
        if [bytes[1], bytes[8], bytes[45]] != [b'.'; 3] {
            return Err(HeaderDefect::Separator);
        }
        let end = match bytes[46] {
            b'0' => false,
            b'1' => true,
            _ => return Err(HeaderDefect::End),
        };
        if bytes[47] != b'\n' {
            return Err(HeaderDefect::Terminator);
        }
        let digits = match strictness {
            Strictness::Strict => &bytes[2..8],
            Strictness::Lenient => {
                let digits = bytes[2..8].trim_ascii();
                digits.strip_prefix(b"+").unwrap_or(digits)
            }
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(HeaderDefect::Length);
        }
        let length = digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        let text = bytes[9..45].try_into().expect("36 bytes");
        let id = Id::read(text, strictness).ok_or(HeaderDefect::Id)?;
        Ok(Header { kind: Kind::of(bytes[0]), length: PayloadLength(length), id, end })
    }

    /// The header's bytes.
    ///
    /// # Errors
    ///
    /// For a type that is not known.
    pub fn encode(&self) -> Result<[u8; HEADER_LENGTH], HeaderDefect> {
        let kind = self.kind.byte().ok_or(HeaderDefect::Kind)?;
        let mut bytes = [b'.'; HEADER_LENGTH];
        bytes[0] = kind;
        let mut length = self.length.0;
        for digit in bytes[2..8].iter_mut().rev() {
            *digit = b'0' + (length % 10) as u8;
            length /= 10;
        }
        bytes[9..45].copy_from_slice(self.id.as_bytes());
        bytes[46] = b'0' + u8::from(self.end);
        bytes[47] = b'\n';
        Ok(bytes)
    }

    /// Whether a header can begin with `bytes`.
    pub(crate) fn may_begin(bytes: &[u8], strictness: Strictness) -> bool {
        bytes.iter().enumerate().all(|(at, byte)| match at {
            0 => true,
            1 | 8 | 45 => *byte == b'.',
            2..8 => {
                byte.is_ascii_digit()
                    || strictness == Strictness::Lenient && matches!(byte, b' ' | b'+')
            }
            9..45 => id::may_stand(at - 9, *byte, strictness),
            46 => matches!(byte, b'0' | b'1'),
            _ => *byte == b'\n',
        })
    }
}
