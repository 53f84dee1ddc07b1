//! JSON by hand: the few shapes that a line is made of.

use std::time::Duration;

/// The longest value that is written whole, in bytes; a longer one is cut there and ends with `…`.
pub const MAX_VALUE_BYTES: usize = 2048;

/// The name of a field, with all that stands around it: `,"name":"`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field(pub(crate) &'static str);

/// The [`Field`] of that name, put together when the program is built: a line has some twenty.
macro_rules! field {
    ($name:literal) => {
        $crate::json::Field(concat!(",\"", $name, "\":\""))
    };
}
pub(crate) use field;

impl Field {
    /// What stands before a string.
    fn before_text(self) -> &'static [u8] {
        self.0.as_bytes()
    }

    /// What stands before anything else.
    fn before_number(self) -> &'static [u8] {
        &self.0.as_bytes()[..self.0.len() - 1]
    }
}

/// Writes the fields of one object.
pub(crate) struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Object<'a> {
    /// Opens an object with a first field, whose value `write` appends within quotes.
    pub(crate) fn open(
        out: &'a mut Vec<u8>,
        field: Field,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Self {
        out.push(b'{');
        out.extend_from_slice(&field.before_text()[1..]);
        write(out);
        out.push(b'"');
        Object { out }
    }

    /// A word of ours, which needs no escapes.
    #[inline]
    pub(crate) fn word(&mut self, field: Field, word: &'static str) {
        self.out.extend_from_slice(field.before_text());
        self.out.extend_from_slice(word.as_bytes());
        self.out.push(b'"');
    }

    /// Any bytes as a string: escaped, made UTF-8, cut at [`MAX_VALUE_BYTES`].
    #[inline]
    pub(crate) fn string(&mut self, field: Field, value: &[u8]) {
        self.out.extend_from_slice(field.before_text());
        write_escaped(self.out, value);
        self.out.push(b'"');
    }

    /// A string that is put together by `write`, which must not need escapes.
    #[inline]
    pub(crate) fn string_with(&mut self, field: Field, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.extend_from_slice(field.before_text());
        write(self.out);
        self.out.push(b'"');
    }

    #[inline]
    pub(crate) fn integer(&mut self, field: Field, value: u64) {
        self.out.extend_from_slice(field.before_number());
        write_decimal(self.out, value);
    }

    pub(crate) fn truth(&mut self, field: Field) {
        self.out.extend_from_slice(field.before_number());
        self.out.extend_from_slice(b"true");
    }

    /// A duration in milliseconds, with microseconds as the fraction.
    #[inline]
    pub(crate) fn milliseconds(&mut self, field: Field, value: Duration) {
        self.out.extend_from_slice(field.before_number());
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

    /// Fields that were written before, by this, with the comma before each.
    pub(crate) fn again(&mut self, fields: &[u8]) {
        self.out.extend_from_slice(fields);
    }

    /// Where the next field begins.
    pub(crate) fn end(&self) -> usize {
        self.out.len()
    }

    /// What was written since `start`.
    pub(crate) fn since(&self, start: usize) -> &[u8] {
        &self.out[start..]
    }

    pub(crate) fn close(self) {
        self.out.push(b'}');
    }
}

/// `N` bytes as `2 N` lower-case hexadecimal digits, in pairs.
#[inline]
pub(crate) fn hex<const N: usize>(bytes: &[u8; N]) -> [[u8; 2]; N] {
    // Reckoned and not looked up, so that many are in one step.
    let digit = |nibble: u8| nibble + b'0' + u8::from(nibble > 9) * (b'a' - b'0' - 10);
    bytes.map(|byte| [digit(byte >> 4), digit(byte & 15)])
}

#[inline]
pub(crate) fn write_decimal(out: &mut Vec<u8>, value: u64) {
    // Most numbers are small.
    if value < 10 {
        out.push(b'0' + value as u8);
    } else {
        write_long_decimal(out, value);
    }
}

fn write_long_decimal(out: &mut Vec<u8>, mut value: u64) {
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
    // Without an early end, so that many bytes are looked at in one step.
    let is_plain =
        |byte: u8| (byte.wrapping_sub(b' ') < b'\x7f' - b' ') & (byte != b'"') & (byte != b'\\');
    if value.iter().fold(true, |plain, &byte| plain & is_plain(byte)) {
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
            out.extend_from_slice(hex(&[control as u8]).as_flattened());
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
        let mut object = Object::open(&mut out, field!("first"), |_| {});
        object.string(field!("value"), value);
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
        let mut object = Object::open(&mut out, field!("first"), |_| {});
        object.integer(field!("zero"), 0);
        object.integer(field!("most"), u64::MAX);
        object.milliseconds(field!("short"), Duration::from_micros(7));
        object.milliseconds(field!("long"), Duration::from_micros(1_234_567_890));
        object.milliseconds(field!("endless"), Duration::MAX);
        object.close();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"first\":\"\",\"zero\":0,\"most\":18446744073709551615,\"short\":0.007,\
             \"long\":1234567.890,\"endless\":18446744073709551.615}"
        );
    }
}
