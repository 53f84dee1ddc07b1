//! `pipeway exec`: a command on the other side, its output as it comes, its exit code.

use std::io;

use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use pipeway_agent::protocol::{Budget, Execute, StreamLine, decode};
use pipeway_transport::child::Signal;
use pipeway_transport::console::Output;
use tokio::sync::watch;

use super::remote::{Remote, environment, printable};
use crate::args::ExecArgs;
use crate::exit::{BROKEN_PIPE, Exit};
use crate::output::{Failure, talk};
use crate::service::UserSignals;

/// The longest line that is taken of the answer; an agent's have some 45 KB.
const LINE_MAX: usize = 4 << 20;

/// How many signals are passed on; the next one leaves.
const PASSED_MAX: u32 = 2;

/// Runs the command; its exit code.
pub(crate) async fn exec(args: ExecArgs) -> Result<i32, Failure> {
    run(args).await.map_err(Failure::own)
}

async fn run(args: ExecArgs) -> Result<i32, Failure> {
    let mut signals = UserSignals::new().map_err(|error| {
        Failure::new(Exit::Failure, "the system's signals can't be received").cause(&error)
    })?;
    let remote = Remote::new(&args.remote)?;
    let (span_tx, span_rx) = watch::channel(None);
    let work = async {
        let execute = execute(&args, &remote).await?;
        let execute = serde_json::to_vec(&execute).map_err(|error| {
            Failure::new(Exit::Usage, "--cwd can't be sent: it is not Unicode").cause(&error)
        })?;
        let answer = remote.request(Method::POST, "/v1/execute/stream", Some(execute)).await?;
        Relay::new(&remote, &span_tx).run(answer.into_body()).await
    };
    tokio::select! {
        ended = work => ended,
        code = pass_on(&mut signals, &remote, span_rx) => Ok(code),
    }
}

async fn execute(args: &ExecArgs, remote: &Remote) -> Result<Execute, Failure> {
    let cmd = match args.command.as_slice() {
        // The same everywhere, so there is no need to ask.
        [script] => script.clone(),
        words => remote.platform().await?.script(words)?,
    };
    let budget = args.max_runtime.map(|time| Budget {
        max_runtime_ms: Some(u64::try_from(time.0.as_millis()).unwrap_or(u64::MAX).max(1)),
    });
    Ok(Execute {
        cmd,
        cwd: args.remote.cwd.clone(),
        env: environment(&args.remote),
        pty: args.tty,
        agent_id: args.agent_id.clone(),
        profile: args.profile.clone(),
        budget,
    })
}

/// Passes signals on, over connections of their own, until it is time to leave; the code to leave
/// with.
async fn pass_on(
    signals: &mut UserSignals,
    remote: &Remote,
    span_rx: watch::Receiver<Option<String>>,
) -> i32 {
    let mut passed = 0;
    loop {
        let signal = signals.next().await;
        let span_id = span_rx.borrow().clone();
        // What was not started yet needs no signal.
        let Some(span_id) = span_id.filter(|_| passed < PASSED_MAX) else {
            return signal.exit_code();
        };
        let signal = match signal {
            Signal::Interrupt if passed > 0 => Signal::Terminate,
            signal => signal,
        };
        passed += 1;
        let remote = remote.clone();
        tokio::spawn(async move {
            if let Err(failure) = remote.cancel(&span_id, signal).await {
                talk(&format!("SIG{signal} could not be passed on"));
                failure.report();
            }
        });
    }
}

/// Reads the answer's lines and does what they say.
struct Relay<'a> {
    remote: &'a Remote,
    span_tx: &'a watch::Sender<Option<String>>,
    stdout: Output,
    stderr: Output,
}

impl<'a> Relay<'a> {
    fn new(remote: &'a Remote, span_tx: &'a watch::Sender<Option<String>>) -> Self {
        Relay { remote, span_tx, stdout: Output::stdout(), stderr: Output::stderr() }
    }

    async fn run(mut self, mut body: Incoming) -> Result<i32, Failure> {
        let mut rest = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.lost(Some(&error)))?;
            let Ok(data) = frame.into_data() else { continue };
            let mut data = &data[..];
            while let Some(end) = data.iter().position(|byte| *byte == b'\n') {
                rest.extend_from_slice(&data[..end]);
                data = &data[end + 1..];
                if let Some(code) = self.line(&rest).await? {
                    return Ok(code);
                }
                rest.clear();
            }
            rest.extend_from_slice(data);
            if rest.len() > LINE_MAX {
                return Err(self.nonsense(&"a line is too long"));
            }
        }
        Err(self.lost(None))
    }

    /// Does what a line says; the code, where the line is the last.
    async fn line(&mut self, line: &[u8]) -> Result<Option<i32>, Failure> {
        match serde_json::from_slice(line).map_err(|error| self.nonsense(&error))? {
            StreamLine::Start { span_id } => {
                self.span_tx.send_replace(Some(span_id));
            }
            StreamLine::Stdout { chunk_b64 } => {
                let data = decode(&chunk_b64).map_err(|error| self.nonsense(&error))?;
                match self.stdout.write(data).await {
                    Ok(()) => {}
                    // The reader has seen enough; leaving ends the command.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        return Ok(Some(BROKEN_PIPE));
                    }
                    Err(error) => {
                        let message = "can't write to standard output";
                        return Err(Failure::new(Exit::Failure, message).cause(&error));
                    }
                }
            }
            StreamLine::Stderr { chunk_b64 } => {
                let data = decode(&chunk_b64).map_err(|error| self.nonsense(&error))?;
                // Where standard error is closed there is nobody to tell.
                let _ = self.stderr.write(data).await;
            }
            StreamLine::Error { message } => talk(&format!("agent: {}", printable(&message))),
            StreamLine::Exit { exit, .. } => return Ok(Some(exit)),
        }
        Ok(None)
    }

    fn lost(&self, error: Option<&hyper::Error>) -> Failure {
        let endpoint = self.remote.endpoint();
        let message = format!("the connection to {endpoint} was lost before the command's end");
        let failure = Failure::new(Exit::Incomplete, message)
            .hint("an agent ends a command whose client is gone; one that was killed can't");
        match error {
            Some(error) => failure.cause(error),
            None => failure,
        }
    }

    fn nonsense(&self, why: &dyn std::fmt::Display) -> Failure {
        let message = format!("what came from {} is no agent's answer", self.remote.endpoint());
        Failure::new(Exit::Failure, message).cause(why)
    }
}
