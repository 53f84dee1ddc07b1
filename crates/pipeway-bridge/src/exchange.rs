//! One request and its answer, both ways at once.

use std::task::{Context, Poll};
use std::time::Duration;

use pipeway_telemetry::{End, Side};
use tokio::time::Instant;

use crate::body::Body;
use crate::buffer::Expect;
use crate::chunked::ChunkError;
use crate::conn::{Conn, Outgoing, Turn};
use crate::deadline::Deadline;
use crate::head::{Framing, HeadSearch, RequestHead, ResponseStyle, body_too_large, pass_response};
use crate::respond::{Kind, Refusal};
use crate::splicing::{Spliced, Splicing};
use crate::{Limits, Timeouts};

/// How much of what a client sends ahead of its turn is read while an answer is awaited.
const AHEAD_MAX: usize = 16 * 1024;

/// One request and its answer, on their way.
#[derive(Debug)]
pub(crate) struct Exchange {
    request: RequestHead,
    up: Up,
    to_upstream: Outgoing,
    request_body: Body,
    up_splicing: Splicing,
    down: Down,
    search: HeadSearch,
    to_client: Outgoing,
    answer_body: Body,
    down_splicing: Splicing,
    /// The status of the final answer, once its head was read.
    pub(crate) status: Option<u16>,
    answer: Answer,
    /// The clock, where it was read just now.
    now: Option<Instant>,
    /// Whether the client's connection ends with this answer.
    close: bool,
    upstream_keeps: bool,
    /// Whether anything was written to a connection that was used before.
    reused: bool,
    sent_before: u64,
    moved: u64,
    turn: Turn,
}

/// The request's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    Sending,
    /// The upstream takes no more: the rest is read and dropped, so that its answer can be read.
    Dropping,
    Done,
}

/// The answer's direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Down {
    Head,
    Body,
    Done,
    Upgraded,
}

/// How far it is with the answer's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    NotBegun,
    /// It was read, and the clock was not yet.
    JustBegun,
    Began(Instant),
}

/// What a session gives every exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) draining: bool,
}

/// How an exchange ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The answer was passed on whole.
    Complete {
        /// Whether the client's connection can take another request.
        client_keeps: bool,
        /// Whether the upstream's can.
        upstream_keeps: bool,
        /// Whether the client still sends a body that nobody wants.
        unread: bool,
    },
    /// 101 was passed on: from here on it is bytes.
    Upgraded,
    /// A connection that was used before turned out closed before anything was written to it.
    Stale,
    /// It failed.
    Failed(Failure),
}

/// What failed, and whose fault it was.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) end: End,
    pub(crate) kind: &'static str,
    pub(crate) side: Side,
    /// What to answer, where no answer has begun.
    pub(crate) refusal: Option<Refusal>,
}

impl Failure {
    fn client_closed() -> Self {
        Failure { end: End::ClientClosed, kind: "client_closed", side: Side::Client, refusal: None }
    }

    fn refused(end: End, refusal: Refusal) -> Self {
        Failure {
            end,
            kind: refusal.kind.name(),
            side: refusal.kind.side(),
            refusal: Some(refusal),
        }
    }

    /// There is no connection to the upstream.
    pub(crate) fn no_upstream(refusal: Refusal) -> Self {
        let timed_out = refusal.kind == Kind::UpstreamTimeout;
        Failure::refused(if timed_out { End::Timeout } else { End::Refused }, refusal)
    }

    fn upstream_closed(message: &'static str) -> Self {
        Failure::refused(
            End::UpstreamClosed,
            Refusal::new(
                Kind::UpstreamClosed,
                message,
                "the request was not sent again, since it may have been acted upon; see the service's log",
            ),
        )
    }

    fn protocol(what: &'static str) -> Self {
        Failure::refused(
            End::UpstreamClosed,
            Refusal::new(
                Kind::UpstreamProtocol,
                format!("the service's answer is no valid HTTP: {what}"),
                "see whether the service speaks HTTP/1.1 on this endpoint",
            ),
        )
    }
}

impl Exchange {
    /// An exchange whose upstream's head stands in `head`.
    pub(crate) fn new(request: RequestHead, head: Outgoing, limits: &Limits) -> Self {
        let request_body = Body::of_request(request.body, limits.max_head_bytes);
        Exchange {
            request,
            up: Up::Sending,
            to_upstream: head,
            request_body,
            up_splicing: Splicing::default(),
            down: Down::Head,
            search: HeadSearch::default(),
            to_client: Outgoing::default(),
            answer_body: Body::of_request(Framing::Empty, 0),
            down_splicing: Splicing::default(),
            status: None,
            answer: Answer::NotBegun,
            now: None,
            close: false,
            upstream_keeps: false,
            reused: false,
            sent_before: 0,
            moved: 0,
            turn: Turn::default(),
        }
    }

    /// Begins on `upstream`, which has served `reused` requests before or not; `now` is the clock,
    /// where it was read just before.
    pub(crate) fn begin(
        &mut self,
        upstream: &Conn,
        reused: bool,
        to_client: Outgoing,
        now: Option<Instant>,
    ) {
        self.now = now;
        self.reused = reused;
        self.sent_before = upstream.sent;
        self.to_client = to_client;
    }

    /// The space for heads, to be used again; what was not written is forgotten.
    pub(crate) fn into_space(self) -> (Outgoing, Outgoing) {
        (self.to_upstream.emptied(), self.to_client.emptied())
    }

    /// When the first byte of an answer was read; `now` stands for just now.
    pub(crate) fn answer_began(&self, now: Instant) -> Option<Instant> {
        match self.answer {
            Answer::NotBegun => None,
            Answer::JustBegun => Some(now),
            Answer::Began(at) => Some(at),
        }
    }

    /// Whether nothing of an answer has gone to the client, so that a refusal can.
    pub(crate) fn can_refuse(&self) -> bool {
        self.status.is_none() && self.to_client.is_empty()
    }

    /// Whether nothing of the request is left in the client's input or still to come, so that the
    /// client's connection can go on. A body's tail that is to be passed on as it stands is there
    /// until the upstream takes it.
    pub(crate) fn is_request_done(&self) -> bool {
        self.request_body.is_done() && self.to_upstream.verbatim == 0
    }

    /// Moves both directions on.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Conn,
        upstream: &mut Conn,
        frame: &Frame<'_>,
        deadline: &mut Deadline,
    ) -> Poll<Outcome> {
        self.turn = Turn::default();
        loop {
            let up = match self.poll_up(cx, client, upstream, frame) {
                Ok(up) => up,
                Err(outcome) => return Poll::Ready(outcome),
            };
            let done_before = self.down;
            let down = match self.poll_down(cx, client, upstream, frame) {
                Ok(down) => down,
                Err(outcome) => return Poll::Ready(outcome),
            };
            if down.is_ready() {
                if let Some(outcome) = self.outcome(client, upstream, up.is_ready()) {
                    return Poll::Ready(outcome);
                }
                // The answer is out and the request goes on: look again only if something changed.
                if done_before != self.down {
                    continue;
                }
            }
            break;
        }
        let moved = client.received + client.sent + upstream.received + upstream.sent;
        let (timeout, failure) = self.waits_for(frame);
        if moved != self.moved {
            self.moved = moved;
            let now = self.now.take().unwrap_or_else(Instant::now);
            deadline.set_from(now, timeout);
            if self.answer == Answer::JustBegun {
                self.answer = Answer::Began(now);
            }
        }
        if deadline.poll(cx).is_ready() {
            return Poll::Ready(Outcome::Failed(failure()));
        }
        Poll::Pending
    }

    fn outcome(&self, client: &Conn, upstream: &Conn, request_done: bool) -> Option<Outcome> {
        if self.down == Down::Upgraded {
            return Some(Outcome::Upgraded);
        }
        if request_done {
            return Some(Outcome::Complete {
                client_keeps: !self.close && !client.is_exhausted(),
                // What comes behind the answer was not asked for.
                upstream_keeps: self.upstream_keeps && upstream.input.is_empty(),
                unread: false,
            });
        }
        // Answered before the request's end. A service that goes on reading gets the rest.
        if self.close || !self.upstream_keeps || self.up == Up::Dropping {
            return Some(Outcome::Complete {
                client_keeps: false,
                upstream_keeps: false,
                unread: true,
            });
        }
        None
    }

    /// What is waited for now, for how long, and what it means if it does not come.
    fn waits_for(&self, frame: &Frame<'_>) -> (Option<Duration>, fn() -> Failure) {
        let timeouts = frame.timeouts;
        if !self.to_client.is_empty() || !self.down_splicing.is_empty() {
            return (Some(timeouts.body_idle), || Failure {
                end: End::Timeout,
                kind: "client_not_reading",
                side: Side::Client,
                refusal: None,
            });
        }
        if self.up != Up::Done {
            return if self.to_upstream.is_empty() && self.up_splicing.is_empty() {
                (Some(timeouts.body_idle), || {
                    Failure::refused(
                        End::Timeout,
                        Refusal::new(
                            Kind::BodyTimeout,
                            "the request's body stopped coming",
                            "send it faster, or raise timeouts.body_idle",
                        ),
                    )
                })
            } else {
                (Some(timeouts.body_idle), || {
                    Failure::refused(
                        End::Timeout,
                        Refusal::new(
                            Kind::UpstreamTimeout,
                            "the service stopped reading the request",
                            "see whether the service is alive, or raise timeouts.body_idle",
                        ),
                    )
                })
            };
        }
        if self.down == Down::Head {
            return (timeouts.first_byte, || {
                Failure::refused(
                    End::Timeout,
                    Refusal::new(
                        Kind::UpstreamTimeout,
                        "the service has not answered in time",
                        "see whether the service is alive, or raise timeouts.first_byte",
                    ),
                )
            });
        }
        (timeouts.answer_idle, || Failure {
            end: End::Timeout,
            kind: "upstream_timeout",
            side: Side::Upstream,
            refusal: None,
        })
    }

    fn poll_up(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Conn,
        upstream: &mut Conn,
        frame: &Frame<'_>,
    ) -> Result<Poll<()>, Outcome> {
        loop {
            match self.up {
                Up::Done => return self.watch_client(cx, client),
                Up::Sending => {
                    let sent = match self.up_splicing.poll_drain(cx, upstream) {
                        Poll::Ready(Ok(())) => {
                            upstream.poll_send(cx, &mut self.to_upstream, &mut client.input)
                        }
                        other => other,
                    };
                    match sent {
                        Poll::Ready(Ok(())) => {}
                        Poll::Pending => return Ok(Poll::Pending),
                        Poll::Ready(Err(_)) => {
                            if self.reused && upstream.sent == self.sent_before {
                                return Err(Outcome::Stale);
                            }
                            // It may have answered before it closed.
                            client.input.consume(self.to_upstream.verbatim);
                            self.to_upstream = Outgoing::default();
                            self.up_splicing.clear();
                            self.up = Up::Dropping;
                            continue;
                        }
                    }
                    if self.request_body.is_done() {
                        self.up_splicing.ends(upstream);
                        self.up = Up::Done;
                        continue;
                    }
                    if !client.input.is_empty() {
                        self.request_body
                            .take(&mut client.input, &mut self.to_upstream)
                            .map_err(|error| self.bad_request_body(error))?;
                        self.check_size(frame.limits)?;
                        continue;
                    }
                }
                Up::Dropping => {
                    self.request_body
                        .drop_from(&mut client.input)
                        .map_err(|error| self.bad_request_body(error))?;
                    self.check_size(frame.limits)?;
                    if self.request_body.is_done() {
                        self.up = Up::Done;
                        self.upstream_keeps = false;
                        return Ok(Poll::Ready(()));
                    }
                }
            }
            if self.turn.is_over(cx) {
                return Ok(Poll::Pending);
            }
            if self.up == Up::Sending {
                let ahead = self.request_body.ahead();
                match self.up_splicing.poll_fill(cx, client, upstream, ahead) {
                    Poll::Ready(Ok(Spliced::Not)) => {}
                    Poll::Ready(Ok(Spliced::Moved(0)) | Err(_)) => {
                        return Err(Outcome::Failed(Failure::client_closed()));
                    }
                    Poll::Ready(Ok(Spliced::Moved(n))) => {
                        self.turn.moved(n);
                        self.request_body.passed(n as u64);
                        self.check_size(frame.limits)?;
                        continue;
                    }
                    Poll::Pending => return Ok(Poll::Pending),
                }
            }
            let expect = self.request_body.expect();
            match client.poll_fill(cx, expect, usize::MAX) {
                Poll::Ready(Ok(0) | Err(_)) => {
                    return Err(Outcome::Failed(Failure::client_closed()));
                }
                Poll::Ready(Ok(n)) => {
                    self.turn.moved(n);
                    self.up_splicing.was_read(n);
                }
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
    }

    /// The request is sent: looks whether the client is still there, and keeps what it sends
    /// ahead.
    fn watch_client(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Conn,
    ) -> Result<Poll<()>, Outcome> {
        while !client.ended && client.input.len() < AHEAD_MAX && self.down != Down::Done {
            match client.poll_fill(cx, Expect::Little, AHEAD_MAX) {
                Poll::Ready(Ok(0)) => {
                    // A client may close its sending half and await the answer.
                    if !client.stream.can_half_close() || client.stream.is_hung_up() {
                        return Err(Outcome::Failed(Failure::client_closed()));
                    }
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Err(Outcome::Failed(Failure::client_closed())),
                Poll::Pending => break,
            }
        }
        Ok(Poll::Ready(()))
    }

    fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Conn,
        upstream: &mut Conn,
        frame: &Frame<'_>,
    ) -> Result<Poll<()>, Outcome> {
        loop {
            let sent = match self.down_splicing.poll_drain(cx, client) {
                Poll::Ready(Ok(())) => {
                    client.poll_send(cx, &mut self.to_client, &mut upstream.input)
                }
                other => other,
            };
            match sent {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(_)) => return Err(Outcome::Failed(Failure::client_closed())),
            }
            match self.down {
                Down::Done | Down::Upgraded => return Ok(Poll::Ready(())),
                Down::Head => {
                    if !upstream.input.is_empty() && self.read_head(client, upstream, frame)? {
                        continue;
                    }
                }
                Down::Body => {
                    if self.answer_body.is_done() {
                        self.down_splicing.ends(client);
                        self.down = Down::Done;
                        continue;
                    }
                    if !upstream.input.is_empty() {
                        self.answer_body
                            .take(&mut upstream.input, &mut self.to_client)
                            .map_err(|error| Outcome::Failed(cut_short(error.as_str())))?;
                        continue;
                    }
                }
            }
            if self.turn.is_over(cx) {
                return Ok(Poll::Pending);
            }
            if self.down == Down::Body {
                let ahead = self.answer_body.ahead();
                match self.down_splicing.poll_fill(cx, upstream, client, ahead) {
                    Poll::Ready(Ok(Spliced::Not)) => {}
                    Poll::Ready(Ok(Spliced::Moved(0))) => {
                        self.upstream_ended()?;
                        continue;
                    }
                    Poll::Ready(Ok(Spliced::Moved(n))) => {
                        self.turn.moved(n);
                        self.answer_body.passed(n as u64);
                        continue;
                    }
                    Poll::Ready(Err(_)) => return Err(Outcome::Failed(self.upstream_lost())),
                    Poll::Pending => return Ok(Poll::Pending),
                }
            }
            let (expect, limit) = match self.down {
                Down::Body => (self.answer_body.expect(), usize::MAX),
                _ => (Expect::Little, frame.limits.max_head_bytes),
            };
            match upstream.poll_fill(cx, expect, limit) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    if self.answer == Answer::NotBegun {
                        self.answer = Answer::JustBegun;
                    }
                    self.turn.moved(n);
                    self.down_splicing.was_read(n);
                }
                Poll::Ready(Ok(_)) => self.upstream_ended()?,
                Poll::Ready(Err(_)) => return Err(Outcome::Failed(self.upstream_lost())),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
    }

    fn upstream_ended(&mut self) -> Result<(), Outcome> {
        if self.down == Down::Body && self.answer_body.end_with_connection(&mut self.to_client) {
            self.upstream_keeps = false;
            return Ok(());
        }
        Err(Outcome::Failed(self.upstream_lost()))
    }

    fn upstream_lost(&self) -> Failure {
        if self.down != Down::Head {
            return cut_short("upstream_closed");
        }
        if self.answer != Answer::NotBegun {
            Failure::upstream_closed("the service closed the connection in the head of its answer")
        } else {
            Failure::upstream_closed("the service closed the connection without an answer")
        }
    }

    /// Reads the answer's head from the upstream's input; `false` where it is not whole.
    fn read_head(
        &mut self,
        client: &Conn,
        upstream: &mut Conn,
        frame: &Frame<'_>,
    ) -> Result<bool, Outcome> {
        let limits = frame.limits;
        let input = upstream.input.bytes();
        let protocol = |what| Outcome::Failed(Failure::protocol(what));
        let head = if self.search.may_be_whole(input) {
            let (is_head, is_http11) = (self.request.is_head, self.request.is_http11);
            let out = &mut self.to_client.bytes;
            pass_response(input, limits.max_headers, is_head, out, |head| {
                if head.length > limits.max_head_bytes {
                    return Err("its head is too large");
                }
                let upgrade = head.status == 101;
                if upgrade && !(self.request.upgrade && self.up == Up::Done) {
                    return Err("it switches protocols, and nobody asked it to");
                }
                let interim = head.status < 200 && !upgrade;
                if !interim {
                    let early = self.up != Up::Done;
                    let delimited =
                        is_http11 || !matches!(head.body, Framing::Chunked | Framing::UntilClose);
                    self.close = !self.request.keep_alive
                        || frame.draining
                        || client.is_exhausted()
                        || !delimited
                        || (early
                            && (head.status >= 400 || !head.keep_alive || self.up == Up::Dropping));
                    self.upstream_keeps = head.keep_alive;
                    self.status = Some(head.status);
                    self.answer_body = Body::of_answer(head.body, limits.max_head_bytes, is_http11);
                    self.down = if upgrade { Down::Upgraded } else { Down::Body };
                }
                // HTTP/1.0 knows no interim answers.
                Ok((!interim || is_http11).then_some(ResponseStyle {
                    is_http11,
                    close: self.close,
                    tell_keep_alive: !is_http11,
                    upgrade,
                }))
            })
            .map_err(protocol)?
        } else {
            None
        };
        let Some(head) = head else {
            if input.len() >= limits.max_head_bytes {
                return Err(protocol("its head is too large"));
            }
            return Ok(false);
        };
        self.search.reset();
        upstream.input.consume(head.length);
        if self.down == Down::Body && !upstream.input.is_empty() {
            let taken = self.answer_body.take(&mut upstream.input, &mut self.to_client);
            if let Err(error) = taken {
                // Nothing of this answer has gone out yet, so the truth can be told.
                self.to_client = Outgoing::default();
                self.status = None;
                return Err(protocol(error.as_str()));
            }
        }
        Ok(true)
    }

    fn check_size(&self, limits: &Limits) -> Result<(), Outcome> {
        match limits.max_body_bytes {
            Some(max) if self.request_body.taken > max => {
                Err(Outcome::Failed(Failure::refused(End::Refused, body_too_large(max))))
            }
            _ => Ok(()),
        }
    }

    fn bad_request_body(&self, error: ChunkError) -> Outcome {
        Outcome::Failed(Failure::refused(
            End::Refused,
            Refusal::new(
                Kind::BadRequest,
                error.as_str(),
                "send the chunked coding as RFC 9112 has it",
            ),
        ))
    }
}

/// The answer broke off after its head was passed on: the client must see an error.
fn cut_short(kind: &'static str) -> Failure {
    let kind = if kind == "upstream_closed" { kind } else { "upstream_protocol" };
    Failure { end: End::UpstreamClosed, kind, side: Side::Upstream, refusal: None }
}
