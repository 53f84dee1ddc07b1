//! The connector's role, as far as the machine decides: 145, 146, 149, 150, 153, 154.

use pipeway_directline::{ErrorKind, Event, Limits, Refusal, Warning, code};

use crate::rig::{MS, Rig, SECOND, a, b, bytes, frame, id, s, stream};

fn connector() -> Rig {
    Rig::with(Limits::connector())
}

#[test]
fn case_145_k04_answers_come_in_every_form() {
    let content: Vec<u8> = (0..200_000).map(|at| (at % 251) as u8).collect();
    for chunk in [4096, 65_536] {
        let mut rig = connector();
        let call = rig.call();
        let frames: Vec<_> = content.chunks(chunk).map(|part| s(&id(2), part, false)).collect();
        rig.receive(b(call.as_str(), 200, &[stream(&id(2), Some(200_000))]));
        rig.receive([frames.concat(), s(&id(2), "", true)].concat());
        assert_eq!(bytes(&rig.response().unwrap().body.unwrap()), content);
    }
    let typed = format!(r#"{{"id":"{}","contentType":"text/plain"}}"#, id(2));
    let bare = stream(&id(2), None);
    for (descriptor, media_type) in [(&typed, "text/plain"), (&bare, "application/json")] {
        let mut rig = connector();
        let call = rig.call();
        rig.receive(s(&id(2), "before", true));
        rig.receive(b(call.as_str(), 200, std::slice::from_ref(descriptor)));
        let body = rig.response().unwrap().body.unwrap();
        assert_eq!((body.media_type(), bytes(&body)), (media_type, b"before".to_vec()));
    }
    for has_frame in [true, false] {
        let mut rig = connector();
        let call = rig.call();
        rig.receive(b(call.as_str(), 200, &[stream(&id(2), Some(0))]));
        match has_frame {
            true => rig.receive(s(&id(2), "", true)),
            false => rig.pass(SECOND),
        }
        assert!(rig.response().unwrap().body.is_none());
    }
}

#[test]
fn case_146_k05_a_call_times_out_and_its_late_answer_is_ignored() {
    let mut rig = connector();
    let call = rig.call();
    rig.sent();
    rig.receive(b(call.as_str(), 200, &[stream(&id(2), Some(5))]));
    rig.receive(s(&id(2), "hel", false));
    rig.pass(20 * SECOND - MS);
    rig.nothing_happened();
    rig.pass(MS);
    let failed = rig.response().unwrap_err();
    assert_eq!(failed.to_string(), "[-180003] - no response came in time");
    rig.receive(s(&id(2), "lo", true));
    rig.receive(b(call.as_str(), 200, &[]));
    assert_eq!(rig.warnings(), [Warning::UnknownResponse(call)]);
    assert_eq!(rig.connection.held_bytes(), 0);
    rig.is_alive();
}

#[test]
fn case_149_k08_what_breaks_the_protocol_fails_the_calls() {
    let noise = b"garbage garbage garbage garbage garbage garbage ".to_vec();
    let streams = (1..=101).flat_map(|number| s(&id(number), "x", false)).collect();
    for wire in [noise, streams, frame('B', &id(1), "{", true)] {
        let mut rig = connector();
        rig.call();
        rig.receive(wire);
        assert!(rig.connection.failed().is_some());
        assert_eq!(rig.response().unwrap_err().code(), Some(code::NOT_CONNECTED));
        rig.receive(a(&id(1), &[]));
        assert!(rig.events().is_empty(), "nothing is read behind the end");
    }
}

#[test]
fn case_150_k09_the_agent_may_cancel() {
    let mut rig = connector();
    rig.call();
    rig.receive(frame('X', &id(1), "", true));
    assert!(matches!(&rig.news()[..], [Event::Response { result: Err(error), .. }, _]
        if error.kind() == ErrorKind::CancelledAll));
    let call = rig.call();
    rig.receive(b(call.as_str(), 200, &[stream(&id(2), None)]));
    rig.receive(frame('C', &id(2), "", true));
    assert_eq!(rig.response().unwrap_err().kind(), ErrorKind::StreamCancelled);
}

#[test]
fn case_153_k12_odd_answers_are_tolerated() {
    let mut rig = connector();
    let call = rig.call();
    rig.sent();
    rig.receive([b(call.as_str(), 200, &[]), b(call.as_str(), 200, &[])].concat());
    assert_eq!(rig.response().unwrap().status, 200);

    let call = rig.call();
    rig.sent();
    let envelope = "\u{feff}{\"statusCode\":202,\"streams\":[]}";
    rig.receive(frame('B', call.as_str(), &envelope.as_bytes()[..20], false));
    rig.receive(frame('Q', &id(9), "unknown", true));
    rig.receive(frame('B', call.as_str(), &envelope.as_bytes()[20..], true));
    assert_eq!(rig.response().unwrap().status, 202);

    // The second one while the first waits for its stream.
    let call = rig.call();
    rig.sent();
    rig.receive(b(call.as_str(), 200, &[stream(&id(2), Some(1))]));
    rig.receive(b(call.as_str(), 500, &[stream(&id(3), Some(1))]));
    rig.receive([s(&id(3), "3", true), s(&id(2), "2", true)].concat());
    let response = rig.response().unwrap();
    assert_eq!((response.status, bytes(&response.body.unwrap())), (200, b"2".to_vec()));
    assert_eq!(rig.connection.held_bytes(), 0);
    rig.is_alive();
}

#[test]
fn case_154_k13_all_requests_are_answered() {
    let mut rig = connector();
    (1..=30).for_each(|number| rig.receive(a(&id(number), &[])));
    let events = rig.events();
    for event in &events {
        match event {
            Event::Request(request) => {
                let heads = Default::default();
                rig.connection.respond(request.key, 200, &heads, rig.now).unwrap();
            }
            Event::Warning(Warning::Refused { why: Refusal::Running, .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    let mut answered: Vec<_> = rig.sent().into_iter().map(|frame| frame.id).collect();
    answered.sort_unstable();
    assert_eq!(answered, (1..=30).map(id).collect::<Vec<_>>());
}
