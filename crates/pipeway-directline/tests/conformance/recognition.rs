//! How an end of this crate knows another one, and what it does then.

use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;
use pipeway_directline::{
    Connection, Id, Kind, Limits, Pace, StreamHead, StreamHeads, StreamKey, Warning,
};

use crate::rig::{Rig, Sent, a, b, bytes, contents, frame, id, s, stream};

/// The longest frame that the mark promises to take.
const LONG: usize = 65_536;

/// The id of a request of another end that has these limits.
fn id_of(limits: Limits) -> String {
    let mut other = Connection::new(limits, Instant::now()).unwrap();
    let heads = StreamHeads::default();
    let (id, _) = other.send_request("GET", "/", &heads, None, Instant::now()).unwrap();
    id.to_string()
}

fn marked() -> String {
    id_of(Limits::agent())
}

fn c(id: &str) -> Vec<u8> {
    frame('C', id, "", true)
}

fn body(length: usize) -> StreamHeads {
    let body = StreamHead::new("application/json", length as u64);
    StreamHeads { body: Some(body), attachments: vec![] }
}

fn some_bytes(length: usize) -> Bytes {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// Begins to send a body, all of which is there.
fn ask(rig: &mut Rig, length: usize) -> (Id, StreamKey) {
    let (call, keys) =
        rig.connection.send_request("POST", "/", &body(length), None, rig.now).unwrap();
    let key = keys.body.unwrap();
    rig.connection.push(key, some_bytes(length), rig.now).unwrap();
    (call, key)
}

/// The lengths of the frames of streams.
fn lengths(sent: &[Sent]) -> Vec<usize> {
    let streams = sent.iter().filter(|frame| frame.kind == Kind::Stream);
    streams.map(|frame| frame.payload.len()).collect()
}

fn longest(sent: &[Sent]) -> usize {
    lengths(sent).into_iter().max().expect("a stream")
}

fn greetings(sent: &[Sent]) -> Vec<&Sent> {
    sent.iter().filter(|frame| frame.kind == Kind::CancelStream).collect()
}

/// Nothing is known of the peer: what is sent is as it always was.
fn is_unknown(rig: &mut Rig) {
    assert_eq!(rig.connection.pace(), Pace::Legacy);
    ask(rig, 200_000);
    let sent = rig.sent();
    assert_eq!(longest(&sent), 4096);
    assert!(greetings(&sent).is_empty(), "{sent:?}");
}

#[test]
fn a_peer_without_the_mark_gets_what_it_always_got() {
    let mut rig = Rig::new();
    for number in 1..=20 {
        rig.receive(a(&id(number), &[stream(&id(100 + number), Some(1))]));
        rig.receive(s(&id(100 + number), "x", true));
        rig.answers(200);
        rig.receive(c(&id(200 + number)));
    }
    rig.nothing_happened();
    is_unknown(&mut rig);
}

#[test]
fn a_marked_request_is_greeted_once_and_gets_long_frames() {
    let mut rig = Rig::new();
    rig.receive(a(&marked(), &[]));
    let request = rig.request();
    assert_eq!(rig.connection.pace(), Pace::Modern);
    let keys = rig.connection.respond(request.key, 200, &body(200_000), rig.now).unwrap();
    rig.connection.push(keys.body.unwrap(), some_bytes(200_000), rig.now).unwrap();
    let sent = rig.sent();
    assert_eq!(lengths(&sent), [LONG, LONG, LONG, 200_000 - 3 * LONG]);
    assert_eq!(contents(&sent, LONG).into_values().next().unwrap(), some_bytes(200_000));
    let [greeting] = greetings(&sent)[..] else { panic!("{sent:?}") };
    assert!(greeting.payload.is_empty() && greeting.end);
    assert_eq!((sent[0].kind, sent[1].kind), (Kind::CancelStream, Kind::Response));
    // It tells another end of this crate who sent it, and who sent it does not take it for its own.
    let mut other = Rig::new();
    other.receive(c(&greeting.id));
    assert_eq!(other.connection.pace(), Pace::Modern);
    // The next one says nothing new.
    rig.receive(a(&marked(), &[]));
    rig.answers(200);
}

#[test]
fn a_body_that_is_being_sent_goes_on_in_long_frames() {
    let mut rig = Rig::new();
    ask(&mut rig, 400_000);
    rig.write(100_000);
    rig.receive(c(&marked()));
    assert_eq!(rig.connection.pace(), Pace::Modern);
    let sent = rig.sent();
    let lengths = lengths(&sent);
    let short = lengths.iter().take_while(|length| **length == 4096).count();
    assert!((20..30).contains(&short), "{lengths:?}");
    assert!(lengths[short..lengths.len() - 1].iter().all(|length| *length == LONG), "{lengths:?}");
    assert_eq!(contents(&sent, LONG).into_values().next().unwrap(), some_bytes(400_000));
    assert!(greetings(&sent).is_empty(), "who greets knows this end");
}

#[test]
fn a_greeting_goes_before_what_waits_and_breaks_no_frame() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        ask(&mut rig, 20_000);
    }
    rig.write(5000);
    rig.receive(a(&marked(), &[]));
    let kinds: Vec<_> = rig.sent().iter().map(|frame| frame.kind).collect();
    // The last of these was begun.
    assert_eq!(kinds[..4], [Kind::Request, Kind::Stream, Kind::Request, Kind::Stream]);
    assert_eq!(kinds[4], Kind::CancelStream, "{kinds:?}");
    assert_eq!(rig.connection.queued_bytes(), 0);
}

#[test]
fn a_short_message_waits_for_no_more_than_a_frame_of_a_long_one() {
    let mut rig = Rig::new();
    rig.receive(c(&marked()));
    ask(&mut rig, 1 << 20);
    rig.write(100_000);
    let (call, _) = ask(&mut rig, 10);
    let sent = rig.sent();
    let asked = sent.iter().position(|frame| frame.id == call.as_str()).unwrap();
    let behind: Vec<_> = sent[asked..].iter().map(|frame| frame.payload.len()).collect();
    let before: usize = sent[..asked].iter().map(|frame| frame.payload.len()).sum();
    assert!(before <= 100_000 + 2 * LONG, "{before}");
    assert!(behind[1..3].contains(&10), "{behind:?}");
}

/// What is sent back may have this end's own mark.
#[test]
fn an_id_of_this_end_tells_nothing_of_the_other_one() {
    let mut rig = Rig::new();
    let (call, _) = ask(&mut rig, 5);
    let own = rig.sent();
    let (call, streamed) = (call.to_string(), own[1].id.clone());
    for pass in ["it waits", "it is over"] {
        rig.receive(a(&call, &[]));
        rig.receive(c(&call));
        rig.receive(c(&streamed));
        rig.receive(a(&id(1), &[stream(&streamed, Some(1))]));
        rig.receive(s(&streamed, "x", true));
        rig.receive([c(&id(1)), c(&streamed)].concat());
        rig.receive(b(&call, 200, &[]));
        assert_eq!(rig.connection.pace(), Pace::Legacy, "{pass}");
    }
    rig.events();
    is_unknown(&mut rig);
}

#[test]
fn a_greeting_is_no_event_and_nothing_is_remembered_of_it() {
    let mut rig = Rig::new();
    rig.receive(c(&id(2)));
    let greeting = marked();
    rig.receive(c(&greeting));
    for _ in 0..300 {
        rig.receive(c(&marked()));
    }
    assert!(!rig.connection.has_events() && !rig.connection.has_outgoing());
    assert_eq!(rig.connection.held_bytes(), 0);
    // What was cancelled before is known still.
    rig.receive(s(&id(2), "late", true));
    assert_eq!(rig.connection.held_bytes(), 0);
    // A stream that has its id after all is one.
    rig.receive(s(&greeting, "content", true));
    rig.receive(a(&id(1), &[stream(&greeting, Some(7))]));
    assert_eq!(bytes(&rig.request().body.unwrap()), b"content");
    rig.is_alive();
}

#[test]
fn a_cancel_of_what_is_known_is_no_greeting() {
    let mut rig = Rig::new();
    let (request, parked, stray) = (marked(), marked(), marked());
    rig.receive(a(&request, &[]));
    let running = rig.request();
    rig.receive(c(&request));
    assert_eq!(rig.news().len(), 1);
    let heads = StreamHeads::default();
    assert!(rig.connection.respond(running.key, 200, &heads, rig.now).is_err());
    rig.receive(a(&parked, &[stream(&id(3), Some(1))]));
    rig.receive([c(&parked), s(&id(3), "x", true)].concat());
    rig.receive(s(&stray, "content", false));
    rig.receive([c(&stray), s(&stray, "more", true)].concat());
    rig.nothing_happened();
    assert_eq!(rig.connection.held_bytes(), 0);
}

#[test]
fn a_mark_is_read_however_the_bytes_are_cut() {
    for told in [a(&marked(), &[]), c(&marked())] {
        let mut rig = Rig::new();
        for byte in &told {
            assert_eq!(rig.connection.pace(), Pace::Legacy);
            rig.receive([*byte]);
            if rig.connection.pace() == Pace::Modern {
                break;
            }
        }
        assert_eq!(rig.connection.pace(), Pace::Modern);
        assert_eq!(rig.warnings(), [] as [Warning; 0]);
    }
}

#[test]
fn a_session_knows_nothing_of_the_one_before() {
    let mut first = Rig::new();
    first.receive(a(&marked(), &[]));
    assert_eq!(first.connection.pace(), Pace::Modern);
    is_unknown(&mut Rig::new());
}

#[test]
fn a_pace_that_is_told_stays() {
    for pace in [Pace::Legacy, Pace::Modern] {
        let mut rig = Rig::with(Limits { pace, ..Limits::agent() });
        rig.receive(a(&marked(), &[]));
        rig.events();
        assert_eq!(rig.connection.pace(), pace);
        ask(&mut rig, 100_000);
        let sent = rig.sent();
        assert_eq!(longest(&sent), 4096);
        // The other end may be told all the same.
        assert_eq!(greetings(&sent).len(), 1);
    }
}

#[test]
fn an_end_that_takes_short_frames_only_does_not_show_itself() {
    for (frame_bytes_max, shows) in [(4096, false), (65_535, false), (65_536, true)] {
        let limits = Limits { frame_bytes_max, ..Limits::agent() };
        let mut other = Rig::new();
        other.receive(a(&id_of(limits.clone()), &[]));
        assert_eq!(other.connection.pace() == Pace::Modern, shows);
        // It knows another one, and does not greet it.
        let mut rig = Rig::with(limits);
        rig.receive(a(&marked(), &[]));
        rig.events();
        assert_eq!(rig.connection.pace(), Pace::Modern);
        let sent = rig.sent();
        assert_eq!(greetings(&sent).len(), usize::from(shows));
    }
}

#[test]
fn a_longer_chunk_is_kept() {
    let mut rig = Rig::with(Limits { chunk_bytes: 100_000, ..Limits::agent() });
    rig.receive(c(&marked()));
    ask(&mut rig, 250_000);
    assert_eq!(lengths(&rig.sent()), [100_000, 100_000, 50_000]);
}

/// No stream waits for a long frame to fill: there may be no room for one.
#[test]
fn content_that_comes_in_pieces_is_sent_as_it_comes() {
    let mut rig = Rig::with(Limits { outgoing_bytes_max: 20_000, ..Limits::agent() });
    rig.receive(c(&marked()));
    let (_, keys) =
        rig.connection.send_request("POST", "/", &body(200_000), None, rig.now).unwrap();
    let key = keys.body.unwrap();
    let content = some_bytes(200_000);
    let mut sent = Vec::new();
    for piece in content.chunks(15_000) {
        assert!(rig.connection.may_push(key));
        rig.connection.push(key, content.slice_ref(piece), rig.now).unwrap();
        sent.extend(rig.sent());
    }
    assert_eq!(lengths(&sent)[..2], [15_000, 15_000]);
    assert_eq!(contents(&sent, LONG).into_values().next().unwrap(), content);
}

#[test]
fn a_long_frame_is_content_that_lies_in_one_piece() {
    let mut rig = Rig::new();
    rig.receive(c(&marked()));
    let (_, keys) =
        rig.connection.send_request("POST", "/", &body(201_000), None, rig.now).unwrap();
    for length in [1000, 100_000, 100_000] {
        rig.connection.push(keys.body.unwrap(), some_bytes(length), rig.now).unwrap();
    }
    let rest = 101_000 - 4096 - LONG;
    assert_eq!(lengths(&rig.sent()), [4096, LONG, rest, LONG, 100_000 - LONG]);
}

#[test]
fn many_frames_are_a_write_as_soon_as_the_peer_is_known() {
    let writes = |greeted: bool| {
        let mut rig = Rig::new();
        if greeted {
            rig.receive(c(&marked()));
        }
        for _ in 0..10 {
            rig.call();
        }
        let mut count = 0;
        while rig.connection.has_outgoing() {
            let mut slices = [IoSlice::new(&[]); 64];
            let filled = rig.connection.outgoing(&mut slices);
            let length = slices[..filled].iter().map(|slice| slice.len()).sum();
            rig.connection.wrote(length, rig.now);
            count += 1;
        }
        count
    };
    assert_eq!((writes(false), writes(true)), (10, 1));
}

#[test]
fn two_ends_know_each_other_after_one_request() {
    let mut ends = [Rig::new(), Rig::new()];
    ends[0].call();
    let mut greeted = 0;
    for _ in 0..4 {
        for (from, to) in [(0, 1), (1, 0)] {
            for sent in ends[from].sent() {
                greeted += usize::from(sent.kind == Kind::CancelStream);
                let kind = if sent.kind == Kind::Request { 'A' } else { 'C' };
                ends[to].receive(frame(kind, &sent.id, &sent.payload, sent.end));
            }
        }
    }
    assert!(ends.iter().all(|end| end.connection.pace() == Pace::Modern));
    assert_eq!(greeted, 1);
}
