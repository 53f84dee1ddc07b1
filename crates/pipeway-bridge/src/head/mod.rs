//! Heads of requests and answers: parsed once, checked strictly, written anew for the other side.

mod field;
mod request;
mod response;

pub(crate) use request::{
    Refused, RequestHead, RequestRules, RequestText, body_too_large, is_loopback_name,
    parse_request,
};
pub(crate) use response::{ResponseStyle, pass_response};

/// How a body's end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// So many bytes.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
    /// The end of the connection (answers only).
    UntilClose,
}

/// Remembers how far an unfinished head was looked through, so that a head that comes byte by
/// byte is not parsed again for each byte.
#[derive(Debug, Default)]
pub(crate) struct HeadSearch {
    seen: usize,
}

impl HeadSearch {
    /// Whether the head in `input` may be whole. Always so on the first look.
    pub(crate) fn may_be_whole(&mut self, input: &[u8]) -> bool {
        let from = self.seen.saturating_sub(3);
        let first = self.seen == 0;
        self.seen = input.len();
        if first {
            return true;
        }
        let new = &input[from..];
        memchr::memchr_iter(b'\n', new).any(|at| {
            let rest = &new[at + 1..];
            rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
        })
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self) {
        self.seen = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_wherever_it_is_cut() {
        for head in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"GET / HTTP/1.1\nHost: x\n\n"] {
            for step in 1..head.len() {
                let mut search = HeadSearch::default();
                assert!(search.may_be_whole(&head[..1]));
                let mut found = false;
                let mut end = 1;
                while end < head.len() {
                    end = (end + step).min(head.len());
                    found = search.may_be_whole(&head[..end]);
                    assert_eq!(found, end == head.len(), "{step} {end}");
                }
                assert!(found);
            }
        }
    }
}
