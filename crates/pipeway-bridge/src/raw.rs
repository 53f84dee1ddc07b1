//! A session of bytes: from accept to close, unread.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pipeway_telemetry::{End, EventKind, Fault, Side};
use pipeway_transport::{HalfClose, Peer, Stream};
use tokio::time::Instant;

use crate::accepted::Accepted;
use crate::awake::{For, Moved, wait};
use crate::buffer::Expect;
use crate::conn::Conn;
use crate::deadline::Deadline;
use crate::relay::{Ended, Relay};
use crate::respond::{Kind, Refusal};
use crate::shared::{Place, Shared};

/// How long a pipe's client may take to read the rest before the pipe is closed on it.
const LINGER: Duration = Duration::from_secs(5);

/// One accepted connection whose bytes are passed on as they are.
pub(crate) struct RawSession {
    accepted: Accepted,
    client: Conn,
    connect: Option<Duration>,
    connected: bool,
    fault: Option<Fault<'static>>,
}

impl RawSession {
    pub(crate) fn new(place: Place, stream: Stream, peer: Peer) -> Self {
        RawSession {
            accepted: Accepted::new(place, peer),
            client: Conn::new(stream),
            connect: None,
            connected: false,
            fault: None,
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
            self.tell(end);
        }
    }

    async fn run(&mut self) -> End {
        if self.accepted.place.over {
            return self.refuse(Kind::TooManySessions);
        }
        let shared = Arc::clone(&self.accepted.shared);
        if poll_fn(|cx| Poll::Ready(self.look(cx, shared.upstream.first_max()))).await.is_err() {
            self.fault = Ended { end: End::ClientClosed, failed: true }.fault();
            self.client.stream.abort_on_close();
            return End::ClientClosed;
        }
        let stream = match self.connect(&shared).await {
            Ok(stream) => stream,
            Err(kind) => return self.refuse(kind),
        };
        let mut upstream = Conn::new(stream);
        let mut relay = Relay::new(shared.half_close == HalfClose::None);
        let mut deadline = Deadline::default();
        let client = &mut self.client;
        let ended = wait(shared.busy_poll, self.accepted.id, For::Answer, |cx, moved| {
            let before = Moved::until_now(client, &upstream);
            let polled = relay.poll(cx, client, &mut upstream, &shared.timeouts, &mut deadline);
            *moved = Moved::until_now(client, &upstream).since(before);
            polled
        });
        let ended = ended.await;
        self.fault = ended.fault();
        let end = match ended {
            // A failure at one end must not look like an orderly end at the other.
            Ended { failed: true, .. } | Ended { end: End::Timeout, .. } => {
                self.client.stream.abort_on_close();
                upstream.stream.abort_on_close();
                return ended.end;
            }
            Ended { end: End::Complete, .. } => self.accepted.orderly_end(),
            Ended { end, .. } => end,
        };
        // Each may have a tail that its system has not taken over yet.
        self.client.close(LINGER).await;
        upstream.close(LINGER).await;
        end
    }

    /// Looks, without waiting, for first bytes of the client's that may go along with the wish for
    /// a connection.
    fn look(&mut self, cx: &mut Context<'_>, first_max: usize) -> io::Result<()> {
        if first_max == 0 {
            return Ok(());
        }
        match self.client.poll_fill(cx, Expect::Little, first_max) {
            Poll::Ready(found) => found.map(drop),
            Poll::Pending => Ok(()),
        }
    }

    /// Connects to the upstream, whatever the client does meanwhile: it may send and leave, and
    /// what it sent is the upstream's.
    async fn connect(&mut self, shared: &Shared) -> Result<Stream, Kind> {
        let began = Instant::now();
        let first = self.client.input.bytes();
        let first = &first[..first.len().min(shared.upstream.first_max())];
        let connected = shared.upstream.connect_with(first).await;
        let sent = first.len();
        self.connect = Some(began.elapsed());
        let stream = connected.map_err(|error| Refusal::from_connect(&error).kind)?;
        self.client.input.consume(sent);
        self.connected = true;
        Ok(stream)
    }

    /// There is no way to say why in bytes that are not ours: the connection is closed, and not
    /// as if it had come to its end.
    fn refuse(&mut self, kind: Kind) -> End {
        self.fault = Some(Fault { kind: kind.name(), side: kind.side() });
        self.client.stream.abort_on_close();
        if kind == Kind::UpstreamTimeout { End::Timeout } else { End::Refused }
    }

    fn tell(&self, end: End) {
        let shared = &self.accepted.shared;
        if !shared.events.is_enabled() {
            return;
        }
        let mut event = self.accepted.event(EventKind::Session, self.connected);
        event.bytes_received = self.client.received;
        event.bytes_sent = self.client.sent;
        event.total = Some(self.accepted.started.elapsed());
        event.connect = self.connect;
        event.end = Some(end);
        event.error = self.fault;
        shared.events.emit(&event);
    }
}

impl Ended {
    /// What went wrong, if anything did, for an event.
    pub(crate) fn fault(self) -> Option<Fault<'static>> {
        match (self.failed, self.end) {
            (true, End::ClientClosed) => Some(Fault { kind: "client_reset", side: Side::Client }),
            (true, _) => Some(Fault { kind: "upstream_reset", side: Side::Upstream }),
            (false, End::Timeout) => Some(Fault { kind: "idle", side: Side::Bridge }),
            (false, _) => None,
        }
    }
}

impl Conn {
    /// Waits, for a bounded time, until what was written is safe from the close that follows.
    async fn close(&mut self, patience: Duration) {
        if self.stream.goes_on_by_itself() {
            return;
        }
        let mut deadline = Deadline::default();
        deadline.set(Some(patience));
        poll_fn(|cx| match self.poll_shutdown(cx) {
            // The other end may be gone already.
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => deadline.poll(cx),
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_session_without_buffers_takes_less_than_1280_bytes() {
        fn size<F: Future>(_: fn(RawSession) -> F) -> usize {
            std::mem::size_of::<F>()
        }
        assert!(size(RawSession::serve) < 1280, "{} bytes", size(RawSession::serve));
    }
}
