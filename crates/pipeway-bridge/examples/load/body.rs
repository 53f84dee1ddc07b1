//! One large body.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::head::{CHUNK, content_length};

/// Receives a body of so many bytes and prints `seconds`.
pub fn down(socket: &str, bytes: u64) -> io::Result<()> {
    let mut stream = connect(socket)?;
    let start = Instant::now();
    write!(stream, "GET /body/{bytes} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    receive(&mut stream, bytes)?;
    println!("seconds {:.6}", start.elapsed().as_secs_f64());
    Ok(())
}

/// Sends a body of so many bytes, waits for the answer and prints `seconds`.
pub fn up(socket: &str, bytes: u64) -> io::Result<()> {
    let mut stream = connect(socket)?;
    let start = Instant::now();
    write!(stream, "POST /sink HTTP/1.1\r\nHost: localhost\r\nContent-Length: {bytes}\r\n\r\n")?;
    let chunk = vec![b'b'; CHUNK];
    let mut unsent = bytes;
    while unsent > 0 {
        let next = unsent.min(CHUNK as u64);
        stream.write_all(&chunk[..next as usize])?;
        unsent -= next;
    }
    receive(&mut stream, 64)?;
    println!("seconds {:.6}", start.elapsed().as_secs_f64());
    Ok(())
}

fn connect(socket: &str) -> io::Result<UnixStream> {
    let stream = crate::address::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

/// Reads an answer whose body has `bytes`.
fn receive(stream: &mut UnixStream, bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
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
    if !head.starts_with(b"HTTP/1.1 200 ") || content_length(head) != Some(bytes) {
        let head = String::from_utf8_lossy(head).into_owned();
        return Err(io::Error::other(format!("the answer is {head}")));
    }
    let mut received = (filled - end - 4) as u64;
    while received < bytes {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => received += count as u64,
        }
    }
    Ok(())
}
