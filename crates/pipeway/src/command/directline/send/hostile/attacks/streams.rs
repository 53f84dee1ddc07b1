//! Streams: cut, early, late, short, long, and unframed.

use serde_json::json;

use super::super::frames::{LAST, MORE, activity, envelope, frame, post, probe, stream};
use super::super::seeded::Seeded;
use super::Attack;

pub(super) fn add(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    whole(seeded, all);
    odd_descriptors(seeded, all);
    odd_lengths(seeded, all);
    unframed(seeded, all);
}

/// A request's id, its stream's id, and an activity of about so many bytes.
fn parts(seeded: &mut Seeded, bytes: usize) -> (String, String, Vec<u8>) {
    (seeded.id(), seeded.id(), activity(seeded, bytes))
}

/// One more descriptor.
fn push(streams: &mut serde_json::Value, descriptor: serde_json::Value) {
    if let Some(streams) = streams.as_array_mut() {
        streams.push(descriptor);
    }
}

/// Frames of these sizes of a stream, of which the last is the last.
fn chunks(id: &str, content: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = content.len().div_ceil(size);
    let chunks = content.chunks(size).enumerate();
    chunks.map(|(at, part)| stream(id, if at + 1 == count { LAST } else { MORE }, part)).collect()
}

fn whole(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    for (name, streams) in [
        ("streams absent", None),
        ("streams null", Some(json!(null))),
        ("streams empty", Some(json!([]))),
    ] {
        let id = seeded.id();
        let mut asked = json!({ "verb": "GET", "path": "/probe" });
        if let Some(streams) = streams {
            asked["streams"] = streams;
        }
        all.push(Attack::new(name, "F-01").write(envelope(&id, &asked)).answers(&id));
    }
    let (id, body, content) = parts(seeded, 100);
    let asked = post(&[&body], content.len()).to_string();
    let bytes = [frame(b'A', &id, MORE, asked.as_bytes()), stream(&body, LAST, &content)].concat();
    all.push(Attack::new("whole envelope with end flag 0", "F-03").write(bytes).succeeds(&id));

    let (id, body, content) = parts(seeded, 100);
    let bytes =
        [envelope(&id, &post(&[&body], content.len())), chunks(&body, &content, 1).concat()];
    all.push(Attack::new("body in frames of one byte", "F-04").write(bytes.concat()).succeeds(&id));

    let (id, body, content) = parts(seeded, 100);
    let bytes = [stream(&body, LAST, &content), envelope(&id, &post(&[&body], content.len()))];
    all.push(Attack::new("body before its envelope", "F-05").write(bytes.concat()).succeeds(&id));

    let (one, one_body, one_content) = parts(seeded, 500);
    let (two, two_body, two_content) = parts(seeded, 500);
    let mut bytes = [
        envelope(&one, &post(&[&one_body], one_content.len())),
        envelope(&two, &post(&[&two_body], two_content.len())),
    ]
    .concat();
    let size = 10 + seeded.below(90);
    let (mut ones, mut twos) = (
        chunks(&one_body, &one_content, size).into_iter(),
        chunks(&two_body, &two_content, size).into_iter(),
    );
    loop {
        let (one, two) = (ones.next(), twos.next());
        if one.is_none() && two.is_none() {
            break;
        }
        bytes.extend(one.into_iter().chain(two).flatten());
    }
    let attack = Attack::new("two bodies interleaved", "F-06").write(bytes);
    all.push(attack.succeeds(&one).succeeds(&two));

    let (id, body, content) = parts(seeded, 100);
    let (front, end) = content.split_at(content.len() / 2);
    let bytes = [
        envelope(&id, &post(&[&body], content.len())),
        stream(&body, MORE, front),
        stream(&body, MORE, end),
        stream(&body, LAST, b""),
    ];
    all.push(Attack::new("empty last frame", "F-07").write(bytes.concat()).succeeds(&id));

    let id = seeded.id();
    let attack = Attack::new("the same request id twice, one after the other", "F-21");
    all.push(attack.write(probe(&id)).pause(100).write(probe(&id)).answers(&id));

    let (id, mut asked) = (seeded.id(), json!({ "verb": "GET", "path": "/probe" }));
    asked["padding"] = json!(seeded.letters(5000));
    let text = asked.to_string();
    let at = 1 + seeded.below(text.len() - 1);
    let (front, end) = text.as_bytes().split_at(at);
    let bytes = [frame(b'A', &id, MORE, front), frame(b'A', &id, LAST, end)].concat();
    all.push(Attack::new("envelope in two frames", "F-22").write(bytes).answers(&id));

    for size in [65_636, 900_000] {
        let (id, mut asked) = (seeded.id(), json!({ "verb": "GET", "path": "/probe" }));
        asked["padding"] = json!("x".repeat(size));
        let attack = Attack::new(format!("envelope of {size} bytes"), "F-23");
        all.push(attack.write(envelope(&id, &asked)).answers(&id));
    }
    let (id, body) = (seeded.id(), seeded.id());
    let bytes =
        [envelope(&id, &post(&[&body], 999_999)), stream(&body, LAST, &vec![b' '; 999_999])];
    all.push(Attack::new("frame of 999,999 bytes", "F-24").write(bytes.concat()).answers(&id));
}

fn odd_descriptors(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let mut attack = |name: &str, case, change: &dyn Fn(&mut serde_json::Value)| {
        let (id, body, content) = parts(seeded, 100);
        let mut asked = post(&[&body], content.len());
        change(&mut asked["streams"]);
        let bytes = [envelope(&id, &asked), stream(&body, LAST, &content)].concat();
        all.push(Attack::new(name, case).write(bytes).succeeds(&id));
    };
    attack("no declared length", "F-17", &|streams| {
        streams[0].as_object_mut().map(|stream| stream.remove("length"));
    });
    attack("no media type", "F-19", &|streams| {
        streams[0].as_object_mut().map(|stream| stream.remove("type"));
    });
    attack("stream id in another case", "F-25", &|streams| {
        let id = streams[0]["id"].as_str().unwrap_or_default().to_ascii_uppercase();
        streams[0]["id"] = json!(id);
    });
    for length in [json!(-1), json!(1.5), json!("7"), json!(null), json!(1e300)] {
        attack(&format!("declared length {length}"), "3.3", &|streams| {
            streams[0]["length"] = length.clone();
        });
    }
    attack("null among the streams", "3.3", &|streams| {
        push(streams, json!(null));
    });
    attack("stream without id", "3.3", &|streams| {
        push(streams, json!({ "type": "a/b" }));
    });
    attack("second stream's id is no GUID", "3.3", &|streams| {
        push(streams, json!({ "id": "abc", "length": 3 }));
    });
    let (id, body, content) = parts(seeded, 100);
    let asked = post(&[&body, &body], content.len());
    let bytes = [envelope(&id, &asked), stream(&body, LAST, &content)].concat();
    all.push(Attack::new("one stream named twice", "3.3").write(bytes).may_close());
}

fn odd_lengths(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let (id, body, content) = parts(seeded, 12_000);
    let bytes = [envelope(&id, &post(&[&body], 262_144)), chunks(&body, &content, 4096).concat()];
    let attack = Attack::new("several frames, fewer bytes than declared", "F-10");
    all.push(attack.write(bytes.concat()).succeeds(&id));

    let (id, body, content) = parts(seeded, 100);
    let bytes = [envelope(&id, &post(&[&body], 262_144)), stream(&body, LAST, &content)];
    let attack = Attack::new("short single frame, nothing after it", "F-11");
    all.push(attack.write(bytes.concat()).succeeds(&id));

    let (id, body, content) = parts(seeded, 100);
    let other = seeded.id();
    let bytes =
        [envelope(&id, &post(&[&body], 10_000)), stream(&body, LAST, &content), probe(&other)];
    let attack = Attack::new("short single frame, a request after it", "F-15");
    all.push(attack.write(bytes.concat()).succeeds(&id).answers(&other));

    let (id, body, content) = parts(seeded, 100);
    let bytes = [envelope(&id, &post(&[&body], 0)), stream(&body, LAST, &content)];
    all.push(Attack::new("declared empty, and is not", "F-16").write(bytes.concat()).succeeds(&id));

    let (id, body, content) = parts(seeded, 1000);
    let bytes = [envelope(&id, &post(&[&body], 10)), stream(&body, LAST, &content)];
    all.push(Attack::new("longer than declared", "3.6").write(bytes.concat()).succeeds(&id));

    let (id, body, content) = parts(seeded, 100);
    let (empty, mut asked) = (seeded.id(), post(&[&body], content.len()));
    if let Some(streams) = asked["streams"].as_array_mut() {
        streams.push(json!({ "id": empty, "type": "text/plain", "length": 0 }));
    }
    let bytes = [envelope(&id, &asked), stream(&body, LAST, &content)];
    let attack = Attack::new("no frame for an empty stream", "3.6");
    all.push(attack.write(bytes.concat()).succeeds(&id).patience(5));

    let (id, body, content) = parts(seeded, 100);
    let missing = seeded.id();
    let bytes =
        [envelope(&id, &post(&[&body, &missing], content.len())), stream(&body, LAST, &content)];
    let attack = Attack::new("declared stream that never comes", "M-18");
    all.push(attack.write(bytes.concat()).succeeds(&id).patience(25).slow());
}

fn unframed(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let (id, body, content) = parts(seeded, 9000);
    let bytes = [
        envelope(&id, &post(&[&body], content.len())),
        stream(&body, LAST, &content[..4096]),
        content[4096..].to_vec(),
    ];
    let attack = Attack::new("the rest unframed", "F-12");
    all.push(attack.write(bytes.concat()).succeeds(&id));

    let (id, body, content) = parts(seeded, 9000);
    let bytes =
        [envelope(&id, &post(&[&body], content.len())), stream(&body, LAST, &content[..4096])];
    let mut attack = Attack::new("the rest unframed, trickling", "F-13").write(bytes.concat());
    for piece in content[4096..].chunks(1000) {
        attack = attack.pause(40).write(piece);
    }
    all.push(attack.succeeds(&id));

    let (id, body, content) = parts(seeded, 9000);
    let bytes =
        [envelope(&id, &post(&[&body], content.len())), stream(&body, LAST, b""), content.clone()];
    let attack = Attack::new("all of it unframed", "F-14");
    all.push(attack.write(bytes.concat()).succeeds(&id));
}
