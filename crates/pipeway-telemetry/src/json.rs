//! JSON by hand: the few shapes that a line is made of.

use std::time::Duration;

/// The longest value that is written whole, in bytes; a longer one is cut there and ends with `…`.
pub const MAX_VALUE_BYTES: usize = 2048;

/// Writes the fields of one object.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Object<'a> {
    /// Opens an object with a first field, whose value `write` appends within quotes.
    pub(crate) fn open(
        out: &'a mut Vec<u8>,
        field: &'static str,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        out.extend_from_slice(b"{\"");
        out.extend_from_slice(field.as_bytes());
        out.extend_from_slice(b"\":\"");
        write(out);
        out.push(b'"');
        Object { out }
    }

    /// A word of ours, which needs no escapes.
    pub(crate) fn word(&mut self, field: &'static str, word: &'static str) {
        self.open_string(field);
        self.out.extend_from_slice(word.as_bytes());
        self.out.push(b'"');
    }

    /// Any bytes as a string: escaped, made UTF-8, cut at [`MAX_VALUE_BYTES`].
    pub(crate) fn string(&mut self, field: &'static str, value: &[u8]) {
        self.open_string(field);
        write_escaped(self.out, value);
        self.out.push(b'"');
    }

    /// A string that is put together by `write`, which must not need escapes.
    pub(crate) fn string_with(&mut self, field: &'static str, write: impl FnOnce(&mut Vec<u8>)) {
        self.open_string(field);
        write(self.out);
        self.out.push(b'"');
    }

    pub(crate) fn integer(&mut self, field: &'static str, value: u64) {
        self.key(field);
        write_decimal(self.out, value);
    }

    pub(crate) fn truth(&mut self, field: &'static str) {
        self.key(field);
        self.out.extend_from_slice(b"true");
    }

    /// A duration in milliseconds, with microseconds as the fraction.
    pub(crate) fn milliseconds(&mut self, field: &'static str, value: Duration) {
        self.key(field);
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        write_decimal(self.out, micros / 1000);
        let fraction = micros % 1000;
        let digit = |value: u64| b'0' + (value % 10) as u8;
        self.out.extend_from_slice(&[
            b'.',
            digit(fraction / 100),
            digit(fraction / 10),
            digit(fraction),
        ]);
    }

    pub(crate) fn close(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, field: &'static str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(field.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn open_string(&mut self, field: &'static str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(field.as_bytes());
        self.out.extend_from_slice(b"\":\"");
    }
}

/// Appends lower-case hexadecimal digits.
pub(crate) fn write_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

pub(crate) fn write_decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn write_escaped(out: &mut Vec<u8>, value: &[u8]) {
    let (value, cut) = cut(value);
    if value.iter().all(|&byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        out.extend_from_slice(value);
    } else {
        for chunk in value.utf8_chunks() {
            for character in chunk.valid().chars() {
                write_character(out, character);
            }
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    if cut {
        out.extend_from_slice("…".as_bytes());
    }
}

/// The part that is written, without half a character at its end.
fn cut(value: &[u8]) -> (&[u8], bool) {
    if value.len() <= MAX_VALUE_BYTES {
        return (value, false);
    }
    let continues = |at: usize| value[at] & 0xc0 == 0x80;
    let end = (MAX_VALUE_BYTES - 3..=MAX_VALUE_BYTES).rev().find(|&at| !continues(at));
    (&value[..end.unwrap_or(MAX_VALUE_BYTES)], true)
}

/// Controls are escaped beyond what JSON asks for (DEL and U+0080 to U+009F too): lines are read
/// on terminals, which obey them.
fn write_character(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        control if control.is_control() => {
            out.extend_from_slice(b"\\u00");
            write_hex(out, &[control as u8]);
        }
        other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn read_back(value: &[u8]) -> String {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out, "first", |_| {});
        object.string("value", value);
        object.close();
        match serde_json::from_slice::<Value>(&out).unwrap()["value"].take() {
            Value::String(text) => text,
            other => panic!("{other} is no string"),
        }
    }

    #[test]
    fn every_single_byte_reads_back_as_it_was() {
        for byte in 0..=0x7f {
            assert_eq!(read_back(&[byte]).as_bytes(), [byte]);
        }
        for byte in 0x80..=0xff {
            assert_eq!(read_back(&[byte]), "\u{fffd}");
        }
    }

    #[test]
    fn every_character_reads_back_as_it_was() {
        for character in '\0'..=char::MAX {
            let text = character.to_string();
            let mut out = Vec::new();
            write_escaped(&mut out, text.as_bytes());
            assert!(out.iter().all(|&byte| byte >= 0x20 && byte != 0x7f));
            if (character as u32) < 0x3000 {
                assert_eq!(read_back(text.as_bytes()), text);
            }
        }
    }

    #[test]
    fn broken_utf_8_becomes_replacement_characters_between_what_is_whole() {
        assert_eq!(read_back(b"a\xc3\xa9\xf0\x9f\x98b\xffc"), "a\u{e9}\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn a_long_value_is_cut_at_a_whole_character() {
        let whole = "x".repeat(MAX_VALUE_BYTES);
        assert_eq!(read_back(whole.as_bytes()), whole);
        for lead in 0..4 {
            let long = "x".repeat(lead) + &"😀".repeat(MAX_VALUE_BYTES);
            let cut = read_back(long.as_bytes());
            let kept = cut.strip_suffix('…').unwrap();
            assert!(long.starts_with(kept));
            assert!(kept.len() <= MAX_VALUE_BYTES && kept.len() > MAX_VALUE_BYTES - 4);
        }
        assert_eq!(read_back(&[0x80; MAX_VALUE_BYTES + 1]).chars().last(), Some('…'));
    }

    #[test]
    fn numbers_are_written_in_full() {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out, "first", |_| {});
        object.integer("zero", 0);
        object.integer("most", u64::MAX);
        object.milliseconds("short", Duration::from_micros(7));
        object.milliseconds("long", Duration::from_micros(1_234_567_890));
        object.milliseconds("endless", Duration::MAX);
        object.close();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"first\":\"\",\"zero\":0,\"most\":18446744073709551615,\"short\":0.007,\
             \"long\":1234567.890,\"endless\":18446744073709551.615}"
        );
    }
}
