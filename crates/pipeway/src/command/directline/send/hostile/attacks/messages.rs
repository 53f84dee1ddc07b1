//! Envelopes that are none, and too much of everything.

use serde_json::json;

use super::super::frames::{
    LAST, MORE, activity, cancel_all, envelope, frame, post, probe, stream,
};
use super::super::seeded::Seeded;
use super::{Attack, Step};

/// Streams that may be open at once.
const STREAMS: usize = 100;

/// What nests without an end.
const DEPTH: usize = 100_000;

pub(super) fn add(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    envelopes(seeded, all);
    responses(seeded, all);
    streams(seeded, all);
    floods(seeded, all);
}

fn envelopes(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let mut text = |kind: u8, payload: &[u8]| frame(kind, &seeded.id(), LAST, payload);
    all.push(Attack::new("empty request", "M-01").write(text(b'A', b"")));
    all.push(Attack::new("request null", "M-05").write(text(b'A', b"null")));
    for (name, payload) in [
        ("request is no JSON", &b"hello"[..]),
        ("request breaks off", b"{\"verb\":\"GET\",\"path\":"),
        ("request with something behind it", b"{\"verb\":\"GET\",\"path\":\"/probe\"} x"),
        ("request is no UTF-8", b"{\"verb\":\"GET\",\"path\":\"/\xff\xfe\"}"),
        ("request of NUL bytes", b"\0\0\0\0"),
    ] {
        all.push(Attack::new(name, "M-04").write(text(b'A', payload)).closes());
    }
    for (name, payload) in [
        ("request is an array", &b"[]"[..]),
        ("request is a number", b"7"),
        ("request is a string", b"\"a\""),
    ] {
        all.push(Attack::new(name, "M-12").write(text(b'A', payload)).closes());
    }
    let nested = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    all.push(Attack::new("arrays in arrays", "M-12").write(text(b'A', nested.as_bytes())).closes());
    let nested = format!("{{\"verb\":\"GET\",\"path\":\"/probe\",\"x\":{nested}}}");
    let attack = Attack::new("a member that nests deeply", "3.1");
    all.push(attack.write(text(b'A', nested.as_bytes())).may_close());

    let id = seeded.id();
    let bom = frame(
        b'A',
        &id,
        LAST,
        b"\xef\xbb\xbf{\"verb\":\"GET\",\"path\":\"/probe\",\"streams\":null}",
    );
    all.push(Attack::new("byte order mark", "M-11").write(bom).answers(&id));
    let id = seeded.id();
    let attack = Attack::new("request {}", "M-13").write(envelope(&id, &json!({})));
    all.push(attack.wants(&id, super::Wanted::Status(404)));
    for (name, asked) in [
        ("verb and path null", json!({ "verb": null, "path": null, "streams": null })),
        ("verb and path are numbers", json!({ "verb": 1, "path": 2, "streams": [] })),
        ("streams is a string", json!({ "verb": "GET", "path": "/probe", "streams": "none" })),
        ("streams of numbers", json!({ "verb": "GET", "path": "/probe", "streams": [1, [], "x"] })),
        ("path of control characters", json!({ "verb": "G\u{0}T", "path": "/\u{0}\r\n\u{1b}" })),
    ] {
        let id = seeded.id();
        all.push(Attack::new(name, "3.1").write(envelope(&id, &asked)).may_close());
    }
    let (id, body, body2) = (seeded.id(), seeded.id(), seeded.id());
    let content = activity(seeded, 50);
    let bytes = [
        envelope(&id, &post(&[&body], content.len())),
        envelope(&id, &post(&[&body2], content.len())),
        stream(&body, LAST, &content),
        stream(&body2, LAST, &content),
    ];
    let attack = Attack::new("one id for two requests at once", "3.8");
    all.push(attack.write(bytes.concat()).may_close());
    let attack = Attack::new("envelope that is never finished", "3.6");
    all.push(attack.write(frame(b'A', &seeded.id(), MORE, b"{\"verb\":\"GET\",")));

    // What a valid conversation becomes when some of its bytes are others.
    for number in 1..=5 {
        let (id, body, content) = (seeded.id(), seeded.id(), activity(seeded, 300));
        let mut bytes = [
            envelope(&id, &post(&[&body], content.len())),
            stream(&body, MORE, &content[..100]),
            stream(&body, LAST, &content[100..]),
            probe(&seeded.id()),
        ]
        .concat();
        for _ in 0..=seeded.below(4) {
            let at = seeded.below(bytes.len());
            match seeded.below(3) {
                0 => bytes[at] = seeded.next() as u8,
                1 => {
                    bytes.remove(at);
                }
                _ => bytes.insert(at, seeded.next() as u8),
            }
        }
        let attack = Attack::new(format!("bytes changed at random, {number}"), "2.3");
        all.push(attack.write(bytes).step(Step::Close).closes());
    }
}

fn responses(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let mut text = |payload: &[u8]| frame(b'B', &seeded.id(), LAST, payload);
    all.push(Attack::new("empty response to nothing", "M-02").write(text(b"")));
    all.push(
        Attack::new("response to nothing", "M-03")
            .write(text(b"{\"statusCode\":200,\"streams\":null}")),
    );
    all.push(Attack::new("response null", "3.6").write(text(b"null")));
    all.push(Attack::new("response is no JSON", "M-06").write(text(b"{\"statusCode\":")).closes());
    let mut attack = Attack::new("a thousand responses to nothing", "M-03");
    let many: Vec<u8> =
        (0..1000).flat_map(|_| text(b"{\"statusCode\":200,\"streams\":[]}")).collect();
    attack = attack.write(many);
    all.push(attack);
    let (id, body) = (seeded.id(), seeded.id());
    let asked = json!({ "statusCode": 200, "streams": [{ "id": body, "length": 100 }] });
    let bytes =
        [frame(b'B', &id, LAST, asked.to_string().as_bytes()), stream(&body, LAST, &[b'x'; 100])];
    all.push(Attack::new("response to nothing, with a body", "3.8").write(bytes.concat()));
}

fn streams(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let mut open = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|_| stream(&seeded.id(), MORE, b"x")).collect()
    };
    all.push(
        Attack::new("100 streams without envelopes", "M-07")
            .write(open(STREAMS))
            .write(cancel_all()),
    );
    all.push(
        Attack::new("101 streams without envelopes", "M-08").write(open(STREAMS + 1)).closes(),
    );
    let finished: Vec<u8> = (0..=STREAMS).flat_map(|_| stream(&seeded.id(), LAST, b"x")).collect();
    all.push(
        Attack::new("101 finished streams that nobody named", "M-08").write(finished).closes(),
    );
    let mut attack = Attack::new("50 requests with three attachments", "F-27");
    for _ in 0..50 {
        let ids: Vec<String> = (0..4).map(|_| seeded.id()).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (id, content) = (seeded.id(), activity(seeded, 20));
        let mut bytes = envelope(&id, &post(&ids, content.len()));
        bytes.extend(stream(ids[0], LAST, &content));
        ids[1..].iter().for_each(|id| bytes.extend(stream(id, LAST, b"attached")));
        attack = attack.write(bytes).pause(5).succeeds(&id);
    }
    all.push(attack.patience(10));
    let id = seeded.id();
    let mib = stream(&id, MORE, &vec![b'x'; 999_999]);
    let attack = Attack::new("one stream above 100 MiB", "M-15");
    all.push(attack.step(Step::Repeat(mib, 106)).closes().patience(10));
    let mut attack = Attack::new("three streams of 90 MiB", "M-19");
    for _ in 0..3 {
        let id = seeded.id();
        attack = attack.step(Step::Repeat(stream(&id, MORE, &vec![b'x'; 999_999]), 94));
    }
    all.push(attack.closes().patience(10));
}

fn floods(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let ids: Vec<String> = (0..500).map(|_| seeded.id()).collect();
    let attack = Attack::new("500 requests at once", "M-14");
    let attack = attack.write(ids.iter().flat_map(|id| probe(id)).collect::<Vec<u8>>());
    all.push(ids.iter().fold(attack.patience(10), |attack, id| attack.answers(id)));

    let mut attack = Attack::new("26 activities at once", "M-14");
    let mut bytes = Vec::new();
    for _ in 0..26 {
        let (id, body, content) = (seeded.id(), seeded.id(), activity(seeded, 20));
        bytes.extend(envelope(&id, &post(&[&body], content.len())));
        bytes.extend(stream(&body, LAST, &content));
        attack = attack.answers(&id);
    }
    all.push(attack.write(bytes).patience(10));

    let ids: Vec<String> = (0..5000).map(|_| seeded.id()).collect();
    let attack = Attack::new("5000 requests, and a second of not reading", "M-20").step(Step::Deaf);
    let mut attack = ids
        .chunks(100)
        .map(|ids| ids.iter().flat_map(|id| probe(id)).collect::<Vec<u8>>())
        .fold(attack, Attack::write);
    attack = attack.pause(1000).step(Step::Listen).patience(20);
    all.push(ids.iter().fold(attack, |attack, id| attack.answers(id)));
}
