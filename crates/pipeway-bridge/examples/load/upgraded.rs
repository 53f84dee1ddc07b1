//! One upgraded session with many bytes in it. They are no WebSocket frames: no proxy reads them.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::head::{BODY, CHUNK, ECHOED};
use crate::websocket;

/// Receives so many bytes after the handshake and prints `seconds`.
pub fn down(address: &str, bytes: u64) -> io::Result<()> {
    let mut stream = open(address, &format!("/ws/down/{bytes}"))?;
    // The handshake's end is when the upstream begins.
    let start = Instant::now();
    let mut buffer = vec![0; CHUNK];
    let mut received = 0;
    while received < bytes {
        match stream.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => received += count as u64,
        }
    }
    println!("seconds {:.6}", start.elapsed().as_secs_f64());
    Ok(())
}

/// Sends so many bytes after the handshake, waits for the byte that tells that they came, and
/// prints `seconds`.
pub fn up(address: &str, bytes: u64) -> io::Result<()> {
    let mut stream = open(address, &format!("/ws/up/{bytes}"))?;
    let start = Instant::now();
    let mut unsent = bytes;
    while unsent > 0 {
        let next = unsent.min(CHUNK as u64);
        stream.write_all(&BODY[..next as usize])?;
        unsent -= next;
    }
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    if byte != [ECHOED] {
        return Err(io::Error::other("the upstream's word on the end is another"));
    }
    println!("seconds {:.6}", start.elapsed().as_secs_f64());
    Ok(())
}

fn open(address: &str, path: &str) -> io::Result<UnixStream> {
    let stream = websocket::connect(address, path)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}
