//! Sessions that end where they should not, and pairs that are none.

use super::super::frames::{LAST, MORE, activity, envelope, post, probe, stream};
use super::super::seeded::Seeded;
use super::{Attack, Half, Step};

pub(super) fn add(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let (id, body, content) = (seeded.id(), seeded.id(), activity(seeded, 200));
    let asked = envelope(&id, &post(&[&body], content.len()));
    let (part, rest) = (stream(&body, MORE, &content[..100]), stream(&body, LAST, &content[100..]));
    let (in_header, in_payload) = (1 + seeded.below(47), 49 + seeded.below(40));
    for (name, bytes) in [
        ("gone before the first byte", Vec::new()),
        ("gone within a header", asked[..in_header].to_vec()),
        ("gone after a header", asked[..48].to_vec()),
        ("gone within an envelope", asked[..in_payload].to_vec()),
        ("gone after an envelope", asked.clone()),
        ("gone within a stream", [&asked[..], &part].concat()),
        ("gone before the answer", [&asked[..], &part, &rest].concat()),
        ("gone with 50 requests under way", (0..50).flat_map(|_| probe(&seeded.id())).collect()),
    ] {
        let attack = Attack::new(name, "M-09").write(bytes);
        all.push(attack.step(Step::Close).closes());
    }
    let attack = Attack::new("farewell of three bytes", "M-10").write("end");
    all.push(attack.step(Step::Close).closes());
    all.push(Attack::new("only .incoming closed", "L-01").step(Step::CloseWriter).closes());
    let attack = Attack::new("only .outgoing closed", "L-07");
    all.push(attack.step(Step::CloseReader).closes());
    all.push(Attack::new("somebody else connects", "L-03").step(Step::Newcomer));
    let half = |name, half, case| Attack::new(name, case).step(Step::Half(half)).closes();
    all.push(half("only .incoming, then gone", Half::Incoming, "L-05"));
    all.push(half("only .outgoing, then gone", Half::Outgoing, "L-05"));
    let mut attack = Attack::new("both halves in turn, five times", "L-05");
    for _ in 0..5 {
        attack = attack.step(Step::Half(Half::Outgoing)).step(Step::Half(Half::Incoming));
    }
    all.push(attack.closes());
    all.push(Attack::new(".outgoing first", "L-06").step(Step::Reversed));
}
