//! A persistent session: a shell in a terminal that runs one program after another and keeps its
//! state between them.

mod report;
mod request;
mod shell;

use std::io;
use std::time::Duration;

use pipeway_transport::child::{HAS_FIFOS, Signal, forget_typed};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::command::{self, NotStarted};
use crate::console::{self, Console, Event, NotResized};
use crate::protocol::{
    AgentMessage, ClientMessage, ErrorCode, Exec, StartSession, StdinMode, decode,
};
use crate::server::Shared;
use crate::span::{What, random_hex};
use crate::websocket::{Inbox, Incoming, Outbox};
use request::{Fault, Request};
use shell::Shell;

/// Whether this system has persistent sessions.
pub(crate) const IS_SUPPORTED: bool = HAS_FIFOS;

/// The version of the protocol, and the only one.
const VERSION: u64 = 1;

/// How long the shell may take to be ready.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// How many signals of one program are followed by another order to report. All those orders
/// together fit into a pipe.
const AGAIN_MAX: usize = 16;

/// How long after a program's beginning a signal is early. Shells lose one that comes in the very
/// moment at which they begin to do something.
const EARLY: Duration = Duration::from_millis(250);

/// After how long an early signal is sent again, each time to a program that still runs.
const RESEND: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];

/// What a terminal makes a signal of: Ctrl-C and Ctrl-\.
const SIGNAL_KEYS: [u8; 2] = [0x03, 0x1c];

/// Runs a session until its shell has ended or its client is gone.
pub(crate) async fn run(shared: &Shared, outbox: Outbox, inbox: Inbox, start: StartSession) {
    if !IS_SUPPORTED {
        let message = "this system has no persistent sessions, because it has no FIFOs for a \
                       shell to read from; send start, which runs one command in a terminal";
        return outbox.refuse(ErrorCode::BadRequest, message, None, inbox).await;
    }
    if start.protocol_version != VERSION {
        let message =
            format!("protocol_version must be {VERSION}; it is {}", start.protocol_version);
        let code = ErrorCode::UnsupportedProtocolVersion;
        return outbox.refuse(code, message, None, inbox).await;
    }
    match open(shared, (outbox, inbox), start).await {
        Ok(Some(session)) => session.serve(shared).await,
        Ok(None) => {}
        Err((error, (outbox, inbox))) => outbox.refuse_start(error, inbox).await,
    }
}

/// Starts the shell and waits until it is ready; nothing where that ended the conversation.
async fn open(
    shared: &Shared,
    ends: (Outbox, Inbox),
    start: StartSession,
) -> Result<Option<Session>, (NotStarted, (Outbox, Inbox))> {
    let (nonce, secret, mut shell, program) = match prepare(&start).await {
        Ok(prepared) => prepared,
        Err(error) => return Err((error, ends)),
    };
    let size = match console::size(start.cols, start.rows) {
        Ok(size) => size,
        Err(message) => return Err((NotStarted::BadRequest(message), ends)),
    };
    let mut console = Console::open(shared, ends, &program, size, Some(nonce.clone()))?;
    // What the client sends meanwhile is read when the shell is ready.
    console.listen(false);
    let deadline = Instant::now() + OPEN_TIMEOUT;
    let folder = loop {
        let fault = tokio::select! {
            opened = timeout_at(deadline, shell.opened(&secret)) => match opened {
                Ok(Ok(folder)) => break folder,
                Ok(Err(error)) => internal(&error),
                Err(_) => Fault::new(
                    ErrorCode::InternalError,
                    format!("the shell was not ready within {} s", OPEN_TIMEOUT.as_secs()),
                ),
            },
            event = console.next() => match event {
                Event::Came(Incoming::Gone) => {
                    console.client_gone(shared).await;
                    return Ok(None);
                }
                Event::Came(_) | Event::Ordered(_) | Event::Drained => continue,
                Event::Stopped => stopped(),
                Event::Over => Fault::new(
                    ErrorCode::InternalError,
                    "the shell ended before it was ready; what it wrote came as stdout",
                ),
            },
        };
        console.fail(shared, fault.code, fault.message, None).await;
        return Ok(None);
    };
    console.listen(true);
    console.reply(AgentMessage::Ready {
        session_nonce: nonce,
        cwd: folder,
        protocol_version: VERSION,
    });
    Ok(Some(Session { console, shell: Some(shell), stage: Stage::Idle, last_seq: 0, last_exit: 0 }))
}

/// The session's nonce, the secret of the shell's first report, and the shell with its program.
async fn prepare(
    start: &StartSession,
) -> Result<(String, String, Shell, pipeway_transport::child::Program), NotStarted> {
    let failed = |error: io::Error| {
        NotStarted::Internal(format!("the session's shell can't be prepared: {error}"))
    };
    let nonce = random_hex::<16>().map_err(NotStarted::Internal)?;
    let secret = shell::secret().map_err(failed)?;
    let shell = Shell::prepare(&secret).await.map_err(failed)?;
    let program = shell.program().map_err(failed)?;
    let program = command::program(program, start.cwd.as_deref(), &start.env)?;
    Ok((nonce, secret, shell, shell::silenced(program)))
}

/// A session whose shell is ready.
struct Session {
    console: Console,
    /// Nothing once the session is being closed.
    shell: Option<Shell>,
    stage: Stage,
    last_seq: u64,
    last_exit: i32,
}

/// Where a session is.
enum Stage {
    /// No program runs.
    Idle,
    Running(Running),
    /// The program is done; its output is being sent.
    Done(Running, i32, String),
}

/// A program that runs.
struct Running {
    seq: u64,
    token_hex: String,
    stdin_mode: StdinMode,
    /// What the report begins with that says it begins; nothing once it has.
    begin_secret: Option<String>,
    /// What the report begins with that says it is done.
    done_secret: String,
    /// What is to be sent to it when it begins.
    signals: Vec<Signal>,
    /// The last signal that was sent to it.
    last_signal: Option<Signal>,
    begun: Instant,
    /// When an early signal is sent again, and how often it was.
    resend: Option<(Instant, Signal, usize)>,
    /// How often the order to report was repeated.
    again: usize,
}

enum Happened {
    Event(Event),
    Begun,
    Done(i32, String),
    ResendDue,
    Failed(io::Error),
}

/// Why a message ends the session.
type Refused = (Fault, Option<u64>);

impl Session {
    async fn serve(mut self, shared: &Shared) {
        loop {
            let happened = tokio::select! {
                event = self.console.next() => Happened::Event(event),
                happened = reported(&mut self.shell, &self.stage) => happened,
                () = resend_due(&self.stage) => Happened::ResendDue,
            };
            let refused = match happened {
                Happened::Event(Event::Came(Incoming::Gone)) => {
                    drop(self.shell);
                    return self.console.client_gone(shared).await;
                }
                Happened::Event(Event::Over) => {
                    drop(self.shell);
                    return self.console.close().await;
                }
                // The end of the shell is under way, and `exit` will tell it.
                Happened::Event(Event::Came(_)) if self.is_ending() => Ok(()),
                Happened::Event(Event::Came(incoming)) => self.take(shared, incoming).await,
                Happened::Event(Event::Ordered(order)) => {
                    let delivered = self.signal(order.signal).await;
                    // Whoever asked may be gone.
                    let _ = order.delivered_tx.send(delivered);
                    Ok(())
                }
                Happened::Event(Event::Stopped) => {
                    let Fault { code, message } = stopped();
                    self.console.reply(AgentMessage::fatal(code, message, None));
                    self.end(shared).await;
                    Ok(())
                }
                Happened::Event(Event::Drained) => {
                    self.complete();
                    Ok(())
                }
                Happened::Begun => self.begun().await,
                Happened::ResendDue => {
                    self.resend().await;
                    Ok(())
                }
                Happened::Done(exit, folder) => {
                    self.done(exit, folder);
                    Ok(())
                }
                Happened::Failed(error) => Err((internal(&error), None)),
            };
            if let Err((fault, seq)) = refused {
                drop(self.shell);
                return self.console.fail(shared, fault.code, fault.message, seq).await;
            }
        }
    }

    fn is_ending(&self) -> bool {
        self.shell.is_none() || self.console.has_ended()
    }

    /// Does what a message says.
    async fn take(&mut self, shared: &Shared, incoming: Incoming) -> Result<(), Refused> {
        let refused = |code, message: String| Err((Fault::new(code, message), None));
        let message = match incoming {
            Incoming::Message(message) => message,
            Incoming::Malformed(what) => return refused(ErrorCode::BadRequest, what),
            Incoming::Binary => {
                let what = "a binary message came; every message is JSON text".to_owned();
                return refused(ErrorCode::ProtocolViolation, what);
            }
            Incoming::Gone => return Ok(()),
        };
        match message {
            ClientMessage::Exec(exec) => {
                let seq = exec.seq;
                self.exec(exec).await.map_err(|fault| (fault, Some(seq)))
            }
            ClientMessage::Stdin { data_b64 } => match decode(&data_b64) {
                Ok(data) => self.type_in(&data).await,
                Err(error) => {
                    let what = format!("data_b64 is no base64: {error}");
                    refused(ErrorCode::BadRequest, what)
                }
            },
            ClientMessage::Resize { cols, rows } => match self.console.resize(cols, rows) {
                Ok(()) => Ok(()),
                Err(NotResized::BadRequest(what)) => refused(ErrorCode::BadRequest, what),
                Err(NotResized::Failed(what)) => refused(ErrorCode::InternalError, what),
            },
            ClientMessage::Signal { sig } => {
                match console::signal(&sig) {
                    // A signal that comes too late is no error.
                    Ok(signal) => drop(self.signal(signal).await),
                    Err(message) => self.console.reply(AgentMessage::error(message)),
                }
                Ok(())
            }
            ClientMessage::Close {} => {
                self.end(shared).await;
                Ok(())
            }
            ClientMessage::Start(_) | ClientMessage::StartSession(_) => {
                let what = "a session is open; it takes exec, stdin, resize, signal and close";
                refused(ErrorCode::ProtocolViolation, what.to_owned())
            }
        }
    }

    async fn exec(&mut self, exec: Exec) -> Result<(), Fault> {
        let (Stage::Idle, Some(shell)) = (&self.stage, &mut self.shell) else {
            let message = "a program runs; send the next one after its command_complete";
            return Err(Fault::new(ErrorCode::ExecWhileBusy, message));
        };
        let Request { seq, token_hex, stdin_mode, program } = request::check(exec, self.last_seq)?;
        let (begin_secret, done_secret) = shell::secret()
            .and_then(|first| Ok((first, shell::secret()?)))
            .map_err(|error| internal(&error))?;
        shell
            .begin(&begin_secret, &program, stdin_mode, self.last_exit)
            .await
            .map_err(|error| internal(&error))?;
        self.last_seq = seq;
        self.console.hold_typed(true);
        self.stage = Stage::Running(Running {
            seq,
            token_hex,
            stdin_mode,
            begin_secret: Some(begin_secret),
            done_secret,
            signals: Vec::new(),
            last_signal: None,
            begun: Instant::now(),
            resend: None,
            again: 0,
        });
        Ok(())
    }

    /// The program begins: only now can it be typed at and signalled. Before, the shell itself
    /// would be.
    async fn begun(&mut self) -> Result<(), Refused> {
        let (Stage::Running(running), Some(shell)) = (&mut self.stage, &mut self.shell) else {
            return Ok(());
        };
        running.begin_secret = None;
        running.begun = Instant::now();
        let failed = |error| (internal(&error), None);
        shell.finish(&running.done_secret).await.map_err(failed)?;
        self.console.hold_typed(false);
        let signals = std::mem::take(&mut running.signals);
        // Something that was typed may be a signal.
        self.repeat_finish().await;
        for signal in signals {
            // Early whatever the clock says: all of that may have taken a while.
            self.signal_program(signal, true).await;
        }
        Ok(())
    }

    fn done(&mut self, exit: i32, folder: String) {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Running(running) => {
                if let (StdinMode::Passthrough, Some(shell)) = (running.stdin_mode, &self.shell) {
                    // What was typed for this program is not for the next.
                    self.console.forget_typed();
                    // Without a terminal there is nothing to be forgotten.
                    let _ = forget_typed(shell.terminal());
                }
                self.console.drain();
                let exit = match running.last_signal {
                    Some(signal) if is_of_signal(exit) => signal.exit_code(),
                    _ => exit,
                };
                self.stage = Stage::Done(running, exit, folder);
            }
            other => self.stage = other,
        }
    }

    fn complete(&mut self) {
        if let Stage::Done(running, exit, cwd) = std::mem::replace(&mut self.stage, Stage::Idle) {
            self.last_exit = exit;
            self.console.span.tell(What::Program { seq: running.seq, exit });
            let Running { seq, token_hex, .. } = running;
            self.console.reply(AgentMessage::CommandComplete { seq, token_hex, exit, cwd });
        }
    }

    /// What is typed while no program wants it is dropped.
    async fn type_in(&mut self, data: &[u8]) -> Result<(), Refused> {
        if let Stage::Running(running) = &self.stage
            && running.stdin_mode == StdinMode::Passthrough
        {
            self.console.type_in(data);
            if data.iter().any(|byte| SIGNAL_KEYS.contains(byte)) {
                self.repeat_finish().await;
            }
        }
        Ok(())
    }

    /// Signals the program; whether there is one.
    async fn signal(&mut self, signal: Signal) -> bool {
        match &mut self.stage {
            Stage::Running(running) if running.begin_secret.is_some() => {
                if running.signals.len() < AGAIN_MAX {
                    running.signals.push(signal);
                }
                true
            }
            Stage::Running(running) => {
                let is_early = running.begun.elapsed() < EARLY;
                self.signal_program(signal, is_early).await
            }
            Stage::Idle | Stage::Done(..) => false,
        }
    }

    /// Signals the program that has begun.
    async fn signal_program(&mut self, signal: Signal, is_early: bool) -> bool {
        let Stage::Running(running) = &mut self.stage else { return false };
        running.last_signal = Some(signal);
        if is_early {
            running.resend = Some((Instant::now() + RESEND[0], signal, 0));
        }
        let delivered = self.console.signal(signal);
        self.repeat_finish().await;
        delivered
    }

    /// Sends an early signal again.
    async fn resend(&mut self) {
        if let Stage::Running(running) = &mut self.stage
            && let Some((_, signal, times)) = running.resend.take()
        {
            let times = times + 1;
            let next = RESEND.get(times).map(|wait| (Instant::now() + *wait, signal, times));
            running.resend = next;
            self.console.signal(signal);
            self.repeat_finish().await;
        }
    }

    /// Orders the report once more: a signal that comes when the program has just ended
    /// interrupts the report. One that comes twice is no harm.
    async fn repeat_finish(&mut self) {
        if let (Stage::Running(running), Some(shell)) = (&mut self.stage, &mut self.shell)
            && running.begin_secret.is_none()
            && running.again < AGAIN_MAX
        {
            running.again += 1;
            // If the shell is gone its end is seen.
            let _ = shell.finish(&running.done_secret).await;
        }
    }

    /// Ends the shell: its input is at its end, and it is hung up.
    async fn end(&mut self, shared: &Shared) {
        self.shell = None;
        self.console.child.end(shared.grace).await;
    }
}

/// Waits for the report that the stage is about.
async fn reported(shell: &mut Option<Shell>, stage: &Stage) -> Happened {
    let (Some(shell), Stage::Running(running)) = (shell, stage) else {
        return std::future::pending().await;
    };
    let reported = match &running.begin_secret {
        Some(secret) => shell.begun(secret).await.map(|()| Happened::Begun),
        None => {
            let done = shell.done(&running.done_secret).await;
            done.map(|(exit, folder)| Happened::Done(exit, folder))
        }
    };
    reported.unwrap_or_else(Happened::Failed)
}

/// Waits until a signal is to be sent again.
async fn resend_due(stage: &Stage) {
    match stage {
        Stage::Running(Running { resend: Some((at, ..)), .. }) => sleep_until(*at).await,
        _ => std::future::pending().await,
    }
}

/// Whether an exit code says that a signal of a client's ended the program. Which one it was is
/// not for certain: the shell interrupts the program for each, and where `$?` is such a code
/// already it stays.
fn is_of_signal(exit: i32) -> bool {
    let signals = [Signal::Hangup, Signal::Interrupt, Signal::Quit, Signal::Terminate];
    signals.iter().any(|signal| signal.exit_code() == exit)
}

fn internal(error: &io::Error) -> Fault {
    Fault::new(ErrorCode::InternalError, format!("the session's shell can't be used: {error}"))
}

fn stopped() -> Fault {
    Fault::new(ErrorCode::InternalError, "the agent was stopped")
}
