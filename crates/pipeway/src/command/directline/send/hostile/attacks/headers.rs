//! Headers: 48 bytes, and what is none of it.

use super::super::frames::{LAST, frame, header, probe};
use super::super::seeded::Seeded;
use super::Attack;

/// A probe's frame of which the header's bytes from `at` on are `bytes`.
fn with(seeded: &mut Seeded, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = probe(&seeded.id());
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

pub(super) fn add(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    malformed(seeded, all);
    lengths(seeded, all);
    kinds(seeded, all);
    split(seeded, all);
}

fn malformed(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let mut closes = |name: &str, case, bytes: Vec<u8>| {
        all.push(Attack::new(name, case).write(bytes).closes());
    };
    for (at, case) in [(1, "H-20"), (8, "H-21"), (45, "H-22")] {
        let wrong = seeded.pick(b",;:/ \0x0");
        closes(&format!("no dot at byte {at}"), case, with(seeded, at, &[wrong]));
    }
    let flag = seeded.pick(b"23456789 xX\0");
    closes("end flag is no flag", "H-23", with(seeded, 46, &[flag]));
    let end = seeded.pick(b"\r \0;1");
    closes("no line feed at the end", "H-24", with(seeded, 47, &[end]));
    let letter = b'a' + seeded.below(26) as u8;
    let mut digits = *b"000000";
    digits[seeded.below(6)] = letter;
    closes("letter in the length", "H-25", with(seeded, 2, &digits));
    closes("negative length", "H-26", with(seeded, 2, b"-00001"));
    closes("blanks in the length", "H-27", with(seeded, 2, b"     0"));
    closes("plus in the length", "2.3", with(seeded, 2, b"+00012"));
    closes("hexadecimal length", "2.3", with(seeded, 2, b"0x0010"));
    closes("length with an exponent", "2.3", with(seeded, 2, b"0001e1"));
    closes("id of blanks", "H-28", with(seeded, 9, &[b' '; 36]));
    closes("id is no GUID", "H-29", with(seeded, 9, b"not-a-guid--------------------------"));
    let plain = format!("{:<36}", seeded.id().replace('-', ""));
    closes("id without hyphens", "2.3", with(seeded, 9, plain.as_bytes()));
    let at = 9 + seeded.pick(&[0, 7, 10, 35]);
    let high = 0xb0 + seeded.below(10) as u8;
    closes("high bit in the id", "2.3", with(seeded, at, &[high]));
    closes("48 times Z", "H-33", vec![b'Z'; 48]);
    closes("48 times NUL", "H-33", vec![0; 48]);
    let noise: Vec<u8> = (0..48 + seeded.below(500)).map(|_| seeded.next() as u8).collect();
    closes("noise", "2.3", noise);
    closes(
        "HTTP",
        "2.3",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_vec(),
    );
}

fn lengths(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    for (name, less) in [
        ("envelope longer than its header says", true),
        ("envelope shorter than its header says", false),
    ] {
        let id = seeded.id();
        let body = probe(&id).split_off(48);
        let by = 1 + seeded.below(40);
        let length = if less { body.len() - by } else { body.len() + by };
        let bytes = [header(b'A', length, &id, LAST), body].concat();
        all.push(Attack::new(name, "M-04").write(bytes).closes());
    }
    let id = seeded.id();
    let bytes = [header(b'A', 999_999, &id, LAST), b"{".to_vec()].concat();
    all.push(
        Attack::new("999,999 bytes promised, one sent, then gone", "M-09")
            .write(bytes)
            .step(super::Step::Close)
            .closes(),
    );
}

fn kinds(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let kind = seeded.pick(b"DEFGHIJKLMNOPQRTUVWYZ");
    let bytes = header(kind, 0, &seeded.id(), LAST);
    all.push(Attack::new("unknown type without payload", "H-30").write(bytes));
    let kind = seeded.pick(b"abcsx");
    let bytes = header(kind, 0, &seeded.id(), LAST);
    all.push(Attack::new("type in lower case", "H-31").write(bytes));
    let kind = seeded.pick(b"DEFGHIJKLMNOPQRTUVWYZ");
    let (id, size) = (seeded.id(), 1 + seeded.below(4000));
    let payload = seeded.letters(size);
    let bytes = frame(kind, &id, LAST, payload.as_bytes());
    all.push(Attack::new("unknown type with payload", "H-32").write(bytes));
    let kind = 0x80 | seeded.pick(b"ABCSX");
    let bytes = header(kind, 0, &seeded.id(), LAST);
    all.push(Attack::new("high bit in the type", "2.3").write(bytes));
    let id = seeded.id().to_ascii_uppercase();
    all.push(Attack::new("id in upper case", "H-34").write(probe(&id)).answers(&id));
}

fn split(seeded: &mut Seeded, all: &mut Vec<Attack>) {
    let id = seeded.id();
    let bytes = probe(&id);
    all.push(Attack::new("byte by byte", "H-35").pieces(bytes.chunks(1)).answers(&id));

    let mut attack = Attack::new("many frames in one write", "H-36");
    let ids: Vec<String> = (0..2 + seeded.below(18)).map(|_| seeded.id()).collect();
    attack = attack.write(ids.iter().flat_map(|id| probe(id)).collect::<Vec<u8>>());
    all.push(ids.iter().fold(attack, |attack, id| attack.answers(id)));

    let id = seeded.id();
    let bytes = probe(&id);
    let attack = Attack::new("header in two parts, 300 ms between", "H-37");
    all.push(attack.write(&bytes[..20]).pause(300).write(&bytes[20..]).answers(&id));

    let mut attack = Attack::new("split at every point", "H-37");
    for at in 1..probe(&seeded.id()).len() {
        let id = seeded.id();
        let bytes = probe(&id);
        attack = attack.pieces([&bytes[..at], &bytes[at..]].into_iter()).answers(&id);
    }
    all.push(attack);

    let id = seeded.id();
    let bytes = probe(&id);
    let attack = Attack::new("header interrupted for 6.5 s", "M-17");
    all.push(attack.write(&bytes[..30]).pause(6500).write(&bytes[30..]).answers(&id).slow());
}
