//! What the connector's end does, and how long that takes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, StatusCode};
use pipeway_directline::{Body, Client};
use tokio::task::LocalSet;

use super::Failed;

/// The activity's length in bytes.
const ACTIVITY_BYTES: usize = 200;

/// One load.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// Calls of a path, so many, and so many of them in flight.
    Calls { path: &'static str, count: usize, in_flight: usize },
    /// One body of so many bytes to the agent.
    Upload(usize),
    /// One body of so many bytes from the agent.
    Download(usize),
}

impl Work {
    pub fn parse(what: &str, numbers: &[&str]) -> Option<Work> {
        let numbers: Vec<usize> =
            numbers.iter().map(|number| number.parse().ok()).collect::<Option<_>>()?;
        Some(match (what, &numbers[..]) {
            ("calls", &[count, in_flight]) => {
                Work::Calls { path: "/api/messages", count, in_flight }
            }
            ("json", &[count, in_flight]) => Work::Calls { path: "/json", count, in_flight },
            ("upload", &[bytes]) => Work::Upload(bytes),
            ("download", &[bytes]) => Work::Download(bytes),
            _ => return None,
        })
    }

    pub async fn run(self, client: &Client) -> Result<(), Failed> {
        match self {
            Work::Calls { path, count, in_flight } => {
                calls(client, path, count.div_ceil(20), in_flight).await?;
                let before = Instant::now();
                let mut times = calls(client, path, count, in_flight).await?;
                let seconds = before.elapsed().as_secs_f64();
                times.sort_unstable();
                let at = |part: f64| {
                    let at = (times.len() as f64 * part) as usize;
                    times[at.min(times.len() - 1)].as_secs_f64() * 1e6
                };
                println!("exchanges {}\nseconds {seconds:.3}", times.len());
                println!("per_second {:.0}", times.len() as f64 / seconds);
                println!("p50_us {:.1}\np99_us {:.1}", at(0.5), at(0.99));
            }
            Work::Upload(bytes) => {
                let body = Bytes::from(vec![b'x'; bytes]);
                call(client, "POST", "/sink", Some(body.clone())).await?;
                body_of(bytes, call(client, "POST", "/sink", Some(body)), |_| true).await?;
            }
            Work::Download(bytes) => {
                call(client, "POST", &format!("/make/{bytes}"), None).await?;
                call(client, "GET", "/made", None).await?;
                body_of(bytes, call(client, "GET", "/made", None), |came| came == bytes).await?;
            }
        }
        Ok(())
    }
}

async fn body_of(
    bytes: usize,
    exchange: impl Future<Output = Result<usize, Failed>>,
    is_right: impl Fn(usize) -> bool,
) -> Result<(), Failed> {
    let before = Instant::now();
    let came = exchange.await?;
    let seconds = before.elapsed().as_secs_f64();
    if !is_right(came) {
        return Err(format!("{came} bytes came").into());
    }
    println!("bytes {bytes}\nseconds {seconds:.4}");
    println!("mib_per_second {:.1}", bytes as f64 / 1_048_576.0 / seconds);
    Ok(())
}

async fn calls(
    client: &Client,
    path: &'static str,
    count: usize,
    in_flight: usize,
) -> Result<Vec<Duration>, Failed> {
    let left = Rc::new(Cell::new(count));
    let body = activity();
    let local = LocalSet::new();
    let tasks: Vec<_> = (0..in_flight)
        .map(|_| {
            let (client, left, body) = (client.clone(), Rc::clone(&left), body.clone());
            local.spawn_local(async move {
                let mut times = Vec::new();
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    let sent = Instant::now();
                    call(&client, "POST", path, Some(body.clone())).await?;
                    times.push(sent.elapsed());
                }
                Ok::<_, Failed>(times)
            })
        })
        .collect();
    local.await;
    let mut all = Vec::with_capacity(count);
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

/// How many bytes came back.
async fn call(
    client: &Client,
    verb: &str,
    path: &str,
    body: Option<Bytes>,
) -> Result<usize, Failed> {
    let mut request = Request::new(body.map(Body::from).unwrap_or_default());
    *request.method_mut() = verb.parse()?;
    *request.uri_mut() = path.parse()?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let response = client.call(request).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("answered {}", response.status()).into());
    }
    Ok(usize::try_from(response.body().len())?)
}

fn activity() -> Bytes {
    let of = |text: &str| {
        format!(
            "{{\"type\":\"message\",\"id\":\"in1\",\"channelId\":\"directline\",\
             \"serviceUrl\":\"urn:botframework:namedpipe:bfv4.pipes\",\
             \"conversation\":{{\"id\":\"conv1\"}},\"from\":{{\"id\":\"u1\"}},\
             \"recipient\":{{\"id\":\"bot\"}},\"text\":\"{text}\"}}"
        )
    };
    let missing = ACTIVITY_BYTES - of("").len();
    of(&"x".repeat(missing)).into()
}
