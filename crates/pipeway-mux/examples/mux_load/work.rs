//! What is measured, over any multiplexer.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Failed;

const PIECE_BYTES: usize = 64 * 1024;

/// One end of a connection with many streams.
pub trait Multiplexer: Clone + Send + Sync + Sized + 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn client<S>(io: S, version: &str) -> impl Future<Output = Result<Self, Failed>> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn server<S>(io: S, version: &str) -> impl Future<Output = Result<Self, Failed>> + Send
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// A new stream, taken by the other end where the protocol has an answer for it.
    fn open(&self) -> impl Future<Output = Result<Self::Stream, Failed>> + Send;

    /// A new stream with its first bytes, in the fewest round trips that the multiplexer has.
    fn open_with(
        &self,
        first: &'static [u8],
    ) -> impl Future<Output = Result<Self::Stream, Failed>> + Send {
        async {
            let mut stream = self.open().await?;
            stream.write_all(first).await?;
            stream.flush().await?;
            Ok(stream)
        }
    }

    /// The next stream that the other end opened; `None` at the end.
    fn next(&self) -> impl Future<Output = Option<Self::Stream>> + Send;
}

/// Serves every stream: the first byte says what is to be done. `e` is echoed with all that
/// follows, `s` is taken to its end and then answered with a byte.
pub async fn serve<M: Multiplexer>(mux: M) {
    while let Some(stream) = mux.next().await {
        tokio::spawn(serve_one(stream));
    }
}

async fn serve_one(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    let mut first = [0];
    if stream.read(&mut first).await? == 0 {
        return Ok(());
    }
    let is_sink = first[0] == b's';
    if !is_sink {
        stream.write_all(&first).await?;
        stream.flush().await?;
    }
    let mut piece = vec![0; if is_sink { PIECE_BYTES } else { 1024 }];
    loop {
        match stream.read(&mut piece).await? {
            0 if is_sink => stream.write_all(b".").await?,
            0 => {}
            _ if is_sink => continue,
            count => {
                stream.write_all(&piece[..count]).await?;
                stream.flush().await?;
                continue;
            }
        }
        return stream.shutdown().await;
    }
}

/// What to do, how much of it and how much at once.
#[derive(Clone, Copy, Debug)]
pub enum Work {
    /// So many bytes over so many channels at once.
    Bytes { amount: u64, channels: usize },
    /// One thing after the other, in so many tasks.
    Exchanges { what: Exchange, seconds: u64, in_flight: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// A channel is opened, and terminated once it was taken.
    Open,
    /// A channel is opened, a byte goes there and back, and the channel is dropped.
    Call,
    /// A byte goes there and back over a channel that is kept.
    Echo,
}

impl Work {
    pub fn parse(what: &str, numbers: &[&str]) -> Result<Self, Failed> {
        let [amount, count] = numbers else { return Err("two numbers are wanted".into()) };
        let (amount, count) = (amount.parse()?, count.parse()?);
        let exchanges = |what| Work::Exchanges { what, seconds: amount, in_flight: count };
        Ok(match what {
            "one" | "many" => Work::Bytes { amount, channels: count },
            "opens" => exchanges(Exchange::Open),
            "calls" => exchanges(Exchange::Call),
            "echo" => exchanges(Exchange::Echo),
            other => return Err(format!("there is no work called `{other}`").into()),
        })
    }

    /// Does it, and prints how long it took.
    pub async fn run<M: Multiplexer>(self, mux: M) -> Result<(), Failed> {
        let before = Instant::now();
        match self {
            Work::Bytes { amount, channels } => bytes(mux, amount, channels).await?,
            Work::Exchanges { what, seconds, in_flight } => {
                exchanges(mux, what, Duration::from_secs(seconds), in_flight).await?;
            }
        }
        println!("seconds {}", before.elapsed().as_secs_f64());
        Ok(())
    }
}

async fn bytes<M: Multiplexer>(mux: M, amount: u64, channels: usize) -> Result<(), Failed> {
    let sending: Vec<_> =
        (0..channels).map(|_| tokio::spawn(send(mux.clone(), amount / channels as u64))).collect();
    for task in sending {
        task.await??;
    }
    Ok(())
}

async fn send<M: Multiplexer>(mux: M, amount: u64) -> Result<(), Failed> {
    let mut stream = mux.open().await?;
    stream.write_all(b"s").await?;
    let piece = vec![b'x'; PIECE_BYTES];
    let mut left = amount;
    while left > 0 {
        let length = left.min(PIECE_BYTES as u64);
        stream.write_all(&piece[..length as usize]).await?;
        left -= length;
    }
    stream.shutdown().await?;
    stream.read_u8().await?;
    Ok(())
}

async fn exchanges<M: Multiplexer>(
    mux: M,
    what: Exchange,
    time: Duration,
    in_flight: usize,
) -> Result<(), Failed> {
    let until = Instant::now() + time;
    let tasks: Vec<_> =
        (0..in_flight).map(|_| tokio::spawn(repeat(mux.clone(), what, until))).collect();
    let mut times: Vec<Duration> = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    times.sort_unstable();
    let at = |part: f64| {
        let index = (times.len() as f64 * part) as usize;
        times[index.min(times.len() - 1)].as_secs_f64() * 1e6
    };
    println!("exchanges {}\np50_us {}\np99_us {}", times.len(), at(0.5), at(0.99));
    Ok(())
}

async fn repeat<M: Multiplexer>(
    mux: M,
    what: Exchange,
    until: Instant,
) -> Result<Vec<Duration>, Failed> {
    let mut kept = if what == Exchange::Echo { Some(mux.open().await?) } else { None };
    let mut times = Vec::new();
    loop {
        let before = Instant::now();
        if before >= until {
            return Ok(times);
        }
        match &mut kept {
            Some(stream) => {
                stream.write_all(b"e").await?;
                stream.flush().await?;
                stream.read_u8().await?;
            }
            None if what == Exchange::Open => drop(mux.open().await?),
            None => drop(mux.open_with(b"e").await?.read_u8().await?),
        }
        times.push(before.elapsed());
    }
}
