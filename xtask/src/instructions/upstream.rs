//! The upstream of the program that is counted.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Instant;

use super::lockstep::PATIENCE;

/// The upstream, and the program's connections to it, of which none is waited for alone: whether
/// a request comes over a new one or one that was kept is the program's affair.
pub struct Upstream {
    listener: UnixListener,
    open: Vec<UnixStream>,
}

impl Upstream {
    pub fn bind(socket: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", socket.display());
        let listener = UnixListener::bind(socket).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        Ok(Upstream { listener, open: Vec::new() })
    }

    /// Waits for what was `sent`, and says at which connection it came.
    pub fn receive(&mut self, sent: &[u8]) -> Result<usize, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 4096];
        while Instant::now() < deadline {
            if let Some((stream, _)) = unless_later(self.listener.accept())? {
                stream.set_nonblocking(true).map_err(|error| error.to_string())?;
                self.open.push(stream);
            }
            for (at, stream) in self.open.iter_mut().enumerate() {
                // The end of one that was kept is no request.
                if let Some(count @ 1..) = unless_later(stream.read(&mut buffer))? {
                    return compare(&buffer[..count], sent).map(|()| at);
                }
            }
            std::thread::yield_now();
        }
        Err("nothing came to the upstream".to_owned())
    }

    pub fn send(&mut self, at: usize, answer: &[u8]) -> Result<(), String> {
        self.open[at].write_all(answer).map_err(|error| error.to_string())
    }

    /// Closes what the program has closed.
    pub fn close_ended(&mut self) -> Result<(), String> {
        let mut kept = Vec::new();
        for mut stream in self.open.drain(..) {
            if unless_later(stream.read(&mut [0; 16]))? != Some(0) {
                kept.push(stream);
            }
        }
        self.open = kept;
        Ok(())
    }
}

/// `None` where it would have to be waited for.
fn unless_later<T>(result: std::io::Result<T>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

/// Looks that what came is what was sent, as far as the program leaves it as it was: so little
/// comes in one piece.
pub fn compare(came: &[u8], sent: &[u8]) -> Result<(), String> {
    const KEPT: usize = "HTTP/1.1 200".len();
    if came.starts_with(&sent[..KEPT]) {
        return Ok(());
    }
    let [sent, came] = [sent, came].map(String::from_utf8_lossy);
    Err(format!("{sent} was sent, and this came: {came}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_answer_is_refused() {
        let sent = b"HTTP/1.1 200 OK\r\n";
        assert_eq!(compare(sent, sent), Ok(()));
        assert!(compare(b"HTTP/1.1 502 Bad Gateway\r\n", sent).is_err());
        assert!(compare(b"", sent).is_err());
    }
}
