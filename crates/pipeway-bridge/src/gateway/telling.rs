//! The events of a gateway.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pipeway_directline::{Error, ErrorKind, Refusal as PipeRefusal};
use pipeway_telemetry::{Direction, End, Event, EventKind, Fault, Http, Route, Side, TraceContext};
use tokio::time::Instant;

use super::shared::{PipeSession, Shared};
use crate::respond::{Kind, Refusal};
use crate::routes::UpstreamText;
use crate::shared::Stage;

/// What is told of a request when it has ended, however that was.
#[derive(Debug)]
pub(super) struct Telling {
    shared: Arc<Shared>,
    session: Option<Arc<PipeSession>>,
    direction: Direction,
    method: String,
    target: String,
    started: Instant,
    pub(super) trace: TraceContext,
    pub(super) user_agent: Option<Vec<u8>>,
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) connect: Option<Duration>,
    pub(super) first_byte: Option<Duration>,
    /// Whether the upstream was reached.
    pub(super) reached: bool,
    outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug)]
struct Outcome {
    status: u16,
    fault: Option<Kind>,
}

impl Telling {
    /// A request that has come; `target` is its path, without anything secret.
    pub(super) fn new(
        shared: &Arc<Shared>,
        direction: Direction,
        method: &str,
        target: &str,
        trace: TraceContext,
    ) -> Self {
        Telling {
            shared: Arc::clone(shared),
            session: shared.session(),
            direction,
            method: method.to_owned(),
            target: target.to_owned(),
            started: Instant::now(),
            trace,
            user_agent: None,
            received: 0,
            sent: 0,
            connect: None,
            first_byte: None,
            reached: false,
            outcome: None,
        }
    }

    /// When it came.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// There is no session of the pipes, or none any more.
    pub(super) fn is_of_no_session(&mut self) {
        self.session = None;
    }

    /// It was answered with what the upstream said.
    pub(super) fn answered(&mut self, status: u16) {
        self.outcome = Some(Outcome { status, fault: None });
    }

    /// It was answered in the upstream's place.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        let (status, _) = refusal.kind.status();
        self.outcome = Some(Outcome { status, fault: Some(refusal.kind) });
    }

    fn route(&self) -> &Arc<Route> {
        let Shared { ways, agent, .. } = &*self.shared;
        let outgoing = || Some(UpstreamText { hop: &ways.outgoing, link: None });
        match (self.direction, self.reached) {
            (Direction::ToAgent, true) => ways.activities.to(|| agent.text()),
            (Direction::ToAgent, false) => ways.activities.nowhere(),
            (Direction::ToPlatform, true) => ways.calls.to(outgoing),
            (Direction::ToPlatform, false) => ways.calls.nowhere(),
        }
    }

    fn end(&self) -> End {
        let is_running = self.shared.stage() == Stage::Run;
        match self.outcome {
            Some(Outcome { fault: None, .. }) if is_running => End::Complete,
            Some(Outcome { fault: None, .. }) => End::Drained,
            Some(Outcome { fault: Some(kind), .. }) => match kind {
                Kind::UpstreamTimeout | Kind::PlatformTimeout | Kind::BodyTimeout => End::Timeout,
                Kind::UpstreamClosed if self.reached => End::UpstreamClosed,
                _ => End::Refused,
            },
            None if self.shared.stage() == Stage::Cut => End::Cut,
            None => End::ClientClosed,
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        let shared = &self.shared;
        if let Some(session) = &self.session {
            // Of the pipes' side, which is the upstream's for a call.
            let (received, sent) = match self.direction {
                Direction::ToAgent => (self.received, self.sent),
                Direction::ToPlatform => (self.sent, self.received),
            };
            session.received.fetch_add(received, Ordering::Relaxed);
            session.sent.fetch_add(sent, Ordering::Relaxed);
        }
        if !shared.events.is_enabled() {
            return;
        }
        let mut event = Event::new(EventKind::Request, self.route());
        event.connection = self.session.as_ref().map(|session| session.id);
        event.request = self.session.as_ref().map(|session| session.next_request());
        event.trace = Some(self.trace);
        event.direction = Some(self.direction);
        let end = self.end();
        event.http = Some(Http {
            method: &self.method,
            target: &self.target,
            status: self.outcome.map(|outcome| outcome.status),
            user_agent: self.user_agent.as_deref(),
            version: "1.1",
            upgrade: None,
        });
        event.bytes_received = self.received;
        event.bytes_sent = self.sent;
        event.total = Some(self.started.elapsed());
        event.connect = self.connect;
        event.first_byte = self.first_byte;
        event.end = Some(end);
        let fault = self.outcome.and_then(|outcome| outcome.fault);
        event.error = fault.map(|kind| Fault { kind: kind.name(), side: kind.side() });
        shared.events.emit(&event);
    }
}

/// Tells the start or the stop of a gateway.
pub(super) fn life(shared: &Shared, kind: EventKind) {
    shared.events.emit(&Event::new(kind, shared.ways.activities.nowhere()));
}

/// Tells a session of the pipes that has ended.
pub(super) fn session(shared: &Shared, error: Option<&Error>, lasted: Duration) {
    let Some(session) = shared.end_session() else { return };
    let mut event = Event::new(EventKind::Session, shared.ways.activities.nowhere());
    event.connection = Some(session.id);
    event.bytes_received = session.received.load(Ordering::Relaxed);
    event.bytes_sent = session.sent.load(Ordering::Relaxed);
    event.total = Some(lasted);
    let fault = error.map(|error| fault_of(error.kind()));
    event.end = Some(match (&fault, shared.stage()) {
        (Some((end, _)), _) => *end,
        (None, Stage::Run) => End::Complete,
        (None, Stage::Drain) => End::Drained,
        (None, Stage::Cut) => End::Cut,
    });
    event.error = fault.map(|(_, kind)| Fault { kind, side: Side::Client });
    shared.events.emit(&event);
}

/// How an error of the pipes ends a session, and its type.
fn fault_of(kind: ErrorKind) -> (End, &'static str) {
    match kind {
        ErrorKind::WriteStalled | ErrorKind::FrameTimedOut | ErrorKind::Silent => {
            (End::Timeout, "platform_silent")
        }
        ErrorKind::LimitExceeded | ErrorKind::OutgoingFull => (End::Refused, "platform_limit"),
        ErrorKind::Protocol | ErrorKind::HeaderInvalid | ErrorKind::TrailingFailed => {
            (End::Refused, "platform_protocol")
        }
        _ => (End::ClientClosed, "client_reset"),
    }
}

/// Tells that the pipes could not be made, or accepted from.
pub(super) fn accept_error(shared: &Shared) {
    let mut event = Event::new(EventKind::AcceptError, shared.ways.activities.nowhere());
    event.error = Some(Fault { kind: "accept_failed", side: Side::Bridge });
    shared.events.emit(&event);
}

/// Tells an activity that a limit of the pipes kept out.
pub(super) fn kept_out(shared: &Arc<Shared>, why: PipeRefusal) {
    let kind = match why {
        PipeRefusal::Memory => Kind::MemoryLimit,
        _ => Kind::TooManyRequests,
    };
    let mut telling =
        Telling::new(shared, Direction::ToAgent, "POST", "/api/messages", TraceContext::new_root());
    telling.refused(&Refusal::new(kind, "", ""));
}
