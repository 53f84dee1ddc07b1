//! What is known of one channel.

use std::sync::Arc;

use super::inbox::Inbox;
use super::window::{ReceiveWindow, SendWindow};
use crate::error::{ChannelError, Ended};
use crate::id::ChannelId;

/// How far a channel is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Offered here, not answered.
    Offered,
    /// Offered there, or seeded, and not accepted here.
    Incoming,
    /// Accepted.
    Open,
    /// Terminated here; the other end's word is awaited. Nothing more may be sent.
    Closing,
    /// Over.
    Gone,
}

/// How far this end's direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    Open,
    /// Brought to its end before the other end has accepted, which has not been told yet.
    DoneUntold,
    Done,
    /// The other end reads no more.
    Refused,
}

#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: ChannelId,
    pub(super) name: Arc<str>,
    pub(super) phase: Phase,
    /// Whether somebody here holds the channel, or will.
    pub(super) held: bool,
    /// Whether the other end accepted what was offered here.
    pub(super) accepted: bool,
    pub(super) own: Own,
    /// How the other end's direction ended, once it has.
    pub(super) theirs: Option<Result<(), ChannelError>>,
    /// Whether anybody here will read.
    pub(super) reading: bool,
    /// Whether somebody waits to read, with nothing there.
    pub(super) read_waits: bool,
    /// Whether it fills version 1's buffer.
    pub(super) congested: bool,
    pub(super) send: SendWindow,
    pub(super) receive: ReceiveWindow,
    /// What its window counts for in the total.
    pub(super) counted: u64,
    pub(super) inbox: Inbox,
    pub(super) queued: bool,
    pub(super) granted: bool,
    /// The filling of the outgoing buffer that has its last content or its end.
    pub(super) generation: u64,
    pub(super) flush_waits: bool,
    pub(super) outcome: Option<Result<Ended, ChannelError>>,
}

impl Record {
    pub(super) fn new(id: ChannelId, name: Arc<str>, phase: Phase) -> Self {
        Record {
            id,
            name,
            phase,
            held: false,
            accepted: false,
            own: Own::Open,
            theirs: None,
            reading: true,
            read_waits: false,
            congested: false,
            send: SendWindow::new(0),
            receive: ReceiveWindow::new(0),
            counted: 0,
            inbox: Inbox::default(),
            queued: false,
            granted: false,
            generation: 0,
            flush_waits: false,
            outcome: None,
        }
    }

    /// Whether both directions have come to their ends in order.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.own, Own::Done | Own::Refused) && matches!(self.theirs, Some(Ok(())))
    }
}
