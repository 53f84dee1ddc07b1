//! Whatever one end sends, in whatever pieces it is read, is what the other end gets.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::collections::HashMap;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pipeway_directline::{
    Connection, Content, Event, Limits, Pace, StreamHead, StreamHeads, StreamKey, StreamKeys,
};
use proptest::prelude::*;

/// A stream of a message: its type and its content.
type Stream = (String, Vec<u8>);

#[derive(Clone, Debug)]
struct Message {
    body: Option<Stream>,
    attachments: Vec<Stream>,
}

fn stream() -> impl Strategy<Value = Stream> {
    let content = prop_oneof![
        Just(Vec::new()),
        proptest::collection::vec(any::<u8>(), 1..300),
        proptest::collection::vec(any::<u8>(), 4000..9000),
    ];
    ("[a-z]{1,8}/[a-z\"\\\\é]{1,8}", content)
}

fn message() -> impl Strategy<Value = Message> {
    (proptest::option::of(stream()), proptest::collection::vec(stream(), 0..4))
        .prop_map(|(body, attachments)| Message { body, attachments })
}

fn heads(message: &Message) -> StreamHeads {
    let head = |(media_type, content): &Stream| StreamHead::new(media_type, content.len() as u64);
    StreamHeads {
        body: message.body.as_ref().map(head),
        attachments: message.attachments.iter().map(head).collect(),
    }
}

/// What is to be pushed, stream by stream.
fn contents(message: &Message, keys: &StreamKeys) -> Vec<(StreamKey, Bytes)> {
    let all = keys.body.iter().chain(&keys.attachments);
    let contents = message.body.iter().chain(&message.attachments);
    all.copied().zip(contents.map(|(_, content)| content.clone().into())).collect()
}

/// The message as it came: of an empty body nothing is left.
fn arrived(body: Option<&Content>, attachments: &[Content]) -> (Option<Stream>, Vec<Stream>) {
    let stream = |content: &Content| (content.media_type().to_owned(), content.pieces().concat());
    (body.map(stream), attachments.iter().map(stream).collect())
}

fn expected(message: &Message) -> (Option<Stream>, Vec<Stream>) {
    let body = message.body.clone().filter(|(_, content)| !content.is_empty());
    (body, message.attachments.clone())
}

/// Two ends, and the numbers that say how bytes are cut on their way.
struct Pair {
    ends: [Connection; 2],
    cuts: Vec<usize>,
    cut: usize,
    now: Instant,
}

impl Pair {
    fn next_cut(&mut self) -> usize {
        self.cut += 1;
        self.cuts[self.cut % self.cuts.len()]
    }

    /// Moves what waits in one direction, cut where it comes.
    fn carry(&mut self, from: usize) {
        while self.ends[from].has_outgoing() {
            let cut = self.next_cut();
            let mut slices = [IoSlice::new(&[]); 6];
            let filled = self.ends[from].outgoing(&mut slices);
            let mut bytes =
                slices[..filled].iter().flat_map(|part| part.to_vec()).collect::<Vec<u8>>();
            bytes.truncate(cut);
            self.ends[from].wrote(bytes.len(), self.now);
            self.ends[1 - from].receive(bytes.into(), self.now);
        }
    }

    /// Pushes the contents in pieces, a piece of each stream in turn.
    fn push(&mut self, end: usize, mut all: Vec<(StreamKey, Bytes)>) {
        while !all.is_empty() {
            for (key, content) in &mut all {
                let piece = content.split_to(self.next_cut().min(content.len()));
                if !piece.is_empty() {
                    self.ends[end].push(*key, piece, self.now).unwrap();
                }
            }
            all.retain(|(_, content)| !content.is_empty());
            if self.next_cut().is_multiple_of(2) {
                self.carry(end);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn messages_arrive_as_they_were_sent(
        exchanges in proptest::collection::vec((message(), message(), 100u16..1000), 1..6),
        cuts in proptest::collection::vec(prop_oneof![1usize..60, 1usize..6000], 1..20),
        chunk in prop_oneof![1u32..100, Just(4096)],
        pace in prop_oneof![Just(Pace::Automatic), Just(Pace::Legacy), Just(Pace::Modern)],
    ) {
        let now = Instant::now();
        let limits = Limits { chunk_bytes: chunk, pace, ..Limits::agent() };
        let end = || Connection::new(limits.clone(), now).unwrap();
        let mut pair = Pair { ends: [end(), end()], cuts, cut: 0, now };

        let mut calls = HashMap::new();
        let mut to_push = Vec::new();
        for (at, (request, ..)) in exchanges.iter().enumerate() {
            let path = format!("/{at}");
            let sent = pair.ends[0].send_request("POST", &path, &heads(request), None, now);
            let (call, keys) = sent.unwrap();
            calls.insert(call, at);
            to_push.extend(contents(request, &keys));
        }
        pair.push(0, to_push);
        pair.carry(0);

        let mut to_push = Vec::new();
        let mut seen = 0;
        while let Some(event) = pair.ends[1].next_event() {
            let Event::Request(request) = event else { panic!("{event:?}") };
            let at: usize = request.path[1..].parse().unwrap();
            let (asked, answer, status) = &exchanges[at];
            prop_assert_eq!(arrived(request.body.as_ref(), &request.attachments), expected(asked));
            let keys = pair.ends[1].respond(request.key, *status, &heads(answer), now).unwrap();
            to_push.extend(contents(answer, &keys));
            seen += 1;
        }
        prop_assert_eq!(seen, exchanges.len());
        pair.push(1, to_push);
        pair.carry(1);

        while let Some(event) = pair.ends[0].next_event() {
            let Event::Response { call, result } = event else { panic!("{event:?}") };
            let (_, answer, status) = &exchanges[calls.remove(&call).unwrap()];
            let response = result.unwrap();
            prop_assert_eq!(response.status, *status);
            prop_assert_eq!(arrived(response.body.as_ref(), &response.attachments), expected(answer));
        }
        prop_assert!(calls.is_empty());
        let expected = if pace == Pace::Automatic { Pace::Modern } else { pace };
        prop_assert!(pair.ends.iter().all(|end| end.pace() == expected));
        for end in &mut pair.ends {
            prop_assert_eq!((end.held_bytes(), end.queued_bytes()), (0, 0));
            end.tick(now + Duration::from_secs(3600));
            prop_assert!(end.ended().is_none());
        }
    }
}
