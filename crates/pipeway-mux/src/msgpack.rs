//! The part of MessagePack that frames are made of.
//!
//! The writer makes the shortest form of everything; the reader takes every valid form, whole
//! floating-point numbers for integers included, since one implementation writes those.

/// Why a value can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// More bytes are needed.
    Short,
    /// It is not what stands here.
    Wrong(&'static str),
}

pub(crate) const NIL: u8 = 0xc0;

/// Reads values one after the other.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    input: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Reader { input, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// The first byte of the next value.
    pub(crate) fn peek(&self) -> Result<u8, ReadError> {
        self.input.get(self.at).copied().ok_or(ReadError::Short)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], ReadError> {
        let end = self.at.checked_add(count).ok_or(ReadError::Short)?;
        let bytes = self.input.get(self.at..end).ok_or(ReadError::Short)?;
        self.at = end;
        Ok(bytes)
    }

    /// A big-endian number of `count` bytes behind the first byte.
    fn number(&mut self, count: usize) -> Result<u64, ReadError> {
        let bytes = self.bytes(1 + count)?;
        Ok(bytes[1..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(crate) fn array(&mut self) -> Result<u32, ReadError> {
        match self.peek()? {
            first @ 0x90..=0x9f => {
                self.at += 1;
                Ok(u32::from(first & 0x0f))
            }
            0xdc => Ok(self.number(2)? as u32),
            0xdd => Ok(self.number(4)? as u32),
            _ => Err(ReadError::Wrong("an array was expected")),
        }
    }

    /// An integer, in whatever form.
    pub(crate) fn integer(&mut self) -> Result<i128, ReadError> {
        let first = self.peek()?;
        Ok(match first {
            0x00..=0x7f => {
                self.at += 1;
                i128::from(first)
            }
            0xe0..=0xff => {
                self.at += 1;
                i128::from(first.cast_signed())
            }
            0xcc => i128::from(self.number(1)?),
            0xcd => i128::from(self.number(2)?),
            0xce => i128::from(self.number(4)?),
            0xcf => i128::from(self.number(8)?),
            0xd0 => i128::from(self.number(1)? as i8),
            0xd1 => i128::from(self.number(2)? as i16),
            0xd2 => i128::from(self.number(4)? as i32),
            0xd3 => i128::from(self.number(8)? as i64),
            0xca => whole(f64::from(f32::from_bits(self.number(4)? as u32)))?,
            0xcb => whole(f64::from_bits(self.number(8)?))?,
            _ => return Err(ReadError::Wrong("an integer was expected")),
        })
    }

    /// The length of a binary value; nil is one of no bytes.
    pub(crate) fn binary_length(&mut self) -> Result<u32, ReadError> {
        match self.peek()? {
            NIL => {
                self.at += 1;
                Ok(0)
            }
            0xc4 => Ok(self.number(1)? as u32),
            0xc5 => Ok(self.number(2)? as u32),
            0xc6 => Ok(self.number(4)? as u32),
            _ => Err(ReadError::Wrong("a binary value was expected")),
        }
    }

    /// A binary value, whole.
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], ReadError> {
        let length = self.binary_length()?;
        self.bytes(length as usize)
    }

    /// The bytes of a string.
    pub(crate) fn string(&mut self) -> Result<&'a [u8], ReadError> {
        let length = match self.peek()? {
            first @ 0xa0..=0xbf => {
                self.at += 1;
                u64::from(first & 0x1f)
            }
            0xd9 => self.number(1)?,
            0xda => self.number(2)?,
            0xdb => self.number(4)?,
            _ => return Err(ReadError::Wrong("a string was expected")),
        };
        self.bytes(length as usize)
    }
}

fn whole(number: f64) -> Result<i128, ReadError> {
    if number.fract() == 0.0 && (0.0..=18_446_744_073_709_551_615.0).contains(&number) {
        Ok(number as i128)
    } else {
        Err(ReadError::Wrong("a number that is not whole stands for an integer"))
    }
}

/// The deepest nesting that a [`Skip`] can be told to allow.
pub(crate) const NESTING_MAX: usize = 64;

/// Passes over values whose bytes come bit by bit, and keeps none of them.
#[derive(Debug)]
pub(crate) struct Skip {
    /// How many values are left, at each depth.
    left: Vec<u64>,
    /// Bytes of the present value.
    bytes: u64,
    depth_max: usize,
    length_max: u64,
}

impl Skip {
    /// `values` values, each no longer than `length_max` bytes and no deeper than `depth_max`.
    pub(crate) fn new(values: u64, depth_max: u8, length_max: u32) -> Self {
        Skip {
            left: vec![values],
            bytes: 0,
            depth_max: usize::from(depth_max).min(NESTING_MAX),
            length_max: u64::from(length_max),
        }
    }

    /// `count` bytes, whatever they are.
    pub(crate) fn of_bytes(count: u32) -> Self {
        Skip { left: Vec::new(), bytes: u64::from(count), depth_max: 0, length_max: 0 }
    }

    /// Takes from the front of `input`, and tells how much: then it is done, or `input` is used
    /// up but for the incomplete head of a value.
    pub(crate) fn advance(&mut self, input: &[u8]) -> Result<(usize, bool), ReadError> {
        let mut at = 0;
        loop {
            let part = self.bytes.min((input.len() - at) as u64);
            at += part as usize;
            self.bytes -= part;
            if self.bytes > 0 {
                return Ok((at, false));
            }
            while self.left.last() == Some(&0) {
                self.left.pop();
            }
            let Some(left) = self.left.last_mut() else { return Ok((at, true)) };
            let Some((head, body)) = head(&input[at..])? else { return Ok((at, false)) };
            *left -= 1;
            at += head;
            match body {
                Body::Bytes(count) if count > self.length_max => {
                    return Err(ReadError::Wrong("a value is longer than is allowed"));
                }
                Body::Bytes(count) => self.bytes = count,
                Body::Values(0) => {}
                Body::Values(_) if self.left.len() > self.depth_max => {
                    return Err(ReadError::Wrong("values are nested deeper than is allowed"));
                }
                Body::Values(count) => self.left.push(count),
            }
        }
    }
}

enum Body {
    Bytes(u64),
    Values(u64),
}

/// The length of a value's head, and what follows it; `None` if the head is not whole.
fn head(input: &[u8]) -> Result<Option<(usize, Body)>, ReadError> {
    let Some(&first) = input.first() else { return Ok(None) };
    let fixed = |bytes| Ok(Some((1, Body::Bytes(bytes))));
    // How many bytes tell the length, how many more belong to each unit, and what is counted.
    let (length, extra, values) = match first {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => return fixed(0),
        0x80..=0x8f => return Ok(Some((1, Body::Values(2 * u64::from(first & 0x0f))))),
        0x90..=0x9f => return Ok(Some((1, Body::Values(u64::from(first & 0x0f))))),
        0xa0..=0xbf => return fixed(u64::from(first & 0x1f)),
        0xc1 => return Err(ReadError::Wrong("the byte c1 begins no value")),
        0xcc | 0xd0 => return fixed(1),
        0xcd | 0xd1 => return fixed(2),
        0xca | 0xce | 0xd2 => return fixed(4),
        0xcb | 0xcf | 0xd3 => return fixed(8),
        0xd4..=0xd8 => return fixed(1 + (1 << (first - 0xd4))),
        0xc4 | 0xd9 => (1, 0, 0),
        0xc5 | 0xda => (2, 0, 0),
        0xc6 | 0xdb => (4, 0, 0),
        0xc7 => (1, 1, 0),
        0xc8 => (2, 1, 0),
        0xc9 => (4, 1, 0),
        0xdc => (2, 0, 1),
        0xdd => (4, 0, 1),
        0xde => (2, 0, 2),
        0xdf => (4, 0, 2),
    };
    let Some(bytes) = input.get(1..1 + length) else { return Ok(None) };
    let count = bytes.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let body = if values > 0 { Body::Values(values * count) } else { Body::Bytes(count + extra) };
    Ok(Some((1 + length, body)))
}

/// Writes an unsigned integer in its shortest form.
pub(crate) fn write_unsigned(out: &mut Vec<u8>, number: u64) {
    match number {
        0..=0x7f => out.push(number as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, number as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// Writes the head of a binary value.
pub(crate) fn write_binary_head(out: &mut Vec<u8>, length: usize) {
    match length {
        0..=0xff => out.extend_from_slice(&[0xc4, length as u8]),
        0x100..=0xffff => {
            out.push(0xc5);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0xc6);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

/// Writes a string.
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    let length = text.len();
    match length {
        0..=0x1f => out.push(0xa0 | length as u8),
        0x20..=0xff => out.extend_from_slice(&[0xd9, length as u8]),
        0x100..=0xffff => {
            out.push(0xda);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_written_shortest_and_read_in_every_form() {
        for (number, bytes) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0xcc, 0x80]),
            (255, &[0xcc, 0xff]),
            (256, &[0xcd, 1, 0]),
            (65_536, &[0xce, 0, 1, 0, 0]),
            (1 << 32, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            let mut out = Vec::new();
            write_unsigned(&mut out, number);
            assert_eq!(out, bytes);
            assert_eq!(Reader::new(&out).integer(), Ok(i128::from(number)));
        }
        for (bytes, number) in [
            (&[0xff][..], -1),
            (&[0xd0, 0x80], -128),
            (&[0xd1, 0, 1], 1),
            (&[0xd2, 0xff, 0xff, 0xff, 0xff], -1),
            (&[0xd3, 0, 0, 0, 0, 0, 0, 0, 2], 2),
            (&[0xcb, 0x41, 0xe0, 0, 0, 0, 0, 0, 0], 1 << 31),
            (&[0xca, 0x40, 0, 0, 0], 2),
        ] {
            assert_eq!(Reader::new(bytes).integer(), Ok(number), "{bytes:x?}");
            for end in 0..bytes.len() {
                assert_eq!(Reader::new(&bytes[..end]).integer(), Err(ReadError::Short));
            }
        }
        for bytes in [&[0xca, 0x3f, 0, 0, 0][..], &[0xcb, 0xbf, 0xf0, 0, 0, 0, 0, 0, 0], &[0xa0]] {
            assert!(matches!(Reader::new(bytes).integer(), Err(ReadError::Wrong(_))));
        }
    }

    #[test]
    fn values_are_skipped_whole_or_byte_by_byte() {
        let values = [
            0x01, 0xe0, 0xc0, 0xc2, 0x81, 0xa1, 0x61, 0x92, 0x01, 0x90, 0xc4, 2, 9, 9, 0xd9, 1,
            0x61, 0xca, 0, 0, 0, 0, 0xd4, 1, 2, 0xc7, 1, 5, 6, 0xdc, 0, 1, 0xcd, 1, 2, 0xde, 0, 1,
            1, 2,
        ];
        let count = 12;
        let mut skip = Skip::new(count, 16, 100);
        assert_eq!(skip.advance(&values), Ok((values.len(), true)));
        let mut skip = Skip::new(count, 16, 100);
        let (mut held, mut done) = (Vec::new(), false);
        for (index, byte) in values.iter().enumerate() {
            assert!(!done, "done at {index}");
            held.push(*byte);
            let (used, end) = skip.advance(&held).unwrap();
            held.drain(..used);
            done = end;
        }
        assert!(done && held.is_empty());
    }

    #[test]
    fn what_is_too_deep_too_long_or_nothing_at_all_is_not_skipped() {
        let deep = [0x91; 40];
        assert!(matches!(Skip::new(1, 16, 100).advance(&deep), Err(ReadError::Wrong(_))));
        assert!(matches!(Skip::new(1, 16, 100).advance(&[0xc4, 101]), Err(ReadError::Wrong(_))));
        assert!(matches!(Skip::new(1, 16, 100).advance(&[0xc1]), Err(ReadError::Wrong(_))));
        let far = [0xdd, 0xff, 0xff, 0xff, 0xff, 0xdf, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Skip::new(1, 16, 100).advance(&far), Ok((10, false)));
    }
}
