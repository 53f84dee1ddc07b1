//! From bytes to frames.

use std::time::Instant;

use bytes::{Buf, Bytes};

use super::budget::Charge;
use super::inbox::{Begin, Clock, Standing};
use super::timers::Due;
use super::{Connection, Warning};
use crate::error::ErrorKind;
use crate::header::{HEADER_LENGTH, Header, Kind};
use crate::id::Id;

/// Where the input stands.
#[derive(Debug)]
pub(super) struct Input {
    /// What has come of a header.
    head: [u8; HEADER_LENGTH],
    filled: usize,
    state: State,
    /// Whose content came last.
    stream: Option<Id>,
    /// A stream that may go on without frames, and how many bytes it lacks.
    doubt: Option<(Id, u64)>,
}

#[derive(Debug)]
enum State {
    Head,
    Payload { header: Header, left: usize, kept: Kept },
    Unframed { id: Id, left: u64, whole: u64 },
}

/// What becomes of a payload.
#[derive(Debug)]
enum Kept {
    Stream,
    /// An envelope, as far as it has come.
    Envelope(Vec<u8>, Charge),
    Nothing,
}

impl Default for Input {
    fn default() -> Self {
        Input { head: [0; HEADER_LENGTH], filled: 0, state: State::Head, stream: None, doubt: None }
    }
}

impl Input {
    /// Whether a frame has begun and is not whole.
    fn is_in_frame(&self) -> bool {
        match self.state {
            State::Head => self.filled > 0 && self.doubt.is_none(),
            State::Payload { .. } => true,
            State::Unframed { .. } => false,
        }
    }
}

impl Connection {
    /// Takes what was read. Content is cut out of it without a copy, so `bytes` stay in memory as
    /// long as any of it is kept: a buffer should not be much larger than what was read into it.
    pub fn receive(&mut self, bytes: Bytes, now: Instant) {
        let bytes = self.budget.hold(bytes);
        self.receive_held(bytes, now);
    }

    /// How much of the stream whose content came last is known to come, in bytes.
    pub(crate) fn expects(&self) -> u64 {
        let lengths = self.input.stream.and_then(|id| self.inbox.lengths(&id));
        lengths.and_then(|(length, declared)| declared?.checked_sub(length)).unwrap_or(0)
    }

    /// Counts memory of so many bytes until the charge is dropped, if there is room for twice as
    /// much.
    pub(crate) fn charge(&self, bytes: usize) -> Option<Charge> {
        let room = self.limits.memory_bytes_max.saturating_sub(self.budget.held());
        (room / 2 >= bytes).then(|| self.budget.charge(bytes))
    }

    /// As [`receive`](Self::receive), of bytes that a charge counts already.
    pub(crate) fn receive_held(&mut self, mut bytes: Bytes, now: Instant) {
        if self.ended.is_some() || bytes.is_empty() {
            return;
        }
        while !bytes.is_empty() && self.ended.is_none() {
            self.step(&mut bytes, now);
        }
        drop(bytes);
        self.watch_frame(now);
        self.watch_writing(now);
    }

    /// Nothing more will be read. Within a frame that is an error; a header that has come in part
    /// is none, as some peers write a few bytes when they close.
    pub fn end_of_input(&mut self) {
        match self.input.state {
            State::Head => self.end(Ok(())),
            State::Payload { .. } => {
                self.fail(ErrorKind::Truncated, "the input ended in the middle of a frame");
            }
            State::Unframed { .. } => {
                self.fail(ErrorKind::TrailingFailed, "the input ended in unframed content");
            }
        }
    }

    /// Takes some of `bytes`, which are not empty.
    fn step(&mut self, bytes: &mut Bytes, now: Instant) {
        match &mut self.input.state {
            State::Head => self.step_head(bytes, now),
            State::Payload { left, .. } => {
                let piece = bytes.split_to(bytes.len().min(*left));
                *left -= piece.len();
                let is_last = *left == 0;
                self.payload(piece, now);
                if is_last && self.ended.is_none() {
                    self.payload_is_over(now);
                }
            }
            State::Unframed { id, left, .. } => {
                let id = *id;
                let piece = bytes.split_to((bytes.len() as u64).min(*left) as usize);
                *left -= piece.len() as u64;
                let is_over = *left == 0;
                self.keep(&id, piece);
                if self.ended.is_none() {
                    self.unframed_goes_on(is_over, now);
                }
            }
        }
    }

    fn step_head(&mut self, bytes: &mut Bytes, now: Instant) {
        let strictness = self.limits.strictness;
        let input = &mut self.input;
        let taken = bytes.len().min(HEADER_LENGTH - input.filled);
        input.head[input.filled..input.filled + taken].copy_from_slice(&bytes[..taken]);
        bytes.advance(taken);
        input.filled += taken;
        let header = match input.filled {
            HEADER_LENGTH => Some(Header::read(&input.head, strictness)),
            filled => {
                let may_begin = Header::may_begin(&input.head[..filled], strictness);
                if input.doubt.is_some() && !may_begin {
                    self.take_unframed(now);
                } else if input.doubt.is_some() {
                    // Both are possible still, and either way more is coming.
                    let after = self.limits.trailing_timeout;
                    self.timers.clear(&mut self.trailing_timer);
                    self.trailing_timer = self.timers.set(now, after, Due::Trailing);
                }
                return;
            }
        };
        match header {
            Some(Ok(header)) => {
                self.input.filled = 0;
                self.stream_is_short(now);
                self.last_frame = now;
                self.timeouts_in_silence = 0;
                self.header(header, now);
            }
            Some(Err(_)) if self.input.doubt.is_some() => self.take_unframed(now),
            Some(Err(defect)) => self.fail(ErrorKind::HeaderInvalid, &defect.to_string()),
            None => {}
        }
    }

    /// What was taken for a possible header is content of the stream that lacks some.
    fn take_unframed(&mut self, now: Instant) {
        let Some((id, missing)) = self.input.doubt.take() else { return };
        let input = &mut self.input;
        let taken = (input.filled as u64).min(missing) as usize;
        let piece = Bytes::copy_from_slice(&input.head[..taken]);
        input.head.copy_within(taken..input.filled, 0);
        input.filled -= taken;
        let left = missing - taken as u64;
        input.state = State::Unframed { id, left, whole: missing };
        self.keep(&id, piece);
        // What is left of them, if the content ends in them, is the start of the next header.
        if self.ended.is_none() {
            self.unframed_goes_on(left == 0, now);
        }
    }

    fn unframed_goes_on(&mut self, is_over: bool, now: Instant) {
        self.timers.clear(&mut self.trailing_timer);
        let State::Unframed { id, whole, .. } = self.input.state else { return };
        if is_over {
            self.input.state = State::Head;
            self.warn(Warning::Unframed { id, bytes: whole });
            self.stream_is_over(&id, now);
        } else {
            let after = self.limits.trailing_timeout;
            self.trailing_timer = self.timers.set(now, after, Due::Trailing);
        }
    }

    /// Nothing followed a short stream that could be its content, or nothing at all.
    fn stream_is_short(&mut self, now: Instant) {
        if let Some((id, _)) = self.input.doubt.take() {
            self.timers.clear(&mut self.trailing_timer);
            self.stream_is_over(&id, now);
        }
    }

    /// What was waited for behind a short stream has not come.
    pub(super) fn trailing_is_due(&mut self, now: Instant) {
        self.trailing_timer = None;
        if let State::Unframed { .. } = self.input.state {
            self.fail(ErrorKind::TrailingFailed, "unframed content makes no progress");
        } else {
            self.stream_is_short(now);
            self.watch_frame(now);
        }
    }

    fn header(&mut self, header: Header, now: Instant) {
        let left = header.length.bytes();
        if left > self.limits.frame_bytes_max as usize {
            return self.fail(ErrorKind::LimitExceeded, "a frame is longer than may be");
        }
        if header.kind == Kind::Request {
            self.request_came(&header.id);
        }
        let kept = match header.kind {
            Kind::Stream => match self.begin_stream(&header, now) {
                Some(kept) => kept,
                None => return,
            },
            Kind::Request | Kind::Response => Kept::Envelope(Vec::new(), self.budget.charge(0)),
            Kind::CancelAll | Kind::CancelStream => Kept::Nothing,
            Kind::Unknown(byte) => {
                self.warn(Warning::UnknownKind(byte));
                Kept::Nothing
            }
        };
        self.input.state = State::Payload { header, left, kept };
        if left == 0 {
            self.payload_is_over(now);
        }
    }

    fn begin_stream(&mut self, header: &Header, now: Instant) -> Option<Kept> {
        let (id, bytes, others) = (header.id, header.length.bytes(), self.partials.len());
        let clock = &mut Clock { now, timers: &mut self.timers, limits: &self.limits };
        match self.inbox.begin(id, bytes, others, clock) {
            Begin::Keep => {
                self.input.stream = Some(id);
                Some(Kept::Stream)
            }
            Begin::Skip => {
                if header.end {
                    self.inbox.skipped_last(&id);
                }
                Some(Kept::Nothing)
            }
            Begin::Late => {
                self.warn(Warning::ContentAfterEnd(id));
                Some(Kept::Nothing)
            }
            Begin::TooManyStreams => {
                self.fail(ErrorKind::LimitExceeded, "more streams are open than may be");
                None
            }
            Begin::TooLong => {
                self.fail(ErrorKind::LimitExceeded, "a stream is longer than may be");
                None
            }
        }
    }

    /// A piece of the payload.
    fn payload(&mut self, piece: Bytes, now: Instant) {
        let State::Payload { header, left, kept } = &mut self.input.state else { return };
        match kept {
            Kept::Stream => {
                let id = header.id;
                self.keep(&id, piece);
            }
            // All at once: it is read where it lies.
            Kept::Envelope(bytes, _) if bytes.is_empty() && *left == 0 => {
                let header = *header;
                self.input.state = State::Head;
                self.timers.clear(&mut self.frame_timer);
                self.envelope(header, &piece, now);
            }
            Kept::Envelope(bytes, charge) => {
                bytes.extend_from_slice(&piece);
                charge.add(piece.len());
            }
            Kept::Nothing => {}
        }
    }

    /// The frame is whole.
    fn payload_is_over(&mut self, now: Instant) {
        let state = std::mem::replace(&mut self.input.state, State::Head);
        let State::Payload { header, kept, .. } = state else { return };
        self.timers.clear(&mut self.frame_timer);
        match (kept, header.kind) {
            (Kept::Envelope(bytes, _charge), _) => self.envelope(header, &bytes, now),
            (Kept::Stream, _) => match self.inbox.standing(&header.id, header.end, &self.limits) {
                Standing::More => {}
                Standing::Over => self.stream_is_over(&header.id, now),
                Standing::Short(missing) => {
                    self.input.doubt = Some((header.id, missing));
                    let after = self.limits.look_ahead;
                    self.trailing_timer = self.timers.set(now, after, Due::Trailing);
                }
            },
            (Kept::Nothing, Kind::CancelAll) => self.all_cancelled(now),
            (Kept::Nothing, Kind::CancelStream) => self.cancelled(header.id),
            (Kept::Nothing, _) => {}
        }
    }

    /// Adds content to a stream, if there is memory for it.
    fn keep(&mut self, id: &Id, piece: Bytes) {
        self.inbox.append(id, piece, &self.budget);
        if self.budget.held() > self.limits.memory_bytes_max {
            self.fail(ErrorKind::LimitExceeded, "received content holds all memory that it may");
        }
    }

    /// Sees to it that a frame that has begun is brought to its end.
    fn watch_frame(&mut self, now: Instant) {
        if self.ended.is_some() {
            return;
        }
        if !self.input.is_in_frame() {
            self.timers.clear(&mut self.frame_timer);
        } else if self.frame_timer.is_none() {
            self.frame_timer = self.timers.set(now, self.limits.frame_timeout, Due::Frame);
        }
    }
}
