//! Envelopes that come in several frames.

use super::budget::Charge;

/// Follows JSON far enough to tell where an object ends, each byte once.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    in_text: bool,
    escaped: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Before,
    Inside,
    Over,
    /// It begins with something else than a brace.
    NoObject,
}

impl Scan {
    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match (self.state, byte) {
                (State::Before, b'{') => (self.state, self.depth) = (State::Inside, 1),
                (State::Before, b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf) => {}
                (State::Before, _) => self.state = State::NoObject,
                (State::Inside, _) => self.inside(*byte),
                (State::Over | State::NoObject, _) => return,
            }
        }
    }

    fn inside(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_text => self.escaped = true,
            b'"' => self.in_text = !self.in_text,
            _ if self.in_text => {}
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.state = State::Over;
                }
            }
            _ => {}
        }
    }
}

/// The frames of an envelope that have come, and what they take.
#[derive(Debug)]
pub(crate) struct Partial {
    bytes: Vec<u8>,
    scan: Scan,
    charge: Charge,
}

impl Partial {
    pub fn new(charge: Charge) -> Self {
        Partial { bytes: Vec::new(), scan: Scan::default(), charge }
    }

    /// Adds a frame's payload.
    pub fn push(&mut self, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.charge.add(payload.len());
        self.scan.feed(payload);
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether more frames can't change what it is.
    pub fn is_decided(&self) -> bool {
        match self.scan.state {
            State::Over => true,
            State::Before | State::Inside => false,
            // `null` is all that may come in parts.
            State::NoObject => !b"null".starts_with(self.bytes.trim_ascii()) || self.is_null(),
        }
    }

    fn is_null(&self) -> bool {
        self.bytes.trim_ascii() == b"null"
    }
}
