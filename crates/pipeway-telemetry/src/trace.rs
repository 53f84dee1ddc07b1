//! W3C trace context, level 1 (<https://www.w3.org/TR/trace-context-1/>).

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use crate::hex;

/// A trace and a span in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace's id.
    pub trace_id: [u8; 16],
    /// The span's id.
    pub span_id: [u8; 8],
    /// The trace flags.
    pub flags: u8,
}

/// The caller may have recorded the trace.
const SAMPLED: u8 = 0x01;

/// Level 2: the trace's id is random. All other flags are reserved, and not passed on.
const RANDOM: u8 = 0x02;

impl TraceContext {
    /// Reads the value of a `traceparent` header.
    ///
    /// Strict, as the specification asks: lower-case digits, no ids of zeros, exactly 55 bytes in
    /// version 00. Of a later version the part that version 00 has is read, where a dash or the
    /// end follows it. Flags that are not defined are dropped.
    ///
    /// More than one `traceparent` in a request counts as none: do not pick one.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(55)?;
        let mut version = [0; 1];
        let mut context = TraceContext { trace_id: [0; 16], span_id: [0; 8], flags: 0 };
        let mut flags = [0; 1];
        read_hex(&known[0..2], &mut version)?;
        read_hex(&known[3..35], &mut context.trace_id)?;
        read_hex(&known[36..52], &mut context.span_id)?;
        read_hex(&known[53..55], &mut flags)?;
        let dashes = [2, 35, 52].iter().all(|&at| known[at] == b'-');
        let ended = match version[0] {
            0xff => false,
            0 => rest.is_empty(),
            _ => rest.is_empty() || rest[0] == b'-',
        };
        context.flags = flags[0] & (SAMPLED | RANDOM);
        let named = context.trace_id != [0; 16] && context.span_id != [0; 8];
        (dashes && ended && named).then_some(context)
    }

    /// The context of a span below the one that a request's `traceparent` names, or a new root
    /// where there is none or it is not valid.
    ///
    /// `tracestate` may be passed on only where the header was valid, which is where the trace's
    /// id is the header's.
    pub fn from_header(value: Option<&[u8]>) -> Self {
        match value.and_then(Self::parse) {
            Some(parent) => parent.child(),
            None => Self::new_root(),
        }
    }

    /// The first span of a new trace. It is marked as sampled: its event is written, and a service
    /// that follows its caller's mark would record nothing otherwise.
    pub fn new_root() -> Self {
        let mut trace_id = [0; 16];
        trace_id[..8].copy_from_slice(&random().to_be_bytes());
        trace_id[8..].copy_from_slice(&random().to_be_bytes());
        TraceContext { trace_id, span_id: random().to_be_bytes(), flags: SAMPLED }
    }

    /// A new span of the same trace.
    #[must_use]
    pub fn child(&self) -> Self {
        TraceContext { span_id: random().to_be_bytes(), ..*self }
    }

    /// The value of a `traceparent` header that names this span, in version 00.
    pub fn write_header(&self) -> [u8; 55] {
        let mut header = [b'-'; 55];
        hex::write(&[0], &mut header[0..2]);
        hex::write(&self.trace_id, &mut header[3..35]);
        hex::write(&self.span_id, &mut header[36..52]);
        hex::write(&[self.flags], &mut header[53..55]);
        header
    }
}

/// Reads lower-case digits.
fn read_hex(text: &[u8], out: &mut [u8]) -> Option<()> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    for (pair, byte) in text.chunks_exact(2).zip(out) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

/// A number that is not zero, for ids: unlike any other with overwhelming likelihood, but no
/// secret.
///
/// The generator is xoroshiro128++ (Blackman and Vigna), one for each thread; the 128 bits of
/// state come from the seeds that the standard library takes from the operating system.
pub(crate) fn random() -> u64 {
    thread_local! {
        static STATE: Cell<(u64, u64)> = Cell::new(seed());
    }
    loop {
        let (s0, s1) = STATE.get();
        let result = s0.wrapping_add(s1).rotate_left(17).wrapping_add(s0);
        let mixed = s0 ^ s1;
        STATE.set((s0.rotate_left(49) ^ mixed ^ (mixed << 21), mixed.rotate_left(28)));
        if result != 0 {
            return result;
        }
    }
}

/// The generator's one forbidden state is zeros.
fn seed() -> (u64, u64) {
    (RandomState::new().hash_one(1_u8) | 1, RandomState::new().hash_one(2_u8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_header_reads_back() {
        let context = TraceContext::parse(VALID.as_bytes()).unwrap();
        assert_eq!(context.trace_id[..2], [0x0a, 0xf7]);
        assert_eq!(context.span_id[..2], [0xb7, 0xad]);
        assert_eq!(context.flags, 1);
        assert_eq!(context.write_header(), VALID.as_bytes());
    }

    #[test]
    fn invalid_headers_are_refused() {
        for header in [
            "",
            "00",
            // version ff; digits of version, ids and flags
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-B7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
            // ids of zeros
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            // lengths and dashes
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what",
        ] {
            assert_eq!(TraceContext::parse(header.as_bytes()), None, "{header}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_version_00() {
        for rest in ["", "-", "-what-will-be"] {
            let header = format!("cc{}{rest}", &VALID[2..]);
            let context = TraceContext::parse(header.as_bytes()).unwrap();
            assert_eq!(context.write_header(), VALID.as_bytes());
        }
    }

    #[test]
    fn reserved_flags_are_dropped() {
        for (sent, kept) in [("00", 0), ("01", 1), ("03", 3), ("ff", 3), ("fc", 0)] {
            let header = format!("{}{sent}", &VALID[..53]);
            assert_eq!(TraceContext::parse(header.as_bytes()).unwrap().flags, kept);
        }
    }

    #[test]
    fn a_child_has_the_trace_and_flags_of_its_parent_and_another_span() {
        let parent = TraceContext::parse(VALID.as_bytes()).unwrap();
        let child = TraceContext::from_header(Some(VALID.as_bytes()));
        assert_eq!((child.trace_id, child.flags), (parent.trace_id, parent.flags));
        assert_ne!(child.span_id, parent.span_id);
    }

    #[test]
    fn an_absent_or_invalid_header_begins_a_trace() {
        for header in [None, Some(&b"00-nonsense"[..])] {
            let root = TraceContext::from_header(header);
            assert_eq!(TraceContext::parse(&root.write_header()), Some(root));
            assert_eq!(root.flags, SAMPLED);
        }
    }

    #[test]
    fn ids_of_several_threads_are_all_different() {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn(|| {
                    (0..10_000).map(|_| TraceContext::new_root()).collect::<Vec<_>>()
                })
            })
            .collect();
        let roots: Vec<_> = threads.into_iter().flat_map(|it| it.join().unwrap()).collect();
        let traces: HashSet<_> = roots.iter().map(|root| root.trace_id).collect();
        let spans: HashSet<_> = roots.iter().map(|root| root.span_id).collect();
        assert_eq!((traces.len(), spans.len()), (40_000, 40_000));
    }
}
