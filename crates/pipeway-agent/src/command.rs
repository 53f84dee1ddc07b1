//! Running one command: a task that owns the child, reads its output at the client's pace, takes
//! signals, and ends the whole group when the client is gone.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use pipeway_transport::child::{Child, Program, Signal, TerminalSize};
use tokio::io::AsyncRead;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::protocol::Execute;
use crate::pump::pump;
use crate::server::{Shared, Stop};
use crate::span::{Order, Span, What};

/// How much is read at once.
const PIECE: usize = 32 * 1024;

/// How many pieces may wait for the client; then the command waits.
const QUEUE: usize = 4;

/// What a running command gives.
#[derive(Debug)]
pub(crate) enum Output {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    Error(String),
    /// The last.
    Exit(i32),
}

/// A command that was started. Dropping the receiver is the client's going away.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) span_id: String,
    pub(crate) output_rx: mpsc::Receiver<Output>,
}

/// Why a command was not started.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The request asks for what can't be.
    BadRequest(String),
    /// The agent or its system failed.
    Internal(String),
}

impl NotStarted {
    pub(crate) fn of(error: &pipeway_transport::Error) -> Self {
        use pipeway_transport::ErrorKind;
        let mut text = error.to_string();
        if let Some(source) = std::error::Error::source(error) {
            text = format!("{text}: {source}");
        }
        if let Some(advice) = error.advice() {
            text = format!("{text}; {advice}");
        }
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::Permission | ErrorKind::Unsupported => {
                NotStarted::BadRequest(text)
            }
            _ => NotStarted::Internal(text),
        }
    }
}

/// The program of a request, in its folder and with its environment.
///
/// # Errors
///
/// Says what can't be.
pub(crate) fn program<'a>(
    program: Program,
    cwd: Option<&std::path::Path>,
    env: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<Program, NotStarted> {
    let mut program = program;
    if let Some(cwd) = cwd {
        if !cwd.is_absolute() {
            return Err(NotStarted::BadRequest(format!(
                "cwd {} must be an absolute path",
                cwd.display()
            )));
        }
        program = program.folder(cwd);
    }
    Ok(env.into_iter().fold(program, |program, (name, value)| program.variable(name, value)))
}

/// Starts the command of `request`.
///
/// # Errors
///
/// [`NotStarted`]; then nothing runs.
pub(crate) fn start(shared: &Arc<Shared>, request: Execute) -> Result<Running, NotStarted> {
    let program = program(Program::script(request.cmd), request.cwd.as_deref(), &request.env)?;
    let (span, order_rx) = shared.spans.enter(None).map_err(NotStarted::Internal)?;
    let span_id = span.id().to_owned();
    let (output_tx, output_rx) = mpsc::channel(QUEUE);
    let (exited_tx, exited_rx) = watch::channel(false);
    let outlet = Outlet { output_tx: output_tx.clone(), exited_rx, counts: Arc::default() };
    let (child, pumps): (Child, Pumps) = if request.pty {
        let (child, terminal) = Child::in_terminal(&program, TerminalSize::default())
            .map_err(|error| NotStarted::of(&error))?;
        (child, Box::pin(outlet.clone().pump(terminal, Output::Stdout)))
    } else {
        let (child, pipes) = Child::piped(&program).map_err(|error| NotStarted::of(&error))?;
        drop(pipes.stdin);
        let stdout = outlet.clone().pump(pipes.stdout, Output::Stdout);
        let stderr = outlet.clone().pump(pipes.stderr, Output::Stderr);
        (child, Box::pin(async { tokio::join!(stdout, stderr) }.map(drop)))
    };
    span.tell(What::Start {
        pid: child.pid(),
        pty: request.pty,
        agent_id: request.agent_id,
        profile: request.profile,
    });
    let max_runtime_ms = request.budget.and_then(|budget| budget.max_runtime_ms);
    let work = Work {
        child,
        span,
        order_rx,
        output_tx,
        exited_tx,
        counts: outlet.counts,
        max_runtime_ms,
        grace: shared.grace,
        stop: shared.stop.clone(),
    };
    shared.spawn_command(work.run(pumps));
    Ok(Running { span_id, output_rx })
}

type Pumps = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where output goes.
#[derive(Clone)]
struct Outlet {
    output_tx: mpsc::Sender<Output>,
    exited_rx: watch::Receiver<bool>,
    counts: Arc<Counts>,
}

/// Bytes of output.
#[derive(Debug, Default)]
struct Counts {
    stdout: AtomicU64,
    stderr: AtomicU64,
}

impl Outlet {
    /// Carries one output to the client until its end.
    async fn pump(self, output: impl AsyncRead + Unpin, kind: fn(Vec<u8>) -> Output) {
        let Outlet { output_tx, exited_rx, counts } = self;
        let give = |data: Vec<u8>| {
            let bytes = data.len() as u64;
            let output = kind(data);
            match output {
                Output::Stderr(_) => &counts.stderr,
                _ => &counts.stdout,
            }
            .fetch_add(bytes, Ordering::Relaxed);
            let sent = output_tx.send(output);
            async { sent.await.is_ok() }
        };
        pump(output, PIECE, exited_rx, give).await;
    }
}

/// A running command, owned by its task.
struct Work {
    child: Child,
    span: Span,
    order_rx: mpsc::Receiver<Order>,
    output_tx: mpsc::Sender<Output>,
    exited_tx: watch::Sender<bool>,
    counts: Arc<Counts>,
    max_runtime_ms: Option<u64>,
    grace: Duration,
    stop: Stop,
}

impl Work {
    /// Runs until the command has ended and its output was given, or its client is gone.
    async fn run(mut self, mut pumps: Pumps) {
        let mut code = None;
        let mut pumped = false;
        let mut stopped = false;
        let mut errors = Vec::new();
        // What the budget does next, and when.
        let mut next = self
            .max_runtime_ms
            .map(|ms| (Instant::now() + Duration::from_millis(ms), Signal::Terminate));
        while code.is_none() || !pumped {
            tokio::select! {
                ended = self.child.wait(), if code.is_none() => {
                    code = Some(ended.unwrap_or_else(|error| {
                        errors.push(format!("the system does not tell how the command ended: {error}"));
                        -1
                    }));
                    self.exited_tx.send_replace(true);
                    next = None;
                }
                () = &mut pumps, if !pumped => pumped = true,
                Some(order) = self.order_rx.recv() => self.deliver(order),
                () = self.output_tx.closed() => {
                    self.span.tell(What::ClientGone);
                    self.child.end(self.grace).await;
                    self.told_exit().await;
                    return;
                }
                () = self.stop.ordered(), if !stopped => {
                    stopped = true;
                    if code.is_none() {
                        self.span.tell(What::AgentStopped);
                        errors.push("the agent was stopped".to_owned());
                        self.child.end(self.grace).await;
                    }
                }
                signal = due(next) => {
                    self.child.signal(signal);
                    next = None;
                    if signal == Signal::Terminate {
                        let ms = self.max_runtime_ms.unwrap_or_default();
                        self.span.tell(What::BudgetSpent { max_runtime_ms: ms });
                        errors.push(format!("the command ran for more than max_runtime_ms, {ms}"));
                        next = Some((Instant::now() + self.grace, Signal::Kill));
                    }
                }
            }
        }
        let code = self.told_exit().await;
        for message in errors {
            // A client that is gone needs no word.
            let _ = self.output_tx.send(Output::Error(message)).await;
        }
        let _ = self.output_tx.send(Output::Exit(code)).await;
    }

    fn deliver(&mut self, order: Order) {
        let delivered = self.child.signal(order.signal);
        self.span.tell(What::Signal { sig: order.signal.name(), delivered });
        // Whoever asked may be gone.
        let _ = order.delivered_tx.send(delivered);
    }

    /// Tells the trace how it ended.
    async fn told_exit(&mut self) -> i32 {
        let exit = self.child.wait().await.unwrap_or(-1);
        self.span.tell(What::Exit {
            exit,
            stdout_bytes: self.counts.stdout.load(Ordering::Relaxed),
            stderr_bytes: self.counts.stderr.load(Ordering::Relaxed),
        });
        exit
    }
}

/// Waits for the time of the budget's next step.
async fn due(next: Option<(Instant, Signal)>) -> Signal {
    match next {
        Some((at, signal)) => {
            tokio::time::sleep_until(at).await;
            signal
        }
        None => pending().await,
    }
}
