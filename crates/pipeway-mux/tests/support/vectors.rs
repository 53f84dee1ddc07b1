//! Frames as other implementations write them, read from `tests/vectors`.

#![allow(dead_code, reason = "each test reads the files that it needs")]

/// One row of a file.
#[derive(Debug)]
pub struct Vector {
    /// `G02`, or the number of a case.
    pub name: &'static str,
    /// `v1`, `v2`, `v3`, or `v3r` for what the acceptor of a channel writes in version 3.
    pub version: &'static str,
    pub bytes: Vec<u8>,
    pub meaning: &'static str,
}

/// What other implementations write.
pub fn frames() -> Vec<Vector> {
    read(include_str!("../vectors/frames.txt"))
}

/// What must be understood, though nothing here writes it so.
pub fn received() -> Vec<Vector> {
    read(include_str!("../vectors/received.txt"))
}

/// What ends the connection.
pub fn fatal() -> Vec<Vector> {
    read(include_str!("../vectors/fatal.txt"))
}

/// The bytes of the frame of this name.
///
/// # Panics
///
/// Where there is none.
pub fn frame(name: &str, version: &str) -> Vec<u8> {
    let found = frames().into_iter().find(|row| row.name == name && row.version == version);
    found.unwrap_or_else(|| panic!("frames.txt has no {name} for {version}")).bytes
}

fn read(text: &'static str) -> Vec<Vector> {
    let rows = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|row| {
        let mut rest = row;
        let mut next = || {
            let (word, after) = rest.split_once(' ').expect("four columns");
            rest = after.trim_start();
            word
        };
        let (name, version, bytes) = (next(), next(), next());
        Vector { name, version, bytes: expand(bytes), meaning: rest }
    })
    .collect()
}

/// Reads `0200+61*255+00`.
fn expand(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in text.split('+').filter(|part| *part != "-") {
        let (digits, times) = part.split_once('*').unwrap_or((part, "1"));
        let once: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        bytes.extend(once.repeat(times.parse().expect("a number")));
    }
    bytes
}
