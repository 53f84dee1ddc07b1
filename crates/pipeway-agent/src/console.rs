//! A child in a terminal with a client at it: output at the client's pace, what is typed at the
//! child's pace, signals, sizes, and how it ends. What a terminal and a persistent session share.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use pipeway_transport::child::{Child, Program, Signal, TerminalSize};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::command::NotStarted;
use crate::protocol::{AgentMessage, ErrorCode, MAX_OUTPUT_BYTES};
use crate::pump::pump;
use crate::screen::Screen;
use crate::server::{Shared, Stop};
use crate::span::{Order, Span, What};
use crate::websocket::{Inbox, Incoming, LAST_WORDS, Outbox};

/// How much may be typed ahead of a program that does not read; then the client waits.
const TYPED_MAX: usize = 256 * 1024;

/// How many messages may wait for a client that does not read; then it is not read either.
const REPLIES_MAX: usize = 16;

/// How often a client that is not read, because so much is typed ahead, is asked for a sign of
/// life: its end would not be seen otherwise.
const PING: Duration = Duration::from_millis(500);

/// The most that a terminal can hold of what was written to it: twice what Linux lets a writer
/// leave there (64 KiB), to be safe.
const HELD_MAX: u64 = 128 * 1024;

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

/// What happens at a console.
#[derive(Debug)]
pub(crate) enum Event {
    /// The client sent something. What is [`Incoming::Gone`] there, too.
    Came(Incoming),
    /// Somebody signals by the span's id.
    Ordered(Order),
    /// The agent is stopped. Comes once.
    Stopped,
    /// What [`Console::drain`] waits for.
    Drained,
    /// The child has ended, and what it wrote was sent. The last.
    Over,
}

/// A child in a terminal, and its client.
pub(crate) struct Console {
    pub(crate) child: Child,
    pub(crate) span: Span,
    screen: Screen,
    order_rx: mpsc::Receiver<Order>,
    outbox: Outbox,
    inbox: Inbox,
    stop: Stop,
    is_stopped: bool,
    /// Sends the output; nothing once it is at its end.
    pumping: Option<Pumping>,
    flow: Arc<Flow>,
    /// At how many bytes of output everything that was in the terminal was sent for certain.
    drain_until: Option<u64>,
    exited_tx: watch::Sender<bool>,
    code: Option<i32>,
    typed: VecDeque<u8>,
    is_typed_held: bool,
    listens: bool,
    replies: VecDeque<AgentMessage>,
    pings: Interval,
}

type Pumping = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How the output goes.
#[derive(Debug, Default)]
struct Flow {
    bytes: AtomicU64,
    /// Whether something was read that is not sent yet.
    is_sending: AtomicBool,
}

impl Console {
    /// Starts `program` in a terminal.
    ///
    /// # Errors
    ///
    /// [`NotStarted`], with the client's ends given back.
    pub(crate) fn open(
        shared: &Shared,
        ends: (Outbox, Inbox),
        program: &Program,
        size: TerminalSize,
        span_id: Option<String>,
    ) -> Result<Console, (NotStarted, (Outbox, Inbox))> {
        let entered = shared.spans.enter(span_id).map_err(NotStarted::BadRequest);
        let started = entered.and_then(|entered| {
            let started =
                Child::in_terminal(program, size).map_err(|error| NotStarted::of(&error))?;
            Ok((entered, started))
        });
        let ((span, order_rx), (child, terminal)) = match started {
            Ok(started) => started,
            Err(error) => return Err((error, ends)),
        };
        span.tell(What::Start { pid: child.pid(), pty: true, agent_id: None, profile: None });
        let (outbox, inbox) = ends;
        let screen = Screen::new(terminal);
        let flow = Arc::new(Flow::default());
        let (exited_tx, exited_rx) = watch::channel(false);
        let pumping = output(screen.clone(), exited_rx, outbox.clone(), flow.clone());
        let mut pings = interval(PING);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Console {
            child,
            span,
            screen,
            order_rx,
            outbox,
            inbox,
            stop: shared.stop.clone(),
            is_stopped: false,
            pumping: Some(Box::pin(pumping)),
            flow,
            drain_until: None,
            exited_tx,
            code: None,
            typed: VecDeque::new(),
            is_typed_held: false,
            listens: true,
            replies: VecDeque::new(),
            pings,
        })
    }

    /// Moves everything on until something happens. Cancel safe.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            if self.code.is_some() && self.pumping.is_none() {
                return Event::Over;
            }
            let is_full = self.typed.len() >= TYPED_MAX;
            let takes_more = self.listens && !is_full && self.replies.len() < REPLIES_MAX;
            let types = !self.is_typed_held && !self.typed.is_empty();
            let (has_ended, is_stopped) = (self.code.is_some(), self.is_stopped);
            let drain_until = self.drain_until;
            let Console {
                inbox,
                outbox,
                screen,
                child,
                order_rx,
                stop,
                pumping,
                flow,
                typed,
                replies,
                pings,
                ..
            } = &mut *self;
            let typed = typed.as_slices().0;
            let others = async {
                tokio::select! {
                    incoming = inbox.next(), if takes_more => Other::Came(incoming),
                    () = outbox.gone() => Other::Came(Incoming::Gone),
                    written = screen.write(typed), if types => Other::Written(written.ok()),
                    () = outbox.send_first(replies), if !replies.is_empty() => Other::Replied,
                    ended = child.wait(), if !has_ended => Other::Exited(ended.unwrap_or(-1)),
                    Some(order) = order_rx.recv() => Other::Ordered(order),
                    () = stop.ordered(), if !is_stopped => Other::Stopped,
                    _ = pings.tick(), if is_full => Other::Ping,
                }
            };
            let other = tokio::select! {
                // First the output, then whether there is none left.
                biased;
                () = at_end(pumping) => Other::OutputEnded,
                () = drained(flow, drain_until) => Other::Drained,
                other = others => other,
            };
            match other {
                Other::OutputEnded => self.pumping = None,
                Other::Drained => {
                    self.drain_until = None;
                    return Event::Drained;
                }
                Other::Came(incoming) => return Event::Came(incoming),
                Other::Written(Some(count)) => {
                    self.typed.drain(..count);
                    self.pings.reset();
                }
                // The terminal is gone, and nobody reads what was typed.
                Other::Written(None) => self.typed.clear(),
                Other::Replied => drop(self.replies.pop_front()),
                Other::Exited(code) => {
                    self.code = Some(code);
                    self.exited_tx.send_replace(true);
                }
                Other::Ordered(order) => return Event::Ordered(order),
                Other::Stopped => {
                    self.is_stopped = true;
                    self.span.tell(What::AgentStopped);
                    return Event::Stopped;
                }
                Other::Ping => self.outbox.ping(),
            }
        }
    }

    /// Asks for [`Event::Drained`]: everything that is in the terminal by now was sent.
    pub(crate) fn drain(&mut self) {
        self.drain_until = Some(self.flow.bytes.load(Ordering::Relaxed) + HELD_MAX);
    }

    /// Whether the child's end was seen.
    pub(crate) fn has_ended(&self) -> bool {
        self.code.is_some()
    }

    /// Sends a message as soon as the client reads.
    pub(crate) fn reply(&mut self, message: AgentMessage) {
        self.replies.push_back(message);
    }

    /// Whether the client is read. Its going away is not seen while it is not, unless something
    /// is sent to it.
    pub(crate) fn listen(&mut self, listens: bool) {
        self.listens = listens;
    }

    /// Whether what is typed waits.
    pub(crate) fn hold_typed(&mut self, is_held: bool) {
        self.is_typed_held = is_held;
    }

    /// Types.
    pub(crate) fn type_in(&mut self, data: &[u8]) {
        self.typed.extend(data);
    }

    /// Forgets what was typed and has not reached the terminal yet.
    pub(crate) fn forget_typed(&mut self) {
        self.typed.clear();
    }

    /// Gives the terminal another size.
    ///
    /// # Errors
    ///
    /// [`NotResized`].
    pub(crate) fn resize(&self, cols: u16, rows: u16) -> Result<(), NotResized> {
        let size = size(cols, rows).map_err(NotResized::BadRequest)?;
        self.span.tell(What::Resize { cols, rows });
        let resized = self.screen.resize(size);
        resized
            .map_err(|error| NotResized::Failed(format!("the terminal can't be resized: {error}")))
    }

    /// Signals the foreground; whether there was anybody to get it.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let delivered = self.child.signal_foreground(signal);
        self.span.tell(What::Signal { sig: signal.name(), delivered });
        delivered
    }

    /// As [`signal`](Console::signal), and says whether it was delivered.
    pub(crate) fn obey(&self, order: Order) {
        let delivered = self.signal(order.signal);
        // Whoever asked may be gone.
        let _ = order.delivered_tx.send(delivered);
    }

    /// Ends the child because its client is gone.
    pub(crate) async fn client_gone(mut self, shared: &Shared) {
        self.span.tell(What::ClientGone);
        self.child.end(shared.grace).await;
        told_exit(&mut self.child, &self.span, &self.flow).await;
    }

    /// Sends the last messages after [`Event::Over`], and closes.
    pub(crate) async fn close(mut self) {
        for reply in &self.replies {
            self.outbox.send(reply).await;
        }
        let code = told_exit(&mut self.child, &self.span, &self.flow).await;
        self.outbox.send(&AgentMessage::Exit { code }).await;
        self.outbox.close(CloseCode::Normal, self.inbox).await;
    }

    /// Ends the child, and the conversation with an error.
    pub(crate) async fn fail(
        self,
        shared: &Shared,
        code: ErrorCode,
        message: String,
        seq: Option<u64>,
    ) {
        let Console { mut child, span, flow, outbox, inbox, replies, pumping, .. } = self;
        // Nothing is sent after the error.
        drop(pumping);
        let last_words = async {
            for reply in &replies {
                let _ = timeout(LAST_WORDS, outbox.send(reply)).await;
            }
            outbox.refuse(code, message, seq, inbox).await;
        };
        let ended = async {
            child.end(shared.grace).await;
            told_exit(&mut child, &span, &flow).await;
        };
        tokio::join!(last_words, ended);
    }
}

/// Why a terminal has no other size now.
#[derive(Debug)]
pub(crate) enum NotResized {
    /// There is no such size.
    BadRequest(String),
    /// The system refused.
    Failed(String),
}

/// Tells the trace how it ended.
async fn told_exit(child: &mut Child, span: &Span, flow: &Flow) -> i32 {
    let exit = child.wait().await.unwrap_or(-1);
    let stdout_bytes = flow.bytes.load(Ordering::Relaxed);
    span.tell(What::Exit { exit, stdout_bytes, stderr_bytes: 0 });
    exit
}

/// What can end one wait.
enum Other {
    OutputEnded,
    Drained,
    Came(Incoming),
    Written(Option<usize>),
    Replied,
    Exited(i32),
    Ordered(Order),
    Stopped,
    Ping,
}

/// Sends the output of `screen` until its end.
async fn output(screen: Screen, exited_rx: watch::Receiver<bool>, outbox: Outbox, flow: Arc<Flow>) {
    pump(screen, MAX_OUTPUT_BYTES, exited_rx, async |data| {
        flow.is_sending.store(true, Ordering::Relaxed);
        let is_open = outbox.send_output(&data).await;
        flow.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        flow.is_sending.store(false, Ordering::Relaxed);
        is_open
    })
    .await;
}

/// Waits for the end of the output.
async fn at_end(pumping: &mut Option<Pumping>) {
    match pumping {
        Some(pumping) => pumping.await,
        None => std::future::pending().await,
    }
}

/// Waits until what was in the terminal was sent. Must be polled right after the output, which
/// then waits either for the client or, if nothing is being sent, for a terminal that is empty.
async fn drained(flow: &Flow, until: Option<u64>) {
    std::future::poll_fn(|_| match until {
        Some(_) if !flow.is_sending.load(Ordering::Relaxed) => Poll::Ready(()),
        // Something that writes on and on is not waited for.
        Some(until) if flow.bytes.load(Ordering::Relaxed) >= until => Poll::Ready(()),
        _ => Poll::Pending,
    })
    .await;
}
