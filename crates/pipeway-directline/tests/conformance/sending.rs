//! What is sent: 58 to 63, 115.

use std::io::IoSlice;

use bytes::Bytes;
use pipeway_directline::{
    Connection, ErrorKind, Event, Kind, Limits, Pace, StreamHead, StreamHeads, StreamKey, code,
};

use crate::rig::{Rig, Sent, a, bytes, contents, id};

fn body(length: u64) -> StreamHeads {
    StreamHeads { body: Some(StreamHead::new("application/json", length)), attachments: vec![] }
}

fn some_bytes(length: usize) -> Bytes {
    (0..length).map(|at| (at % 253) as u8).collect()
}

/// Pushes in pieces of so many bytes.
fn push(rig: &mut Rig, key: StreamKey, content: &Bytes, piece: usize) {
    for piece in content.chunks(piece) {
        rig.connection.push(key, content.slice_ref(piece), rig.now).unwrap();
    }
}

/// What another end makes of these frames.
fn received(frames: &[Sent]) -> Vec<Event> {
    let mut rig = Rig::new();
    for frame in frames {
        let kind = match frame.kind {
            Kind::Request => 'A',
            Kind::Response => 'B',
            _ => 'S',
        };
        rig.receive(crate::rig::frame(kind, &frame.id, &frame.payload, frame.end));
    }
    rig.events()
}

#[test]
fn case_58_f30_a_request_is_a_frame_and_its_body_another() {
    let mut rig = Rig::new();
    rig.call();
    let sent = rig.sent();
    assert_eq!((sent.len(), sent[0].kind, sent[0].end), (1, Kind::Request, true));
    assert_eq!(sent[0].text(), r#"{"verb":"GET","path":"/v3/x","streams":null}"#);

    let (call, keys) =
        rig.connection.send_request("POST", "/v3/x", &body(2), None, rig.now).unwrap();
    rig.connection.push(keys.body.unwrap(), Bytes::from_static(b"{}"), rig.now).unwrap();
    let sent = rig.sent();
    assert_eq!(
        sent.iter().map(|f| (f.kind, f.end)).collect::<Vec<_>>(),
        [(Kind::Request, true), (Kind::Stream, true)]
    );
    assert_eq!(sent[0].id, call.as_str());
    let expected = format!(
        r#"{{"verb":"POST","path":"/v3/x","streams":[{{"id":"{}","type":"application/json","length":2}}]}}"#,
        sent[1].id
    );
    assert_eq!(sent[0].text(), expected);
}

#[test]
fn case_59_f31_bodies_are_cut_into_chunks() {
    const C: usize = 4096;
    for length in [0, 1, C - 1, C, C + 1, 2 * C, 2 * C + 7, 200_000] {
        for piece in [1000, C, 70_000] {
            let mut rig = Rig::new();
            let heads = body(length as u64);
            let (_, keys) =
                rig.connection.send_request("POST", "/", &heads, None, rig.now).unwrap();
            let content = some_bytes(length);
            push(&mut rig, keys.body.unwrap(), &content, piece);
            let sent = rig.sent();
            assert_eq!(sent.len() - 1, length.div_ceil(C).max(1), "{length} by {piece}");
            let contents = contents(&sent, C);
            assert_eq!(contents.values().next().unwrap(), &content);
            assert!(sent[0].text().contains(contents.keys().next().unwrap()));
            assert_eq!(rig.connection.queued_bytes(), 0);
        }
    }
}

#[test]
fn case_60_f32_a_descriptor_tells_the_type() {
    let mut rig = Rig::new();
    let heads = StreamHeads { body: Some(StreamHead::new("text/plain", 0)), attachments: vec![] };
    rig.connection.send_request("POST", "/", &heads, None, rig.now).unwrap();
    let sent = rig.sent();
    assert!(sent[0].text().contains(r#""type":"text/plain""#));
    assert!(!sent[0].text().contains("contentType"));
}

#[test]
fn case_61_f33_a_response_has_its_streams_in_order() {
    let mut rig = Rig::new();
    rig.receive(a(&id(1), &[]));
    let request = rig.request();
    let heads = StreamHeads {
        body: Some(StreamHead::new("application/xml", 3)),
        attachments: vec![StreamHead::new("image/png", 2), StreamHead::new("text/plain", 1)],
    };
    let keys = rig.connection.respond(request.key, 200, &heads, rig.now).unwrap();
    // The last one first: it waits for its turn.
    rig.connection.push(keys.attachments[1], "3".into(), rig.now).unwrap();
    rig.connection.push(keys.attachments[0], "22".into(), rig.now).unwrap();
    rig.connection.push(keys.body.unwrap(), "111".into(), rig.now).unwrap();
    let sent = rig.sent();
    let text = sent[0].text();
    let places: Vec<_> = sent[1..].iter().map(|frame| text.find(&frame.id).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
    let types: Vec<_> = ["application/xml", "image/png", "text/plain"]
        .iter()
        .map(|name| text.find(name).unwrap())
        .collect();
    assert!(types.is_sorted());
    assert_eq!(sent[1..].iter().map(Sent::text).collect::<Vec<_>>(), ["111", "22", "3"]);
    assert_eq!((sent[0].kind, &sent[0].id), (Kind::Response, &id(1)));
}

#[test]
fn case_62_f34_attachments_without_a_body_have_an_empty_one_before_them() {
    let mut rig = Rig::new();
    let attachment = StreamHead::new("image/png", 3).with_id(&id(7)).unwrap();
    let heads = StreamHeads { body: None, attachments: vec![attachment] };
    let (_, keys) = rig.connection.send_request("POST", "/", &heads, None, rig.now).unwrap();
    assert_eq!(keys.body, None);
    rig.connection.push(keys.attachments[0], "png".into(), rig.now).unwrap();
    let sent = rig.sent();
    assert_eq!((sent.len(), sent[1].payload.len(), sent[1].end), (3, 0, true));
    let [Event::Request(request)] = &received(&sent)[..] else { panic!() };
    assert!(request.body.is_none());
    assert_eq!(bytes(&request.attachments[0]), b"png");
    assert_eq!(request.attachments[0].id().unwrap().as_str(), id(7));
}

#[test]
fn case_63_f35_an_attachments_id_is_a_guid() {
    for unsound in ["abc", "", "123456781234123412341234567890ab", "{0}"] {
        let error = StreamHead::new("image/png", 3).with_id(unsound).unwrap_err();
        assert_eq!(error.code(), Some(code::INVALID_ATTACHMENT_ID));
    }
    let mut rig = Rig::new();
    let twice = StreamHead::new("image/png", 3).with_id(&id(7)).unwrap();
    let heads = StreamHeads { body: None, attachments: vec![twice.clone(), twice] };
    let refused = rig.connection.send_request("POST", "/", &heads, None, rig.now).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    assert!(rig.sent().is_empty());
}

#[test]
fn case_115_o04_no_frame_is_above_the_configured_chunk() {
    for chunk in [1000, 65_536, 999_999] {
        let mut rig = Rig::with(Limits { chunk_bytes: chunk, ..Limits::agent() });
        let (_, keys) =
            rig.connection.send_request("POST", "/", &body(200_000), None, rig.now).unwrap();
        push(&mut rig, keys.body.unwrap(), &some_bytes(200_000), 30_000);
        let sent = rig.sent();
        assert_eq!(
            contents(&sent, chunk as usize).into_values().next().unwrap(),
            some_bytes(200_000)
        );
    }
}

#[test]
fn an_envelope_that_is_too_large_is_refused() {
    let mut rig = Rig::new();
    let path = "/".repeat(1_000_000);
    let refused = rig.connection.send_request("GET", &path, &StreamHeads::default(), None, rig.now);
    assert_eq!(refused.unwrap_err().code(), Some(code::PAYLOAD_TOO_LARGE));
    assert_eq!((rig.sent().len(), rig.connection.waiting()), (0, 0));
}

#[test]
fn messages_take_turns() {
    let mut rig = Rig::new();
    let mut keys = Vec::new();
    for _ in 0..3 {
        let sent = rig.connection.send_request("POST", "/", &body(40_960), None, rig.now).unwrap();
        keys.push(sent.1.body.unwrap());
    }
    for key in keys {
        rig.connection.push(key, some_bytes(40_960), rig.now).unwrap();
    }
    let sent = rig.sent();
    let streams: Vec<_> = sent.iter().filter(|f| f.kind == Kind::Stream).map(|f| &f.id).collect();
    let tail = &streams[streams.len() - 9..];
    assert!(tail.chunks(3).all(|turn| turn[0] != turn[1] && turn[1] != turn[2]), "{tail:?}");
    // Not even envelopes that queue behind keep content back.
    let first = sent.iter().position(|frame| frame.kind == Kind::Stream).unwrap();
    assert!(first < 3);
}

#[test]
fn a_source_is_held_back_while_much_waits() {
    let mut rig = Rig::new();
    let (_, keys) =
        rig.connection.send_request("POST", "/", &body(1 << 20), None, rig.now).unwrap();
    let key = keys.body.unwrap();
    let mut pushed = 0;
    while rig.connection.may_push(key) {
        rig.connection.push(key, some_bytes(10_000), rig.now).unwrap();
        pushed += 10_000;
    }
    assert_eq!(pushed, 70_000);
    rig.write(30_000);
    assert!(rig.connection.may_push(key));
}

#[test]
fn what_waits_to_be_sent_has_a_bound() {
    let mut rig = Rig::with(Limits { outgoing_bytes_max: 100_000, ..Limits::agent() });
    let (_, keys) =
        rig.connection.send_request("POST", "/", &body(1 << 20), None, rig.now).unwrap();
    let key = keys.body.unwrap();
    let full = rig.connection.push(key, some_bytes(100_000), rig.now).unwrap_err();
    assert_eq!((full.kind(), full.code()), (ErrorKind::OutgoingFull, None));
    rig.connection.push(key, some_bytes(99_000), rig.now).unwrap();
    assert!(!rig.connection.may_push(key));
    (0..).find(|_| {
        let heads = StreamHeads::default();
        rig.connection.send_request("GET", "/", &heads, None, rig.now).is_err()
    });
    assert!(rig.connection.queued_bytes() <= 100_000);
    let beyond = rig.connection.push(key, some_bytes(1 << 20), rig.now).unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::Usage);
}

#[test]
fn a_header_and_its_payload_are_handed_over_together_without_a_copy() {
    let mut rig = Rig::with(Limits { pace: Pace::Modern, ..Limits::agent() });
    let (_, keys) = rig.connection.send_request("POST", "/", &body(8192), None, rig.now).unwrap();
    let content = some_bytes(8192);
    rig.connection.push(keys.body.unwrap(), content.clone(), rig.now).unwrap();
    let mut slices = [IoSlice::new(&[]); 7];
    let filled = rig.connection.outgoing(&mut slices);
    let lengths: Vec<_> = slices[..filled].iter().map(|slice| slice.len()).collect();
    assert_eq!(lengths[2..], [48, 4096, 48, 4096]);
    assert_eq!(slices[3].as_ptr(), content.as_ptr());
    // A header is not told where its payload has no place.
    let mut few = [IoSlice::new(&[]); 3];
    assert_eq!(rig.connection.outgoing(&mut few), 2);
}

#[test]
fn writes_may_be_cut_anywhere() {
    let whole = |step: usize| -> Vec<usize> {
        let mut rig = Rig::new();
        let (_, keys) =
            rig.connection.send_request("POST", "/", &body(20_000), None, rig.now).unwrap();
        push(&mut rig, keys.body.unwrap(), &some_bytes(20_000), 3000);
        while rig.connection.has_outgoing() {
            rig.write(step);
        }
        let sent = rig.sent();
        assert_eq!(contents(&sent, 4096).into_values().next().unwrap(), some_bytes(20_000));
        sent.iter().map(|frame| frame.payload.len()).collect()
    };
    assert!([1, 47, 48, 49, 1000].into_iter().all(|step| whole(step) == whole(100_000)));
}

#[test]
fn random_ids_are_version_4_and_differ() {
    let mut connection = Connection::new(Limits::agent(), std::time::Instant::now()).unwrap();
    let mut all = std::collections::HashSet::new();
    for _ in 0..100 {
        let heads = StreamHeads::default();
        let sent = connection.send_request("GET", "/", &heads, None, std::time::Instant::now());
        let id = sent.unwrap().0;
        let text = id.as_str().as_bytes();
        assert_eq!(text[14], b'4');
        assert!(b"89ab".contains(&text[19]), "{id}");
        assert!(!text.iter().any(u8::is_ascii_uppercase));
        all.insert(id);
    }
    assert_eq!(all.len(), 100);
}

#[test]
fn a_stream_that_is_given_up_in_its_turn_holds_nothing_up() {
    let mut rig = Rig::with(Limits { write_bytes: 1, pace: Pace::Modern, ..Limits::agent() });
    let heads = StreamHeads {
        body: Some(StreamHead::new("text/plain", 9000)),
        attachments: vec![StreamHead::new("text/plain", 9000)],
    };
    for gone in [vec![true, true], vec![true, false]] {
        let (_, keys) = rig.connection.send_request("POST", "/", &heads, None, rig.now).unwrap();
        let (body, attachment) = (keys.body.unwrap(), keys.attachments[0]);
        rig.connection.push(body, some_bytes(9000), rig.now).unwrap();
        rig.connection.push(attachment, some_bytes(100), rig.now).unwrap();
        rig.write(1);
        rig.connection.cancel_stream(body, rig.now);
        if gone[1] {
            rig.connection.cancel_stream(attachment, rig.now);
        }
        let kinds: Vec<_> = rig.sent().iter().map(|frame| frame.kind).collect();
        assert_eq!(kinds[0], Kind::Request);
        assert!(kinds[1..].iter().all(|kind| *kind == Kind::CancelStream), "{kinds:?}");
        if !gone[1] {
            rig.connection.push(attachment, some_bytes(8900), rig.now).unwrap();
            let lengths: Vec<_> = rig.sent().iter().map(|frame| frame.payload.len()).collect();
            assert_eq!(lengths, [4096, 4096, 808]);
        }
        assert_eq!(rig.connection.queued_bytes(), 0);
    }
}

#[test]
fn each_frame_is_a_write_unless_the_peer_is_known_to_be_modern() {
    for (pace, writes) in [(Pace::Legacy, 4), (Pace::Modern, 1)] {
        let mut rig = Rig::with(Limits { pace, ..Limits::agent() });
        let heads = body(9000);
        let (_, keys) = rig.connection.send_request("POST", "/", &heads, None, rig.now).unwrap();
        rig.connection.push(keys.body.unwrap(), some_bytes(9000), rig.now).unwrap();
        let mut count = 0;
        while rig.connection.has_outgoing() {
            let mut slices = [IoSlice::new(&[]); 64];
            let filled = rig.connection.outgoing(&mut slices);
            let length = slices[..filled].iter().map(|slice| slice.len()).sum();
            rig.connection.wrote(length, rig.now);
            count += 1;
        }
        assert_eq!(count, writes, "{pace:?}");
    }
}

#[test]
fn a_stream_that_is_given_up_between_its_frames_leaves_no_empty_turn() {
    for attachments in [vec![], vec![StreamHead::new("text/plain", 9000)]] {
        let mut rig = Rig::new();
        let heads = StreamHeads { body: body(9000).body, attachments };
        let (_, keys) = rig.connection.send_request("POST", "/", &heads, None, rig.now).unwrap();
        rig.connection.push(keys.body.unwrap(), some_bytes(9000), rig.now).unwrap();
        while rig.connection.queued_bytes() > 9000 - 4096 {
            rig.write(1);
        }
        rig.connection.cancel_stream(keys.body.unwrap(), rig.now);
        let kinds: Vec<_> = rig.sent().iter().map(|frame| frame.kind).collect();
        assert_eq!(kinds, [Kind::Request, Kind::Stream, Kind::CancelStream]);
    }
}
