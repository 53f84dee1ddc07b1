//! Calls and their answers, as far as the machine decides: 117 to 119, 122, 123, 126, 127, 129.

use std::io;

use pipeway_directline::{ErrorKind, Limits, StreamHeads, Warning, code};

use crate::rig::{Rig, SECOND, a, b, bytes, frame, id, s, stream};

#[test]
fn case_117_o06_an_empty_answer_fails_its_call_alone() {
    let mut rig = Rig::new();
    let call = rig.call();
    rig.sent();
    rig.receive(frame('B', call.as_str(), "", true));
    assert_eq!(rig.response().unwrap_err().code(), Some(code::PROTOCOL_ERROR));
    rig.is_alive();
}

#[test]
fn an_answer_without_a_status_fails_its_call_alone() {
    for envelope in
        ["{}", r#"{"statusCode":"200"}"#, r#"{"statusCode":99}"#, r#"{"statusCode":-1}"#]
    {
        let mut rig = Rig::new();
        let call = rig.call();
        rig.sent();
        rig.receive(frame('B', call.as_str(), envelope, true));
        assert_eq!(rig.response().unwrap_err().code(), Some(code::PROTOCOL_ERROR));
        rig.is_alive();
    }
}

#[test]
fn case_118_o07_an_answer_whose_stream_is_cancelled_leaves_the_turn_running() {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[]));
    let turn = rig.request();
    let call = rig.call();
    rig.receive(b(call.as_str(), 200, &[stream(&id(2), Some(4))]));
    rig.receive(frame('C', &id(2), "", true));
    assert_eq!(rig.response().unwrap_err().code(), Some(code::STREAM_CANCELLED));
    rig.connection.respond(turn.key, 200, &StreamHeads::default(), rig.now).unwrap();
    rig.sent();
    rig.is_alive();
}

#[test]
fn case_119_o08_all_calls_fail_at_once_at_the_end() {
    let mut rig = Rig::new();
    for _ in 0..5 {
        rig.call();
    }
    rig.connection.end_of_input();
    let news = rig.news();
    assert_eq!(news.len(), 5);
    assert!(news.iter().all(|event| format!("{event:?}").contains("NotConnected")));
    let late = rig.connection.send_request("GET", "/", &StreamHeads::default(), None, rig.now);
    assert_eq!(late.unwrap_err().code(), Some(code::NOT_CONNECTED));
}

#[test]
fn case_122_o11_silence_ends_the_session_where_a_call_waits() {
    let mut rig = Rig::new();
    rig.pass(100 * SECOND);
    rig.call();
    rig.sent();
    rig.pass(19 * SECOND);
    rig.nothing_happened();
    rig.pass(16 * SECOND);
    assert_eq!(rig.connection.failed().unwrap().kind(), ErrorKind::Silent);
    assert_eq!(rig.response().unwrap_err().code(), Some(code::REQUEST_TIMEOUT));
}

#[test]
fn the_watchdog_counts_calls_that_have_longer_to_wait() {
    let mut rig = Rig::new();
    let heads = StreamHeads::default();
    let long = Some(100 * SECOND);
    rig.connection.send_request("GET", "/", &heads, long, rig.now).unwrap();
    rig.sent();
    rig.pass(25 * SECOND);
    assert_eq!(rig.connection.failed().unwrap().kind(), ErrorKind::Silent);
}

#[test]
fn the_watchdog_leaves_alone_what_is_idle_or_hears_frames_or_is_off() {
    let mut rig = Rig::new();
    rig.pass(1000 * SECOND);
    rig.is_alive();

    rig.call();
    rig.sent();
    for _ in 0..10 {
        rig.pass(10 * SECOND);
        rig.receive(frame('Q', &id(1), "", true));
    }
    assert!(rig.connection.ended().is_none());

    let mut rig = Rig::with(Limits::connector());
    rig.call();
    rig.sent();
    rig.pass(1000 * SECOND);
    assert!(rig.connection.ended().is_none());
}

#[test]
fn case_123_o12_an_answer_has_status_and_content() {
    let mut rig = Rig::new();
    let call = rig.call();
    let upper = call.as_str().to_uppercase();
    rig.receive([b(&upper, 201, &[stream(&id(2), Some(2))]), s(&id(2), "{}", true)].concat());
    let response = rig.response().unwrap();
    assert_eq!((response.status, bytes(&response.body.unwrap())), (201, b"{}".to_vec()));
}

#[test]
fn case_126_o15_verb_and_path_are_not_blank() {
    let mut rig = Rig::new();
    for (verb, path) in [("", "/"), (" ", "/"), ("GET", ""), ("GET", "\t")] {
        let heads = StreamHeads::default();
        let refused = rig.connection.send_request(verb, path, &heads, None, rig.now);
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Usage);
    }
    assert!(rig.sent().is_empty());
}

#[test]
fn case_127_o16_a_call_that_is_given_up_ignores_its_answer() {
    let mut rig = Rig::new();
    let call = rig.call();
    rig.sent();
    rig.connection.cancel_call(&call);
    assert!(rig.sent().is_empty(), "nothing is told");
    rig.receive(
        [b(call.as_str(), 200, &[stream(&id(2), Some(2))]), s(&id(2), "{}", true)].concat(),
    );
    assert_eq!(rig.warnings(), [Warning::UnknownResponse(call)]);
    assert_eq!(rig.connection.held_bytes(), 0);
    rig.is_alive();
}

#[test]
fn case_129_o18_a_failed_write_ends_the_session() {
    let mut rig = Rig::new();
    rig.call();
    rig.connection.write_failed(io::Error::from(io::ErrorKind::BrokenPipe));
    assert_eq!(rig.response().unwrap_err().code(), Some(code::WRITE_FAILED));
    assert!(!rig.connection.has_outgoing(), "there is nobody to be told");
    let late = rig.connection.send_request("GET", "/", &StreamHeads::default(), None, rig.now);
    assert_eq!(late.unwrap_err().code(), Some(code::WRITE_FAILED));
}

#[test]
fn what_is_left_to_be_written_at_the_end_is_left_where_nothing_can_be_written() {
    let mut rig = Rig::new();
    rig.connection.end_of_input();
    assert!(rig.connection.has_outgoing());
    rig.connection.write_failed(io::Error::from(io::ErrorKind::BrokenPipe));
    assert!(!rig.connection.has_outgoing());
    assert_eq!(rig.connection.failed().map(|error| error.kind()), None);
}
