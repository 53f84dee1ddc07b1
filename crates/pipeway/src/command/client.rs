//! What `curl` and `ws` share: the connection and its account, the path, the headers.

mod headers;
mod tap;

use std::time::{Duration, Instant};

use pipeway_transport::Stream;

pub(super) use headers::{Headers, request_path};
pub(super) use tap::{Account, Tap};

use crate::args::ClientArgs;
use crate::config::time_text;
use crate::exit::Exit;
use crate::output::{Failure, talk};

/// Connects, and tells it where that was asked for.
pub(super) async fn open(args: &ClientArgs) -> Result<(Tap<Stream>, Account, Duration), Failure> {
    let begin = Instant::now();
    let connected = pipeway_transport::connect(&args.endpoint, &args.connect_options()).await;
    let stream = connected.map_err(|error| Failure::connect(&error))?;
    let took = begin.elapsed();
    if args.verbose {
        let observed = stream.server_endpoint().or_else(|| args.endpoint.resolve().ok());
        let observed = observed.unwrap_or_else(|| args.endpoint.clone());
        let ms = took.as_secs_f64() * 1000.0;
        talk(&format!("* connected to {observed} ({}) in {ms:.1} ms", stream.mode()));
    }
    let (tap, account) = Tap::new(stream, args.verbose);
    Ok((tap, account, took))
}

/// Runs `work` within the time that was allowed for everything.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, Failure>>,
    so_far: impl Fn() -> String,
) -> Result<T, Failure> {
    match limit {
        None => work.await,
        Some(limit) => match tokio::time::timeout(limit, work).await {
            Ok(ended) => ended,
            Err(_) => Err(Failure::new(
                Exit::Timeout,
                format!("the time ran out after {}{}", time_text(limit), so_far()),
            )
            .hint("allow more with --max-time")),
        },
    }
}
