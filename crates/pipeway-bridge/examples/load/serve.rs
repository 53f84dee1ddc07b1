//! The upstream: small answers, bodies of any size both ways, the echo of a WebSocket's messages and
//! of a byte.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use crate::address::Listener;
use crate::head::{BODY, CHUNK, ECHOED, SMALL, body_length, content_length};
use crate::poll::{Interest, Poll};
use crate::websocket::{self, CLIENT_FRAME, SERVER_FRAME};

const LISTENER: usize = usize::MAX;

struct Connection {
    stream: UnixStream,
    /// What came of a head or a frame that is not complete.
    input: Vec<u8>,
    /// What is left to read of a request's body.
    unread: u64,
    /// What is left to write of an answer's body.
    unsent: u64,
    upgraded: bool,
    close: bool,
    interest: Interest,
}

/// Serves until it is ended.
pub fn run(address: &str) -> io::Result<()> {
    let listener = Listener::bind(address)?;
    let mut poll = Poll::new()?;
    poll.add(&listener, LISTENER)?;
    println!("ready");
    let mut all: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    let mut ready = Vec::new();
    let mut scratch = vec![b'b'; CHUNK];
    loop {
        poll.wait(&mut ready, None)?;
        for token in ready.drain(..) {
            if token == LISTENER {
                accept(&listener, &poll, &mut all, &mut free)?;
                continue;
            }
            let Some(connection) = &mut all[token] else { continue };
            let before = connection.interest;
            let open = connection.proceed(&mut scratch).unwrap_or_else(|error| {
                // A load that ends in the middle of its exchanges is as it should be.
                let gone = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
                if !gone.contains(&error.kind()) {
                    eprintln!("a connection is given up: {error}");
                }
                false
            });
            if !open {
                all[token] = None;
                free.push(token);
            } else if connection.interest != before {
                poll.modify(&connection.stream, token, connection.interest)?;
            }
        }
    }
}

fn accept(
    listener: &Listener,
    poll: &Poll,
    all: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let stream = match listener.accept() {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        let token = free.pop().unwrap_or(all.len());
        poll.add(&stream, token)?;
        let connection = Connection {
            stream,
            input: Vec::new(),
            unread: 0,
            unsent: 0,
            upgraded: false,
            close: false,
            interest: Interest::Read,
        };
        if token == all.len() {
            all.push(Some(connection));
        } else {
            all[token] = Some(connection);
        }
    }
}

impl Connection {
    /// Writes or reads once; returns whether the connection stays open.
    fn proceed(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        if self.unsent > 0 {
            return self.write_body();
        }
        let count = match self.stream.read(scratch) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        let mut data = &scratch[..count];
        let joined;
        if !self.input.is_empty() {
            self.input.extend_from_slice(data);
            joined = std::mem::take(&mut self.input);
            data = &joined;
        }
        while !data.is_empty() {
            let used = self.take(data)?;
            if used == 0 {
                self.input.extend_from_slice(data);
                break;
            }
            data = &data[used..];
        }
        Ok(!self.close || self.unsent > 0)
    }

    /// Takes a part of what was read; nothing where that is no complete head or frame.
    fn take(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.upgraded {
            return self.echo(data);
        }
        if self.unread > 0 {
            let taken = self.unread.min(data.len() as u64);
            self.unread -= taken;
            if self.unread == 0 {
                self.stream.write_all(SMALL)?;
            }
            return Ok(taken as usize);
        }
        if data[0] == ECHOED {
            self.stream.write_all(&[ECHOED])?;
            return Ok(1);
        }
        let Some(end) = memchr::memmem::find(data, b"\r\n\r\n") else { return Ok(0) };
        self.answer(&data[..end])?;
        Ok(end + 4)
    }

    fn answer(&mut self, head: &[u8]) -> io::Result<()> {
        self.close = memchr::memmem::find(head, b"onnection: close").is_some();
        if head.starts_with(b"GET /small ") {
            return self.stream.write_all(SMALL);
        }
        if head.starts_with(b"GET /ws ") {
            self.upgraded = true;
            return self.stream.write_all(websocket::SWITCHING);
        }
        if head.starts_with(b"GET /body/") {
            let bytes = body_length(head);
            self.unsent = bytes.ok_or_else(|| io::Error::other("a number of bytes is wanted"))?;
            write!(self.stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", self.unsent)?;
            self.interest = Interest::Write;
            return Ok(());
        }
        self.unread = content_length(head)
            .ok_or_else(|| io::Error::other("a body with a Content-Length is wanted"))?;
        Ok(())
    }

    fn write_body(&mut self) -> io::Result<bool> {
        while self.unsent > 0 {
            let next = self.unsent.min(CHUNK as u64) as usize;
            match self.stream.write(&BODY[..next]) {
                Ok(count) => self.unsent -= count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        self.interest = Interest::Read;
        Ok(!self.close)
    }

    /// The load masks with zeros, so the payload stands as it is.
    fn echo(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() < CLIENT_FRAME {
            return Ok(0);
        }
        let mut frame = [0; SERVER_FRAME];
        frame[0] = data[0];
        frame[1] = data[1] & 0x7f;
        frame[2..].copy_from_slice(&data[6..CLIENT_FRAME]);
        self.stream.write_all(&frame)?;
        Ok(CLIENT_FRAME)
    }
}
