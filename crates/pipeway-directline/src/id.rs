//! Ids: the 36 bytes that name a request or a stream.

mod source;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

pub(crate) use self::source::IdSource;
use crate::error::{Error, ErrorKind};
use crate::limits::Strictness;

/// How many bytes an id has on the wire.
pub(crate) const LENGTH: usize = 36;

/// Where a hyphenated GUID has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The id of a request or a stream. It keeps its 36 bytes as they came, for peers that compare
/// them as text, and is equal to another one if both are the same GUID.
#[derive(Clone, Copy)]
pub struct Id {
    text: [u8; LENGTH],
    /// `None`: compared as text, which only the lenient reader makes.
    guid: Option<u128>,
}

impl Id {
    /// The id of frames that are about nothing in particular.
    pub const ZERO: Id = Id { text: *b"00000000-0000-0000-0000-000000000000", guid: Some(0) };

    /// Reads the 36 bytes of a header.
    pub(crate) fn read(text: [u8; LENGTH], strictness: Strictness) -> Option<Id> {
        if let Some(guid) = hyphenated(&text) {
            return Some(Id { text, guid: Some(guid) });
        }
        if strictness == Strictness::Strict {
            return None;
        }
        if text[32..] == *b"    "
            && let Some(guid) = text[..32].iter().try_fold(0, with_digit)
        {
            return Some(Id { text, guid: Some(guid) });
        }
        let is_printable = text.iter().all(|byte| matches!(byte, b' '..=b'~'));
        (is_printable && text != [b' '; LENGTH]).then_some(Id { text, guid: None })
    }

    /// Reads the id of a descriptor.
    pub(crate) fn read_text(text: &str, strictness: Strictness) -> Option<Id> {
        if let Ok(text) = text.as_bytes().try_into() {
            return Id::read(text, strictness);
        }
        if strictness == Strictness::Strict || text.len() > LENGTH {
            return None;
        }
        // A writer that has a shorter id pads it in the header.
        let mut padded = [b' '; LENGTH];
        padded[..text.len()].copy_from_slice(text.as_bytes());
        Id::read(padded, strictness)
    }

    /// The id as it came.
    pub fn as_bytes(&self) -> &[u8; LENGTH] {
        &self.text
    }

    /// The id as it came.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.text).expect("an id is ASCII")
    }

    /// Writes a GUID out.
    fn from_guid(guid: u128) -> Id {
        let mut text = [b'-'; LENGTH];
        let mut at = 0;
        for (index, byte) in guid.to_be_bytes().into_iter().enumerate() {
            at += usize::from(matches!(index, 4 | 6 | 8 | 10));
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 0xf)];
            at += 2;
        }
        Id { text, guid: Some(guid) }
    }
}

fn with_digit(number: u128, digit: &u8) -> Option<u128> {
    char::from(*digit).to_digit(16).map(|digit| number << 4 | u128::from(digit))
}

/// What each byte is as a hexadecimal digit; 0xff where it is none.
const DIGITS: [u8; 256] = {
    let mut digits = [0xff; 256];
    let mut digit = 0;
    while digit < 16 {
        let byte = HEX[digit as usize];
        digits[byte as usize] = digit;
        digits[byte.to_ascii_uppercase() as usize] = digit;
        digit += 1;
    }
    digits
};

/// Read with each header, so without a branch for each digit.
fn hyphenated(text: &[u8; LENGTH]) -> Option<u128> {
    let mut seen = 0;
    let mut number = |from: usize, to: usize| {
        text[from..to].iter().fold(0_u64, |number, byte| {
            let digit = DIGITS[usize::from(*byte)];
            seen |= digit;
            number << 4 | u64::from(digit & 0xf)
        })
    };
    let high = number(0, 8) << 32 | number(9, 13) << 16 | number(14, 18);
    let low = number(19, 23) << 48 | number(24, 36);
    let is_guid = seen <= 0xf && HYPHENS.iter().all(|at| text[*at] == b'-');
    is_guid.then_some(u128::from(high) << 64 | u128::from(low))
}

/// Whether `byte` may stand at `at` in an id.
pub(crate) fn may_stand(at: usize, byte: u8, strictness: Strictness) -> bool {
    match strictness {
        Strictness::Strict if HYPHENS.contains(&at) => byte == b'-',
        Strictness::Strict => byte.is_ascii_hexdigit(),
        Strictness::Lenient => matches!(byte, b' '..=b'~'),
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Id) -> bool {
        match (self.guid, other.guid) {
            (None, None) => self.text == other.text,
            (one, other) => one == other,
        }
    }
}

impl Eq for Id {}

impl Hash for Id {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.guid {
            Some(guid) => guid.hash(state),
            None => self.text.hash(state),
        }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str().trim_end())
    }
}

impl FromStr for Id {
    type Err = Error;

    /// Reads a hyphenated GUID of 36 characters.
    ///
    /// # Errors
    ///
    /// Of kind [`InvalidAttachmentId`](ErrorKind::InvalidAttachmentId) for anything else.
    fn from_str(text: &str) -> Result<Id, Error> {
        Id::read_text(text, Strictness::Strict).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidAttachmentId,
                "the id is no hyphenated GUID of 36 characters",
            )
        })
    }
}
