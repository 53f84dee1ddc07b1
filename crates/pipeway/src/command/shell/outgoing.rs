//! What goes to the agent: keys, signals, the window's size. Whatever hangs, this goes on
//! listening to who wants to leave.

use std::collections::VecDeque;
use std::io;

use pipeway_agent::protocol::{ClientMessage, encode};
use pipeway_transport::child::{Signal, TerminalSize};
use pipeway_transport::console::{self, Input};
use tokio::sync::mpsc;

use super::escape::{Escapes, Order};
use super::{Platform, is_order_to_end};
use crate::output::talk;
use crate::service::{JobControl, JobEvent, Resizes, UserSignals};

/// How much may be typed ahead of a connection that takes nothing; then standard input waits.
const TYPED_MAX: usize = 64 * 1024;

/// How much is sent in one message.
const PIECE: usize = 16 * 1024;

/// How many signals may wait for a connection that takes nothing; more are dropped.
const SIGNALS_MAX: usize = 16;

const HELP: &str = "\r\n\
    ~.   leave at once\r\n\
    ~^Z  suspend\r\n\
    ~?   this list\r\n\
    ~~   a ~\r";

/// Why we leave.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left {
    /// The user said so.
    Escape,
    /// A second order to end, or a terminal that is gone.
    Signal(Signal),
}

/// Everything that comes from this side.
pub(super) struct Outgoing {
    pub(super) input: Input,
    pub(super) escapes: Escapes,
    /// Whether standard input is a terminal.
    pub(super) is_typed: bool,
    pub(super) platform: Platform,
    /// The size that the other side knows.
    pub(super) size: TerminalSize,
    pub(super) signals: UserSignals,
    pub(super) resizes: Resizes,
    pub(super) jobs: JobControl,
    pub(super) message_tx: mpsc::Sender<ClientMessage>,
}

/// What waits to be sent.
#[derive(Debug, Default)]
struct Waiting {
    signals: VecDeque<Signal>,
    size: Option<TerminalSize>,
    typed: VecDeque<u8>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.signals.is_empty() && self.size.is_none() && self.typed.is_empty()
    }

    /// The next message: what was typed comes last, for it is what there can be much of.
    fn next(&mut self) -> Option<ClientMessage> {
        if let Some(signal) = self.signals.pop_front() {
            return Some(ClientMessage::Signal { sig: signal.name().to_owned() });
        }
        if let Some(TerminalSize { columns, rows }) = self.size.take() {
            return Some(ClientMessage::Resize { cols: columns, rows });
        }
        let count = self.typed.len().min(PIECE);
        let piece: Vec<u8> = self.typed.drain(..count).collect();
        (count > 0).then(|| ClientMessage::Stdin { data_b64: encode(&piece) })
    }
}

impl Outgoing {
    /// Sends what comes until it is time to leave.
    pub(super) async fn run(self) -> Left {
        let Outgoing { mut input, mut escapes, is_typed, platform, size, .. } = self;
        let Outgoing { mut signals, mut resizes, mut jobs, message_tx, .. } = self;
        let (mut has_ended, mut after_line, mut is_gone) = (false, true, false);
        let mut orders_to_end = 0;
        // It may have changed since the other side was told.
        let changed = console::size().filter(|now| *now != size);
        let mut waiting = Waiting { size: changed, ..Waiting::default() };
        loop {
            tokio::select! {
                signal = signals.next() => {
                    orders_to_end += u32::from(is_order_to_end(signal));
                    if is_order_to_end(signal) && orders_to_end > 1 {
                        return Left::Signal(signal);
                    }
                    if waiting.signals.len() < SIGNALS_MAX {
                        waiting.signals.push_back(signal);
                    }
                }
                () = resizes.next() => waiting.size = console::size(),
                event = jobs.next() => {
                    match event {
                        JobEvent::Suspend => suspend(),
                        JobEvent::Continued => console::renew(),
                    }
                    waiting.size = console::size();
                }
                read = input.read(), if !has_ended && waiting.typed.len() < TYPED_MAX => {
                    match read {
                        Ok(data) if !data.is_empty() => {
                            after_line = data.ends_with(b"\n");
                            if let Some(left) = typed(&data, &mut escapes, &mut waiting) {
                                return left;
                            }
                        }
                        // A terminal's input has no end while there is a terminal.
                        _ if is_typed => return Left::Signal(Signal::Hangup),
                        ended => {
                            has_ended = true;
                            tell_failure(ended);
                            waiting.typed.extend(platform.end_of_input(after_line));
                        }
                    }
                }
                permit = message_tx.reserve(), if !is_gone && !waiting.is_empty() => {
                    match (permit, waiting.next()) {
                        (Ok(permit), Some(message)) => permit.send(message),
                        // That the connection is gone is told by who reads it.
                        _ => is_gone = true,
                    }
                }
            }
        }
    }
}

/// Takes what was typed, escapes first.
fn typed(mut data: &[u8], escapes: &mut Escapes, waiting: &mut Waiting) -> Option<Left> {
    while !data.is_empty() {
        let (taken, order) = escapes.feed(data, &mut waiting.typed);
        data = &data[taken..];
        match order {
            None => {}
            Some(Order::Leave) => return Some(Left::Escape),
            Some(Order::Suspend) => {
                suspend();
                waiting.size = console::size();
            }
            Some(Order::Tell) => talk(HELP),
        }
    }
    None
}

fn suspend() {
    if let Err(error) = console::suspend() {
        talk(&format!("\r\ncan't suspend: {error}\r"));
    }
}

fn tell_failure(ended: io::Result<Vec<u8>>) {
    if let Err(error) = ended {
        talk(&format!("standard input can't be read, which is taken for its end: {error}"));
    }
}
