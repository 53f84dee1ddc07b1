//! The frames of the multiplexer.

use pipeway_mux::fuzzing::{Frames, Part, write};
use pipeway_mux::{ChannelId, Limits, Version};

/// Small, so that inputs reach it.
const PAYLOAD_MAX: u32 = 1024;

/// What a frame's head takes at the most: an array's, three integers and a binary's.
const HEAD_MAX: usize = 5 + 3 * 9 + 5;

/// A frame, with content that came in pieces made whole.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    code: u8,
    id: ChannelId,
    payload: Vec<u8>,
    content: u32,
}

/// Everything that was read, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    frames: Vec<Frame>,
    failed: Option<&'static str>,
    between: bool,
}

/// Frames are read alike in one piece and in many, with no more kept than a frame may have; and
/// what is read can be written, and reads as the same again.
pub fn mux_frames(data: &[u8]) {
    let [kind, data @ ..] = data else { return };
    let version = [Version::V1, Version::V2, Version::V3][usize::from(kind % 3)];
    let odd = kind & 0x80 == 0;
    let read = read(version, odd, data, data.len().max(1));
    for step in [1, 3, 64] {
        assert_eq!(read, self::read(version, odd, data, step), "in steps of {step}");
    }
    let mut written = Vec::new();
    let mut whole: Vec<Frame> = read.frames;
    whole.retain(|frame| frame.code != 2 || frame.payload.len() == frame.content as usize);
    for frame in &whole {
        write(&mut written, version, frame.code, frame.id, &frame.payload);
    }
    let again = self::read(version, odd, &written, written.len().max(1));
    assert_eq!(again, Read { frames: whole, failed: None, between: true });
}

fn read(version: Version, odd: bool, input: &[u8], step: usize) -> Read {
    let limits = Limits { payload_bytes_max: PAYLOAD_MAX, ..Limits::default() };
    let mut reader = Frames::new(version, odd, &limits);
    let mut frames: Vec<Frame> = Vec::new();
    let mut parts = Vec::new();
    for piece in input.chunks(step) {
        reader.read(piece, &mut parts);
        if reader.failed().is_some() {
            break;
        }
        assert!(reader.kept() <= PAYLOAD_MAX as usize + HEAD_MAX, "{} are kept", reader.kept());
        for part in parts.drain(..) {
            add(&mut frames, part);
        }
    }
    for part in parts {
        add(&mut frames, part);
    }
    let (failed, between) = (reader.failed(), reader.is_between_frames());
    // What stands behind a flaw is nobody's, and depends on how it came.
    Read { frames, failed, between: between && failed.is_none() }
}

fn add(frames: &mut Vec<Frame>, part: Part) {
    match part {
        Part::Frame { code, id, payload, content } => {
            assert!(payload.len().max(content as usize) <= PAYLOAD_MAX as usize);
            frames.push(Frame { code, id, payload, content });
        }
        Part::Piece(piece) => {
            let last = frames.last_mut().expect("a piece follows its head");
            assert!(last.code == 2 && !piece.is_empty());
            last.payload.extend_from_slice(&piece);
            assert!(last.payload.len() <= last.content as usize);
        }
    }
}
