//! Sending, and printing what comes.

use std::future::pending;
use std::time::Duration;

use http::Response;
use pipeway_directline::{Body, Client, Error, ErrorKind};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::activity::Message;
use super::platform::Heard;
use super::print::Printer;
use crate::config::time_text;
use crate::exit::Exit;
use crate::output::{Failure, talk};
use crate::service::StopSignals;

/// A session with an agent, as the user sees it.
pub(super) struct Dialog {
    pub(super) client: Client,
    pub(super) printer: Printer,
    /// How long after the last thing that came a reply may still come.
    pub(super) wait: Duration,
    /// How long an activity's answer, and all replies to it, may take.
    pub(super) timeout: Duration,
    /// Tells that the session is over.
    pub(super) over_rx: watch::Receiver<bool>,
}

impl Dialog {
    /// Sends one message after another, each when the one before was answered, and prints what
    /// comes until all is said.
    pub(super) async fn run(
        self,
        mut message_rx: mpsc::Receiver<Result<Message, Failure>>,
        mut heard_rx: mpsc::Receiver<Heard>,
        mut signals: StopSignals,
    ) -> Result<(), Failure> {
        let mut over_rx = self.over_rx.clone();
        let mut refusal = None;
        let mut is_ended = false;
        let mut quiet_since = Instant::now();
        let mut deadline = None;
        let mut call = std::pin::pin!(None);
        loop {
            let waits = call.is_some();
            if is_ended && !waits && quiet_since.elapsed() >= self.wait {
                break;
            }
            let time = if waits || is_ended { deadline } else { None };
            tokio::select! {
                biased;
                Some(heard) = heard_rx.recv() => {
                    self.printer.heard(&heard);
                    quiet_since = Instant::now();
                }
                answer = async {
                    match call.as_mut().as_pin_mut() {
                        Some(call) => call.await,
                        None => pending().await,
                    }
                } => {
                    call.set(None);
                    let (is_invoke, answer) = answer;
                    if let Err(refused) = self.answered(is_invoke, answer)? {
                        talk(&format!("the agent refused with status {refused}"));
                        refusal = Some(refused);
                    }
                    quiet_since = Instant::now();
                }
                message = message_rx.recv(), if !waits && !is_ended => match message {
                    None => is_ended = true,
                    Some(message) => {
                        let message = message?;
                        let client = self.client.clone();
                        deadline = Some(Instant::now() + self.timeout);
                        call.set(Some(async move {
                            let is_invoke = message.is_invoke;
                            (is_invoke, client.call(message.into_request()).await)
                        }));
                    }
                },
                // A call that waits fails by itself.
                _ = over_rx.wait_for(|over| *over), if !waits => {
                    while let Ok(heard) = heard_rx.try_recv() {
                        self.printer.heard(&heard);
                    }
                    if is_ended {
                        break;
                    }
                    return Err(Failure::new(Exit::Incomplete, "the agent ended the session"));
                }
                () = until(time) => return Err(self.late(waits)),
                () = sleep_until(quiet_since + self.wait), if is_ended && !waits => break,
                _ = signals.next() => break,
            }
        }
        match refusal {
            Some(_) => Err(Failure::told(Exit::Refused)),
            None => Ok(()),
        }
    }

    /// What an answer says; the inner error is the status of a refusal.
    fn answered(
        &self,
        is_invoke: bool,
        answer: Result<Response<Body>, Error>,
    ) -> Result<Result<(), u16>, Failure> {
        let response = match answer {
            Ok(response) => response,
            Err(error) if error.kind() == ErrorKind::ResponseTimedOut => {
                return Err(self.late(true));
            }
            Err(error) => {
                let message = "the session ended before the agent's answer";
                return Err(Failure::new(Exit::Incomplete, message).cause(&error));
            }
        };
        let status = response.status();
        let body = response.into_body().into_bytes();
        self.printer.answer(status.as_u16(), &body, is_invoke);
        let is_refused = status.is_client_error() || status.is_server_error();
        Ok(if is_refused { Err(status.as_u16()) } else { Ok(()) })
    }

    fn late(&self, waits: bool) -> Failure {
        let what = if waits { "the agent did not answer" } else { "replies still came" };
        let message = format!("{what} after {}", time_text(self.timeout));
        Failure::new(Exit::Timeout, message).hint("allow more with --timeout")
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}
