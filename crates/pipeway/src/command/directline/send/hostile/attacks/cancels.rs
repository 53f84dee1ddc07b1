//! Cancels, in all places.

use super::super::frames::{
    LAST, MORE, activity, cancel, cancel_all, envelope, frame, post, stream,
};
use super::super::seeded::Seeded;
use super::Attack;

pub(super) fn add(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    all.push(Attack::new("cancel-all", "X-01").write(cancel_all()));
    all.push(Attack::new("cancel of nothing", "X-02").write(cancel(&seeded.id())));

    let (id, body) = (seeded.id(), seeded.id());
    let bytes = [envelope(&id, &post(&[&body], 100)), cancel(&body)].concat();
    let attack = Attack::new("cancel of a waiting request's body", "X-03");
    all.push(attack.write(bytes).stays_silent(&id));

    let (id, body, content) = (seeded.id(), seeded.id(), activity(seeded, 100));
    let bytes = [
        envelope(&id, &post(&[&body], content.len())),
        stream(&body, MORE, &content[..10]),
        cancel(&id),
        stream(&body, LAST, &content[10..]),
    ];
    let attack = Attack::new("cancel of a waiting request, then its body", "X-09");
    all.push(attack.write(bytes.concat()).stays_silent(&id));

    let mut open = |count: usize, each: &dyn Fn(&str) -> Vec<u8>| -> Vec<u8> {
        (0..count).flat_map(|_| each(&seeded.id())).collect()
    };
    let part = |id: &str| stream(id, MORE, b"x");
    let bytes = [open(60, &part), cancel_all(), open(60, &part), cancel_all()].concat();
    all.push(Attack::new("60 streams, cancel-all, 60 more", "X-06").write(bytes));
    let cancelled = |id: &str| [stream(id, MORE, b"x"), cancel(id)].concat();
    let bytes = [open(200, &cancelled), open(100, &part), cancel_all()].concat();
    all.push(Attack::new("200 streams, each cancelled, 100 more", "X-08").write(bytes));
    let bytes = [
        frame(b'X', &seeded.id(), LAST, b"why not"),
        frame(b'C', &seeded.id(), MORE, b"{\"a\":1}"),
    ];
    all.push(Attack::new("cancels with payloads", "X-07").write(bytes.concat()));
    let id = seeded.id();
    let bytes =
        [stream(&id, MORE, b"x"), cancel(&id), stream(&id, MORE, b"y"), stream(&id, LAST, b"z")];
    all.push(Attack::new("content after its cancel", "3.7").write(bytes.concat()));

    let mut bytes = Vec::new();
    for at in 0..4 {
        for what in 0..3 {
            let (id, body, content) = (seeded.id(), seeded.id(), activity(seeded, 60));
            let frames = [
                envelope(&id, &post(&[&body], content.len())),
                stream(&body, MORE, &content[..20]),
                stream(&body, LAST, &content[20..]),
            ];
            bytes.extend(frames[..at].concat());
            bytes.extend(match what {
                0 => cancel(&id),
                1 => cancel(&body),
                _ => cancel_all(),
            });
            bytes.extend(frames[at..].concat());
        }
    }
    bytes.extend(cancel_all());
    all.push(Attack::new("every cancel at every place of a request", "3.7").write(bytes));
}
