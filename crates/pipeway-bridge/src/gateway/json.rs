//! Where things stand in a JSON text, so that they can be replaced and all else stays as it is.

use std::ops::Range;

use serde::de::IgnoredAny;

/// The most levels that are looked into. What is deeper is left as it is.
const DEPTH_MAX: usize = 256;

/// What some editors put before a text.
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// How many objects and arrays it is in, its own object included.
    pub(super) depth: usize,
    /// Its name, with its quotes.
    pub(super) name: Range<usize>,
    /// Its value.
    pub(super) value: Range<usize>,
}

impl Member {
    /// Whether it is named `name`, however that is written.
    pub(super) fn is_named(&self, text: &[u8], name: &str) -> bool {
        let written = &text[self.name.clone()];
        if !written.contains(&b'\\') {
            return written.get(1..written.len() - 1) == Some(name.as_bytes());
        }
        serde_json::from_slice::<String>(written).is_ok_and(|written| written == name)
    }

    /// Its value, if that is a string.
    pub(super) fn string(&self, text: &[u8]) -> Option<String> {
        serde_json::from_slice(&text[self.value.clone()]).ok()
    }
}

/// Whether this is one JSON value.
fn is_json(text: &[u8]) -> bool {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

#[derive(Debug)]
enum Level {
    /// An object, where it begins, and the name whose value comes next.
    Object(usize, Option<Range<usize>>),
    /// An array, and where it begins.
    Array(usize),
}

/// Tells each member of every object in a JSON text, when its value has ended. Returns false where
/// the text can't be read, or is too deep; what was told then is worth nothing.
pub(super) fn members(text: &[u8], mut tell: impl FnMut(Member)) -> bool {
    if !is_json(text) {
        return false;
    }
    let mut levels: Vec<Level> = Vec::new();
    let mut at = if text.starts_with(BOM) { BOM.len() } else { 0 };
    while let Some(byte) = text.get(at) {
        let begun = at;
        // The value that ends here.
        let value = match byte {
            b'{' | b'[' => {
                if levels.len() == DEPTH_MAX {
                    return false;
                }
                levels.push(if *byte == b'{' { Level::Object(at, None) } else { Level::Array(at) });
                at += 1;
                continue;
            }
            b'}' | b']' => {
                at += 1;
                match levels.pop() {
                    Some(Level::Object(begun, _) | Level::Array(begun)) => begun..at,
                    None => return false,
                }
            }
            b'"' => {
                at = string_end(text, at);
                begun..at
            }
            b' ' | b'\t' | b'\r' | b'\n' | b',' | b':' => {
                at += 1;
                continue;
            }
            _ => {
                let ends = |byte: &u8| b" \t\r\n,]}".contains(byte);
                at += text[at..].iter().position(ends).unwrap_or(text.len() - at);
                begun..at
            }
        };
        let depth = levels.len();
        if let Some(Level::Object(_, name)) = levels.last_mut() {
            match name.take() {
                Some(name) => tell(Member { depth, name, value }),
                None => *name = Some(value),
            }
        }
    }
    true
}

/// Where the string that begins at `at` ends, its quotes included.
fn string_end(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// The text with these pieces replaced, which stand in order and apart.
pub(super) fn replaced(text: &[u8], edits: &[(Range<usize>, Vec<u8>)]) -> Vec<u8> {
    let more: usize = edits.iter().map(|(_, new)| new.len()).sum();
    let mut out = Vec::with_capacity(text.len() + more);
    let mut from = 0;
    for (old, new) in edits {
        out.extend_from_slice(&text[from..old.start]);
        out.extend_from_slice(new);
        from = old.end;
    }
    out.extend_from_slice(&text[from..]);
    out
}

/// Text as a JSON string.
pub(super) fn quoted(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).expect("a string is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<Vec<(usize, &str, &str)>> {
        let mut all = Vec::new();
        let is_read = members(text.as_bytes(), |member| {
            all.push((member.depth, &text[member.name], &text[member.value]));
        });
        is_read.then_some(all)
    }

    #[test]
    fn members_are_told_with_their_places() {
        let text = "\u{feff} { \"a\" : \"x\\\"}\" , \"b\":[1,{\"c\":null}, -2e3 ],\n\"d\":{ } } ";
        let all = told(text).unwrap();
        assert_eq!(
            all,
            [
                (1, "\"a\"", r#""x\"}""#),
                (3, "\"c\"", "null"),
                (1, "\"b\"", "[1,{\"c\":null}, -2e3 ]"),
                (1, "\"d\"", "{ }"),
            ]
        );
        assert_eq!(told("[1, \"a\"]"), Some(vec![]));
        assert_eq!(told("1"), Some(vec![]));
    }

    #[test]
    fn what_is_no_json_or_too_deep_is_not_read() {
        for text in ["", "{", "{\"a\":1,}", "{\"a\":1}x", "{'a':1}", "\"a", "{\"a\" 1}"] {
            assert_eq!(told(text), None, "{text}");
        }
        assert_eq!(told(&format!("{}{}", "[".repeat(300), "]".repeat(300))), None);
        assert!(told(&format!("{}{}", "[".repeat(200), "]".repeat(200))).is_some());
    }

    #[test]
    fn a_name_is_known_however_it_is_written() {
        let text = br#"{"service\u0055rl":1}"#;
        let mut found = Vec::new();
        assert!(members(text, |member| found.push(member.is_named(text, "serviceUrl"))));
        assert_eq!(found, [true]);
    }
}
