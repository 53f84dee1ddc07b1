//! What the fuzzers of this repository reach. Not part of the interface that others may use: it
//! changes without notice.

pub use crate::chunked::{ChunkError, Chunked, Part};
pub use crate::head::Framing;

use crate::Policy;
use crate::head::{
    HeadSearch, RequestRules, RequestText, ResponseStyle, parse_request, pass_response,
};
use crate::policy::PolicyRules;

/// How the head of a request was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It is not whole yet.
    Partial,
    /// It is answered with this status.
    Refused(u16),
    /// It is passed on.
    Accepted(Accepted),
}

/// A head that is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its length in the input.
    pub length: usize,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether it asks for an upgrade, and may.
    pub upgrade: bool,
    /// The head that the upstream gets.
    pub passed: Vec<u8>,
}

/// Reads heads by one policy.
#[derive(Debug)]
pub struct Reader {
    rules: RequestRules,
}

impl Reader {
    /// A reader with this policy and at most this many headers.
    ///
    /// # Errors
    ///
    /// As [`crate::BridgeConfig::check`].
    pub fn new(policy: &Policy, max_headers: usize) -> Result<Self, crate::ConfigError> {
        Ok(Reader {
            rules: RequestRules {
                max_headers,
                max_body_bytes: None,
                policy: PolicyRules::new(policy)?,
                token: None,
                upstream_token: None,
                loopback_names_only: false,
                spans: true,
            },
        })
    }

    /// Reads the head at the start of `input`.
    pub fn read(&self, input: &[u8]) -> Reading {
        let mut passed = Vec::new();
        let mut text = RequestText::default();
        match parse_request(input, &self.rules, &mut passed, Some(&mut text)) {
            Ok(None) => Reading::Partial,
            Ok(Some(head)) => Reading::Accepted(Accepted {
                length: head.length,
                framing: head.body,
                upgrade: head.upgrade,
                passed,
            }),
            Err(refused) => Reading::Refused(refused.refusal.kind.status().0),
        }
    }

    /// As [`Reader::read`] of an input that comes `step` bytes at a time, as sessions read it.
    pub fn read_in_steps(&self, input: &[u8], step: usize) -> Reading {
        let mut search = HeadSearch::default();
        let mut end = 0;
        while end < input.len() {
            end = (end + step).min(input.len());
            if search.may_be_whole(&input[..end]) {
                match self.read(&input[..end]) {
                    Reading::Partial => {}
                    other => return other,
                }
            }
        }
        Reading::Partial
    }
}

/// The head of an answer that is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its length in the input.
    pub length: usize,
    /// The status.
    pub status: u16,
    /// Where the body ends, as the upstream tells it.
    pub framing: Framing,
    /// The head that the client gets.
    pub passed: Vec<u8>,
}

/// Reads the head of an answer at the start of `input`, and writes it for a client of HTTP/1.1 or
/// 1.0. `None` where it is not whole, or malformed.
pub fn answer(input: &[u8], to_head: bool, is_http11: bool, max_headers: usize) -> Option<Answer> {
    let mut passed = Vec::new();
    let head = pass_response(input, max_headers, to_head, &mut passed, |head| {
        let upgrade = head.status == 101;
        let style = ResponseStyle { is_http11, close: false, tell_keep_alive: !is_http11, upgrade };
        Ok(Some(style))
    });
    let head = head.ok()??;
    Some(Answer { length: head.length, status: head.status, framing: head.body, passed })
}
