//! A client's end of a WebSocket: by hand, and by a library.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::harness::WATCHDOG;
use crate::recorder::Recording;
use crate::wire::{
    ACCEPT, CLOSE, CONTINUATION, Frame, KEY, PING, PONG, TEXT, handshake, header, split_head,
};

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    Text(String),
    Pong(Vec<u8>),
    /// A close frame with its code.
    Close(u16),
    /// The end of the connection.
    End,
}

/// One WebSocket, seen from the client.
pub trait Conversation: Sized {
    /// Opens it, and checks the answer to the handshake.
    fn open(socket: &Path, token: Option<&str>) -> Self;
    fn send(&mut self, message: &Value);
    fn ping(&mut self, payload: &[u8]);
    /// What comes next; a close frame is answered.
    fn receive(&mut self) -> Came;
    /// Everything that this end sent and got, heads included.
    fn into_recording(self) -> Recording;
}

/// A stream that keeps what goes over it.
pub struct Tap {
    stream: UnixStream,
    pub recording: Recording,
}

impl Tap {
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        stream.set_write_timeout(Some(WATCHDOG)).unwrap();
        Tap { stream, recording: Recording::default() }
    }
}

impl Read for Tap {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(into)?;
        self.recording.got.extend(&into[..count]);
        Ok(count)
    }
}

impl Write for Tap {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(from)?;
        self.recording.sent.extend(&from[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A client that writes every byte itself.
pub struct ByHand {
    pub tap: Tap,
    /// How far what was got has been taken.
    taken: usize,
    masks: u32,
    /// Read this much at once.
    pub read_size: usize,
    /// Where frames go, if a thread writes them.
    queue_tx: Option<mpsc::Sender<Vec<u8>>>,
}

impl ByHand {
    /// Sends the handshake; [`ByHand::handshaken`] takes its answer.
    fn begin(socket: &Path, token: Option<&str>) -> Self {
        let mut tap = Tap::connect(socket);
        tap.write_all(handshake(token).as_bytes()).unwrap();
        ByHand::of(tap)
    }

    fn of(tap: Tap) -> Self {
        ByHand { tap, taken: 0, masks: 0, read_size: 16 * 1024, queue_tx: None }
    }

    fn handshaken(mut self) -> Self {
        while split_head(&self.tap.recording.got).is_none() {
            assert!(self.fill(), "no whole answer to the handshake came");
        }
        let (head, rest) = split_head(&self.tap.recording.got).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(header(head, "Sec-WebSocket-Accept"), Some(ACCEPT), "{head}");
        assert_eq!(header(head, "Upgrade").map(str::to_ascii_lowercase).unwrap(), "websocket");
        assert_eq!(header(head, "Connection").map(str::to_ascii_lowercase).unwrap(), "upgrade");
        assert_eq!(header(head, "Sec-WebSocket-Extensions"), None, "none was asked for");
        self.taken = self.tap.recording.got.len() - rest.len();
        self
    }

    /// Goes on with a connection whose handshake was sent some other way.
    pub fn with(tap: Tap) -> Self {
        ByHand::of(tap).handshaken()
    }

    /// The bytes of a frame, with a mask that no other frame of this client has.
    pub fn encode(&mut self, frame: &Frame) -> Vec<u8> {
        self.masks += 1;
        frame.encode((self.masks.wrapping_mul(0x9e37_79b9)).to_be_bytes())
    }

    pub fn send_frame(&mut self, frame: &Frame) {
        let bytes = self.encode(frame);
        match &self.queue_tx {
            Some(queue_tx) => queue_tx.send(bytes).unwrap(),
            None => self.tap.write_all(&bytes).unwrap(),
        }
    }

    /// From here on a thread writes the frames, unrecorded: a client that sends more than the
    /// agent takes at once must go on reading.
    pub fn write_from_a_thread(&mut self) {
        let (queue_tx, queue_rx) = mpsc::channel::<Vec<u8>>();
        let mut stream = self.tap.stream.try_clone().unwrap();
        thread::spawn(move || {
            // The reader tells of an end.
            while queue_rx.recv().is_ok_and(|bytes| stream.write_all(&bytes).is_ok()) {}
        });
        self.queue_tx = Some(queue_tx);
    }

    /// Reads once; whether anything came.
    fn fill(&mut self) -> bool {
        let mut piece = vec![0; self.read_size];
        match self.tap.read(&mut piece) {
            Ok(count) => count > 0,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    fn receive_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, length)) = Frame::decode(&self.tap.recording.got[self.taken..]) {
                self.taken += length;
                return Some(frame);
            }
            if !self.fill() {
                return None;
            }
        }
    }
}

impl Conversation for ByHand {
    fn open(socket: &Path, token: Option<&str>) -> Self {
        ByHand::begin(socket, token).handshaken()
    }

    /// Every second message goes in two frames.
    fn send(&mut self, message: &Value) {
        let mut first = message.to_string().into_bytes();
        if self.masks.is_multiple_of(2) {
            return self.send_frame(&Frame::of(TEXT, first));
        }
        let second = first.split_off(first.len() / 2);
        self.send_frame(&Frame { is_last: false, ..Frame::of(TEXT, first) });
        self.send_frame(&Frame::of(CONTINUATION, second));
    }

    fn ping(&mut self, payload: &[u8]) {
        self.send_frame(&Frame::of(PING, payload));
    }

    fn receive(&mut self) -> Came {
        loop {
            let Some(frame) = self.receive_frame() else { return Came::End };
            assert!(frame.is_last && !frame.is_masked, "{frame:?}");
            return match frame.opcode {
                TEXT => Came::Text(String::from_utf8(frame.payload).unwrap()),
                PONG => Came::Pong(frame.payload),
                PING => {
                    self.send_frame(&Frame::of(PONG, frame.payload));
                    continue;
                }
                CLOSE => {
                    self.send_frame(&Frame::of(CLOSE, frame.payload.clone()));
                    Came::Close(u16::from_be_bytes(frame.payload[..2].try_into().unwrap()))
                }
                _ => panic!("an agent sends no such frame: {frame:?}"),
            };
        }
    }

    fn into_recording(self) -> Recording {
        self.tap.recording
    }
}

/// A client made with tungstenite.
pub struct ByLibrary {
    socket: WebSocket<Tap>,
}

impl Conversation for ByLibrary {
    fn open(socket: &Path, token: Option<&str>) -> Self {
        let mut request = "ws://localhost/v1/stream".into_client_request().unwrap();
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.headers_mut().insert("Authorization", value);
        }
        // It checks Sec-WebSocket-Accept itself; that it made a key of its own is checked here.
        let key = request.headers()["Sec-WebSocket-Key"].to_str().unwrap().to_owned();
        assert_ne!(key, KEY);
        let (socket, answer) = client(request, Tap::connect(socket)).unwrap();
        assert_eq!(answer.status(), 101);
        ByLibrary { socket }
    }

    fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).unwrap();
    }

    fn ping(&mut self, payload: &[u8]) {
        self.socket.send(Message::Ping(payload.to_vec().into())).unwrap();
    }

    fn receive(&mut self) -> Came {
        loop {
            return match self.socket.read() {
                Ok(Message::Text(text)) => Came::Text(text.to_string()),
                Ok(Message::Pong(payload)) => Came::Pong(payload.to_vec()),
                Ok(Message::Ping(_)) => continue,
                Ok(Message::Close(frame)) => Came::Close(frame.unwrap().code.into()),
                Ok(other) => panic!("an agent sends no such message: {other:?}"),
                Err(_) => Came::End,
            };
        }
    }

    fn into_recording(self) -> Recording {
        let tap = self.socket.get_ref();
        Recording { sent: tap.recording.sent.clone(), got: tap.recording.got.clone() }
    }
}
