//! A peer that writes the frames that a test says, and reads what comes into messages.

use std::collections::HashMap;

use pipeway_directline::pipes::{Pair, Reader, Watch, Writer};
use pipeway_directline::{HEADER_LENGTH, Header, Kind, Strictness};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A stream of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    pub media_type: String,
    pub bytes: Vec<u8>,
}

/// A message with all its streams.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pub envelope: Value,
    pub streams: Vec<Stream>,
}

impl Message {
    pub fn status(&self) -> u64 {
        self.envelope["statusCode"].as_u64().unwrap_or_else(|| panic!("no answer: {self:?}"))
    }

    /// The verb and the path of a request.
    pub fn asks(&self) -> String {
        let text = |name: &str| self.envelope[name].as_str().unwrap_or("?");
        format!("{} {}", text("verb"), text("path"))
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.streams[0].bytes).unwrap()
    }

    pub fn text(&self) -> String {
        self.json()["text"].as_str().unwrap().to_owned()
    }
}

pub struct Peer {
    pub reader: Reader,
    pub writer: Writer,
    _watch: Watch,
    /// Messages whose streams have not all come.
    open: Vec<(String, Value)>,
    streams: HashMap<String, (Vec<u8>, bool)>,
    /// The longest payload of a frame that came.
    pub longest: usize,
    /// How many frames of streams came.
    pub chunks: usize,
    last_id: u32,
}

impl Peer {
    pub fn new(pair: Pair) -> Self {
        let Pair { reader, writer, watch, .. } = pair;
        Peer {
            reader,
            writer,
            _watch: watch,
            open: Vec::new(),
            streams: HashMap::new(),
            longest: 0,
            chunks: 0,
            last_id: 0,
        }
    }

    pub fn id(&mut self) -> String {
        self.last_id += 1;
        format!("00000000-0000-4000-8000-{:012}", self.last_id)
    }

    pub async fn frame(&mut self, kind: char, id: &str, payload: &[u8]) {
        let header = format!("{kind}.{:06}.{id}.1\n", payload.len());
        self.writer.write_all(&[header.as_bytes(), payload].concat()).await.unwrap();
    }

    /// Sends a message; the id of a request is drawn. Streams without a type are declared without.
    pub async fn message(
        &mut self,
        kind: char,
        id: &str,
        mut envelope: Value,
        streams: &[(Option<&str>, &[u8])],
    ) {
        let ids: Vec<String> = streams.iter().map(|_| self.id()).collect();
        let heads = streams.iter().zip(&ids).map(|((media_type, bytes), id)| match media_type {
            Some(media_type) => json!({"id": id, "type": media_type, "length": bytes.len()}),
            None => json!({"id": id, "length": bytes.len()}),
        });
        envelope["streams"] = heads.collect();
        self.frame(kind, id, envelope.to_string().as_bytes()).await;
        for ((_, bytes), id) in streams.iter().zip(&ids) {
            self.frame('S', id, bytes).await;
        }
    }

    pub async fn request(
        &mut self,
        verb: &str,
        path: &str,
        streams: &[(Option<&str>, &[u8])],
    ) -> String {
        let id = self.id();
        self.message('A', &id, json!({"verb": verb, "path": path}), streams).await;
        id
    }

    /// Sends an activity.
    pub async fn post(&mut self, activity: &Value) -> String {
        let body = activity.to_string();
        let streams = [(Some("application/json"), body.as_bytes())];
        self.request("POST", "/api/messages", &streams).await
    }

    /// Sends a request and reads its answer, which must be the next message.
    pub async fn ask(
        &mut self,
        verb: &str,
        path: &str,
        streams: &[(Option<&str>, &[u8])],
    ) -> Message {
        let id = self.request(verb, path, streams).await;
        let message = self.next().await;
        assert_eq!(message.id, id, "{message:?}");
        message
    }

    /// Sends an activity and reads its answer, which must be the next message.
    pub async fn say(&mut self, activity: &Value) -> Message {
        let id = self.post(activity).await;
        let message = self.next().await;
        assert_eq!(message.id, id, "{message:?}");
        message
    }

    /// Answers a request.
    pub async fn answer(&mut self, request: &Message, status: u16, body: Option<&Value>) {
        let body = body.map(Value::to_string);
        let streams: Vec<(Option<&str>, &[u8])> =
            body.iter().map(|body| (Some("application/json"), body.as_bytes())).collect();
        self.message('B', &request.id, json!({"statusCode": status}), &streams).await;
    }

    /// The session is up, and nothing was sent that is not read.
    pub async fn is_quiet(&mut self) {
        assert_eq!(self.ask("GET", "/probe", &[]).await.status(), 404);
    }

    /// The next message that is whole.
    pub async fn next(&mut self) -> Message {
        self.try_next().await.expect("the session has ended")
    }

    /// The next message that is whole; `None`: the session has ended.
    pub async fn try_next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.take_whole() {
                return Some(message);
            }
            let mut header = [0; HEADER_LENGTH];
            if self.reader.read_exact(&mut header).await.is_err() {
                return None;
            }
            let header = Header::read(&header, Strictness::Strict).unwrap();
            let mut payload = vec![0; header.length.bytes()];
            self.reader.read_exact(&mut payload).await.unwrap();
            self.longest = self.longest.max(payload.len());
            match header.kind {
                Kind::Request | Kind::Response => {
                    let envelope = serde_json::from_slice(&payload).unwrap();
                    self.open.push((header.id.to_string(), envelope));
                }
                Kind::Stream => {
                    self.chunks += 1;
                    let stream = self.streams.entry(header.id.to_string()).or_default();
                    stream.0.extend_from_slice(&payload);
                    stream.1 = header.end;
                }
                _ => {}
            }
        }
    }

    fn take_whole(&mut self) -> Option<Message> {
        let streams = &self.streams;
        let at = self.open.iter().position(|(_, envelope)| {
            heads(envelope).all(|(id, _)| streams.get(&id).is_some_and(|(_, whole)| *whole))
        })?;
        let (id, envelope) = self.open.remove(at);
        let taken = heads(&envelope).map(|(id, head)| {
            let (bytes, _) = self.streams.remove(&id).unwrap();
            assert_eq!(head["length"], bytes.len(), "the declared length is exact");
            Stream { media_type: head["type"].as_str().unwrap().to_owned(), bytes }
        });
        let streams = taken.collect();
        Some(Message { id, envelope, streams })
    }
}

fn heads(envelope: &Value) -> impl Iterator<Item = (String, &Value)> {
    let heads = envelope["streams"].as_array().map_or(&[][..], Vec::as_slice);
    heads.iter().map(|head| (head["id"].as_str().unwrap().to_owned(), head))
}
