//! A terminal over WebSocket: one command in a pseudo-terminal, typed at, resized and signalled.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pipeway_transport::child::{Child, Program, Signal, TerminalSize};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::command::{self, NotStarted};
use crate::protocol::{AgentMessage, ClientMessage, ErrorCode, MAX_OUTPUT_BYTES, Start, decode};
use crate::pump::pump;
use crate::screen::Screen;
use crate::server::Shared;
use crate::span::{Order, Span, What};
use crate::websocket::{Inbox, Incoming, Outbox};

/// How much may be typed ahead of a program that does not read; then the client waits.
const TYPED_MAX: usize = 256 * 1024;

/// How many errors may wait for a client that does not read; then it is not read either.
const REPLIES_MAX: usize = 16;

/// How often a client that is not read, because so much is typed ahead, is asked for a sign of
/// life: its end would not be seen otherwise.
const PING: Duration = Duration::from_millis(500);

/// Runs a terminal until its command has ended or its client is gone.
pub(crate) async fn run(shared: &Shared, outbox: Outbox, inbox: Inbox, start: Start) {
    match open(shared, start) {
        Ok(terminal) => terminal.run(shared, outbox, inbox).await,
        Err(NotStarted::BadRequest(message)) => {
            outbox.refuse(ErrorCode::BadRequest, message, None, inbox).await;
        }
        Err(NotStarted::Internal(message)) => {
            outbox.refuse(ErrorCode::InternalError, message, None, inbox).await;
        }
    }
}

/// A terminal's size, if it is one.
///
/// # Errors
///
/// Says that a terminal has at least one column and one row.
pub(crate) fn size(cols: u16, rows: u16) -> Result<TerminalSize, String> {
    if cols == 0 || rows == 0 {
        return Err(format!("cols and rows must be at least 1; they are {cols} and {rows}"));
    }
    Ok(TerminalSize { columns: cols, rows })
}

/// The signal that a client of a terminal may send.
///
/// # Errors
///
/// Says which ones there are.
pub(crate) fn signal(sig: &str) -> Result<Signal, String> {
    match sig.parse() {
        Ok(Signal::Kill) | Err(_) => {
            let sig: String = sig.chars().take(32).collect();
            Err(format!(
                "`{}` is not a signal for a terminal; send INT, TERM, QUIT or HUP",
                sig.escape_debug()
            ))
        }
        Ok(signal) => Ok(signal),
    }
}

fn open(shared: &Shared, start: Start) -> Result<Open, NotStarted> {
    let size = size(start.cols, start.rows).map_err(NotStarted::BadRequest)?;
    let program = command::program(Program::script(start.cmd), start.cwd.as_deref(), &start.env)?;
    let (span, order_rx) = shared.spans.enter(start.span_id).map_err(NotStarted::BadRequest)?;
    let (child, terminal) =
        Child::in_terminal(&program, size).map_err(|error| NotStarted::of(&error))?;
    span.tell(What::Start { pid: child.pid(), pty: true, agent_id: None, profile: None });
    Ok(Open { child, screen: Screen::new(terminal), span, order_rx })
}

/// A terminal with its command.
struct Open {
    child: Child,
    screen: Screen,
    span: Span,
    order_rx: mpsc::Receiver<Order>,
}

impl Open {
    async fn run(mut self, shared: &Shared, outbox: Outbox, mut inbox: Inbox) {
        let bytes = AtomicU64::new(0);
        let (exited_tx, exited_rx) = watch::channel(false);
        let output = outbox.clone();
        let pumping = pump(self.screen.clone(), MAX_OUTPUT_BYTES, exited_rx, async |data| {
            bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
            output.send_output(&data).await
        });
        let mut pumping = pin!(pumping);
        let mut keyboard = self.screen.clone();
        let mut typed = VecDeque::new();
        let mut replies = VecDeque::new();
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stop = shared.stop.clone();
        let (mut code, mut pumped, mut stopped) = (None, false, false);
        while code.is_none() || !pumped {
            let is_full = typed.len() >= TYPED_MAX;
            tokio::select! {
                incoming = inbox.next(), if !is_full && replies.len() < REPLIES_MAX => {
                    match incoming {
                        Incoming::Gone => return self.client_gone(shared, &bytes).await,
                        incoming => self.take(incoming, &mut typed, &mut replies),
                    }
                }
                () = outbox.gone() => return self.client_gone(shared, &bytes).await,
                written = keyboard.write(typed.as_slices().0), if !typed.is_empty() => {
                    match written {
                        Ok(count) => {
                            typed.drain(..count);
                            pings.reset();
                        }
                        // The terminal is gone, and nobody reads what was typed.
                        Err(_) => typed.clear(),
                    }
                }
                () = outbox.send_first(&replies), if !replies.is_empty() => {
                    replies.pop_front();
                }
                ended = self.child.wait(), if code.is_none() => {
                    code = Some(ended.unwrap_or(-1));
                    exited_tx.send_replace(true);
                }
                () = &mut pumping, if !pumped => pumped = true,
                Some(order) = self.order_rx.recv() => {
                    let delivered = self.signal(order.signal);
                    // Whoever asked may be gone.
                    let _ = order.delivered_tx.send(delivered);
                }
                () = stop.ordered(), if !stopped => {
                    stopped = true;
                    self.span.tell(What::AgentStopped);
                    replies.push_back(AgentMessage::error("the agent was stopped"));
                    self.child.end(shared.grace).await;
                }
                _ = pings.tick(), if is_full => outbox.ping(),
            }
        }
        for reply in &replies {
            outbox.send(reply).await;
        }
        let code = self.told_exit(&bytes).await;
        outbox.send(&AgentMessage::Exit { code }).await;
        outbox.close(CloseCode::Normal, inbox).await;
    }

    /// Does what a message says; what is wrong with it is a reply, and the terminal goes on.
    fn take(
        &mut self,
        incoming: Incoming,
        typed: &mut VecDeque<u8>,
        replies: &mut VecDeque<AgentMessage>,
    ) {
        let done = match incoming {
            Incoming::Message(ClientMessage::Stdin { data_b64 }) => match decode(&data_b64) {
                Ok(data) => {
                    typed.extend(data);
                    Ok(())
                }
                Err(error) => Err(format!("data_b64 is no base64: {error}")),
            },
            Incoming::Message(ClientMessage::Resize { cols, rows }) => {
                size(cols, rows).and_then(|size| {
                    self.span.tell(What::Resize { cols, rows });
                    let resized = self.screen.resize(size);
                    resized.map_err(|error| format!("the terminal can't be resized: {error}"))
                })
            }
            // A signal that comes too late is no error.
            Incoming::Message(ClientMessage::Signal { sig }) => signal(&sig).map(|signal| {
                self.signal(signal);
            }),
            Incoming::Message(_) => Err("a terminal takes stdin, resize and signal".to_owned()),
            Incoming::Malformed(what) => Err(what),
            Incoming::Binary => Err("a binary message came; every message is JSON text".to_owned()),
            Incoming::Gone => Ok(()),
        };
        if let Err(message) = done {
            replies.push_back(AgentMessage::error(message));
        }
    }

    fn signal(&self, signal: Signal) -> bool {
        let delivered = self.child.signal_foreground(signal);
        self.span.tell(What::Signal { sig: signal.name(), delivered });
        delivered
    }

    async fn client_gone(mut self, shared: &Shared, bytes: &AtomicU64) {
        self.span.tell(What::ClientGone);
        self.child.end(shared.grace).await;
        self.told_exit(bytes).await;
    }

    /// Tells the trace how it ended.
    async fn told_exit(&mut self, bytes: &AtomicU64) -> i32 {
        let exit = self.child.wait().await.unwrap_or(-1);
        let stdout_bytes = bytes.load(Ordering::Relaxed);
        self.span.tell(What::Exit { exit, stdout_bytes, stderr_bytes: 0 });
        exit
    }
}
