//! A peer that is written out by hand, at either end of real pipes.

use pipeway_directline::pipes::Place;
use pipeway_transport::{
    ConnectOptions, Endpoint, ErrorKind, HalfClose, ListenOptions, Listener, Stream, connect,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{LIMIT, within};

pub const ZERO: &str = "00000000-0000-0000-0000-000000000000";

/// The id of that number.
pub fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A frame as it stands on the wire.
pub fn frame(kind: char, id: &str, payload: impl AsRef<[u8]>, end: bool) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = format!("{kind}.{:06}.{id}.{}\n", payload.len(), u8::from(end)).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// A request without content.
pub fn get(request: &str, path: &str) -> Vec<u8> {
    frame('A', request, format!(r#"{{"verb":"GET","path":"{path}","streams":null}}"#), true)
}

/// A request's envelope, of which one stream is told.
pub fn post(request: &str, path: &str, stream: &str, length: usize) -> Vec<u8> {
    let envelope = format!(
        r#"{{"verb":"POST","path":"{path}","streams":[{{"id":"{stream}","type":"text/plain","length":{length}}}]}}"#
    );
    frame('A', request, envelope, true)
}

/// A response; `streams` are descriptors.
pub fn answer(request: &str, status: u16, streams: &str) -> Vec<u8> {
    frame('B', request, format!(r#"{{"statusCode":{status},"streams":[{streams}]}}"#), true)
}

pub fn content(stream: &str, bytes: impl AsRef<[u8]>, end: bool) -> Vec<u8> {
    frame('S', stream, bytes, end)
}

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: char,
    pub id: String,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap()
    }

    /// The status of a response.
    pub fn status(&self) -> u64 {
        assert_eq!(self.kind, 'B', "{self:?}");
        self.json()["statusCode"].as_u64().unwrap()
    }

    pub fn is_farewell(&self) -> bool {
        self.kind == 'X' && self.id == ZERO && self.payload.is_empty()
    }
}

/// One end of a session, as a pair of connections.
pub struct Wire {
    pub reads: Stream,
    pub writes: Stream,
}

/// Connects as soon as somebody listens.
pub async fn dial(endpoint: &Endpoint) -> Stream {
    let options = ConnectOptions {
        timeout: LIMIT,
        half_close: HalfClose::None,
        verify_server: Some(false),
        ..ConnectOptions::default()
    };
    let dialing = async {
        loop {
            match connect(endpoint, &options).await {
                Ok(stream) => return stream,
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Refused) => {
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    within(dialing).await
}

impl Wire {
    /// Connects as a connector does.
    pub async fn connect(place: &Place) -> Wire {
        let writes = dial(place.incoming()).await;
        let reads = dial(place.outgoing()).await;
        Wire { reads, writes }
    }

    /// Connects, until a session serves: one that is about to end may have taken the place.
    pub async fn connect_served(place: &Place) -> Wire {
        loop {
            let mut wire = Wire::connect(place).await;
            if wire.writes.write_all(&get(&id(999_999), "/probe")).await.is_err() {
                continue;
            }
            match wire.next().await {
                Some(frame) if frame.kind == 'B' => {
                    assert_eq!(frame.status(), 404);
                    return wire;
                }
                Some(frame) => assert!(frame.is_farewell(), "{frame:?}"),
                None => {}
            }
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.writes.write_all(bytes.as_ref())).await.unwrap();
    }

    /// The next frame; nothing where the other end has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 48];
        within(self.reads.read_exact(&mut head)).await.ok()?;
        let text = str::from_utf8(&head).unwrap();
        let mut payload = vec![0; text[2..8].parse().unwrap()];
        within(self.reads.read_exact(&mut payload)).await.ok()?;
        let kind = text.chars().next().unwrap();
        Some(Frame { kind, id: text[9..45].to_owned(), payload })
    }

    pub async fn expect(&mut self) -> Frame {
        self.next().await.expect("the session ended")
    }

    /// A request that is not there is answered so: the session works.
    pub async fn assert_alive(&mut self) {
        let request = id(888_888);
        self.send(get(&request, "/probe")).await;
        let frame = self.expect().await;
        assert_eq!((frame.id.as_str(), frame.status()), (request.as_str(), 404));
    }

    /// The same where as many requests run as may: what was sent before is known by now.
    pub async fn assert_busy(&mut self) {
        let request = id(888_888);
        self.send(get(&request, "/probe")).await;
        let frame = self.expect().await;
        assert_eq!((frame.id.as_str(), frame.status()), (request.as_str(), 503));
    }

    /// The other end says farewell, as the last thing that it does.
    pub async fn assert_farewell(&mut self) {
        let frame = self.expect().await;
        assert!(frame.is_farewell(), "{frame:?}");
        self.assert_ended().await;
    }

    /// Nothing follows but the end.
    pub async fn assert_ended(&mut self) {
        assert_eq!(self.next().await, None);
    }
}

/// The other end closes this connection, whichever way the system says so.
pub async fn assert_closed(stream: &mut Stream) {
    assert_eq!(within(stream.read(&mut [0; 16])).await.unwrap_or(0), 0, "it sent something");
}

/// An agent's pipes.
pub struct Gate {
    pub incoming: Listener,
    pub outgoing: Listener,
}

pub fn listen(endpoint: &Endpoint) -> Listener {
    let options = ListenOptions { half_close: HalfClose::None, ..ListenOptions::default() };
    Listener::bind(endpoint, &options).unwrap()
}

impl Gate {
    pub fn bind(place: &Place) -> Gate {
        Gate { incoming: listen(place.incoming()), outgoing: listen(place.outgoing()) }
    }

    pub async fn accept(&mut self) -> Wire {
        let (reads, _) = within(self.incoming.accept()).await.unwrap();
        let (writes, _) = within(self.outgoing.accept()).await.unwrap();
        Wire { reads, writes }
    }
}
