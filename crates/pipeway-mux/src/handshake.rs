//! The handshakes of versions 1 and 2.
//!
//! | version | bytes |
//! |---|---|
//! | 1 | `2fdf1d50`, 16 random bytes |
//! | 2 | MessagePack: `[[2, 0], 16 random bytes]` |
//!
//! Both ends send without waiting. The end whose random bytes are larger has the odd channels.

use bytes::{Buf, BytesMut};

use crate::msgpack::{ReadError, Reader, Skip};
use crate::{Error, ErrorKind, Version};

const V1_MAGIC: [u8; 4] = [0x2f, 0xdf, 0x1d, 0x50];

/// The most that a handshake of version 2 may take, elements that nobody knows included.
const LENGTH_MAX: usize = 4096;

pub(crate) type Random = [u8; 16];

/// What this end sends; nothing in version 3.
pub(crate) fn write(version: Version, random: &Random) -> Vec<u8> {
    let mut out = match version {
        Version::V1 => V1_MAGIC.to_vec(),
        Version::V2 => vec![0x92, 0x92, 2, 0, 0xc4, 16],
        Version::V3 => return Vec::new(),
    };
    out.extend_from_slice(random);
    out
}

/// Reads the other end's handshake from the front of `input`, and tells whether this end has the
/// odd channels; `None` where more bytes are needed.
pub(crate) fn read(
    version: Version,
    own: &Random,
    input: &mut BytesMut,
) -> Result<Option<bool>, Error> {
    let theirs = match version {
        Version::V1 => read_v1(input)?,
        Version::V2 => read_v2(input)?,
        Version::V3 => return Ok(Some(true)),
    };
    match theirs {
        None => Ok(None),
        Some(theirs) if theirs == *own => Err(wrong(
            "the other end sent this end's own random bytes back, so nobody can tell which has the odd channels; is the stream connected to itself?",
        )),
        Some(theirs) => Ok(Some(*own > theirs)),
    }
}

fn read_v1(input: &mut BytesMut) -> Result<Option<Random>, Error> {
    let length = V1_MAGIC.len().min(input.len());
    if input[..length] != V1_MAGIC[..length] {
        return Err(wrong(
            "the other end does not begin with version 1's handshake; it speaks another version or another protocol",
        ));
    }
    let Some(whole) = input.first_chunk::<20>() else { return Ok(None) };
    let mut random = Random::default();
    random.copy_from_slice(&whole[4..]);
    input.advance(whole.len());
    Ok(Some(random))
}

fn read_v2(input: &mut BytesMut) -> Result<Option<Random>, Error> {
    match parse_v2(input) {
        Ok((random, length)) => {
            input.advance(length);
            Ok(Some(random))
        }
        Err(V2Error::Read(ReadError::Short)) if input.len() < LENGTH_MAX => Ok(None),
        Err(V2Error::Read(ReadError::Short)) => Err(wrong("the other end's handshake has no end")),
        Err(V2Error::Read(ReadError::Wrong(what))) => Err(wrong(&format!(
            "the other end does not begin with version 2's handshake ({what}); it speaks another version or another protocol"
        ))),
        Err(V2Error::Major(major)) => Err(wrong(&format!(
            "the other end speaks version {major} of the protocol, this end version 2"
        ))),
    }
}

enum V2Error {
    Read(ReadError),
    Major(i128),
}

impl From<ReadError> for V2Error {
    fn from(error: ReadError) -> Self {
        V2Error::Read(error)
    }
}

fn parse_v2(input: &[u8]) -> Result<(Random, usize), V2Error> {
    let mut reader = Reader::new(input);
    let outer = reader.array()?;
    if outer < 2 {
        return Err(ReadError::Wrong("its array has fewer than two elements").into());
    }
    let inner = reader.array()?;
    if inner < 2 {
        return Err(ReadError::Wrong("its version has fewer than two numbers").into());
    }
    let major = reader.integer()?;
    if major != 2 {
        return Err(V2Error::Major(major));
    }
    // Whatever the minor version is, it is spoken alike.
    reader.integer()?;
    let at = skip(input, reader.position(), u64::from(inner - 2))?;
    let mut reader = Reader::new(&input[at..]);
    let random = reader.binary()?;
    let random =
        random.try_into().map_err(|_| ReadError::Wrong("its random value is not 16 bytes long"))?;
    let at = skip(input, at + reader.position(), u64::from(outer - 2))?;
    Ok((random, at))
}

/// Where the input goes on behind `values` values from `at` on.
fn skip(input: &[u8], at: usize, values: u64) -> Result<usize, ReadError> {
    let mut skip = Skip::new(values, 16, LENGTH_MAX as u32);
    match skip.advance(&input[at..])? {
        (used, true) => Ok(at + used),
        (_, false) => Err(ReadError::Short),
    }
}

fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::Version, what)
}
