//! What the fuzz targets and their corpus tests call. No part of the public interface.

pub use crate::chunked::{ChunkError, Chunked, Part};
pub use crate::head::Framing;

use crate::head::{RequestRules, parse_request};
use crate::policy::PolicyRules;
use crate::{Limits, Policy};

/// What the bridge makes of the start of a client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More bytes are needed.
    Partial,
    /// It is refused with this status.
    Refused(u16),
    /// It is passed on.
    Accepted {
        /// The head's length.
        length: usize,
        /// How the body's end is told.
        framing: Framing,
        /// Whether the connection is kept.
        keep_alive: bool,
        /// Whether it asks for an upgrade.
        upgrade: bool,
        /// The head that the upstream gets.
        upstream_head: Vec<u8>,
    },
}

/// Reads the head at the start of `input` with the default limits and no policy.
pub fn request_head(input: &[u8]) -> Verdict {
    let policy = PolicyRules::new(&Policy::default()).expect("the default policy is sound");
    let rules = RequestRules {
        max_headers: Limits::default().max_headers,
        max_body_bytes: None,
        policy,
        token: None,
        loopback_names_only: false,
        spans: false,
    };
    let mut upstream_head = Vec::new();
    match parse_request(input, &rules, &mut upstream_head, None) {
        Ok(None) => Verdict::Partial,
        Err(refused) => Verdict::Refused(refused.refusal.kind.status().0),
        Ok(Some(head)) => Verdict::Accepted {
            length: head.length,
            framing: head.body,
            keep_alive: head.keep_alive,
            upgrade: head.upgrade,
            upstream_head,
        },
    }
}
