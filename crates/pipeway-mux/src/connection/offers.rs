//! Offers that wait to be accepted, and those who wait to accept.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Key;

/// One who waits to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct AcceptId(u64);

/// For each name the offers in the order of their arrival and the accepts in the order of their
/// calls: the n-th accept takes the n-th offer. An offer that no accept is there for is announced.
#[derive(Debug, Default)]
pub(super) struct Offers {
    by_name: BTreeMap<Arc<str>, Queue>,
    announced: VecDeque<Key>,
    count: usize,
    next_accept: u64,
}

#[derive(Debug, Default)]
struct Queue {
    offers: VecDeque<Waiting>,
    accepts: VecDeque<AcceptId>,
}

#[derive(Debug)]
struct Waiting {
    key: Key,
    announced: bool,
}

/// Who is to be told of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Nobody,
    Accept(AcceptId),
    Announcement,
}

impl Offers {
    /// How many offers wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// An offer has arrived.
    pub(super) fn add(&mut self, name: &Arc<str>, key: Key) -> Tell {
        self.count += 1;
        let queue = self.by_name.entry(Arc::clone(name)).or_default();
        let place = queue.offers.len();
        let accept = queue.accepts.get(place).copied();
        queue.offers.push_back(Waiting { key, announced: accept.is_none() });
        match accept {
            Some(accept) => Tell::Accept(accept),
            None => {
                self.announced.push_back(key);
                Tell::Announcement
            }
        }
    }

    /// An offer is accepted, rejected or withdrawn.
    pub(super) fn remove(&mut self, name: &str, key: Key) {
        let Some(queue) = self.by_name.get_mut(name) else { return };
        let Some(place) = queue.offers.iter().position(|waiting| waiting.key == key) else {
            return;
        };
        let waiting = queue.offers.remove(place);
        self.count -= 1;
        self.forget_empty(name);
        if waiting.is_some_and(|waiting| waiting.announced)
            && let Some(place) = self.announced.iter().position(|announced| *announced == key)
        {
            self.announced.remove(place);
        }
    }

    /// The next offer that nobody was told of; it goes on waiting.
    pub(super) fn next_announced(&mut self) -> Option<Key> {
        self.announced.pop_front()
    }

    /// One more waits to accept an offer of that name.
    pub(super) fn wait(&mut self, name: &str) -> AcceptId {
        let id = AcceptId(self.next_accept);
        self.next_accept += 1;
        match self.by_name.get_mut(name) {
            Some(queue) => queue.accepts.push_back(id),
            None => {
                let queue = Queue { accepts: VecDeque::from([id]), ..Queue::default() };
                self.by_name.insert(name.into(), queue);
            }
        }
        id
    }

    /// The offer that is there for `accept`, which then waits no more. The offer stays among
    /// those that wait until it is [removed](Self::remove).
    pub(super) fn take(&mut self, name: &str, accept: AcceptId) -> Option<Key> {
        let queue = self.by_name.get_mut(name)?;
        let place = queue.accepts.iter().position(|waiting| *waiting == accept)?;
        let key = queue.offers.get(place)?.key;
        queue.accepts.remove(place);
        Some(key)
    }

    /// `accept` waits no more. Who is to be told that an offer is there for it now.
    pub(super) fn leave(&mut self, name: &str, accept: AcceptId) -> Tell {
        let Some(queue) = self.by_name.get_mut(name) else { return Tell::Nobody };
        let Some(place) = queue.accepts.iter().position(|waiting| *waiting == accept) else {
            return Tell::Nobody;
        };
        queue.accepts.remove(place);
        let offers = queue.offers.len();
        if place >= offers {
            self.forget_empty(name);
            return Tell::Nobody;
        }
        if let Some(next) = queue.accepts.get(offers - 1) {
            return Tell::Accept(*next);
        }
        let accepts = queue.accepts.len();
        for waiting in queue.offers.iter_mut().skip(accepts).filter(|waiting| !waiting.announced) {
            waiting.announced = true;
            self.announced.push_back(waiting.key);
        }
        Tell::Announcement
    }

    /// Everybody who waits to accept.
    pub(super) fn accepts(&self) -> impl Iterator<Item = AcceptId> + '_ {
        self.by_name.values().flat_map(|queue| queue.accepts.iter().copied())
    }

    fn forget_empty(&mut self, name: &str) {
        if let Some(queue) = self.by_name.get(name)
            && queue.offers.is_empty()
            && queue.accepts.is_empty()
        {
            self.by_name.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_accept_gets_the_oldest_offer() {
        let mut offers = Offers::default();
        let name: Arc<str> = "a".into();
        let accepts: Vec<_> = (0..3).map(|_| offers.wait(&name)).collect();
        for (key, accept) in accepts.iter().enumerate() {
            assert_eq!(offers.add(&name, key), Tell::Accept(*accept));
        }
        for key in [2, 0, 1] {
            let accept = accepts[key];
            // Whoever asks first, each gets its own.
            let taken = offers.take(&name, accept);
            assert!(taken.is_some());
            offers.remove(&name, taken.unwrap());
        }
        assert_eq!((offers.len(), offers.by_name.len()), (0, 0));
    }

    #[test]
    fn an_accept_that_leaves_hands_its_offer_on() {
        let mut offers = Offers::default();
        let name: Arc<str> = "a".into();
        let first = offers.wait(&name);
        let second = offers.wait(&name);
        assert_eq!(offers.add(&name, 7), Tell::Accept(first));
        assert_eq!(offers.leave(&name, first), Tell::Accept(second));
        assert_eq!(offers.leave(&name, second), Tell::Announcement);
        assert_eq!(offers.next_announced(), Some(7));
        assert_eq!(offers.next_announced(), None);
        let third = offers.wait(&name);
        assert_eq!(offers.take(&name, third), Some(7));
    }

    #[test]
    fn an_offer_that_is_withdrawn_is_announced_no_more() {
        let mut offers = Offers::default();
        let name: Arc<str> = "a".into();
        assert_eq!(offers.add(&name, 1), Tell::Announcement);
        assert_eq!(offers.add(&name, 2), Tell::Announcement);
        offers.remove(&name, 1);
        assert_eq!(offers.next_announced(), Some(2));
        offers.remove(&name, 2);
        assert_eq!(offers.len(), 0);
        assert_eq!(offers.next_announced(), None);
    }
}
