//! One accepted connection, from accept to close.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pipeway_telemetry::{End, EventKind, Fault, Http, TraceContext};
use pipeway_transport::{Peer, Probe, Stream};
use tokio::time::Instant;

use crate::accepted::Accepted;
use crate::awake::{For, Moved, wait};
use crate::buffer::Expect;
use crate::conn::{Conn, Outgoing};
use crate::deadline::Deadline;
use crate::exchange::{Exchange, Failure, Frame, Outcome};
use crate::head::{Framing, HeadSearch, Refused, RequestHead, RequestText, parse_request};
use crate::relay::Relay;
use crate::respond::{Kind, Refusal};
use crate::shared::{Place, Stage};

/// How long what a client still sends is read and dropped after its answer, so that the answer is
/// not lost with it.
const LINGER: Duration = Duration::from_secs(5);

/// How long the client of a pipe may pause in sending before the pipe is closed on it: longer than a
/// busy system keeps one from its processor. One that reads to the end waits for so long.
const QUIET: Duration = Duration::from_secs(1);

/// A connection that was idle for less is not looked at with a system call before it is used:
/// had it been closed, the runtime would know.
const FRESH: Duration = Duration::from_secs(1);

/// One accepted connection.
pub(crate) struct Session {
    accepted: Accepted,
    client: Conn,
    upstream: Option<Conn>,
    /// When the upstream's connection was last used.
    used: Instant,
    /// Since when a request is waited for, where the clock was read just then.
    waits_since: Option<Instant>,
    deadline: Deadline,
    requests: u64,
    text: RequestText,
    to_upstream: Outgoing,
    to_client: Outgoing,
    /// The request that is being served, for its event.
    current: Option<Current>,
    connected: bool,
    /// Whether the upstream may know the connection as this client's.
    is_bound: bool,
}

/// What is known of the request that is being served.
#[derive(Clone, Debug)]
struct Current {
    kind: EventKind,
    started: Instant,
    /// When the head was whole.
    whole: Instant,
    received: u64,
    sent: u64,
    trace: Option<TraceContext>,
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    status: Option<u16>,
    has_upstream: bool,
}

/// What a client's connection gave next.
enum Next {
    Request(RequestHead),
    Refused(Box<Refused>),
    Ended(End),
}

/// What becomes of the client's connection.
enum After {
    Keep,
    Close,
    /// The client still sends what nobody wants.
    Linger,
    Ended(End),
}

impl Session {
    pub(crate) fn new(place: Place, stream: Stream, peer: Peer) -> Self {
        let accepted = Accepted::new(place, peer);
        Session {
            used: accepted.started,
            waits_since: Some(accepted.started),
            accepted,
            client: Conn::new(stream),
            upstream: None,
            deadline: Deadline::default(),
            requests: 0,
            text: RequestText::default(),
            to_upstream: Outgoing::default(),
            to_client: Outgoing::default(),
            current: None,
            connected: false,
            is_bound: false,
        }
    }

    /// Serves the connection to its end, or until everything is cut.
    #[allow(
        clippy::manual_async_fn,
        reason = "an `async fn` has two places for `self`: the argument's and the variable's"
    )]
    pub(crate) fn serve(mut self) -> impl Future<Output = ()> + Send {
        async move {
            let shared = Arc::clone(&self.accepted.shared);
            let end = {
                let run = pin!(self.run());
                shared.unless_cut(run).await
            };
            let end = end.unwrap_or_else(|| {
                shared.count_cut();
                self.client.stream.abort_on_close();
                End::Cut
            });
            self.finish_request(end, None, Instant::now());
            self.tell_session(end);
        }
    }

    async fn run(&mut self) -> End {
        if self.accepted.place.over {
            let refusal = Refusal::new(
                Kind::TooManySessions,
                "this user has as many connections as the bridge allows",
                "close some, or raise limits.max_sessions_per_peer",
            );
            self.refuse(refusal, false, true).await;
            self.linger().await;
            return End::Refused;
        }
        loop {
            let after = match self.next_request().await {
                Next::Request(head) => self.exchange(head).await,
                Next::Refused(refused) => self.refuse_request(*refused).await,
                Next::Ended(end) => After::Ended(end),
            };
            if !matches!(after, After::Keep) {
                self.leave_upstream();
            }
            match after {
                After::Keep => {}
                After::Close => {
                    self.close().await;
                    return self.accepted.orderly_end();
                }
                After::Linger => {
                    self.linger().await;
                    return self.accepted.orderly_end();
                }
                After::Ended(end) => return end,
            }
        }
    }

    /// Waits for a whole head, and parses it.
    async fn next_request(&mut self) -> Next {
        let mut search = HeadSearch::default();
        let mut began = None;
        let timeouts = &self.accepted.shared.timeouts;
        let idle = if self.requests == 0 { timeouts.first_request } else { timeouts.keep_alive };
        let since = self.waits_since.take().unwrap_or_else(Instant::now);
        self.deadline.set_from(since, Some(idle));
        self.to_client.trim();
        self.to_upstream.trim();
        let shared = Arc::clone(&self.accepted.shared);
        let max = shared.limits.max_head_bytes;
        let mut read_at = None;
        // The answer before was the last turn.
        let mut answered = 1;
        let next = wait(shared.busy_poll, self.accepted.id, For::Request, |cx, moved| {
            moved.wrote = std::mem::take(&mut answered);
            read_at = None;
            loop {
                if !self.client.input.is_empty() {
                    if began.is_none() {
                        let now = Instant::now();
                        read_at = Some(now);
                        began = Some((now, self.client.used()));
                        self.deadline.set_from(now, Some(shared.timeouts.head));
                    }
                    let input = self.client.input.bytes();
                    if search.may_be_whole(input) {
                        self.text.clear();
                        self.to_upstream.bytes.clear();
                        let text = shared.events.is_enabled().then_some(&mut self.text);
                        let out = &mut self.to_upstream.bytes;
                        match parse_request(input, &shared.rules, out, text) {
                            Ok(None) => {}
                            Ok(Some(head)) if head.length > max => {
                                return Poll::Ready(Next::Refused(Box::new(head_too_large(max))));
                            }
                            Ok(Some(head)) => return Poll::Ready(Next::Request(head)),
                            Err(refused) => return Poll::Ready(Next::Refused(refused)),
                        }
                    }
                    if input.len() >= max {
                        return Poll::Ready(Next::Refused(Box::new(head_too_large(max))));
                    }
                } else if shared.stage() != Stage::Run {
                    return Poll::Ready(Next::Ended(End::Drained));
                }
                match self.client.poll_fill(cx, Expect::Little, max.saturating_add(1)) {
                    Poll::Ready(Ok(n)) if n > 0 => moved.read += n,
                    Poll::Ready(ended) => {
                        // What is left to others must not be closed.
                        self.drop_closed_upstream(cx);
                        let whole = ended.is_ok() && self.client.input.is_empty();
                        let end = if whole { End::Complete } else { End::ClientClosed };
                        return Poll::Ready(Next::Ended(end));
                    }
                    Poll::Pending => {
                        if self.client.input.is_empty() {
                            self.drop_closed_upstream(cx);
                        }
                        if self.deadline.poll(cx).is_pending() {
                            return Poll::Pending;
                        }
                        return Poll::Ready(if self.client.input.is_empty() {
                            Next::Ended(End::Timeout)
                        } else {
                            Next::Refused(Box::new(head_timeout()))
                        });
                    }
                }
            }
        });
        let next = next.await;
        if !matches!(next, Next::Ended(_)) {
            self.requests += 1;
            let (started, received) = began.unwrap_or((self.accepted.started, 0));
            self.current = Some(Current {
                kind: EventKind::Request,
                started,
                // Mostly the whole head comes at once.
                whole: read_at.unwrap_or_else(Instant::now),
                received,
                sent: self.client.sent,
                trace: None,
                connect: None,
                first_byte: None,
                status: None,
                has_upstream: false,
            });
        }
        next
    }

    /// Closes an idle connection to the upstream that the upstream has closed.
    fn drop_closed_upstream(&mut self, cx: &mut Context<'_>) {
        if let Some(upstream) = &mut self.upstream
            && upstream.poll_fill(cx, Expect::Little, 1).is_ready()
        {
            self.upstream = None;
        }
    }

    /// Passes one request on, and its answer back.
    async fn exchange(&mut self, head: RequestHead) -> After {
        let shared = Arc::clone(&self.accepted.shared);
        if let Some(current) = &mut self.current {
            current.trace = Some(head.trace);
        }
        let (is_head, is_websocket) = (head.is_head, head.is_websocket);
        // A client whose connection is new can't know of a connection that was used before and may
        // be closed in the very moment of its request: where that could matter it gets a new one.
        let takes_idle =
            head.is_safe && head.body == Framing::Empty && !head.upgrade && !head.binds_connection;
        self.is_bound |= head.binds_connection;
        self.client.input.consume(head.length);
        let mut exchange =
            Exchange::new(head, std::mem::take(&mut self.to_upstream), &shared.limits);
        let outcome = loop {
            let is_own = self.has_live_upstream().await;
            let reused = is_own || (takes_idle && self.take_idle());
            if !reused && let Err(refusal) = self.connect().await {
                break Outcome::Failed(Failure::no_upstream(refusal));
            }
            let Some(upstream) = &mut self.upstream else {
                unreachable!("there is a connection, old or new");
            };
            if let Some(current) = &mut self.current {
                current.has_upstream = true;
            }
            let now = self.current.as_ref().filter(|_| reused).map(|current| current.whole);
            exchange.begin(upstream, reused, std::mem::take(&mut self.to_client), now);
            let (client, deadline) = (&mut self.client, &mut self.deadline);
            let outcome = wait(shared.busy_poll, self.accepted.id, For::Answer, |cx, moved| {
                let before = Moved::until_now(client, upstream);
                let frame = Frame {
                    limits: &shared.limits,
                    timeouts: &shared.timeouts,
                    draining: shared.stage() != Stage::Run,
                };
                let polled = exchange.poll(cx, client, upstream, &frame, deadline);
                *moved = Moved::until_now(client, upstream).since(before);
                polled
            });
            let outcome = outcome.await;
            if is_own && matches!(outcome, Outcome::Complete { .. }) {
                shared.pool.vouch();
            }
            if let Outcome::Stale = outcome {
                // Nothing was written to it, so nothing can have been acted upon.
                self.upstream = None;
                continue;
            }
            break outcome;
        };
        let now = Instant::now();
        if let Some(current) = &mut self.current {
            current.status = exchange.status;
            let began = exchange.answer_began(now);
            current.first_byte = began.map(|at| at.saturating_duration_since(current.started));
        }
        let can_refuse = exchange.can_refuse();
        let request_done = exchange.is_request_done();
        (self.to_upstream, self.to_client) = exchange.into_space();
        match outcome {
            Outcome::Complete { client_keeps, upstream_keeps, unread } => {
                self.waits_since = Some(now);
                if upstream_keeps {
                    self.used = now;
                } else {
                    self.upstream = None;
                }
                self.finish_request(End::Complete, None, now);
                // Over TCP, closing on what was not read takes the answer away from the client.
                match (client_keeps, unread || !self.client.input.is_empty()) {
                    (true, _) => After::Keep,
                    (false, false) => After::Close,
                    (false, true) => After::Linger,
                }
            }
            Outcome::Upgraded => self.relay(is_websocket).await,
            Outcome::Stale => unreachable!("a stale connection is replaced above"),
            Outcome::Failed(failure) => {
                self.upstream = None;
                self.fail(failure, can_refuse, request_done, is_head).await
            }
        }
    }

    /// Tells the client of a failure, as far as that can be told.
    async fn fail(
        &mut self,
        failure: Failure,
        can_refuse: bool,
        request_done: bool,
        is_head: bool,
    ) -> After {
        let fault = Fault { kind: failure.kind, side: failure.side };
        let Some(refusal) = failure.refusal.filter(|_| can_refuse) else {
            // An answer that broke off must not look complete.
            self.client.stream.abort_on_close();
            self.finish_request(failure.end, Some(fault), Instant::now());
            return After::Ended(failure.end);
        };
        let close = !request_done
            || self.client.is_exhausted()
            || self.accepted.shared.stage() != Stage::Run;
        let sent = self.refuse(refusal, is_head, close).await;
        self.finish_request(failure.end, Some(fault), Instant::now());
        match (sent, close) {
            (false, _) => After::Ended(End::ClientClosed),
            (true, false) => After::Keep,
            (true, true) => After::Linger,
        }
    }

    /// Answers a request whose head may not pass.
    async fn refuse_request(&mut self, refused: Refused) -> After {
        let kind = refused.refusal.kind;
        let fault = Fault { kind: kind.name(), side: kind.side() };
        let end = if kind == Kind::HeadTimeout { End::Timeout } else { End::Refused };
        let close = refused.resume_at.is_none() || self.accepted.shared.stage() != Stage::Run;
        self.client.input.consume(refused.resume_at.unwrap_or(self.client.input.len()));
        let sent = self.refuse(refused.refusal, refused.is_head, close).await;
        self.finish_request(end, Some(fault), Instant::now());
        match (sent, close) {
            (false, _) => After::Ended(End::ClientClosed),
            (true, false) => After::Keep,
            (true, true) => After::Linger,
        }
    }

    /// Writes an answer of the bridge's own. Whether the client took it.
    async fn refuse(&mut self, refusal: Refusal, is_head: bool, close: bool) -> bool {
        if let Some(current) = &mut self.current {
            current.status = Some(refusal.kind.status().0);
        }
        self.to_client = Outgoing::default();
        refusal.write(&mut self.to_client.bytes, is_head, close);
        self.deadline.set(Some(self.accepted.shared.timeouts.body_idle));
        poll_fn(|cx| {
            let mut nothing = crate::buffer::Buffer::default();
            match self.client.poll_send(cx, &mut self.to_client, &mut nothing) {
                Poll::Ready(sent) => Poll::Ready(sent.is_ok()),
                Poll::Pending => self.deadline.poll(cx).map(|()| false),
            }
        })
        .await
    }

    /// Whether there is a connection to the upstream that can take another request.
    async fn has_live_upstream(&mut self) -> bool {
        let Some(upstream) = &mut self.upstream else { return false };
        let idle = match &self.current {
            Some(current) => current.whole.saturating_duration_since(self.used),
            None => self.used.elapsed(),
        };
        // Whatever comes between two requests, an end or bytes that nobody asked for, makes it
        // useless.
        let quiet =
            poll_fn(|cx| Poll::Ready(upstream.poll_fill(cx, Expect::Little, 1).is_pending())).await;
        let live = quiet && (idle < FRESH || upstream.stream.probe() == Probe::Quiet);
        if !live {
            self.upstream = None;
        }
        live
    }

    /// Takes a connection that another session has left.
    fn take_idle(&mut self) -> bool {
        self.upstream = self.accepted.shared.pool.take();
        self.connected |= self.upstream.is_some();
        self.upstream.is_some()
    }

    /// Leaves the upstream's connection, whose last exchange is complete, to another session.
    fn leave_upstream(&mut self) {
        if let Some(upstream) = self.upstream.take()
            && !self.is_bound
        {
            self.accepted.shared.pool.leave(upstream, self.used);
        }
    }

    async fn connect(&mut self) -> Result<(), Refusal> {
        self.accepted.shared.pool.make_way();
        let began = Instant::now();
        let connected = self.accepted.shared.upstream.connect().await;
        if let Some(current) = &mut self.current {
            current.connect = Some(began.elapsed());
        }
        let stream = connected.map_err(|error| Refusal::from_connect(&error))?;
        self.upstream = Some(Conn::new(stream));
        self.connected = true;
        self.used = Instant::now();
        Ok(())
    }

    /// After 101: bytes, until one of the ends means both.
    async fn relay(&mut self, is_websocket: bool) -> After {
        let shared = Arc::clone(&self.accepted.shared);
        if let Some(current) = &mut self.current {
            current.kind = EventKind::Upgrade;
        }
        let Some(upstream) = &mut self.upstream else {
            unreachable!("the upstream has answered 101");
        };
        // No more heads: what they took is given back for as long as the connection lasts.
        (self.to_upstream, self.to_client) = Default::default();
        let mut relay = Relay::new(is_websocket);
        let (client, deadline) = (&mut self.client, &mut self.deadline);
        deadline.set(None);
        let ended = wait(shared.busy_poll, self.accepted.id, For::Answer, |cx, moved| {
            let before = Moved::until_now(client, upstream);
            let polled = relay.poll(cx, client, upstream, &shared.timeouts, deadline);
            *moved = Moved::until_now(client, upstream).since(before);
            polled
        });
        let ended = ended.await;
        self.finish_request(ended.end, ended.fault(), Instant::now());
        self.upstream = None;
        self.close().await;
        After::Ended(ended.end)
    }

    /// Ends an orderly connection. A socket keeps what was written when it is closed; a pipe is
    /// asked first whether the system has taken it over.
    async fn close(&mut self) {
        if !self.client.stream.can_half_close() {
            self.shut_down().await;
        }
    }

    async fn shut_down(&mut self) {
        self.deadline.set(Some(LINGER));
        poll_fn(|cx| match self.client.poll_shutdown(cx) {
            // The client may be gone already.
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.deadline.poll(cx),
        })
        .await;
    }

    /// Ends a connection whose client still sends: closing at once would take the answer away
    /// from it.
    ///
    /// The client of a socket sees the end at once and closes. That of a pipe sees it only when
    /// the pipe is closed, which is when it has stopped sending.
    async fn linger(&mut self) {
        self.shut_down().await;
        self.client.input.clear();
        let sees_the_end = self.client.stream.can_half_close();
        let patience = if sees_the_end { LINGER } else { QUIET };
        let last = Instant::now() + LINGER;
        self.deadline.set(Some(patience));
        poll_fn(|cx| {
            loop {
                if self.deadline.poll(cx).is_ready() || self.accepted.shared.stage() == Stage::Cut {
                    return Poll::Ready(());
                }
                match self.client.poll_fill(cx, Expect::Little, usize::MAX) {
                    Poll::Ready(Ok(n)) if n > 0 => {
                        self.client.input.clear();
                        let left = last.saturating_duration_since(Instant::now());
                        self.deadline.set(Some(patience.min(left)));
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
    }

    fn finish_request(&mut self, end: End, fault: Option<Fault<'_>>, now: Instant) {
        let Some(current) = self.current.take() else { return };
        if !self.accepted.shared.events.is_enabled() {
            return;
        }
        let mut event = self.accepted.event(current.kind, current.has_upstream);
        event.request = Some(self.requests);
        event.trace = current.trace;
        event.http = Some(Http {
            method: &self.text.method,
            target: &self.text.target,
            status: current.status,
            user_agent: self.text.user_agent(),
            version: if self.text.is_http11 { "1.1" } else { "1.0" },
            upgrade: self.text.upgrade.as_deref().filter(|_| current.kind == EventKind::Upgrade),
        });
        event.bytes_received = self.client.used().saturating_sub(current.received);
        event.bytes_sent = self.client.sent - current.sent;
        event.at = Some(now.into_std());
        event.total = Some(now.saturating_duration_since(current.started));
        event.connect = current.connect;
        event.first_byte = current.first_byte;
        event.end = Some(end);
        event.error = fault;
        self.accepted.shared.events.emit(&event);
    }

    fn tell_session(&self, end: End) {
        if !self.accepted.shared.events.is_enabled() {
            return;
        }
        let mut event = self.accepted.event(EventKind::Session, self.connected);
        event.bytes_received = self.client.received;
        event.bytes_sent = self.client.sent;
        event.total = Some(self.accepted.started.elapsed());
        event.end = Some(end);
        self.accepted.shared.events.emit(&event);
    }
}

fn head_too_large(max: usize) -> Refused {
    Refused::fatal(Refusal::new(
        Kind::HeadTooLarge,
        format!("the request's head is longer than {max} bytes"),
        "send less, or raise limits.max_head_size",
    ))
}

fn head_timeout() -> Refused {
    Refused::fatal(Refusal::new(
        Kind::HeadTimeout,
        "the request's head did not come in time",
        "send it at once, or raise timeouts.head",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_without_buffers_takes_less_than_2560_bytes() {
        fn size<F: Future>(_: fn(Session) -> F) -> usize {
            std::mem::size_of::<F>()
        }
        assert!(size(Session::serve) < 2560, "{} bytes", size(Session::serve));
    }
}
