//! Parts of lines that were made before.
//!
//! Requests that come again and again (one client, one path) differ in numbers, which are a third of
//! their lines. The rest is kept, and found by what the records have in common.

use std::sync::Arc;

use crate::Route;

/// So many likenesses are known at once, each at the place that its hash names: a power of two.
const PLACES: usize = 16;

/// What takes more than this is not kept.
const MAX_BYTES: usize = 2 << 10;

/// How many parts a line has that are kept.
pub(crate) const PARTS: usize = 3;

/// The parts of lines like those that were made last.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    places: [Place; PLACES],
}

/// What stands behind one another in a line but for what is between them.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    text: Vec<u8>,
    ends: [usize; PARTS],
}

#[derive(Debug, Default)]
struct Place {
    /// The hash of the likeness that was looked for last.
    seen: u64,
    likeness: Vec<u8>,
    route: Option<Arc<Route>>,
    parts: Parts,
}

/// Whether parts of such lines are known.
pub(crate) enum Found<'a> {
    Parts(&'a Parts),
    /// They are worth keeping: it is not the first line of its kind.
    Wanted(Vacancy<'a>),
    Nothing,
}

/// Where the parts of a line may be kept.
pub(crate) struct Vacancy<'a> {
    place: &'a mut Place,
    likeness: &'a [u8],
    route: &'a Arc<Route>,
}

impl Kept {
    /// The parts of lines of records that are alike and have that route.
    #[inline]
    pub(crate) fn find<'a>(&'a mut self, likeness: &'a [u8], route: &'a Arc<Route>) -> Found<'a> {
        let hash = hash(likeness);
        // The upper bits of a product depend on all of it.
        let place = &mut self.places[(hash >> (u64::BITS - PLACES.ilog2())) as usize];
        let is_same = |known: &Arc<Route>| Arc::ptr_eq(known, route);
        if place.likeness == likeness && place.route.as_ref().is_some_and(is_same) {
            return Found::Parts(&place.parts);
        }
        let was_seen = std::mem::replace(&mut place.seen, hash) == hash;
        if was_seen && likeness.len() <= MAX_BYTES {
            Found::Wanted(Vacancy { place, likeness, route })
        } else {
            Found::Nothing
        }
    }
}

impl Vacancy<'_> {
    /// Keeps the parts of a line.
    pub(crate) fn keep(self, parts: [&[u8]; PARTS]) {
        let Place { likeness, route, parts: kept, .. } = self.place;
        likeness.clear();
        kept.text.clear();
        if parts.iter().map(|part| part.len()).sum::<usize>() > MAX_BYTES {
            return;
        }
        likeness.extend_from_slice(self.likeness);
        *route = Some(Arc::clone(self.route));
        for (part, end) in parts.into_iter().zip(&mut kept.ends) {
            kept.text.extend_from_slice(part);
            *end = kept.text.len();
        }
    }
}

impl Parts {
    #[inline]
    pub(crate) fn part(&self, number: usize) -> &[u8] {
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.text[start..self.ends[number]]
    }
}

/// Tells likenesses apart, most of the time.
#[inline]
fn hash(likeness: &[u8]) -> u64 {
    let (eights, rest) = likeness.as_chunks::<8>();
    let last = likeness.last_chunk::<8>().copied().unwrap_or_else(|| {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        last
    });
    eights.iter().chain([&last]).fold(0, |hash: u64, eight| {
        // The odd number that is nearest to 2^64 divided by the golden ratio (Knuth, TAOCP 6.4).
        (hash.rotate_left(5) ^ u64::from_ne_bytes(*eight)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hops;

    fn route() -> Arc<Route> {
        Arc::new(Route::new("a bridge", Hops::default()))
    }

    fn known(kept: &mut Kept, likeness: &[u8], route: &Arc<Route>) -> Option<Vec<Vec<u8>>> {
        match kept.find(likeness, route) {
            Found::Parts(parts) => Some((0..PARTS).map(|at| parts.part(at).to_vec()).collect()),
            Found::Wanted(vacancy) => {
                vacancy.keep([b"one", likeness, b""]);
                None
            }
            Found::Nothing => None,
        }
    }

    #[test]
    fn what_comes_a_third_time_is_known_and_belongs_to_its_route() {
        let (mut kept, ours, others) = (Kept::default(), route(), route());
        for _ in 0..2 {
            assert_eq!(known(&mut kept, b"likeness", &ours), None);
        }
        let parts = vec![b"one".to_vec(), b"likeness".to_vec(), vec![]];
        assert_eq!(known(&mut kept, b"likeness", &ours), Some(parts.clone()));
        // The other route's takes its place.
        assert_eq!(known(&mut kept, b"likeness", &others), None);
        assert_eq!(known(&mut kept, b"likeness", &others), Some(parts));
        assert_eq!(known(&mut kept, b"likeness", &ours), None);
    }

    #[test]
    fn what_is_always_new_is_not_kept() {
        let (mut kept, route) = (Kept::default(), route());
        for number in 0..1000_u32 {
            let likeness = format!("likeness {number}");
            assert!(matches!(kept.find(likeness.as_bytes(), &route), Found::Nothing));
        }
        assert!(kept.places.iter().all(|place| place.route.is_none()));
    }

    #[test]
    fn what_is_long_is_not_kept() {
        let (mut kept, route) = (Kept::default(), route());
        let long = vec![b'x'; MAX_BYTES + 1];
        for _ in 0..5 {
            assert!(matches!(kept.find(&long, &route), Found::Nothing));
        }
        for _ in 0..5 {
            match kept.find(b"short", &route) {
                Found::Wanted(vacancy) => vacancy.keep([b"", b"", &long]),
                Found::Nothing => {}
                Found::Parts(_) => panic!("it was kept"),
            }
        }
    }

    #[test]
    fn several_that_take_turns_are_known_mostly() {
        let (mut kept, route) = (Kept::default(), route());
        let likenesses: Vec<_> = (0..4).map(|number| format!("GET /path/{number}/x")).collect();
        let turns = likenesses.iter().cycle().take(4 * 100);
        let found = turns.filter(|one| known(&mut kept, one.as_bytes(), &route).is_some()).count();
        // Two may have the same place.
        assert!(found >= 190, "{found}");
    }
}
