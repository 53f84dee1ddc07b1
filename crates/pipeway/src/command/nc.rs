//! `pipeway nc`: this process's input and output joined to an endpoint.

mod assuan;
mod patience;
mod relay;

use std::time::Instant;

use pipeway_transport::stdio::Stdio;
use pipeway_transport::{ConnectOptions, Endpoint, ErrorKind, HalfClose, Stream};
use tokio::io::AsyncWriteExt;

use assuan::SocketFile;
use patience::Patience;
use relay::{Ended, Fault, Relay, Rules};

use crate::args::NcArgs;
use crate::config::time_text;
use crate::exit::Exit;
use crate::output::{Failure, talk};

/// Carries bytes both ways until the end.
pub(crate) async fn nc(args: NcArgs) -> Result<(), Failure> {
    let stream = open(&args).await?;
    let stdio = Stdio::open().map_err(|error| Failure::listen(&error))?;
    let rules = Rules {
        ends_with_input: args.end_on_input_end,
        // An agent ends both directions together, and a port does not show it.
        ends_with_endpoint: args.end_on_endpoint_end || args.assuan,
        half_close: args.half_close(),
        idle_limit: args.idle_limit(),
    };
    if args.verbose && !stream.can_half_close() {
        talk("* the endpoint can't be told of the end of standard input");
    }
    let mut relay = Relay::new(stdio, stream, rules);
    let ended = relay.run().await;
    let (sent, received) = relay.moved();
    if args.verbose {
        let which = match &ended {
            Ok(Ended::Complete) => "both directions ended",
            Ok(Ended::Input) => "standard input ended",
            Ok(Ended::Endpoint) => "the endpoint closed",
            Ok(Ended::Idle) | Err(_) => "given up",
        };
        talk(&format!("* {which}: {sent} bytes sent, {received} received"));
    }
    match ended {
        Err(fault) => Err(told(fault, &args.endpoint, sent)),
        Ok(Ended::Idle) => {
            let limit = args.idle_limit().map_or_else(String::new, time_text);
            let message =
                format!("one direction had ended, and the other moved nothing for {limit}");
            Err(Failure::new(Exit::Timeout, message).hint(
                "allow more with --half-close-idle-timeout, or none; -ei and -ep end at once",
            ))
        }
        Ok(Ended::Endpoint) if args.assuan && received == 0 => Err(Failure::new(
            Exit::Refused,
            format!("the agent of {} closed the connection without a word", args.endpoint),
        )
        .hint("the file may be left of an agent that is gone; start the agent again")),
        Ok(_) => Ok(()),
    }
}

fn told(fault: Fault, endpoint: &str, sent: u64) -> Failure {
    let (exit, message, error) = match fault {
        Fault::Input(error) => (Exit::Failure, "can't read standard input".to_owned(), error),
        Fault::Output(error) => (Exit::Failure, "can't write to standard output".to_owned(), error),
        Fault::Receive(error) => {
            (Exit::Incomplete, format!("the connection to {endpoint} was lost"), error)
        }
        Fault::Send(error) => (
            Exit::Incomplete,
            format!("{endpoint} closed before all of standard input was sent ({sent} bytes were)"),
            error,
        ),
    };
    Failure::new(exit, message).cause(&error)
}

/// Connects; with `--poll` until it can be done.
async fn open(args: &NcArgs) -> Result<Stream, Failure> {
    let target = Destination::of(args)?;
    let mut options = args.connect.options(None);
    if !args.half_close() {
        // Not even on the way out.
        options.half_close = HalfClose::None;
    }
    if !args.poll {
        return target.connect(&options, args.verbose).await.map_err(Refusal::told);
    }
    let limit = args.poll_limit();
    let mut patience = Patience::new(limit);
    loop {
        let timeout = patience.left().map_or(options.timeout, |left| left.min(options.timeout));
        let options = ConnectOptions { timeout, ..options.clone() };
        let refusal = match target.connect(&options, args.verbose).await {
            Ok(stream) => return Ok(stream),
            Err(refusal) => refusal,
        };
        if !refusal.may_pass {
            return Err(refusal.told());
        }
        if !patience.pause().await {
            let limit = limit.map_or_else(String::new, time_text);
            let message = format!("{} could not be connected to for {limit}", args.endpoint);
            return Err(Failure::new(Exit::Timeout, message)
                .cause(&refusal.message)
                .hint("start the service, or allow more with --timeout"));
        }
    }
}

/// What is connected to.
enum Destination {
    Endpoint(Endpoint),
    Assuan(SocketFile),
}

/// Why it could not be connected to.
struct Refusal {
    message: String,
    /// Whether it may be otherwise in a moment.
    may_pass: bool,
    failure: Failure,
}

impl Refusal {
    fn told(self) -> Failure {
        self.failure
    }

    fn of(error: &pipeway_transport::Error) -> Self {
        use ErrorKind::{Busy, NotFound, Refused, TimedOut};
        Refusal {
            message: error.to_string(),
            may_pass: matches!(error.kind(), NotFound | Refused | Busy | TimedOut),
            failure: Failure::connect(error),
        }
    }
}

impl Destination {
    fn of(args: &NcArgs) -> Result<Self, Failure> {
        if args.assuan {
            return SocketFile::new(&args.endpoint).map(Destination::Assuan);
        }
        args.endpoint.parse().map(Destination::Endpoint).map_err(
            |error: pipeway_transport::EndpointParseError| {
                Failure::new(Exit::Usage, error.to_string())
            },
        )
    }

    async fn connect(&self, options: &ConnectOptions, verbose: bool) -> Result<Stream, Refusal> {
        let begin = Instant::now();
        let (endpoint, secret) = match self {
            Destination::Endpoint(endpoint) => (endpoint.clone(), None),
            Destination::Assuan(file) => {
                let (port, secret) = file.read()?;
                (Endpoint::Tcp((std::net::Ipv4Addr::LOCALHOST, port).into()), Some(secret))
            }
        };
        let connected = pipeway_transport::connect(&endpoint, options).await;
        let mut stream = connected.map_err(|error| Refusal::of(&error))?;
        if let Some(secret) = secret {
            // Sixteen bytes find room in a new connection's buffer: nothing is waited for here.
            stream.write_all(&secret.0).await.map_err(|error| Refusal {
                message: error.to_string(),
                may_pass: true,
                failure: Failure::new(Exit::Incomplete, format!("{endpoint} closed at once"))
                    .cause(&error),
            })?;
        }
        if verbose {
            let observed = stream.server_endpoint().or_else(|| endpoint.resolve().ok());
            let observed = observed.unwrap_or(endpoint);
            let ms = begin.elapsed().as_secs_f64() * 1000.0;
            talk(&format!("* connected to {observed} ({}) in {ms:.1} ms", stream.mode()));
        }
        Ok(stream)
    }
}
