//! Keeps what goes over a connection: between the bridge and the agent, or before the bridge.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use crate::harness::WATCHDOG;

/// Everything that went over one connection, heads included.
#[derive(Debug, Default)]
pub struct Recording {
    /// From the client's side to the agent's.
    pub sent: Vec<u8>,
    /// From the agent's side to the client's.
    pub got: Vec<u8>,
}

/// A relay that records each connection.
pub struct Recorder {
    /// Where it listens.
    pub endpoint: String,
    recording_rx: mpsc::Receiver<Recording>,
}

impl Recorder {
    /// Records on the way to `to`; listens in `folder` if that is a Unix socket.
    pub fn before(to: &str, folder: &Path, name: &str) -> Self {
        let (recording_tx, recording_rx) = mpsc::channel();
        let to = to.to_owned();
        let endpoint = if to.starts_with("unix:") {
            let path = folder.join(format!("{name}.sock"));
            let listener = UnixListener::bind(&path).unwrap();
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    record(Wire::Unix(stream), &to, &recording_tx);
                }
            });
            format!("unix:{}", path.display())
        } else {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let endpoint = format!("tcp:{}", listener.local_addr().unwrap());
            thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    record(Wire::Tcp(stream), &to, &recording_tx);
                }
            });
            endpoint
        };
        Recorder { endpoint, recording_rx }
    }

    /// The next connection that was recorded to its end.
    #[track_caller]
    pub fn recording(&self) -> Recording {
        self.recording_rx.recv_timeout(WATCHDOG).expect("a recorded connection has ended")
    }
}

fn record(client: Wire, to: &str, recording_tx: &mpsc::Sender<Recording>) {
    // A client that finds nobody here is closed, as it would be without a recorder.
    let Ok(agent) = Wire::connect(to) else { return };
    let (to_agent, to_client) = (agent.again(), client.again());
    let recording_tx = recording_tx.clone();
    thread::spawn(move || {
        let up = thread::spawn(move || carry(client, to_agent));
        let got = carry(agent, to_client);
        // Nobody may wait for it any more.
        let _ = recording_tx.send(Recording { sent: up.join().unwrap(), got });
    });
}

/// Carries one direction to its end; what it carried.
fn carry(mut from: Wire, mut to: Wire) -> Vec<u8> {
    let mut tape = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut piece).unwrap_or(0);
        tape.extend(&piece[..count]);
        if count == 0 || to.write_all(&piece[..count]).is_err() {
            to.close(Shutdown::Write);
            from.close(Shutdown::Read);
            return tape;
        }
    }
}

enum Wire {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Wire {
    fn connect(endpoint: &str) -> io::Result<Wire> {
        Ok(match endpoint.split_once(':').unwrap() {
            ("unix", path) => Wire::Unix(UnixStream::connect(path)?),
            (_, address) => Wire::Tcp(TcpStream::connect(address)?),
        })
    }

    fn again(&self) -> Wire {
        match self {
            Wire::Unix(stream) => Wire::Unix(stream.try_clone().unwrap()),
            Wire::Tcp(stream) => Wire::Tcp(stream.try_clone().unwrap()),
        }
    }

    fn close(&self, how: Shutdown) {
        // It may be closed already.
        let _ = match self {
            Wire::Unix(stream) => stream.shutdown(how),
            Wire::Tcp(stream) => stream.shutdown(how),
        };
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Unix(stream) => stream.read(into),
            Wire::Tcp(stream) => stream.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Unix(stream) => stream.write(from),
            Wire::Tcp(stream) => stream.write(from),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
