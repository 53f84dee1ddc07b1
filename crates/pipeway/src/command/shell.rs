//! `pipeway shell`: a terminal on the other side.

mod escape;
mod outgoing;

use std::io::{self, IsTerminal};
use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use pipeway_agent::protocol::{AgentMessage, ClientMessage, Start, decode};
use pipeway_transport::child::{Signal, TerminalSize};
use pipeway_transport::console::{self, Input, Output, RawMode};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use self::escape::Escapes;
use self::outgoing::{Left, Outgoing};
use super::remote::{Platform, Remote, Socket, environment, printable};
use crate::args::ShellArgs;
use crate::env;
use crate::exit::{BROKEN_PIPE, Exit};
use crate::output::{Failure, talk};
use crate::service::{JobControl, Resizes, UserSignals};

/// How long the agent may take to close after its last word.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// What a program that did not end in order may have left the terminal in, taken back: the
/// alternate screen, an invisible cursor, reports of the mouse and of pasting, the modes of keys,
/// colours (xterm's control sequences).
const CALM: &[u8] = b"\x1b[?1047l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\
    \x1b[?2004l\x1b[?1l\x1b>\x1b[0m\r\n";

/// Runs the terminal; the command's exit code.
pub(crate) async fn shell(args: ShellArgs) -> Result<i32, Failure> {
    run(args).await.map_err(Failure::own)
}

async fn run(args: ShellArgs) -> Result<i32, Failure> {
    let unheard = |error: io::Error| {
        Failure::new(Exit::Failure, "the system's signals can't be received").cause(&error)
    };
    let mut signals = UserSignals::new().map_err(unheard)?;
    let resizes = Resizes::new().map_err(unheard)?;
    let jobs = JobControl::new().map_err(unheard)?;
    let is_typed = io::stdin().is_terminal();
    let remote = Remote::new(&args.remote)?;

    let opened = tokio::select! {
        opened = open(&args, &remote, is_typed) => opened,
        signal = signals.next() => return Ok(signal.exit_code()),
    };
    let Opened { socket, platform, size } = opened?;
    let raw = if is_typed { Some(make_raw()?) } else { None };

    let (sink, stream) = socket.split();
    let (message_tx, message_rx) = mpsc::channel(1);
    let outgoing = Outgoing {
        input: Input::open(),
        escapes: Escapes::new(is_typed && !args.no_escape),
        is_typed,
        platform,
        size,
        signals,
        resizes,
        jobs,
        message_tx,
    };
    let mut incoming = Incoming { remote: &remote, stdout: Output::stdout(), is_raw: is_typed };
    let ended = tokio::select! {
        ended = incoming.run(stream) => ended,
        () = send(sink, message_rx) => unreachable!("the sender waits for ever"),
        left = outgoing.run() => Ok(End::Left(left)),
    };
    let in_order = matches!(&ended, Ok(End::Exited(_)));
    if raw.is_some() && !in_order && io::stdout().is_terminal() {
        // A terminal that takes nothing any more must not keep us.
        let _ = tokio::time::timeout(CLOSE_WAIT, Output::stdout().write(CALM.to_vec())).await;
    }
    drop(raw);
    match ended? {
        End::Exited(code) => Ok(code),
        End::Left(Left::Signal(signal)) => Ok(signal.exit_code()),
        End::Left(Left::Escape) => {
            talk(&format!("left {}", remote.endpoint()));
            Err(Failure::told(Exit::Own))
        }
        End::Unread => Ok(BROKEN_PIPE),
    }
}

/// How it ended.
enum End {
    /// The command did, with this code.
    Exited(i32),
    /// We left.
    Left(Left),
    /// Nobody reads our output any more.
    Unread,
}

/// A terminal that is open over there.
struct Opened {
    socket: Socket,
    platform: Platform,
    /// The size that it was told to have.
    size: TerminalSize,
}

/// Opens the terminal over there.
async fn open(args: &ShellArgs, remote: &Remote, is_typed: bool) -> Result<Opened, Failure> {
    let platform = remote.platform().await?;
    let cmd = match args.command.as_slice() {
        [] => platform.login_shell().to_owned(),
        words => platform.script(words)?,
    };
    let mut variables = environment(&args.remote);
    if let Some(name) = std::env::var(env::TERM).ok().filter(|name| !name.is_empty())
        && is_typed
        && platform == Platform::Posix
    {
        // Programs there write for the terminal that is here.
        variables.entry(env::TERM.to_owned()).or_insert(name);
    }
    let size = console::size().unwrap_or_else(size_by_environment);
    let start = Start {
        cmd,
        cwd: args.remote.cwd.clone(),
        env: variables,
        span_id: None,
        cols: size.columns,
        rows: size.rows,
    };
    let mut socket = remote.websocket().await?;
    let start = serde_json::to_string(&ClientMessage::Start(start)).map_err(|error| {
        Failure::new(Exit::Usage, "--cwd can't be sent: it is not Unicode").cause(&error)
    })?;
    socket.send(Message::text(start)).await.map_err(|error| lost(remote, Some(&error)))?;
    Ok(Opened { socket, platform, size })
}

/// The size by `COLUMNS` and `LINES`, as far as they say it.
fn size_by_environment() -> TerminalSize {
    let number = |name| std::env::var(name).ok()?.parse().ok().filter(|number: &u16| *number > 0);
    let default = TerminalSize::default();
    TerminalSize {
        columns: number(env::COLUMNS).unwrap_or(default.columns),
        rows: number(env::LINES).unwrap_or(default.rows),
    }
}

/// Makes the terminal raw, and sees to it that a panic's message finds it as it was.
fn make_raw() -> Result<RawMode, Failure> {
    let raw = RawMode::enter().map_err(|error| {
        Failure::new(Exit::Failure, "the terminal's modes can't be set").cause(&error)
    })?;
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        console::restore();
        report(panic);
    }));
    Ok(raw)
}

/// Sends what comes, until a send fails: then the receiver tells why, so this waits for it.
async fn send(
    mut sink: impl Sink<Message, Error = WsError> + Unpin,
    mut message_rx: mpsc::Receiver<ClientMessage>,
) {
    while let Some(message) = message_rx.recv().await {
        let text = serde_json::to_string(&message).expect("a message has nothing that JSON lacks");
        if sink.send(Message::text(text)).await.is_err() {
            break;
        }
    }
    std::future::pending().await
}

/// What comes from the agent.
struct Incoming<'a> {
    remote: &'a Remote,
    stdout: Output,
    is_raw: bool,
}

impl Incoming<'_> {
    async fn run(
        &mut self,
        mut stream: impl Stream<Item = Result<Message, WsError>> + Unpin,
    ) -> Result<End, Failure> {
        loop {
            let text = match stream.next().await {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Binary(_))) => return Err(self.nonsense(&"a binary message")),
                Some(Ok(Message::Close(_))) | None => return Err(lost(self.remote, None)),
                Some(Err(error)) => return Err(lost(self.remote, Some(&error))),
            };
            let message: AgentMessage =
                serde_json::from_str(&text).map_err(|error| self.nonsense(&error))?;
            match message {
                AgentMessage::Stdout { data_b64 } => {
                    let data = decode(&data_b64).map_err(|error| self.nonsense(&error))?;
                    match self.stdout.write(data).await {
                        Ok(()) => {}
                        // The reader has seen enough; leaving ends the command.
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                            return Ok(End::Unread);
                        }
                        Err(error) => {
                            let message = "can't write to standard output";
                            return Err(Failure::new(Exit::Failure, message).cause(&error));
                        }
                    }
                }
                AgentMessage::Exit { code } => {
                    // The answer to its close is sent by reading on.
                    let closed = async { while let Some(Ok(_)) = stream.next().await {} };
                    let _ = tokio::time::timeout(CLOSE_WAIT, closed).await;
                    return Ok(End::Exited(code));
                }
                AgentMessage::Error { message, fatal: Some(true), .. } => {
                    let endpoint = self.remote.endpoint();
                    let message = format!("{endpoint} refused: {}", printable(&message));
                    return Err(Failure::new(Exit::Refused, message));
                }
                AgentMessage::Error { message, .. } => {
                    // In a raw terminal a line's end does not go back to its beginning.
                    let (begin, end) = if self.is_raw { ("\r\n", "\r") } else { ("", "") };
                    talk(&format!("{begin}agent: {}{end}", printable(&message)));
                }
                AgentMessage::Ready { .. } | AgentMessage::CommandComplete { .. } => {
                    return Err(self.nonsense(&"a message of a persistent session"));
                }
            }
        }
    }

    fn nonsense(&self, why: &dyn std::fmt::Display) -> Failure {
        let message = format!("what came from {} is no agent's message", self.remote.endpoint());
        Failure::new(Exit::Failure, message).cause(why)
    }
}

fn lost(remote: &Remote, error: Option<&WsError>) -> Failure {
    let message = format!("the connection to {} was lost", remote.endpoint());
    let failure = Failure::new(Exit::Incomplete, message)
        .hint("an agent ends a command whose client is gone; one that was killed can't");
    match error {
        Some(error) => failure.cause(error),
        None => failure,
    }
}

/// Whether a second signal of this kind is one to leave by: an order to end, not a key.
fn is_order_to_end(signal: Signal) -> bool {
    matches!(signal, Signal::Terminate | Signal::Hangup)
}
