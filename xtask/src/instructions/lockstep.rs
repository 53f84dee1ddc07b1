//! The program under callgrind, and exchanges through it that go one step at a time.
//!
//! Client and upstream are this thread. Each takes its next step only when every thread of the
//! program sleeps, so what the program finds at each waking does not hang on who was faster. What
//! still differs from run to run is where its timers stand and how long its numbers are.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Case;
use super::upstream::{Upstream, compare};
use crate::bench::{Folder, end};

/// Nothing takes longer under valgrind, or something hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

const GET: &[u8] = b"GET /small HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\n\
    Accept: */*\r\n\r\n";
const GET_AND_CLOSE: &[u8] = b"GET /small HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\n\
    Accept: */*\r\nConnection: close\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
    Content-Length: 64\r\n\r\n\
    {\"items\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16],\"ok\":true    }";
const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// A client's frame of 32 bytes, and a server's: the program reads neither.
const MESSAGE: [u8; 38] = [b'm'; 38];
const ECHO: [u8; 34] = [b'e'; 34];

/// Counts the instructions that the program takes from its start to its end, with so many
/// exchanges between.
///
/// # Errors
///
/// A sentence that says what did not work.
pub fn count(program: &Path, case: Case, exchanges: u32) -> Result<u64, String> {
    let folder = Folder::make()?;
    let mut served = Served::start(program, case, &folder)?;
    served.exchange(case, exchanges).map_err(|why| format!("{why}\n{}", served.said()))?;
    served.stop()
}

struct Served {
    child: Child,
    upstream: Upstream,
    socket: PathBuf,
    log: PathBuf,
    stderr: PathBuf,
}

impl Served {
    fn start(program: &Path, case: Case, folder: &Folder) -> Result<Self, String> {
        let own = |name: &str| folder.path().join(name);
        let (socket, upstream_socket) = (own("a.sock"), own("b.sock"));
        let upstream = Upstream::bind(&upstream_socket)?;
        let (log, stderr) = (own("callgrind.log"), own("stderr.log"));
        let mut command = Command::new("valgrind");
        // Without `--vgdb=no` valgrind looks for a debugger from time to time.
        command.args(["--tool=callgrind", "--vgdb=no", "--callgrind-out-file=/dev/null"]);
        command.arg(format!("--log-file={}", log.display())).arg(program).arg("bridge");
        command.arg("--listen").arg(format!("unix:{}", socket.display()));
        command.arg("--to").arg(format!("unix:{}", upstream_socket.display()));
        // Looking for what only comes when it sleeps would be counted by the clock.
        command.args(["--busy-poll", "no"]);
        if case == Case::GetWithEvents {
            command.arg("--events").arg(own("events.jsonl"));
        }
        // The environment lies on the stack, whose alignment is part of what is counted.
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path);
        let file = fs::File::create(&stderr).map_err(|error| error.to_string())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let child =
            command.spawn().map_err(|error| format!("valgrind can't be started: {error}"))?;
        Ok(Served { child, upstream, socket, log, stderr })
    }

    fn exchange(&mut self, case: Case, exchanges: u32) -> Result<(), String> {
        self.wait_for_socket()?;
        match case {
            Case::Get | Case::GetWithEvents => {
                let mut client = self.connect()?;
                // The first one has the connection to the upstream in it.
                for _ in 0..=exchanges {
                    self.step(&mut client, GET, ANSWER)?;
                }
            }
            Case::Message => {
                let mut client = self.connect()?;
                self.step(&mut client, HANDSHAKE, SWITCHING)?;
                for _ in 0..exchanges {
                    self.step(&mut client, &MESSAGE, &ECHO)?;
                }
            }
            Case::Connection => {
                for _ in 0..exchanges {
                    let mut client = self.connect()?;
                    self.step(&mut client, GET_AND_CLOSE, ANSWER)?;
                    let rest = client.read(&mut [0; 16]).map_err(|error| error.to_string())?;
                    if rest != 0 {
                        return Err("something follows the answer".to_owned());
                    }
                    drop(client);
                    self.quiet()?;
                    self.upstream.close_ended()?;
                    self.quiet()?;
                }
            }
        }
        Ok(())
    }

    fn connect(&self) -> Result<UnixStream, String> {
        let client = UnixStream::connect(&self.socket).map_err(|error| error.to_string())?;
        client.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
        self.quiet()?;
        Ok(client)
    }

    /// Sends `request` through the program and `answer` back, and waits each time until the
    /// program has nothing more to do.
    fn step(
        &mut self,
        client: &mut UnixStream,
        request: &[u8],
        answer: &[u8],
    ) -> Result<(), String> {
        client.write_all(request).map_err(|error| error.to_string())?;
        let asked = self.upstream.receive(request)?;
        self.quiet()?;
        self.upstream.send(asked, answer)?;
        let mut buffer = [0; 4096];
        let count = client.read(&mut buffer).map_err(|error| error.to_string())?;
        compare(&buffer[..count], answer)?;
        self.quiet()
    }

    fn wait_for_socket(&self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        while UnixStream::connect(&self.socket).is_err() {
            if Instant::now() > deadline || self.asleep().is_err() {
                return Err("the program under valgrind does not accept".to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.quiet()
    }

    /// Waits until every thread sleeps, and none has woken while that was looked at.
    fn quiet(&self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = None;
        loop {
            let now = self.asleep()?;
            if now.is_some() && now == before {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("the program under valgrind does not come to rest".to_owned());
            }
            before = now;
            std::thread::yield_now();
        }
    }

    /// How often each thread has been switched from, or `None` where one does not sleep.
    fn asleep(&self) -> Result<Option<String>, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.folder());
        let mut all = String::new();
        for task in fs::read_dir(self.folder()).map_err(failed)? {
            let path = task.map_err(failed)?.path().join("status");
            // A thread may end between the two.
            let Ok(status) = fs::read_to_string(path) else { return Ok(None) };
            if status.contains("State:\tZ") {
                return Err("the program under valgrind has ended".to_owned());
            }
            if !status.contains("State:\tS") {
                return Ok(None);
            }
            all.extend(status.lines().filter(|line| line.contains("ctxt_switches")));
        }
        Ok(Some(all))
    }

    fn folder(&self) -> String {
        format!("/proc/{}/task", self.child.id())
    }

    fn said(&self) -> String {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        read(&self.stderr) + &read(&self.log)
    }

    fn stop(mut self) -> Result<u64, String> {
        end(&mut self.child);
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        collected(&log).ok_or_else(|| format!("callgrind told no count\n{}", self.said()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // An error means that it has ended, as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number behind `Collected` in what callgrind says at the end.
fn collected(log: &str) -> Option<u64> {
    let (_, rest) = log.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_count_is_read() {
        let log = "==7== Events    : Ir\n==7== Collected : 4813\n==7== \n";
        assert_eq!(collected(log), Some(4813));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }
}
