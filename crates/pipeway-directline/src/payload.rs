//! Envelopes: the JSON of requests and responses.

use std::fmt;
use std::io::Write;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::id::Id;
use crate::limits::Strictness;

/// What a stream's media type is if nothing tells it, for the body.
pub(crate) const BODY_TYPE: &str = "application/json";

/// What a stream's media type is if nothing tells it, for an attachment.
pub(crate) const ATTACHMENT_TYPE: &str = "application/octet-stream";

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What an envelope tells, of a request or a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// What is to be done; `None` if that is missing or no text.
    pub verb: Option<String>,
    /// What with; `None` if that is missing or no text.
    pub path: Option<String>,
    /// The HTTP status; `None` if it is missing or none.
    pub status: Option<u16>,
    /// The streams, in order: the body, then attachments.
    pub streams: Vec<Descriptor>,
}

/// What an envelope tells of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Which stream.
    pub id: DescriptorId,
    /// Its media type; `None` if that is missing or empty.
    pub media_type: Option<String>,
    /// Its length in bytes; `None` if that is missing or no length.
    pub length: Option<u64>,
}

/// The id in a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorId {
    /// A stream's.
    Stream(Id),
    /// None, or the descriptor is no object.
    Missing,
    /// Some text that can't stand in a header.
    Malformed,
}

/// The document is no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads an envelope, behind a byte order mark if there is one; `None` is JSON's `null`.
///
/// Properties that are not known are skipped, of those that stand twice the last one counts, and
/// values of another type than they should have count as missing.
///
/// # Errors
///
/// For what is no JSON object.
pub fn read(bytes: &[u8], strictness: Strictness) -> Result<Option<Envelope>, Malformed> {
    let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
    let mut parser = serde_json::Deserializer::from_slice(bytes);
    let seed = EnvelopeVisitor(strictness);
    let envelope = parser.deserialize_any(seed).map_err(|_| Malformed)?;
    parser.end().map_err(|_| Malformed)?;
    Ok(envelope)
}

struct EnvelopeVisitor(Strictness);

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Option<Envelope>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(Key(key)) = map.next_key()? {
            match key {
                Property::Verb => envelope.verb = map.next_value::<Value>()?.text(),
                Property::Path => envelope.path = map.next_value::<Value>()?.text(),
                Property::Status => {
                    let status = map.next_value::<Value>()?.whole();
                    envelope.status = status
                        .and_then(|status| u16::try_from(status).ok())
                        .filter(|status| (100..1000).contains(status));
                }
                Property::Streams => {
                    envelope.streams = map.next_value_seed(Descriptors(self.0))?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Some(envelope))
    }
}

/// The properties that count, by their names.
enum Property {
    Verb,
    Path,
    Status,
    Streams,
    Id,
    Type,
    ContentType,
    Length,
    Other,
}

struct Key(Property);

impl<'de> serde::Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a property's name")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(Key(match name {
                    "verb" => Property::Verb,
                    "path" => Property::Path,
                    "statusCode" => Property::Status,
                    "streams" => Property::Streams,
                    "id" => Property::Id,
                    "type" => Property::Type,
                    "contentType" => Property::ContentType,
                    "length" => Property::Length,
                    _ => Property::Other,
                }))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

/// A value of any type, as far as it can count.
enum Value {
    Text(String),
    Whole(u64),
    Other,
}

impl Value {
    fn text(self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn whole(self) -> Option<u64> {
        match self {
            Value::Whole(number) => Some(number),
            _ => None,
        }
    }
}

impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Whole(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        // What is not negative comes as an u64.
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        let is_whole = number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number);
        Ok(if is_whole { Value::Whole(number as u64) } else { Value::Other })
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other)
    }
}

/// The list of descriptors; anything else counts as none.
struct Descriptors(Strictness);

impl<'de> serde::de::DeserializeSeed<'de> for Descriptors {
    type Value = Vec<Descriptor>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Lets a visitor of what should be a list, or an object, pass over values of other types.
macro_rules! nothing_for_scalars {
    ($nothing:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
            Ok($nothing)
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($nothing)
        }
    };
}

impl<'de> Visitor<'de> for Descriptors {
    type Value = Vec<Descriptor>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of streams")
    }

    nothing_for_scalars!(Vec::new());

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(descriptor) = values.next_element_seed(DescriptorSeed(self.0))? {
            all.push(descriptor);
        }
        Ok(all)
    }
}

struct DescriptorSeed(Strictness);

impl<'de> serde::de::DeserializeSeed<'de> for DescriptorSeed {
    type Value = Descriptor;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Descriptor {
    const NONE: Descriptor =
        Descriptor { id: DescriptorId::Missing, media_type: None, length: None };
}

impl<'de> Visitor<'de> for DescriptorSeed {
    type Value = Descriptor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stream")
    }

    nothing_for_scalars!(Descriptor::NONE);

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self::Value, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Descriptor::NONE)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut descriptor, mut other_type) = (Descriptor::NONE, None);
        while let Some(Key(key)) = map.next_key()? {
            match key {
                Property::Id => {
                    descriptor.id = match map.next_value::<Value>()?.text() {
                        None => DescriptorId::Missing,
                        Some(text) => Id::read_text(&text, self.0)
                            .map_or(DescriptorId::Malformed, DescriptorId::Stream),
                    }
                }
                Property::Type => descriptor.media_type = map.next_value::<Value>()?.text(),
                Property::ContentType => other_type = map.next_value::<Value>()?.text(),
                Property::Length => descriptor.length = map.next_value::<Value>()?.whole(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        let is_there = |text: &String| !text.is_empty();
        let own = descriptor.media_type.take().filter(is_there);
        descriptor.media_type = own.or(other_type.filter(is_there));
        Ok(descriptor)
    }
}

/// What is written of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced<'a> {
    pub id: &'a Id,
    pub media_type: &'a str,
    pub length: u64,
}

/// Writes the envelope of a request.
pub(crate) fn write_request(out: &mut Vec<u8>, verb: &str, path: &str, streams: &[Announced<'_>]) {
    out.extend_from_slice(b"{\"verb\":");
    write_text(out, verb);
    out.extend_from_slice(b",\"path\":");
    write_text(out, path);
    write_streams(out, streams);
}

/// Writes the envelope of a response.
pub(crate) fn write_response(out: &mut Vec<u8>, status: u16, streams: &[Announced<'_>]) {
    write!(out, "{{\"statusCode\":{status}").expect("a Vec takes all");
    write_streams(out, streams);
}

fn write_streams(out: &mut Vec<u8>, streams: &[Announced<'_>]) {
    if streams.is_empty() {
        out.extend_from_slice(b",\"streams\":null}");
        return;
    }
    out.extend_from_slice(b",\"streams\":[");
    for (at, stream) in streams.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"id\":" } else { b",{\"id\":" });
        write_text(out, stream.id.as_str());
        out.extend_from_slice(b",\"type\":");
        write_text(out, stream.media_type);
        write!(out, ",\"length\":{}}}", stream.length).expect("a Vec takes all");
    }
    out.extend_from_slice(b"]}");
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a Vec takes all, and text is JSON");
}
