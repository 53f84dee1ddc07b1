//! Text for a console that takes nothing else.

/// Makes text of bytes that come in pieces.
#[derive(Debug, Default)]
pub(crate) struct Text {
    /// The beginning of a character whose rest has not come yet.
    begun: Vec<u8>,
}

impl Text {
    /// The text of `data`, but for a beginning of a character that it ends with.
    pub(crate) fn take(&mut self, data: &[u8]) -> String {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(data);
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            let rest = chunk.invalid();
            // Only at the end can it be the beginning of a character.
            let is_last = rest.as_ptr_range().end == bytes.as_ptr_range().end;
            match std::str::from_utf8(rest) {
                Ok(_) => {}
                Err(error) if is_last && error.error_len().is_none() => self.begun = rest.to_vec(),
                Err(_) => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_come_in_pieces_are_put_together() {
        let written = "aä你🙂z";
        for size in 1..5 {
            let mut text = Text::default();
            let pieces = written.as_bytes().chunks(size);
            let read: String = pieces.map(|piece| text.take(piece)).collect();
            assert_eq!(read, written, "in pieces of {size}");
            assert!(text.begun.is_empty());
        }
    }

    #[test]
    fn what_is_no_text_is_shown_as_such() {
        let mut text = Text::default();
        assert_eq!(text.take(b"a\xff\xe4b"), "a\u{fffd}\u{fffd}b");
        assert_eq!(text.take(b"\xe4"), "");
        assert_eq!(text.take(b"x"), "\u{fffd}x");
        assert_eq!(text.take(b"\xe4\xe4"), "\u{fffd}");
        assert_eq!(text.take(b"\xbd\xa0"), "你");
    }
}
