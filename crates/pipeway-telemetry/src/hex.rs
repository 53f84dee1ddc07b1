//! Hexadecimal digits.

/// Writes `bytes` as lower-case digits, two for each.
#[inline(always)]
pub(crate) fn write(bytes: &[u8], out: &mut [u8]) {
    let (fours, rest) = bytes.as_chunks::<4>();
    let (of_fours, of_rest) = out.split_at_mut(8 * fours.len());
    for (four, out) in fours.iter().zip(of_fours.as_chunks_mut().0) {
        *out = digits(u32::from_be_bytes(*four));
    }
    for (&byte, out) in rest.iter().zip(of_rest.as_chunks_mut::<2>().0) {
        out.copy_from_slice(&digits(byte.into())[6..]);
    }
}

/// The eight lower-case hexadecimal digits of `value`.
#[inline(always)]
fn digits(value: u32) -> [u8; 8] {
    // Each nibble gets a byte of its own, and all become digits in one step.
    let mut spread = u64::from(value);
    spread = (spread << 16 | spread) & 0x0000_ffff_0000_ffff;
    spread = (spread << 8 | spread) & 0x00ff_00ff_00ff_00ff;
    spread = (spread << 4 | spread) & 0x0f0f_0f0f_0f0f_0f0f;
    let is_letter = (spread + each(6)) >> 4 & each(1);
    (spread + each(b'0') + is_letter * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// Eight times the same byte.
pub(crate) const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}
