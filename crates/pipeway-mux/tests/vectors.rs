//! The vectors' files are whole and sound.

#[path = "support/vectors.rs"]
mod vectors;

use vectors::Vector;

#[test]
fn every_frame_of_the_table_is_there_once() {
    let all = vectors::frames();
    let names = (1..=36).map(|n| format!("G{n:02}")).chain((1..=6).map(|n| format!("H{n}")));
    for name in names {
        assert!(all.iter().any(|row| row.name == name), "{name}");
    }
    let key = |row: &Vector| (row.name, row.version);
    for (at, row) in all.iter().enumerate() {
        assert!(all[..at].iter().all(|before| key(before) != key(row)), "{row:?}");
    }
}

#[test]
fn each_frames_length_is_the_one_that_it_announces() {
    for row in vectors::frames().iter().chain(&vectors::received()) {
        if row.bytes.is_empty() || row.name == "G01" {
            continue;
        }
        assert!(!row.meaning.is_empty(), "{row:?}");
        if row.version == "v1" {
            let length = usize::from(u16::from_be_bytes([row.bytes[5], row.bytes[6]]));
            assert_eq!(row.bytes.len(), 7 + length, "{row:?}");
        } else {
            assert_eq!(value(&row.bytes), row.bytes.len(), "{row:?}");
        }
    }
}

/// How long the MessagePack value at the start of `bytes` is.
fn value(bytes: &[u8]) -> usize {
    let number =
        |width: usize| bytes[1..=width].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let values =
        |start: usize, count: usize| (0..count).fold(start, |at, _| at + value(&bytes[at..]));
    match bytes[0] {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 1,
        map @ 0x80..=0x8f => values(1, 2 * usize::from(map & 15)),
        array @ 0x90..=0x9f => values(1, usize::from(array & 15)),
        string @ 0xa0..=0xbf => 1 + usize::from(string & 31),
        0xc4 | 0xd9 => 2 + number(1),
        0xc5 | 0xda => 3 + number(2),
        0xc6 => 5 + number(4),
        0xcc | 0xd0 => 2,
        0xcd | 0xd1 => 3,
        0xce | 0xd2 => 5,
        0xcb | 0xcf | 0xd3 => 9,
        0xdc => values(3, number(2)),
        0xdd => values(5, number(4)),
        other => panic!("{other:#x} is in no vector"),
    }
}
