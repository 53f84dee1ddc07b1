//! Drawing ids, and the mark by which an end of this crate knows another one.

use std::fmt;

use super::Id;
use crate::error::{Error, ErrorKind};

/// What is free in a GUID of version 4 beside its node: 74 bits.
const NUMBER: u128 = (1 << 74) - 1;

/// The node: the last 48 bits.
const NODE: u128 = (1 << 48) - 1;

/// From each number to the next, so that all places of an id change. It is odd: no number comes
/// again before all others have.
const STEP: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834 >> 54 | 1;

/// `STEP` times this is 1.
const STEPS_IN_ONE: u128 = {
    let mut inverse = STEP;
    let mut right_bits = 3;
    while right_bits < 74 {
        inverse = inverse.wrapping_mul(2_u128.wrapping_sub(STEP.wrapping_mul(inverse)));
        right_bits *= 2;
    }
    inverse & NUMBER
};

/// What makes a node differ from the mark in each id that has none.
const UNMARKED: u128 = 0x5f1d_3a96_c24b;

/// Draws ids: GUIDs of version 4. The first one is random; no other one of the same source is equal
/// to it or to one another, and those of two sources differ but by a chance of one in 2^74 for each
/// pair.
///
/// The node of an id is computed from the rest of it, so that it can be told whether an id has the
/// [mark](Id::is_marked). Nothing here is a secret: whoever reads this can mark ids too.
pub(crate) struct IdSource {
    /// What the first id is made of, as soon as one is drawn.
    first: Option<u128>,
    drawn: u128,
}

impl IdSource {
    pub(crate) fn new() -> Self {
        IdSource { first: None, drawn: 0 }
    }

    /// The next id, without the mark.
    ///
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub(crate) fn draw(&mut self) -> Result<Id, Error> {
        let guid = self.draw_rest()?;
        Ok(Id::from_guid(guid | mark(guid) ^ UNMARKED))
    }

    /// The next id, with the mark.
    ///
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub(crate) fn draw_marked(&mut self) -> Result<Id, Error> {
        let guid = self.draw_rest()?;
        Ok(Id::from_guid(guid | mark(guid)))
    }

    /// Whether it has drawn this id, of those of its kind. None is remembered for that.
    pub(crate) fn drew(&self, id: &Id) -> bool {
        let (Some(first), Some(guid)) = (self.first, id.guid) else { return false };
        let steps = number(guid).wrapping_sub(first).wrapping_mul(STEPS_IN_ONE) & NUMBER;
        steps < self.drawn
    }

    /// The next id but for its node, which is 0.
    fn draw_rest(&mut self) -> Result<u128, Error> {
        let first = match self.first {
            Some(first) => first,
            None => {
                let mut random = [0; 16];
                getrandom::fill(&mut random).map_err(|error| {
                    let what = format!("the system gives no random bytes: {error}");
                    Error::new(ErrorKind::Usage, what)
                })?;
                *self.first.insert(u128::from_be_bytes(random) & NUMBER)
            }
        };
        let number = first.wrapping_add(self.drawn.wrapping_mul(STEP)) & NUMBER;
        self.drawn += 1;
        Ok(guid(number))
    }
}

impl fmt::Debug for IdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdSource")
    }
}

impl Id {
    /// Whether it has the mark that ends of this crate give to the ids of their requests, if they
    /// take what the mark promises: see [`MARKED_FRAME_BYTES`](crate::limits::MARKED_FRAME_BYTES).
    /// An id that somebody else has drawn has it by a chance of one in 2^48.
    pub(crate) fn is_marked(&self) -> bool {
        self.guid.is_some_and(|guid| guid & NODE == mark(guid) && guid == with_version(guid))
    }
}

/// What the node of a marked id is, told by the rest of it.
fn mark(guid: u128) -> u128 {
    let mix = |mixed: u64| {
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 27
    };
    let (high, low) = ((guid >> 64) as u64, (guid >> 48) as u16);
    let mixed = mix(mix(high ^ 0x7069_7065_7761_7921) ^ u64::from(low));
    u128::from(mixed.wrapping_mul(0x94d0_49bb_1331_11eb) >> 16)
}

/// The GUID of version 4 with this number and a node of 0.
fn guid(number: u128) -> u128 {
    with_version(number >> 26 << 80 | (number >> 14 & 0xfff) << 64 | (number & 0x3fff) << 48)
}

/// The inverse of [`guid`].
fn number(guid: u128) -> u128 {
    guid >> 80 << 26 | (guid >> 64 & 0xfff) << 14 | guid >> 48 & 0x3fff
}

fn with_version(guid: u128) -> u128 {
    guid & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A GUID of version 4 as anybody else draws it.
    fn foreign() -> Id {
        let mut random = [0; 16];
        getrandom::fill(&mut random).unwrap();
        Id::from_guid(with_version(u128::from_be_bytes(random)))
    }

    #[test]
    fn drawn_ids_are_of_version_4_and_marked_as_was_asked_for() {
        let mut ids = IdSource::new();
        let mut all = std::collections::HashSet::new();
        for _ in 0..10_000 {
            for (id, is_marked) in
                [(ids.draw_marked().unwrap(), true), (ids.draw().unwrap(), false)]
            {
                assert_eq!(id.is_marked(), is_marked, "{id}");
                assert_eq!(id.guid.map(with_version), id.guid, "{id}");
                let text = id.as_bytes();
                assert!(text[14] == b'4' && b"89ab".contains(&text[19]), "{id}");
                // As whoever receives it reads it.
                let read: Id = id.as_str().parse().unwrap();
                assert!(read == id && read.is_marked() == is_marked, "{id}");
                let upper: Id = id.as_str().to_uppercase().parse().unwrap();
                assert_eq!(upper.is_marked(), is_marked, "{id}");
                assert!(all.insert(id), "{id} comes twice");
            }
        }
    }

    #[test]
    fn the_mark_stays_what_it_is() {
        for text in ["1d891551-35ae-41a4-a530-ff89d3a62ba6", "BBC08F0A-B4F8-4965-BCFF-BA7FB193E6BD"]
        {
            assert!(text.parse::<Id>().unwrap().is_marked(), "{text}");
        }
    }

    #[test]
    fn ids_of_others_are_not_marked() {
        assert!(!(0..10_000).any(|_| foreign().is_marked()));
        let plain = (0..10_000).map(|number| format!("00000000-0000-4000-8000-{number:012}"));
        assert!(!plain.map(|text| text.parse::<Id>().unwrap()).any(|id| id.is_marked()));
        assert!(!Id::ZERO.is_marked());
    }

    #[test]
    fn no_bit_of_a_marked_id_can_be_changed() {
        let marked = IdSource::new().draw_marked().unwrap().guid.unwrap();
        assert!(!(0..128).any(|bit| Id::from_guid(marked ^ 1 << bit).is_marked()));
    }

    #[test]
    fn a_source_knows_the_ids_that_it_drew_and_no_others() {
        let (mut ids, mut others) = (IdSource::new(), IdSource::new());
        assert!(!ids.drew(&Id::ZERO));
        for _ in 0..1000 {
            let (own, others) = (ids.draw_marked().unwrap(), others.draw_marked().unwrap());
            assert!(ids.drew(&own) && !ids.drew(&others) && !ids.drew(&foreign()));
        }
        let mut ahead = IdSource { ..ids };
        let next = ahead.draw().unwrap();
        assert!(!ids.drew(&next) && ahead.drew(&next));
    }
}
