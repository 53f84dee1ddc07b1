//! Malformed input: 64 to 69, 71, 72, 74, 78, 81.

use bytes::Bytes;
use pipeway_directline::{ErrorKind, Limits, StreamHead, StreamHeads, Warning, code};

use crate::rig::{MS, Rig, SECOND, a, b, frame, id, s, stream};

#[test]
fn case_64_m01_to_case_66_m03_odd_messages_are_passed_over() {
    let number = || id(1).parse().unwrap();
    for (wire, warning) in [
        (frame('A', &id(1), "", true), Warning::EmptyEnvelope(number())),
        (frame('B', &id(1), "", true), Warning::EmptyEnvelope(number())),
        (b(&id(1), 200, &[]), Warning::UnknownResponse(number())),
        (frame('A', &id(1), "null", true), Warning::NullEnvelope(number())),
        (frame('B', &id(1), " null ", true), Warning::NullEnvelope(number())),
    ] {
        let mut rig = Rig::new();
        rig.receive(wire);
        assert_eq!(rig.warnings(), [warning]);
        rig.is_alive();
    }
}

#[test]
fn case_67_m04_case_69_m06_and_case_74_m12_what_is_no_object_closes() {
    for envelope in ["{\"verb\":", "[]", "5", "\"x\"", "{} x", "{\"verb\":\"\u{1}\"}", "nul"] {
        for kind in ['A', 'B'] {
            let mut rig = Rig::new();
            rig.receive(frame(kind, &id(1), envelope, true));
            rig.is_closed(code::PROTOCOL_ERROR);
        }
    }
}

#[test]
fn case_68_m05_a_request_that_is_null_is_ignored() {
    let mut rig = Rig::new();
    rig.receive(frame('A', &id(1), "null", true));
    rig.is_alive();
}

#[test]
fn case_71_m09_an_end_inside_a_frame_is_an_error() {
    let mut rig = Rig::new();
    rig.call();
    let wire = s(&id(1), [0; 1000], true);
    rig.receive(&wire[..58]);
    rig.connection.end_of_input();
    assert_eq!(rig.connection.failed().unwrap().kind(), ErrorKind::Truncated);
    let failed = rig.response().unwrap_err();
    assert_eq!(failed.code(), Some(code::NOT_CONNECTED));
    assert!(std::error::Error::source(&failed).is_some());
}

#[test]
fn case_72_m10_three_bytes_before_the_end_are_no_error() {
    for rest in ["", "end"] {
        let mut rig = Rig::new();
        rig.receive(rest);
        rig.connection.end_of_input();
        assert!(matches!(rig.connection.ended(), Some(Ok(()))));
        rig.says_goodbye();
    }
}

#[test]
fn case_78_m16_m17_an_interrupted_header_is_waited_for() {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[stream(&id(2), Some(1))]));
    let next = a(&id(3), &[]);
    for pause in [300 * MS, 6500 * MS] {
        rig.receive(&next[..30]);
        rig.pass(pause);
        rig.receive(&next[30..]);
        rig.answers(200);
    }
    rig.receive(s(&id(2), "x", true));
    rig.answers(200);
}

#[test]
fn a_frame_that_is_never_whole_closes() {
    for cut in [1, 60] {
        let mut rig = Rig::new();
        let wire = s(&id(1), [0; 100], true);
        rig.receive(&wire[..cut]);
        for _ in 0..29 {
            rig.pass(SECOND);
            rig.nothing_happened();
        }
        rig.receive(&wire[cut..=cut]);
        rig.pass(SECOND);
        assert_eq!(rig.connection.failed().unwrap().kind(), ErrorKind::FrameTimedOut);
    }
}

#[test]
fn each_frame_has_a_time_of_its_own() {
    let mut rig = Rig::new();
    let wire = s(&id(1), [0; 100], false);
    rig.receive(&wire[..60]);
    for _ in 0..10 {
        rig.pass(20 * SECOND);
        rig.receive([&wire[60..], &wire[..60]].concat());
    }
    rig.nothing_happened();
}

#[test]
fn case_81_m20_a_peer_that_does_not_read_is_dropped() {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[]));
    let request = rig.request();
    let heads =
        StreamHeads { body: Some(StreamHead::new("text/plain", 100_000)), attachments: vec![] };
    let keys = rig.connection.respond(request.key, 200, &heads, rig.now).unwrap();
    let content = Bytes::from(vec![0; 100_000]);
    rig.connection.push(keys.body.unwrap(), content, rig.now).unwrap();
    for _ in 0..3 {
        rig.pass(29 * SECOND);
        rig.write(10_000);
    }
    rig.nothing_happened();
    rig.pass(30 * SECOND);
    let failed = rig.connection.failed().unwrap();
    assert_eq!((failed.kind(), failed.code()), (ErrorKind::WriteStalled, Some(code::WRITE_FAILED)));
    assert!(rig.connection.queued_bytes() < 100_000);
}

#[test]
fn a_peer_that_causes_more_answers_than_may_wait_is_dropped() {
    let limits = pipeway_directline::Limits {
        outgoing_bytes_max: 4096,
        requests_max: 1,
        ..Default::default()
    };
    let mut rig = Rig::with(limits);
    (1..100).for_each(|number| rig.receive(a(&id(number), &[])));
    assert_eq!(rig.connection.failed().unwrap().kind(), ErrorKind::OutgoingFull);
    assert!(rig.connection.queued_bytes() <= 4096);
}

#[test]
fn envelopes_that_are_never_whole_have_a_bound() {
    let mut rig = Rig::new();
    (1..=60).for_each(|number| rig.receive(frame('A', &id(number), "{", false)));
    (101..=140).for_each(|number| rig.receive(s(&id(number), "x", false)));
    rig.nothing_happened();
    rig.receive(frame('B', &id(1), "{", false));
    rig.is_closed(code::RESOURCE_LIMIT_EXCEEDED);
    assert_eq!(rig.connection.held_bytes(), 0);
}

#[test]
fn envelopes_with_many_descriptors_count_for_what_they_take() {
    let limits = Limits { memory_bytes_max: 10 << 20, ..Limits::agent() };
    let mut rig = Rig::with(limits);
    let many: Vec<_> = (0..9000).map(|number| stream(&id(100_000 + number), Some(1))).collect();
    let wire = a(&id(1), &many);
    let refused = (1..1000).find(|number| {
        let mut wire = wire.clone();
        wire[9..45].copy_from_slice(id(*number).as_bytes());
        rig.receive(&wire);
        // Only the first one has the streams; the others are complete and wait for nothing.
        !rig.sent().is_empty()
    });
    // About 3.2 MB each.
    assert_eq!(refused, Some(4));
    assert!(rig.connection.held_bytes() < 10 << 20);
    rig.is_alive();
}
