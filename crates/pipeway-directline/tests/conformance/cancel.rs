//! Cancelling: 82 to 94.

use bytes::Bytes;
use pipeway_directline::{Event, Id, Kind, StreamHead, StreamHeads, code};

use crate::rig::{Rig, a, b, frame, id, s, stream};

fn x() -> Vec<u8> {
    frame('X', "00000000-0000-0000-0000-000000000000", "", true)
}

fn c(id: &str) -> Vec<u8> {
    frame('C', id, "", true)
}

#[test]
fn case_82_x01_everything_cancelled_keeps_the_session() {
    let mut rig = Rig::new();
    rig.receive(x());
    assert!(matches!(rig.news()[..], [Event::CancelledAll]));
    rig.is_alive();
}

#[test]
fn case_83_x02_an_unknown_stream_is_cancelled_in_advance() {
    let mut rig = Rig::new();
    rig.receive([c(&id(2)), s(&id(2), "late", true)].concat());
    rig.nothing_happened();
    assert_eq!(rig.connection.held_bytes(), 0);
    rig.is_alive();
}

#[test]
fn case_84_x03_a_request_whose_body_is_cancelled_is_dropped() {
    for begun in [false, true] {
        let mut rig = Rig::new();
        rig.receive(a(&id(1), &[stream(&id(2), Some(4)), stream(&id(3), Some(4))]));
        if begun {
            rig.receive([s(&id(2), "ab", false), s(&id(3), "abcd", true)].concat());
        }
        rig.receive([c(&id(2)), s(&id(2), "cd", true)].concat());
        rig.pass(30 * crate::rig::SECOND);
        rig.nothing_happened();
        assert!(rig.sent().is_empty());
        assert_eq!(rig.connection.held_bytes(), 0);
        rig.is_alive();
    }
}

#[test]
fn case_85_x04_a_running_request_is_cancelled_and_gets_no_answer() {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[]));
    let request = rig.request();
    rig.receive(c(&id(1)));
    assert!(matches!(rig.news()[..], [Event::RequestCancelled(key)] if key == request.key));
    let late = rig.connection.respond(request.key, 200, &StreamHeads::default(), rig.now);
    assert_eq!(late.unwrap_err().code(), Some(code::OPERATION_CANCELLED));
    assert!(rig.sent().is_empty());
    // The id may come again, and the old key does not answer the new request.
    rig.receive(a(&id(1), &[]));
    let again = rig.request();
    let heads = StreamHeads::default();
    assert!(rig.connection.respond(request.key, 200, &heads, rig.now).is_err());
    assert!(rig.connection.respond(again.key, 200, &heads, rig.now).is_ok());
}

#[test]
fn case_86_x05_everything_cancelled_cancels_what_runs() {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[]));
    let request = rig.request();
    rig.receive(x());
    assert!(matches!(rig.news()[..],
        [Event::RequestCancelled(key), Event::CancelledAll] if key == request.key));
    assert!(rig.connection.respond(request.key, 200, &StreamHeads::default(), rig.now).is_err());
    assert_eq!(rig.connection.held_bytes(), 0);
    rig.is_alive();
}

#[test]
fn case_87_x06_everything_cancelled_closes_the_streams() {
    let mut rig = Rig::new();
    (1..=60).for_each(|number| rig.receive(s(&id(number), "x", false)));
    rig.receive(x());
    assert_eq!(rig.connection.held_bytes(), 0);
    (101..=160).for_each(|number| rig.receive(s(&id(number), "x", false)));
    rig.is_alive();
}

#[test]
fn case_88_x07_a_payload_of_a_cancel_frame_is_skipped() {
    let mut rig = Rig::new();
    rig.receive(frame('X', &id(1), "payload", true));
    rig.receive(frame('C', &id(2), "payload", false));
    rig.is_alive();
}

#[test]
fn case_89_x08_cancelled_streams_do_not_count() {
    let mut rig = Rig::new();
    (1..=100).for_each(|number| rig.receive(s(&id(number), "x", false)));
    (1..=100).for_each(|number| rig.receive(c(&id(number))));
    (101..=200).for_each(|number| rig.receive(s(&id(number), "x", false)));
    rig.is_alive();
    // Nor do their late frames.
    (1..=100).for_each(|number| rig.receive(s(&id(number), "x", true)));
    rig.is_alive();
}

#[test]
fn case_90_x09_a_parked_request_is_cancelled_by_its_id() {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[stream(&id(2), Some(1))]));
    rig.receive([c(&id(1)), s(&id(2), "x", true)].concat());
    rig.nothing_happened();
    assert!(rig.sent().is_empty());
    rig.is_alive();
}

#[test]
fn case_91_x10_a_call_fails_when_everything_is_cancelled() {
    let mut rig = Rig::new();
    let call = rig.call();
    rig.receive(x());
    match &rig.news()[..] {
        [Event::Response { call: failed, result: Err(error) }, Event::CancelledAll] => {
            assert_eq!((*failed, error.code()), (call, Some(code::CANCELLED_ALL)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_cancelled_stops_what_is_being_sent() {
    let mut rig = Rig::new();
    let heads =
        StreamHeads { body: Some(StreamHead::new("text/plain", 20_000)), attachments: vec![] };
    let (_, keys) = rig.connection.send_request("POST", "/x", &heads, None, rig.now).unwrap();
    let key = keys.body.unwrap();
    rig.connection.push(key, Bytes::from(vec![0; 9000]), rig.now).unwrap();
    let sent = rig.sent();
    rig.connection.push(key, Bytes::from(vec![0; 9000]), rig.now).unwrap();
    rig.receive(x());
    let after = rig.sent();
    assert_eq!((after.len(), after[0].kind), (1, Kind::CancelStream));
    assert_eq!(after[0].id, sent[1].id);
    let gone = rig.connection.push(key, Bytes::from_static(b"x"), rig.now).unwrap_err();
    assert_eq!(gone.code(), Some(code::OPERATION_CANCELLED));
}

#[test]
fn case_92_x11_a_call_fails_when_a_stream_of_its_response_is_cancelled() {
    let mut rig = Rig::new();
    let call = rig.call();
    rig.receive(b(call.as_str(), 200, &[stream(&id(2), Some(4))]));
    rig.receive([s(&id(2), "ab", false), c(&id(2))].concat());
    assert_eq!(rig.response().unwrap_err().code(), Some(code::STREAM_CANCELLED));
    rig.sent();
    rig.is_alive();
}

#[test]
fn case_93_x12_cancel_frames_are_written_byte_for_byte() {
    let mut rig = Rig::new();
    rig.connection.cancel_all(rig.now);
    let sent = rig.sent();
    assert_eq!((sent.len(), sent[0].kind, &*sent[0].id), (1, Kind::CancelAll, Id::ZERO.as_str()));
    assert!(sent[0].payload.is_empty() && sent[0].end);

    let heads = StreamHeads { body: Some(StreamHead::new("text/plain", 5)), attachments: vec![] };
    let (_, keys) = rig.connection.send_request("POST", "/x", &heads, None, rig.now).unwrap();
    rig.connection.cancel_stream(keys.body.unwrap(), rig.now);
    let sent = rig.sent();
    assert_eq!((sent.len(), sent[1].kind), (2, Kind::CancelStream));
    assert!(sent[0].text().contains(&sent[1].id));
    assert!(sent[1].payload.is_empty() && sent[1].end);
}

#[test]
fn cancelling_everything_here_fails_calls_and_stops_requests() {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[]));
    rig.request();
    rig.call();
    rig.connection.cancel_all(rig.now);
    match &rig.news()[..] {
        [Event::RequestCancelled(_), Event::Response { result: Err(error), .. }] => {
            assert_eq!(error.code(), Some(code::OPERATION_CANCELLED));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.sent().len(), 1, "the notice takes the place of what waited");
    rig.is_alive();
}

#[test]
fn case_94_x13_the_end_is_told_once() {
    let mut rig = Rig::new();
    let heads = StreamHeads { body: Some(StreamHead::new("text/plain", 5)), attachments: vec![] };
    rig.connection.send_request("POST", "/x", &heads, None, rig.now).unwrap();
    rig.write(20);
    rig.connection.shutdown();
    rig.connection.shutdown();
    // What was begun is brought to its end before.
    let sent = rig.sent();
    assert_eq!(
        sent.iter().map(|frame| frame.kind).collect::<Vec<_>>(),
        [Kind::Request, Kind::CancelAll]
    );
    assert_eq!(rig.response().unwrap_err().code(), Some(code::NOT_CONNECTED));
    assert!(matches!(rig.connection.ended(), Some(Ok(()))));
}
