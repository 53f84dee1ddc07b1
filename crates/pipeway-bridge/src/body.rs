//! A body on its way: where it ends, and how the other side is told.

use crate::buffer::{Buffer, Expect};
use crate::chunked::{ChunkError, Chunked, Part};
use crate::conn::Outgoing;
use crate::head::Framing;
use crate::splicing::Ahead;

/// A length from which a body is read in large pieces.
const LONG: u64 = 16 * 1024;

/// A body on its way.
#[derive(Debug)]
pub(crate) struct Body {
    end: End,
    coding: Coding,
    /// Bytes of payload taken so far.
    pub(crate) taken: u64,
}

#[derive(Debug)]
enum End {
    Here,
    After(u64),
    Chunks(Box<Chunked>),
    Close,
}

/// What is done to a body on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// Nothing.
    Verbatim,
    /// The chunked coding is taken off, for a client of HTTP/1.0.
    Unchunked,
    /// The chunked coding is put on, for a body that ends with the connection.
    Chunked,
}

impl Body {
    /// A request's body.
    pub(crate) fn of_request(framing: Framing, trailers_max: usize) -> Self {
        Body::new(framing, trailers_max, Coding::Verbatim)
    }

    /// An answer's body, for a client of HTTP/1.1 or 1.0.
    pub(crate) fn of_answer(framing: Framing, trailers_max: usize, is_http11: bool) -> Self {
        let coding = match framing {
            Framing::Chunked if !is_http11 => Coding::Unchunked,
            Framing::UntilClose if is_http11 => Coding::Chunked,
            _ => Coding::Verbatim,
        };
        Body::new(framing, trailers_max, coding)
    }

    fn new(framing: Framing, trailers_max: usize, coding: Coding) -> Self {
        let end = match framing {
            Framing::Empty => End::Here,
            Framing::Length(length) => End::After(length),
            Framing::Chunked => End::Chunks(Box::new(Chunked::new(trailers_max))),
            Framing::UntilClose => End::Close,
        };
        Body { end, coding, taken: 0 }
    }

    /// Whether all of it was taken.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.end, End::Here)
    }

    /// How much of it may be read at once.
    pub(crate) fn expect(&self) -> Expect {
        match self.end {
            End::After(left) if left < LONG => Expect::Little,
            _ if self.taken < LONG => Expect::Little,
            _ => Expect::Much,
        }
    }

    /// How much of what comes next may be passed on unread.
    pub(crate) fn ahead(&self) -> Ahead {
        match (&self.end, self.coding) {
            (End::After(left), _) => Ahead::Exactly(*left),
            (End::Close, Coding::Verbatim) => Ahead::UntilEnd,
            (End::Chunks(chunks), Coding::Verbatim) => match chunks.left_of_chunk() {
                0 => Ahead::Nothing,
                left => Ahead::Exactly(left),
            },
            _ => Ahead::Nothing,
        }
    }

    /// Takes note of `n` bytes that were passed on unread, no more than were [ahead](Self::ahead).
    pub(crate) fn passed(&mut self, n: u64) {
        self.taken += n;
        match &mut self.end {
            End::Here => unreachable!("nothing was ahead"),
            End::After(left) => {
                *left = left.checked_sub(n).expect("no more is passed on than was ahead");
                if *left == 0 {
                    self.end = End::Here;
                }
            }
            End::Close => {}
            End::Chunks(chunks) => chunks.skip(n),
        }
    }

    /// Moves what `input` has of the body to `out`, which must have no verbatim part.
    pub(crate) fn take(
        &mut self,
        input: &mut Buffer,
        out: &mut Outgoing,
    ) -> Result<(), ChunkError> {
        match &mut self.end {
            End::Here => {}
            End::After(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= n as u64;
                self.taken += n as u64;
                if *left == 0 {
                    self.end = End::Here;
                }
                out.pass(input, n);
            }
            End::Close => {
                let n = input.len();
                self.taken += n as u64;
                if self.coding == Coding::Chunked {
                    write_chunk(input.bytes(), &mut out.bytes);
                    input.consume(n);
                } else {
                    out.pass(input, n);
                }
            }
            End::Chunks(chunks) => {
                let (taken, done) = take_chunks(chunks, self.coding, input, out)?;
                self.taken += taken;
                if done {
                    self.end = End::Here;
                }
            }
        }
        Ok(())
    }

    /// Drops what `input` has of the body.
    pub(crate) fn drop_from(&mut self, input: &mut Buffer) -> Result<(), ChunkError> {
        let mut out = Outgoing::default();
        while !self.is_done() && !input.is_empty() {
            self.take(input, &mut out)?;
            input.consume(out.verbatim);
            out.verbatim = 0;
            out.bytes.clear();
        }
        Ok(())
    }

    /// The connection that it came over has ended. Whether that is the body's end too.
    pub(crate) fn end_with_connection(&mut self, out: &mut Outgoing) -> bool {
        if !matches!(self.end, End::Close) {
            return false;
        }
        if self.coding == Coding::Chunked {
            out.bytes.extend_from_slice(b"0\r\n\r\n");
        }
        self.end = End::Here;
        true
    }
}

/// Moves whole parts from `input` to `out`; how many bytes of payload, and whether they were the
/// last.
fn take_chunks(
    chunks: &mut Chunked,
    coding: Coding,
    input: &mut Buffer,
    out: &mut Outgoing,
) -> Result<(u64, bool), ChunkError> {
    let (mut at, mut payload) = (0, 0);
    while at < input.len() && !chunks.is_in_trailers() {
        let rest = &input.bytes()[at..];
        at += match chunks.next(rest)? {
            Part::Data(n) => {
                payload += n as u64;
                if coding == Coding::Unchunked {
                    out.bytes.extend_from_slice(&rest[..n]);
                }
                n
            }
            Part::Framing(n) | Part::Trailers(n) | Part::End(n) => n,
        };
    }
    match coding {
        Coding::Unchunked => input.consume(at),
        Coding::Verbatim | Coding::Chunked => out.pass(input, at),
    }
    // The trailers are written anew, behind what precedes them.
    if out.verbatim > 0 || input.is_empty() || !chunks.is_in_trailers() {
        return Ok((payload, false));
    }
    let part = chunks.next(input.bytes())?;
    let (Part::Data(n) | Part::Framing(n) | Part::Trailers(n) | Part::End(n)) = part;
    input.consume(n);
    let done = chunks.is_done();
    if done && coding == Coding::Verbatim {
        chunks.write_trailers(&mut out.bytes);
    }
    Ok((payload, done))
}

fn write_chunk(payload: &[u8], out: &mut Vec<u8>) {
    use std::io::Write;
    if payload.is_empty() {
        return;
    }
    // Writing to a Vec does not fail.
    let _ = write!(out, "{:x}\r\n", payload.len());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}
