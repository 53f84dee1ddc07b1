//! The headers in the bytes of one direction, for an observer who wants to see them.

use std::io::IoSlice;

use crate::observe::{FrameWay, Observer, SessionEvent};
use crate::{HEADER_LENGTH, Header, Strictness};

/// Finds the headers in the bytes of one direction. It is told bytes, and tells headers: what stands
/// between frames is passed over, byte by byte.
#[derive(Debug)]
pub(super) struct Frames {
    way: FrameWay,
    /// What there is of the next header.
    head: Vec<u8>,
    /// How much of a payload is still to come.
    payload_bytes: usize,
}

impl Frames {
    pub(super) fn new(way: FrameWay) -> Self {
        Frames { way, head: Vec::with_capacity(HEADER_LENGTH), payload_bytes: 0 }
    }

    /// The first `length` bytes of `slices`.
    pub(super) fn push_slices(
        &mut self,
        slices: &[IoSlice<'_>],
        mut length: usize,
        observer: &Observer,
    ) {
        for slice in slices {
            let part = &slice[..slice.len().min(length)];
            self.push(part, observer);
            length -= part.len();
        }
    }

    pub(super) fn push(&mut self, mut bytes: &[u8], observer: &Observer) {
        while !bytes.is_empty() {
            let skipped = self.payload_bytes.min(bytes.len());
            self.payload_bytes -= skipped;
            bytes = &bytes[skipped..];
            let part = (HEADER_LENGTH - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..part]);
            bytes = &bytes[part..];
            let Ok(head) = self.head.as_slice().try_into() else { continue };
            match Header::read(head, Strictness::Lenient) {
                Ok(header) => {
                    observer.tell(&SessionEvent::Frame { way: self.way, header });
                    self.payload_bytes = header.length.bytes();
                    self.head.clear();
                }
                Err(_) => {
                    self.head.remove(0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn headers_are_found_however_the_bytes_are_cut_and_whatever_stands_between() {
        let id = "0b9d7c1e-52f5-4c0b-8a55-6f1d2e3c4b5a";
        let bytes = format!("A.000003.{id}.1\nabcunframed restS.000000.{id}.0\n");
        for size in 1..=bytes.len() {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let into = Arc::clone(&seen);
            let observer = Observer::new(move |event| {
                if let SessionEvent::Frame { way: FrameWay::Sent, header } = event {
                    into.lock().unwrap().push((header.length.bytes(), header.end));
                }
            });
            let mut frames = Frames::new(FrameWay::Sent);
            for piece in bytes.as_bytes().chunks(size) {
                frames.push(piece, &observer);
            }
            assert_eq!(*seen.lock().unwrap(), [(3, true), (0, false)], "{size}");
        }
    }
}
