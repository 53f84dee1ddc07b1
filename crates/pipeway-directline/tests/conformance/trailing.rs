//! Streams that end short, and content without frames: 38 to 43, 56.

use pipeway_directline::{Limits, Warning, code};

use crate::rig::{MS, Rig, SECOND, a, bytes, frame, id, s, stream};

fn asked(length: u64) -> Rig {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[stream(&id(2), Some(length))]));
    rig
}

/// Content that is not like a header.
fn rest(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + (at % 26) as u8).collect()
}

#[test]
fn case_38_f10_several_frames_that_end_short_are_short_at_once() {
    let mut rig = asked(262_144);
    let chunk = rest(4096);
    for end in [false, false, true] {
        rig.receive(s(&id(2), &chunk, end));
    }
    assert_eq!(rig.answers(200).body.unwrap().len(), 12_288);
    rig.is_alive();
}

#[test]
fn case_39_f11_a_short_frame_that_nothing_follows_is_taken_as_it_is() {
    for length in [100, 4096] {
        let mut rig = asked(262_144);
        rig.receive(s(&id(2), rest(length), true));
        rig.pass(249 * MS);
        rig.nothing_happened();
        rig.pass(MS);
        assert_eq!(rig.answers(200).body.unwrap().len(), length as u64);
        rig.is_alive();
    }
}

#[test]
fn case_40_f12_the_rest_may_come_without_frames() {
    let content = rest(10_000);
    for cut in [1, 7, 47, 48, 49, 5000, 20_000] {
        let mut rig = asked(10_000);
        let wire = [s(&id(2), &content[..4096], true), content[4096..].to_vec(), a(&id(5), &[])];
        wire.concat().chunks(cut).for_each(|part| rig.receive(part));
        let events = rig.events();
        assert_eq!(events.len(), 3, "{events:?}");
        let unframed = Warning::Unframed { id: id(2).parse().unwrap(), bytes: 5904 };
        assert!(format!("{:?}", events[0]).contains(&format!("{unframed:?}")));
        let pipeway_directline::Event::Request(first) = &events[1] else { panic!("{events:?}") };
        assert_eq!(bytes(first.body.as_ref().unwrap()), content);
        rig.is_alive();
    }
}

#[test]
fn case_41_f13_the_rest_may_trickle_in() {
    let content = rest(9000);
    let mut rig = asked(9000);
    rig.receive(s(&id(2), &content[..4096], true));
    for part in content[4096..].chunks(300) {
        rig.pass(40 * MS);
        rig.nothing_happened();
        rig.receive(part);
    }
    assert_eq!(bytes(&rig.answers(200).body.unwrap()), content);
    rig.is_alive();
}

#[test]
fn case_42_f14_all_of_it_may_come_without_frames() {
    let content = rest(9542);
    let mut rig = asked(9542);
    rig.receive([s(&id(2), "", true), content.clone()].concat());
    assert_eq!(bytes(&rig.answers(200).body.unwrap()), content);
    rig.is_alive();
}

#[test]
fn case_43_f15_a_frame_behind_a_short_one_is_a_frame() {
    for next in [a(&id(5), &[]), frame('Q', &id(5), "", true)] {
        for cut in [1, 10, 47, 100] {
            let mut rig = asked(1000);
            let wire = [s(&id(2), rest(100), true), next.clone()].concat();
            wire.chunks(cut).for_each(|part| rig.receive(part));
            let text = format!("{:?}", rig.events());
            assert!(text.contains("StreamShort"), "{text}");
            assert_eq!(text.contains(&id(5)), next[0] == b'A');
            rig.is_alive();
        }
    }
}

#[test]
fn unframed_content_that_is_shorter_than_a_header_ends_where_it_ends() {
    for (content, cut) in [("hello", 1), ("hello", 3), ("hello", 100), ("A.0000", 100)] {
        let mut rig = asked(content.len() as u64 + 1);
        let wire = [s(&id(2), "x", true), content.into(), a(&id(5), &[])].concat();
        wire.chunks(cut).for_each(|part| rig.receive(part));
        let text = format!("{:?}", rig.news());
        assert!(text.contains(&id(1)) && text.contains(&id(5)), "{text}");
    }
}

#[test]
fn the_start_of_a_header_is_waited_for() {
    let mut rig = asked(1000);
    rig.receive(s(&id(2), rest(100), true));
    let next = a(&id(5), &[]);
    rig.receive(&next[..20]);
    rig.pass(5 * SECOND);
    rig.nothing_happened();
    rig.receive(&next[20..]);
    assert_eq!(rig.news().len(), 2);

    let mut rig = asked(1000);
    rig.receive([s(&id(2), rest(100), true), next[..20].to_vec()].concat());
    rig.pass(10 * SECOND);
    rig.answers(200);
    rig.receive(&next[20..]);
    rig.answers(200);
}

#[test]
fn unframed_content_that_stalls_closes() {
    let mut rig = Rig::with(Limits { parked_timeout: 60 * SECOND, ..Limits::agent() });
    rig.receive(a(&id(1), &[stream(&id(2), Some(1000))]));
    rig.receive([s(&id(2), rest(100), true), rest(100)].concat());
    rig.pass(9 * SECOND);
    rig.receive(rest(100));
    rig.pass(9 * SECOND);
    rig.nothing_happened();
    rig.pass(SECOND);
    rig.is_closed(code::TRAILING_STREAM_READ_FAILED);
}

#[test]
fn an_end_in_unframed_content_is_an_error() {
    let mut rig = asked(1000);
    rig.receive([s(&id(2), rest(100), true), rest(100)].concat());
    rig.connection.end_of_input();
    rig.is_closed(code::TRAILING_STREAM_READ_FAILED);
}

#[test]
fn unframed_content_above_the_budget_closes() {
    let mut rig = Rig::with(Limits { memory_bytes_max: 50_000, ..Limits::agent() });
    rig.receive(a(&id(1), &[stream(&id(2), Some(90_000))]));
    rig.receive(s(&id(2), rest(100), true));
    rig.receive(rest(60_000));
    rig.is_closed(code::RESOURCE_LIMIT_EXCEEDED);
}

#[test]
fn what_declares_more_than_a_stream_may_have_is_short_at_once() {
    let mut rig = asked((100 << 20) + 1);
    rig.receive(s(&id(2), rest(100), true));
    rig.answers(200);
}

#[test]
fn case_56_f28_a_stream_as_long_as_declared_is_over_with_its_flag() {
    let mut rig = asked(262_144);
    let chunk = rest(65_536);
    for end in [false, false, false, true] {
        rig.receive(s(&id(2), &chunk, end));
    }
    assert_eq!(rig.answers(200).body.unwrap().len(), 262_144);
    assert_eq!(rig.connection.next_deadline(), None);
}
