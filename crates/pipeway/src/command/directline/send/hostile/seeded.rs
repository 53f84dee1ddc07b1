//! Numbers that a seed makes.

use super::super::activity::guid;

/// Numbers that are the same for the same seed: splitmix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub(super) struct Seeded(u64);

impl Seeded {
    /// The numbers of one round of a seed.
    pub(super) fn new(seed: u64, round: u32) -> Self {
        let mut seeded = Seeded(seed);
        let of_seed = seeded.next();
        Seeded(of_seed ^ u64::from(round).wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of some things.
    pub(super) fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }

    /// A hyphenated GUID in lower case.
    pub(super) fn id(&mut self) -> String {
        guid(u128::from(self.next()) << 64 | u128::from(self.next()))
    }

    /// Letters.
    pub(super) fn letters(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }
}
