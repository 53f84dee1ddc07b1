//! Streams as they come: 32 to 36, 44, 45, 52, 54, 55, 70, 77, 79, 80.

use pipeway_directline::{Limits, Warning, code};

use crate::rig::{MS, Rig, SECOND, a, bytes, id, s, stream};

fn some_bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

/// A rig that has a request for one body of that declared length.
fn asked(length: Option<u64>) -> Rig {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[stream(&id(2), length)]));
    rig.nothing_happened();
    rig
}

#[test]
fn case_32_f04_a_body_may_come_byte_by_byte() {
    let mut rig = asked(Some(5));
    for (at, byte) in b"hello".iter().enumerate() {
        rig.receive(s(&id(2), [*byte], at == 4));
    }
    let body = rig.answers(200).body.unwrap();
    assert_eq!((bytes(&body), body.pieces().len()), (b"hello".to_vec(), 1));
}

#[test]
fn case_33_f05_streams_before_their_request() {
    let mut rig = Rig::new();
    rig.receive([s(&id(2), "hel", false), s(&id(2), "lo", true)].concat());
    rig.nothing_happened();
    rig.receive(a(&id(1), &[stream(&id(2), Some(5))]));
    assert_eq!(bytes(&rig.answers(200).body.unwrap()), b"hello");
}

#[test]
fn case_34_f06_two_bodies_may_be_interleaved() {
    let mut rig = Rig::new();
    rig.receive(
        [a(&id(1), &[stream(&id(11), Some(4))]), a(&id(2), &[stream(&id(12), Some(4))])].concat(),
    );
    rig.receive([s(&id(11), "ab", false), s(&id(12), "12", false)].concat());
    rig.receive([s(&id(12), "34", true), s(&id(11), "cd", true)].concat());
    assert_eq!(rig.connection.running(), 2);
    let events = rig.events();
    let text = format!("{events:?}");
    assert!(text.find(&id(2)).unwrap() < text.find(&id(1)).unwrap(), "the first one to be whole");
    let bodies = events.into_iter().map(|event| match event {
        pipeway_directline::Event::Request(request) => bytes(&request.body.unwrap()),
        other => panic!("{other:?}"),
    });
    assert_eq!(bodies.collect::<Vec<_>>(), [b"1234", b"abcd"]);
}

#[test]
fn case_35_f07_a_request_waits_for_its_last_frame() {
    for last in ["d", ""] {
        let mut rig = asked(Some(4));
        rig.receive(s(&id(2), &"abcd"[..4 - last.len()], false));
        rig.pass(300 * MS);
        rig.nothing_happened();
        rig.receive(s(&id(2), last, true));
        assert_eq!(bytes(&rig.answers(200).body.unwrap()), b"abcd");
    }
}

#[test]
fn case_36_f08_an_empty_body_is_none() {
    let mut rig = asked(Some(0));
    rig.receive(s(&id(2), "", true));
    assert!(rig.answers(400).body.is_none());
    rig.is_alive();
}

#[test]
fn case_44_f16_and_case_45_f17_the_declared_length_does_not_decide() {
    for declared in [Some(0), None, Some(3), Some(100)] {
        let mut rig = asked(declared);
        rig.receive(s(&id(2), "hel", false));
        rig.pass(2 * SECOND);
        rig.receive(s(&id(2), "lo", true));
        assert_eq!(bytes(&rig.answers(200).body.unwrap()), b"hello", "{declared:?}");
    }
}

#[test]
fn lengths_that_are_none_count_as_absent() {
    for length in ["-1", "1.5", "\"9\"", "null", "true", "[1]", "1e400", "99999999999999999999999"]
    {
        let mut rig = Rig::new();
        let body = format!(r#"{{"id":"{}","length":{length}}}"#, id(2));
        rig.receive(a(&id(1), &[body]));
        if length == "1e400" {
            // It is no number that JSON can have here.
            rig.is_closed(code::PROTOCOL_ERROR);
            continue;
        }
        rig.receive(s(&id(2), "x", true));
        assert_eq!(bytes(&rig.answers(200).body.unwrap()), b"x", "{length}");
    }
}

#[test]
fn case_52_f24_the_longest_frames_are_taken() {
    let content = some_bytes(999_999);
    let mut rig = asked(Some(2 * 999_999));
    rig.receive([s(&id(2), &content, false), s(&id(2), &content, true)].concat());
    assert_eq!(rig.answers(200).body.unwrap().len(), 2 * 999_999);
}

#[test]
fn case_54_f26_bodies_arrive_as_they_were_sent() {
    for length in [100, 4096, 4097, 10_000, 50_000] {
        let content = some_bytes(length);
        let mut rig = asked(Some(length as u64));
        let chunks = content.chunks(4096);
        let last = chunks.len() - 1;
        let frames: Vec<_> =
            chunks.enumerate().map(|(at, chunk)| s(&id(2), chunk, at == last)).collect();
        frames.concat().chunks(1000).for_each(|part| rig.receive(part));
        assert_eq!(bytes(&rig.answers(200).body.unwrap()), content);
        assert_eq!(rig.connection.held_bytes(), 0);
    }
}

#[test]
fn case_55_f27_streams_that_were_handed_over_do_not_count() {
    let mut rig = Rig::new();
    for round in 0..50 {
        let ids: Vec<_> = (0..4).map(|at| id(1000 + round * 4 + at)).collect();
        let all: Vec<_> = ids.iter().map(|id| stream(id, Some(3))).collect();
        rig.receive(a(&id(1), &all));
        ids.iter().for_each(|id| rig.receive(s(id, "abc", true)));
        assert_eq!(rig.answers(200).attachments.len(), 3);
    }
    rig.is_alive();
    assert_eq!(rig.connection.held_bytes(), 0);
}

#[test]
fn content_lies_where_it_was_read() {
    let mut rig = asked(Some(65_536));
    let content = some_bytes(65_536);
    let wire = bytes::Bytes::from(s(&id(2), &content, true));
    let place = wire[48..].as_ptr();
    rig.connection.receive(wire, rig.now);
    let body = rig.answers(200).body.unwrap();
    assert_eq!((body.pieces().len(), body.pieces()[0].as_ptr()), (1, place));
}

#[test]
fn memory_counts_until_the_last_slice_is_dropped() {
    let mut rig = asked(Some(10_000));
    rig.receive(s(&id(2), some_bytes(10_000), true));
    let body = rig.answers(200).body.unwrap();
    let slice = body.pieces()[0].slice(..10);
    drop(body);
    assert_eq!(rig.connection.held_bytes(), 10_048, "the whole buffer is held");
    drop(slice);
    assert_eq!(rig.connection.held_bytes(), 0);
}

#[test]
fn case_70_m07_m08_a_hundred_streams_are_open_at_most() {
    let mut rig = Rig::new();
    (1..=100).for_each(|number| rig.receive(s(&id(number), "x", false)));
    rig.is_alive();
    rig.receive(s(&id(101), "", true));
    rig.is_closed(code::RESOURCE_LIMIT_EXCEEDED);
    assert_eq!(rig.connection.held_bytes(), 0);
}

#[test]
fn streams_that_ended_and_nobody_names_count_as_well() {
    let mut rig = Rig::new();
    (1..=101).for_each(|number| rig.receive(s(&id(number), "", true)));
    rig.is_closed(code::RESOURCE_LIMIT_EXCEEDED);
}

#[test]
fn case_77_m15_a_stream_above_its_limit_closes() {
    let mut rig = Rig::new();
    let chunk = s(&id(1), vec![0; 999_999], false);
    for _ in 0..104 {
        rig.receive(&chunk);
        assert!(rig.connection.held_bytes() <= 105 << 20);
    }
    rig.is_alive();
    rig.receive(&chunk);
    rig.is_closed(code::RESOURCE_LIMIT_EXCEEDED);
    assert_eq!(rig.connection.held_bytes(), 0);
}

#[test]
fn case_80_m19_content_above_the_budget_closes() {
    let mut rig = Rig::new();
    let mut received: usize = 0;
    'all: for number in 1..=3 {
        let chunk = s(&id(number), vec![0; 999_999], false);
        for _ in 0..90 {
            rig.receive(&chunk);
            received += 999_999;
            if rig.connection.failed().is_some() {
                break 'all;
            }
        }
    }
    assert!((255 << 20..257 << 20).contains(&received), "{received}");
    rig.is_closed(code::RESOURCE_LIMIT_EXCEEDED);
}

#[test]
fn case_79_m18_a_stream_that_never_comes_is_waited_for_15_s() {
    let mut rig = Rig::new();
    rig.receive(a(
        &id(1),
        &[stream(&id(2), Some(2)), stream(&id(3), Some(4)), stream(&id(4), None)],
    ));
    rig.receive([s(&id(2), "{}", true), s(&id(4), "par", false)].concat());
    rig.pass(14 * SECOND);
    rig.nothing_happened();
    rig.pass(SECOND);
    let events = rig.events();
    let missing = Warning::StreamsMissing { id: id(1).parse().unwrap(), count: 2 };
    assert!(format!("{:?}", events[0]).contains(&format!("{missing:?}")));
    let pipeway_directline::Event::Request(request) = &events[1] else { panic!("{events:?}") };
    assert_eq!(bytes(request.body.as_ref().unwrap()), b"{}");
    assert!(request.attachments.iter().all(pipeway_directline::Content::is_empty));
    assert_eq!(request.attachments.len(), 2);
    // What comes late is for nobody.
    rig.receive([s(&id(3), "late", true), s(&id(4), "t", true)].concat());
    rig.is_alive();
}

#[test]
fn an_empty_stream_that_has_no_frame_is_waited_for_1_s() {
    let mut rig = asked(Some(0));
    rig.pass(999 * MS);
    rig.nothing_happened();
    rig.pass(MS);
    assert!(rig.answers(400).body.is_none());

    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[stream(&id(2), Some(2)), stream(&id(3), Some(0))]));
    rig.pass(5 * SECOND);
    rig.nothing_happened();
    rig.receive(s(&id(2), "{}", true));
    rig.pass(SECOND);
    let request = rig.answers(200);
    assert_eq!((request.body.unwrap().len(), request.attachments.len()), (2, 1));
    rig.receive(s(&id(3), "", true));
    rig.is_alive();
}

#[test]
fn content_behind_the_end_is_passed_over() {
    let mut rig = Rig::new();
    rig.receive([s(&id(2), "abc", true), s(&id(2), "def", true)].concat());
    assert_eq!(rig.warnings(), [Warning::ContentAfterEnd(id(2).parse().unwrap())]);
    rig.receive(a(&id(1), &[stream(&id(2), Some(3))]));
    assert_eq!(bytes(&rig.answers(200).body.unwrap()), b"abc");
}

#[test]
fn small_pieces_of_large_buffers_do_not_hold_them() {
    let mut rig = Rig::with(Limits { memory_bytes_max: 1 << 20, ..Limits::agent() });
    for number in 0..50 {
        let skipped = crate::rig::frame('Q', &id(1), vec![0; 60_000], true);
        rig.receive([s(&id(100 + number), "tiny", false), skipped].concat());
    }
    assert!(rig.connection.held_bytes() < 50 * 100, "{}", rig.connection.held_bytes());
    rig.is_alive();
}
