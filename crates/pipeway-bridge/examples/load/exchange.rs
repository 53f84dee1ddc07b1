//! Many connections that each send, wait for the answer, and send again.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::head::{ECHOED, content_length};
use crate::poll::Poll;
use crate::websocket::{self, SERVER_FRAME};

/// What is exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    Get,
    GetAndClose,
    /// A byte and its echo, over a connection of its own.
    Byte,
    Message,
}

impl Exchange {
    /// A connection of its own for each exchange is part of what that exchange takes.
    fn closes(self) -> bool {
        matches!(self, Exchange::GetAndClose | Exchange::Byte)
    }
}

const GET: &[u8] = b"GET /small HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\n\
    Accept: */*\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET /small HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\n\
    Accept: */*\r\nConnection: close\r\n\r\n";

/// No answer takes longer, or something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

struct Connection {
    stream: UnixStream,
    received: Vec<u8>,
    sent: Instant,
}

/// Exchanges for so long and prints `exchanges`, `seconds`, `p50_us` and `p99_us`.
pub fn run(exchange: Exchange, socket: &str, connections: u64, time: Duration) -> io::Result<()> {
    let message = match exchange {
        Exchange::Get => GET.to_vec(),
        Exchange::GetAndClose => GET_AND_CLOSE.to_vec(),
        Exchange::Byte => vec![ECHOED],
        Exchange::Message => websocket::client_frame().to_vec(),
    };
    let mut poll = Poll::new()?;
    let mut all = (0..connections)
        .map(|_| open(exchange, socket))
        .collect::<io::Result<Vec<Connection>>>()?;
    let start = Instant::now();
    for (token, connection) in all.iter_mut().enumerate() {
        poll.add(&connection.stream, token)?;
        connection.send(exchange, &message)?;
    }
    let mut latencies: Vec<u32> = Vec::with_capacity(1 << 20);
    let mut ready = Vec::new();
    let mut scratch = vec![0; 64 << 10];
    while start.elapsed() < time {
        poll.wait(&mut ready, Some(PATIENCE))?;
        if ready.is_empty() {
            return Err(io::Error::other(format!("nothing came for {PATIENCE:?}")));
        }
        for token in ready.drain(..) {
            let connection = &mut all[token];
            if !connection.receive(exchange, &mut scratch)? {
                continue;
            }
            let took = connection.sent.elapsed().as_nanos();
            latencies.push(u32::try_from(took).unwrap_or(u32::MAX));
            if exchange.closes() {
                // Closing the old one takes it out of the poll.
                *connection = open(exchange, socket)?;
                poll.add(&connection.stream, token)?;
            }
            connection.send(exchange, &message)?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let quantile = |q: f64| {
        let at = (latencies.len() as f64 * q) as usize;
        latencies.get(at).map_or(f64::NAN, |&nanos| f64::from(nanos) / 1000.0)
    };
    println!("exchanges {}", latencies.len());
    println!("seconds {seconds:.6}");
    println!("p50_us {:.2}", quantile(0.50));
    println!("p99_us {:.2}", quantile(0.99));
    Ok(())
}

fn open(exchange: Exchange, socket: &str) -> io::Result<Connection> {
    let sent = Instant::now();
    let stream = match exchange {
        Exchange::Message => websocket::connect(socket, "/ws")?,
        _ => crate::address::connect(socket)?,
    };
    stream.set_nonblocking(true)?;
    Ok(Connection { stream, received: Vec::new(), sent })
}

impl Connection {
    /// So little always fits.
    fn send(&mut self, exchange: Exchange, message: &[u8]) -> io::Result<()> {
        if !exchange.closes() {
            self.sent = Instant::now();
        }
        self.stream.write_all(message)
    }

    /// Reads once; returns whether the answer is complete.
    fn receive(&mut self, exchange: Exchange, scratch: &mut [u8]) -> io::Result<bool> {
        let count = match self.stream.read(scratch) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        let ended = count == 0;
        let whole = if self.received.is_empty() {
            &scratch[..count]
        } else {
            self.received.extend_from_slice(&scratch[..count]);
            &self.received
        };
        let complete = match exchange {
            Exchange::Message => whole.len() >= SERVER_FRAME,
            Exchange::Get => is_complete(whole)?,
            Exchange::GetAndClose => ended && is_complete(whole)?,
            Exchange::Byte => whole == [ECHOED],
        };
        if complete {
            self.received.clear();
        } else if ended {
            return Err(io::Error::other("the connection was closed before the answer's end"));
        } else if self.received.is_empty() {
            self.received.extend_from_slice(&scratch[..count]);
        }
        Ok(complete)
    }
}

/// Whether this is the whole of an answer with status 200 and a `Content-Length`.
fn is_complete(answer: &[u8]) -> io::Result<bool> {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return Ok(false) };
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        let head = String::from_utf8_lossy(&answer[..end]);
        return Err(io::Error::other(format!("the answer is {head}")));
    }
    let length = content_length(&answer[..end])
        .ok_or_else(|| io::Error::other("the answer has no Content-Length"))?;
    Ok((answer.len() - end - 4) as u64 >= length)
}
