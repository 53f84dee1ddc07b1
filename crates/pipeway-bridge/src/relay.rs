//! Bytes both ways, unread, with a proper end in each direction.

use std::task::{Context, Poll};

use pipeway_telemetry::End;

use crate::Timeouts;
use crate::buffer::Expect;
use crate::conn::{Broken, Conn, Outgoing, Turn};
use crate::deadline::Deadline;
use crate::splicing::{Ahead, Spliced, Splicing};

/// A read that fills this much of a small buffer is followed by a large one.
const BUSY: usize = 8 * 1024;

/// Moves bytes both ways until both directions have ended, or one end means both.
#[derive(Debug)]
pub(crate) struct Relay {
    up: Direction,
    down: Direction,
    /// The end of either direction is the end of both, as in a WebSocket.
    ends_together: bool,
    moved: u64,
}

#[derive(Debug, Default)]
struct Direction {
    out: Outgoing,
    busy: bool,
    ended: bool,
    splicing: Splicing,
}

impl Direction {
    /// Whether nothing is on its way.
    fn is_idle(&self) -> bool {
        self.out.is_empty() && self.splicing.is_unused()
    }
}

/// How a relay ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) end: End,
    /// Whether it was a failure of the connection, not an orderly end.
    pub(crate) failed: bool,
}

/// Which end was reached.
#[derive(Clone, Copy)]
enum Side {
    Client,
    Upstream,
}

impl Relay {
    pub(crate) fn new(ends_together: bool) -> Self {
        Relay { up: Direction::default(), down: Direction::default(), ends_together, moved: 0 }
    }

    /// Moves both directions on.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut Conn,
        upstream: &mut Conn,
        timeouts: &Timeouts,
        deadline: &mut Deadline,
    ) -> Poll<Ended> {
        if let Some(ended) = self.poll_direction(cx, client, upstream, Side::Client) {
            return Poll::Ready(ended);
        }
        if let Some(ended) = self.poll_direction(cx, upstream, client, Side::Upstream) {
            return Poll::Ready(ended);
        }
        if self.up.ended && self.down.ended {
            return Poll::Ready(Ended { end: End::Complete, failed: false });
        }
        let moved = client.received + client.sent + upstream.received + upstream.sent;
        let halves = u64::from(self.up.ended) + u64::from(self.down.ended);
        let state = moved + halves + 1;
        if state != self.moved {
            self.moved = state;
            deadline.set(if halves > 0 {
                Some(timeouts.half_close_idle)
            } else {
                timeouts.upgrade_idle
            });
        }
        if deadline.poll(cx).is_ready() {
            return Poll::Ready(Ended { end: End::Timeout, failed: false });
        }
        Poll::Pending
    }

    /// Moves one direction on. Built into [`poll`](Self::poll) twice, each time for its side: this
    /// much is all that a message takes.
    #[inline(always)]
    fn poll_direction(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Conn,
        to: &mut Conn,
        side: Side,
    ) -> Option<Ended> {
        let (direction, _, end, other_end) = self.direction(side);
        if direction.ended {
            return None;
        }
        if direction.is_idle() && from.input.is_empty() && !from.ended {
            // Mostly it is the other direction that something has come for.
            match from.stream.poll_read_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Some(Ended { end, failed: true }),
                Poll::Pending => return None,
            }
            if !direction.busy {
                match from.poll_pass(cx, to) {
                    Poll::Ready(Ok(n)) => {
                        direction.busy = n >= BUSY;
                        direction.splicing.was_read(n);
                    }
                    Poll::Ready(Err(Broken::Source)) => return Some(Ended { end, failed: true }),
                    Poll::Ready(Err(Broken::Sink)) => {
                        return Some(Ended { end: other_end, failed: true });
                    }
                    Poll::Pending => return None,
                }
                // A message was all there is, and has gone.
                if from.input.is_empty()
                    && !from.ended
                    && from.stream.poll_read_ready(cx).is_pending()
                {
                    return None;
                }
            }
        }
        self.poll_much(cx, from, to, side)
    }

    /// The direction from that side, the other one, and what the end of each is then.
    #[inline(always)]
    fn direction(&mut self, side: Side) -> (&mut Direction, &Direction, End, End) {
        match side {
            Side::Client => (&mut self.up, &self.down, End::ClientClosed, End::UpstreamClosed),
            Side::Upstream => (&mut self.down, &self.up, End::UpstreamClosed, End::ClientClosed),
        }
    }

    /// Moves one direction on that has more than a message, or ends.
    #[inline(never)]
    fn poll_much(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Conn,
        to: &mut Conn,
        side: Side,
    ) -> Option<Ended> {
        let ends_together = self.ends_together;
        let (direction, other, end, other_end) = self.direction(side);
        let mut turn = Turn::default();
        loop {
            let sent = match direction.splicing.poll_drain(cx, to) {
                Poll::Ready(Ok(())) => to.poll_send(cx, &mut direction.out, &mut from.input),
                other => other,
            };
            match sent {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Some(Ended { end: other_end, failed: true }),
                Poll::Pending => return None,
            }
            if !from.input.is_empty() {
                direction.out.verbatim = from.input.len();
                continue;
            }
            if from.ended {
                // Everything is passed on. What can't be told as the end of one direction is told
                // as the end of both.
                let both = ends_together
                    || !from.stream.can_half_close()
                    || from.stream.is_hung_up()
                    || (matches!(side, Side::Upstream) && !to.stream.can_half_close());
                if both && other.ended {
                    // The second of two ends, and nothing is left to be told.
                    direction.ended = true;
                    return None;
                }
                if both {
                    return Some(Ended { end, failed: false });
                }
                return match to.poll_shutdown(cx) {
                    Poll::Pending => None,
                    Poll::Ready(Ok(())) => {
                        direction.ended = true;
                        None
                    }
                    Poll::Ready(Err(_)) => Some(Ended { end: other_end, failed: true }),
                };
            }
            if turn.is_over(cx) {
                return None;
            }
            match direction.splicing.poll_fill(cx, from, to, Ahead::UntilEnd) {
                Poll::Ready(Ok(Spliced::Not)) => {}
                Poll::Ready(Ok(Spliced::Moved(n))) => {
                    turn.moved(n);
                    continue;
                }
                Poll::Ready(Err(_)) => return Some(Ended { end, failed: true }),
                Poll::Pending => return None,
            }
            let expect = if direction.busy { Expect::Much } else { Expect::Little };
            match from.poll_fill(cx, expect, usize::MAX) {
                Poll::Ready(Ok(n)) => {
                    direction.busy = n >= BUSY;
                    direction.splicing.was_read(n);
                    turn.moved(n);
                }
                Poll::Ready(Err(_)) => return Some(Ended { end, failed: true }),
                Poll::Pending => return None,
            }
        }
    }
}
