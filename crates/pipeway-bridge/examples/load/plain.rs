//! The load of a named pipe: plain blocking calls, one exchange at a time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use crate::head::{CHUNK, SMALL, content_length};

const GET: &[u8] = b"GET /small HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\n\
    Accept: */*\r\n\r\n";

/// All instances of a pipe may be taken: the system's number for that.
const PIPE_BUSY: i32 = 231;

/// How long a pipe may be busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// GETs for so many seconds; prints `exchanges`, `seconds`, `p50_us` and `p99_us`.
pub fn get(pipe: &str, seconds: u64) -> io::Result<()> {
    let mut stream = open(pipe)?;
    let mut buffer = vec![0; CHUNK];
    let mut latencies: Vec<u32> = Vec::with_capacity(1 << 20);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(seconds) {
        let sent = Instant::now();
        stream.write_all(GET)?;
        receive(&mut stream, &mut buffer, 64)?;
        latencies.push(u32::try_from(sent.elapsed().as_nanos()).unwrap_or(u32::MAX));
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

/// Receives a body of so many bytes and prints `seconds`.
pub fn down(pipe: &str, bytes: u64) -> io::Result<()> {
    let mut stream = open(pipe)?;
    let mut buffer = vec![0; CHUNK];
    let start = Instant::now();
    stream
        .write_all(format!("GET /body/{bytes} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())?;
    receive(&mut stream, &mut buffer, bytes)?;
    println!("seconds {:.6}", start.elapsed().as_secs_f64());
    Ok(())
}

/// Sends a body of so many bytes, waits for the answer and prints `seconds`.
pub fn up(pipe: &str, bytes: u64) -> io::Result<()> {
    let mut stream = open(pipe)?;
    let mut buffer = vec![b'b'; CHUNK];
    let start = Instant::now();
    let head = format!("POST /sink HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut unsent = bytes;
    while unsent > 0 {
        let next = unsent.min(CHUNK as u64);
        stream.write_all(&buffer[..next as usize])?;
        unsent -= next;
    }
    receive(&mut stream, &mut buffer, 64)?;
    println!("seconds {:.6}", start.elapsed().as_secs_f64());
    Ok(())
}

/// Opens so many, sends one GET through each, prints `ready` and waits for the end of stdin; then
/// each must still carry a GET, and `alive` tells how many did.
pub fn idle(pipe: &str, connections: u64) -> io::Result<()> {
    let mut all = (0..connections).map(|_| open(pipe)).collect::<io::Result<Vec<_>>>()?;
    let mut buffer = vec![0; CHUNK];
    let mut exchange = || -> io::Result<()> {
        for stream in &mut all {
            stream.write_all(GET)?;
            receive(stream, &mut buffer, 64)?;
        }
        Ok(())
    };
    exchange()?;
    println!("ready {connections}");
    io::stdin().read_to_end(&mut Vec::new())?;
    exchange()?;
    println!("alive {connections}");
    Ok(())
}

fn open(pipe: &str) -> io::Result<File> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match File::options().read(true).write(true).open(format!(r"\\.\pipe\{pipe}")) {
            Err(error) if error.raw_os_error() == Some(PIPE_BUSY) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened,
        }
    }
}

/// Reads an answer whose body has `bytes`.
fn receive(stream: &mut File, buffer: &mut [u8], bytes: u64) -> io::Result<()> {
    let mut filled = 0;
    let end = loop {
        match stream.read(&mut buffer[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        if let Some(end) = memchr::memmem::find(&buffer[..filled], b"\r\n\r\n") {
            break end;
        }
    };
    let head = &buffer[..end];
    if !head.starts_with(&SMALL[..13]) || content_length(head) != Some(bytes) {
        let head = String::from_utf8_lossy(head).into_owned();
        return Err(io::Error::other(format!("the answer is {head}")));
    }
    let mut received = (filled - end - 4) as u64;
    while received < bytes {
        match stream.read(buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => received += count as u64,
        }
    }
    Ok(())
}
