//! Requests and their envelopes: 30, 31, 33 to 37, 46 to 53, 57, 73 to 76.

use pipeway_directline::{Kind, Limits, Refusal, StreamHeads, Warning, code};

use crate::rig::{Rig, SECOND, a, b, bytes, frame, id, posting, s, stream};

#[test]
fn case_30_f01_f02_a_request_without_streams_goes_on_at_once() {
    for envelope in [
        r#"{"verb":"POST","path":"/api/messages"}"#,
        r#"{"verb":"POST","path":"/api/messages","streams":null}"#,
        r#"{"verb":"POST","path":"/api/messages","streams":[]}"#,
    ] {
        let mut rig = Rig::new();
        rig.receive(frame('A', &id(1), envelope, true));
        let request = rig.answers(200);
        assert_eq!((&*request.verb, &*request.path), ("POST", "/api/messages"));
        assert!(request.body.is_none() && request.attachments.is_empty());
    }
}

#[test]
fn case_31_f03_a_complete_request_may_say_that_more_comes() {
    let mut rig = Rig::new();
    rig.receive(frame('A', &id(1), posting(&[stream(&id(2), Some(2))]), false));
    rig.nothing_happened();
    rig.receive(s(&id(2), "hi", true));
    assert_eq!(bytes(&rig.answers(200).body.unwrap()), b"hi");
}

#[test]
fn case_37_f09_attachments_keep_the_order_of_their_descriptors() {
    let mut rig = Rig::new();
    let plain = format!(r#"{{"id":"{}","type":"image/png","length":3}}"#, id(3));
    let bare = format!(r#"{{"id":"{}","length":0}}"#, id(4));
    rig.receive(s(&id(4), "", true));
    rig.receive(s(&id(3), "png", true));
    rig.receive(a(&id(1), &[stream(&id(2), Some(2)), plain, bare]));
    rig.nothing_happened();
    rig.receive(s(&id(2), "{}", true));
    let request = rig.answers(200);
    assert_eq!(bytes(&request.body.unwrap()), b"{}");
    let told: Vec<_> = request
        .attachments
        .iter()
        .map(|content| (content.media_type(), bytes(content), content.id().unwrap().to_string()))
        .collect();
    assert_eq!(told[0], ("image/png", b"png".to_vec(), id(3)));
    assert_eq!(told[1], ("application/octet-stream", Vec::new(), id(4)));
}

#[test]
fn case_46_f18_the_media_type_may_be_called_content_type() {
    let mut rig = Rig::new();
    let body = format!(r#"{{"id":"{}","contentType":"text/plain","length":1}}"#, id(2));
    rig.receive([a(&id(1), &[body]), s(&id(2), "x", true)].concat());
    assert_eq!(rig.answers(200).body.unwrap().media_type(), "text/plain");
}

#[test]
fn case_47_f19_a_body_without_a_type_is_json() {
    for body in [r#"{"id":"ID"}"#, r#"{"id":"ID","type":""}"#, r#"{"id":"ID","type":null}"#] {
        let mut rig = Rig::new();
        let body = body.replace("ID", &id(2));
        rig.receive([a(&id(1), &[body]), s(&id(2), "x", true)].concat());
        assert_eq!(rig.answers(200).body.unwrap().media_type(), "application/json");
    }
}

#[test]
fn case_48_f20_a_descriptor_whose_id_is_no_guid_has_no_content() {
    for unusable in [r#"{"id":"abc"}"#, "null", "{}", "5", r#"{"id":7}"#, "[]"] {
        let mut rig = Rig::new();
        rig.receive(a(&id(1), &[unusable.into()]));
        let events = rig.events();
        assert_eq!(events.len(), 2, "{events:?}");
        rig.receive(a(&id(3), &[unusable.into(), stream(&id(4), Some(1))]));
        rig.receive(s(&id(4), "x", true));
        let request = rig.request();
        assert!(request.body.is_none(), "an attachment is no body");
        assert_eq!(bytes(&request.attachments[0]), b"x");
    }
}

#[test]
fn case_49_f21_an_id_may_be_used_again() {
    let mut rig = Rig::new();
    for _ in 0..3 {
        rig.receive([a(&id(1), &[stream(&id(2), Some(1))]), s(&id(2), "x", true)].concat());
        assert_eq!(bytes(&rig.answers(200).body.unwrap()), b"x");
    }
}

#[test]
fn case_50_f22_an_envelope_may_come_in_frames() {
    let long = format!(r#" {{"verb":"POST","path":"/{}}}\"x","streams":null}} "#, "p".repeat(5000));
    for flags in [[false, true], [false, false]] {
        let mut rig = Rig::new();
        rig.receive(frame('A', &id(1), &long[..4096], flags[0]));
        rig.nothing_happened();
        rig.receive(frame('A', &id(1), &long[4096..], flags[1]));
        assert_eq!(rig.answers(200).path.len(), 5004);
        // The last frame of some peers is empty.
        rig.receive(frame('A', &id(1), "", true));
        rig.is_alive();
    }
}

#[test]
fn an_envelope_may_come_byte_by_byte() {
    let mut rig = Rig::new();
    let envelope = "\u{feff}{\"verb\":\"GET\",\"path\":\"/\\\"}\",\"streams\":[]}";
    envelope.bytes().for_each(|byte| rig.receive(frame('A', &id(1), [byte], false)));
    assert_eq!(rig.answers(200).path, "/\"}");
    b"null".iter().for_each(|byte| rig.receive(frame('A', &id(2), [*byte], false)));
    assert_eq!(rig.warnings(), [Warning::NullEnvelope(id(2).parse().unwrap())]);
    rig.receive(frame('A', &id(3), "[", false));
    rig.is_closed(code::PROTOCOL_ERROR);
}

#[test]
fn an_envelope_that_is_no_document_in_the_end_closes() {
    let mut rig = Rig::new();
    rig.receive(frame('A', &id(1), r#"{"verb":"#, false));
    rig.receive(frame('A', &id(1), "", true));
    rig.is_closed(code::PROTOCOL_ERROR);
    let mut rig = Rig::new();
    rig.receive(frame('A', &id(1), vec![b' '; 999_999], false));
    rig.nothing_happened();
    rig.receive(frame('A', &id(1), " ", false));
    rig.is_closed(code::RESOURCE_LIMIT_EXCEEDED);
}

#[test]
fn case_51_f23_large_envelopes_are_taken() {
    for length in [65_636, 900_000] {
        let mut rig = Rig::new();
        let start = r#"{"verb":"GET","path":"/","more":""#;
        let envelope = format!("{start}{}\"}}", "x".repeat(length - start.len() - 2));
        let wire = frame('A', &id(1), envelope, true);
        wire.chunks(65_536).for_each(|part| rig.receive(part));
        rig.answers(200);
        assert_eq!(rig.connection.held_bytes(), 0);
    }
}

#[test]
fn case_53_f25_a_streams_id_may_differ_in_case() {
    let mut rig = Rig::new();
    let (lower, upper) =
        ("abcdef00-0000-4000-8000-00000000000a", "ABCDEF00-0000-4000-8000-00000000000A");
    rig.receive([a(&id(1), &[stream(lower, Some(1))]), s(upper, "x", true)].concat());
    assert_eq!(bytes(&rig.answers(200).body.unwrap()), b"x");
}

#[test]
fn case_57_f29_requests_do_not_share_attachments() {
    let mut rig = Rig::new();
    for number in [1, 2] {
        rig.receive(a(&id(number), &[]));
        assert!(rig.answers(200).attachments.is_empty());
    }
}

#[test]
fn case_73_m11_a_byte_order_mark_is_skipped() {
    let mut rig = Rig::new();
    rig.receive(frame('A', &id(1), format!("\u{feff}{}", posting(&[])), true));
    rig.answers(200);
}

#[test]
fn case_75_m13_a_request_without_verb_and_path_goes_on() {
    for envelope in ["{}", r#"{"verb":5,"path":["x"]}"#, r#"{"verb":null,"streams":"x"}"#] {
        let mut rig = Rig::new();
        rig.receive(frame('A', &id(1), envelope, true));
        let request = rig.answers(404);
        assert_eq!((&*request.verb, &*request.path), ("", ""));
    }
}

#[test]
fn deep_nesting_and_doubled_properties_are_harmless() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for envelope in [
        format!(r#"{{"verb":"GET","more":{deep},"path":"/"}}"#),
        format!(r#"{{"verb":{deep},"path":"/x","verb":"GET","path":"/"}}"#),
        format!(r#"{{"streams":[{deep}],"streams":{deep},"verb":"GET","path":"/"}}"#),
    ] {
        let mut rig = Rig::new();
        rig.receive(frame('A', &id(1), envelope, true));
        let request = rig.request();
        assert_eq!((&*request.verb, &*request.path), ("GET", "/"));
    }
}

#[test]
fn case_76_m14_one_request_too_many_is_answered_with_503() {
    let mut rig = Rig::new();
    (1..=26).for_each(|number| rig.receive(a(&id(number), &[])));
    let refused = Warning::Refused { id: id(26).parse().unwrap(), why: Refusal::Running };
    let events = rig.events();
    assert_eq!(events.len(), 26);
    assert!(format!("{:?}", events[25]).contains(&format!("{refused:?}")));
    let sent = rig.sent();
    assert_eq!(sent[0].text(), r#"{"statusCode":503,"streams":null}"#);
    assert_eq!((sent.len(), sent[0].kind, &sent[0].id), (1, Kind::Response, &id(26)));
    assert_eq!(rig.connection.running(), 25);
}

#[test]
fn a_request_beyond_all_memory_is_answered_with_503() {
    let limits = Limits { memory_bytes_max: 100_000, ..Limits::agent() };
    let mut rig = Rig::with(limits);
    let body = vec![b'x'; 90_000];
    rig.receive([a(&id(1), &[stream(&id(2), None)]), s(&id(2), &body, true)].concat());
    let held = rig.request();
    rig.receive(frame('A', &id(3), format!("{}{}", " ".repeat(20_000), posting(&[])), true));
    assert_eq!(rig.sent()[0].text(), r#"{"statusCode":503,"streams":null}"#);
    assert!(rig.news().is_empty());
    rig.connection.respond(held.key, 200, &StreamHeads::default(), rig.now).unwrap();
    drop(held);
    rig.sent();
    rig.is_alive();
}

#[test]
fn parked_requests_have_a_bound() {
    let mut rig = Rig::with(Limits { parked_max: 2, ..Limits::agent() });
    for number in 1..=3 {
        rig.receive(a(&id(number), &[stream(&id(10 + number), Some(1))]));
    }
    let sent = rig.sent();
    assert_eq!((sent.len(), &sent[0].id), (1, &id(3)));
    assert_eq!(rig.news().len(), 0);
    rig.pass(15 * SECOND);
    assert_eq!(rig.news().len(), 2);
}

#[test]
fn an_id_that_is_in_use_is_not_taken_twice() {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[]));
    let first = rig.request();
    rig.receive([a(&id(1), &[stream(&id(2), Some(1))]), s(&id(2), "x", true)].concat());
    assert_eq!(rig.warnings(), [Warning::RequestTwice(id(1).parse().unwrap())]);
    rig.connection.respond(first.key, 200, &StreamHeads::default(), rig.now).unwrap();
    assert_eq!(rig.sent().len(), 1);
    let again = rig.connection.respond(first.key, 200, &StreamHeads::default(), rig.now);
    assert_eq!(again.unwrap_err().code(), Some(code::OPERATION_CANCELLED));
    assert_eq!(rig.connection.held_bytes(), 0);
}

#[test]
fn a_stream_that_two_messages_name_is_the_first_ones() {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[stream(&id(9), Some(1))]));
    rig.receive(a(&id(2), &[stream(&id(9), Some(1))]));
    let second = rig.request();
    assert!(second.body.is_none());
    rig.receive(s(&id(9), "x", true));
    assert_eq!(rig.request().id.as_str(), id(1));
    rig.receive(b(&id(7), 200, &[]));
    assert_eq!(rig.warnings(), [Warning::UnknownResponse(id(7).parse().unwrap())]);
}
