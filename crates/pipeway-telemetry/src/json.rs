//! JSON by hand: the few shapes that a line is made of.

use crate::hex::{self, each};

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

/// Writes the fields of one object into a buffer that has room for the longest.
///
/// The buffer is a slice and not a vector: a piece whose length is known when the program is built
/// becomes a few moves, where a vector would call for room each time.
pub(crate) struct Object<'a> {
    out: &'a mut [u8],
    end: usize,
}

impl<'a> Object<'a> {
    /// Opens an object with a first field, whose value `write` appends within quotes.
    pub(crate) fn open(out: &'a mut [u8], field: Field, write: impl FnOnce(&mut Self)) -> Self {
        let mut this = Object { out, end: 0 };
        this.put(b"{");
        this.put(&field.before_text()[1..]);
        write(&mut this);
        this.put(b"\"");
        this
    }

    /// Fields of an object that others open and close; each begins with a comma.
    pub(crate) fn part(out: &'a mut [u8]) -> Self {
        Object { out, end: 0 }
    }

    /// A known word, which needs no escapes.
    #[inline(always)]
    pub(crate) fn word(&mut self, field: Field, word: &str) {
        self.string_with(field, |out| out.put(word.as_bytes()));
    }

    /// Any bytes as a string: escaped, made UTF-8, cut at [`MAX_VALUE_BYTES`].
    #[inline(always)]
    pub(crate) fn string(&mut self, field: Field, value: &[u8]) {
        self.string_with(field, |out| out.escaped(value));
    }

    /// A string that is put together by `write`, which must not need escapes.
    #[inline(always)]
    pub(crate) fn string_with(&mut self, field: Field, write: impl FnOnce(&mut Self)) {
        self.put(field.before_text());
        write(self);
        self.put(b"\"");
    }

    #[inline(always)]
    pub(crate) fn integer(&mut self, field: Field, value: u64) {
        self.put(field.before_number());
        self.decimal(value);
    }

    pub(crate) fn truth(&mut self, field: Field) {
        self.put(field.before_number());
        self.put(b"true");
    }

    /// A duration of so many microseconds, in milliseconds.
    #[inline(always)]
    pub(crate) fn milliseconds(&mut self, field: Field, micros: u64) {
        self.put(field.before_number());
        self.thousandths(micros);
    }

    /// Fields that were written before, by this, with the comma before each.
    #[inline(always)]
    pub(crate) fn again(&mut self, fields: &[u8]) {
        self.put(fields);
    }

    /// How many bytes were written.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// Ends the object, and returns how long it is, in bytes.
    pub(crate) fn close(mut self) -> usize {
        self.put(b"}");
        self.end
    }

    /// Bytes as they are.
    #[inline(always)]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.out[self.end..][..bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// `bytes` as twice as many lower-case hexadecimal digits.
    #[inline(always)]
    pub(crate) fn hex<const N: usize>(&mut self, bytes: &[u8; N]) {
        hex::write(bytes, &mut self.out[self.end..][..2 * N]);
        self.end += 2 * N;
    }

    #[inline]
    pub(crate) fn decimal(&mut self, value: u64) {
        // Most numbers are small. A copy whose length is known is a move.
        match value {
            0..10 => self.put(&[b'0' + value as u8]),
            10..100 => self.put(&pair(value as u32)),
            100..1000 => {
                let [tens, ones] = pair(value as u32 % 100);
                self.put(&[b'0' + (value / 100) as u8, tens, ones]);
            }
            _ => self.long_decimal(value),
        }
    }

    fn long_decimal(&mut self, mut value: u64) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        while value >= 100 {
            start -= 2;
            digits[start..start + 2].copy_from_slice(&pair((value % 100) as u32));
            value /= 100;
        }
        start -= 2;
        digits[start..start + 2].copy_from_slice(&pair(value as u32));
        start += usize::from(value < 10);
        self.put(&digits[start..]);
    }

    fn thousandths(&mut self, micros: u64) {
        let (whole, fraction) = (micros / 1000, (micros % 1000) as u32);
        self.decimal(whole);
        let [tens, ones] = pair(fraction % 100);
        self.put(&[b'.', b'0' + (fraction / 100) as u8, tens, ones]);
    }

    fn escaped(&mut self, value: &[u8]) {
        let (value, cut) = cut(value);
        if is_plain(value) {
            self.put(value);
        } else {
            self.characters(value);
        }
        if cut {
            self.put("…".as_bytes());
        }
    }

    #[cold]
    fn characters(&mut self, value: &[u8]) {
        for chunk in value.utf8_chunks() {
            for character in chunk.valid().chars() {
                self.character(character);
            }
            if !chunk.invalid().is_empty() {
                self.put("\u{fffd}".as_bytes());
            }
        }
    }

    /// Controls are escaped beyond what JSON asks for (DEL and U+0080 to U+009F too): lines are
    /// read on terminals, which obey them.
    fn character(&mut self, character: char) {
        match character {
            '"' => self.put(b"\\\""),
            '\\' => self.put(b"\\\\"),
            '\n' => self.put(b"\\n"),
            '\r' => self.put(b"\\r"),
            '\t' => self.put(b"\\t"),
            control if control.is_control() => {
                self.put(b"\\u00");
                self.hex(&[control as u8]);
            }
            other => self.put(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

/// The two digits of a number below 100.
#[inline(always)]
pub(crate) fn pair(value: u32) -> [u8; 2] {
    PAIRS[value as usize]
}

/// Whether no byte needs more than to be copied.
fn is_plain(value: &[u8]) -> bool {
    // Eight at a time; the last eight may have been looked at in part.
    let (eights, rest) = value.as_chunks::<8>();
    let last = value.last_chunk::<8>().copied().unwrap_or_else(|| {
        let mut last = [b' '; 8];
        last[..rest.len()].copy_from_slice(rest);
        last
    });
    eights.iter().fold(special(last), |any, eight| any | special(*eight)) == 0
}

/// Not zero where one of the bytes is a control, DEL, not ASCII, a quote or a backslash.
#[inline(always)]
fn special(bytes: [u8; 8]) -> u64 {
    let bytes = u64::from_ne_bytes(bytes);
    // The highest bit of each byte tells. Of one that is not ASCII it is set anyway; where it is
    // clear in all, no sum carries. A difference may borrow only from a byte that is special.
    let is_zero = |bytes: u64| bytes.wrapping_sub(each(1)) & !bytes;
    let is_control = bytes.wrapping_sub(each(b' ')) & !bytes;
    let is_delete = bytes.wrapping_add(each(1));
    let quote = is_zero(bytes ^ each(b'"'));
    let backslash = is_zero(bytes ^ each(b'\\'));
    (bytes | is_control | is_delete | quote | backslash) & each(0x80)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// What an object holds after its first field.
    fn written(write: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
        let mut out = [0; 7 * MAX_VALUE_BYTES];
        let mut object = Object::open(&mut out, field!("first"), |_| {});
        write(&mut object);
        let length = object.close();
        out[..length].to_vec()
    }

    fn read_back(value: &[u8]) -> String {
        let out = written(|object| object.string(field!("value"), value));
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
            let out = written(|object| object.string(field!("value"), text.as_bytes()));
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
        let out = written(|object| {
            object.integer(field!("zero"), 0);
            object.integer(field!("most"), u64::MAX);
            object.milliseconds(field!("short"), 7);
            object.milliseconds(field!("long"), 1_234_567_890);
            object.milliseconds(field!("endless"), u64::MAX);
        });
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"first\":\"\",\"zero\":0,\"most\":18446744073709551615,\"short\":0.007,\
             \"long\":1234567.890,\"endless\":18446744073709551.615}"
        );
    }

    #[test]
    fn every_number_of_every_length_is_written_as_the_standard_library_writes_it() {
        let mut numbers: Vec<u64> = (0..2000).collect();
        for power in 0..20 {
            let ten = 10_u64.pow(power);
            numbers.extend([ten - 1, ten, ten + 1, ten.saturating_mul(9)]);
        }
        for number in numbers {
            let out = written(|object| object.integer(field!("n"), number));
            assert_eq!(out, format!("{{\"first\":\"\",\"n\":{number}}}").as_bytes());
        }
    }

    #[test]
    fn digits_of_every_byte_are_lower_case_hexadecimal() {
        for byte in 0..=u8::MAX {
            let bytes = [byte, 0, !byte, 0xa5, byte];
            let out = written(|object| object.string_with(field!("h"), |out| out.hex(&bytes)));
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(out, format!("{{\"first\":\"\",\"h\":\"{digits}\"}}").as_bytes());
        }
    }

    #[test]
    fn a_byte_that_needs_more_is_found_wherever_it_stands() {
        for length in 0..40 {
            let plain: Vec<u8> = (0..length).map(|at| b" !#[]~az"[at % 8]).collect();
            assert!(is_plain(&plain));
            for at in 0..length {
                for byte in 0..=u8::MAX {
                    let mut value = plain.clone();
                    value[at] = byte;
                    let expected = matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\');
                    assert_eq!(is_plain(&value), expected, "{byte} at {at} of {length}");
                }
            }
        }
    }
}
