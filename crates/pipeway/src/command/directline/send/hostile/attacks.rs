//! The attacks, as data.

mod cancels;
mod headers;
mod messages;
mod routes;
mod sessions;
mod streams;

use std::time::Duration;

use super::seeded::Seeded;

/// How long answers may take, where nothing else is said.
const PATIENCE: Duration = Duration::from_secs(3);

/// One attack: what is done, and what is to come of it.
#[derive(Clone, Debug)]
pub(super) struct Attack {
    pub(super) name: String,
    /// The case of the specification's list, or its section.
    pub(super) case: &'static str,
    pub(super) steps: Vec<Step>,
    pub(super) expected: Expected,
    /// Answers that are to come.
    pub(super) wanted: Vec<(String, Wanted)>,
    /// Requests that are to have no answer.
    pub(super) unwanted: Vec<String>,
    /// How long answers, and the end of the session, may take.
    pub(super) patience: Duration,
    /// Whether it takes so long that it has to be asked for.
    pub(super) is_slow: bool,
}

/// What becomes of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// It goes on.
    Alive,
    /// It ends.
    Closed,
    /// Nothing is said about it; a later session must go on.
    Either,
}

/// What an answer is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    Success,
    Status(u16),
}

/// One thing that is done.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Bytes in one write.
    Write(Vec<u8>),
    /// The same bytes so many times.
    Repeat(Vec<u8>, usize),
    /// Nothing.
    Pause(Duration),
    /// Nothing is read any more, until [`Step::Listen`].
    Deaf,
    Listen,
    /// The pipe that is written to is closed, or the one that is read from, or both.
    CloseWriter,
    CloseReader,
    Close,
    /// Outside of a session, one pipe is connected and closed again.
    Half(Half),
    /// A session of which `.outgoing` was connected first.
    Reversed,
    /// While there is a session somebody else connects.
    Newcomer,
}

/// One pipe of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Half {
    Incoming,
    Outgoing,
}

/// The attacks of one round.
pub(super) fn attacks(seeded: &mut Seeded) -> Vec<Attack> {
    let mut all = Vec::new();
    headers::add(seeded, &mut all);
    streams::add(seeded, &mut all);
    messages::add(seeded, &mut all);
    cancels::add(seeded, &mut all);
    routes::add(seeded, &mut all);
    sessions::add(seeded, &mut all);
    all
}

impl Attack {
    /// An attack after which the session is to go on.
    pub(super) fn new(name: impl Into<String>, case: &'static str) -> Self {
        Attack {
            name: name.into(),
            case,
            steps: Vec::new(),
            expected: Expected::Alive,
            wanted: Vec::new(),
            unwanted: Vec::new(),
            patience: PATIENCE,
            is_slow: false,
        }
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn write(self, bytes: impl Into<Vec<u8>>) -> Self {
        self.step(Step::Write(bytes.into()))
    }

    /// Bytes piece by piece, with a little time in between, so that each is read by itself.
    fn pieces<'a>(mut self, pieces: impl Iterator<Item = &'a [u8]>) -> Self {
        for piece in pieces {
            self = self.write(piece).pause(1);
        }
        self
    }

    fn pause(self, milliseconds: u64) -> Self {
        self.step(Step::Pause(Duration::from_millis(milliseconds)))
    }

    fn wants(mut self, id: &str, wanted: Wanted) -> Self {
        self.wanted.push((id.to_owned(), wanted));
        self
    }

    fn answers(self, id: &str) -> Self {
        self.wants(id, Wanted::Any)
    }

    fn succeeds(self, id: &str) -> Self {
        self.wants(id, Wanted::Success)
    }

    fn stays_silent(mut self, id: &str) -> Self {
        self.unwanted.push(id.to_owned());
        self
    }

    fn closes(mut self) -> Self {
        self.expected = Expected::Closed;
        self
    }

    fn may_close(mut self) -> Self {
        self.expected = Expected::Either;
        self
    }

    fn patience(mut self, seconds: u64) -> Self {
        self.patience = Duration::from_secs(seconds);
        self
    }

    fn slow(mut self) -> Self {
        self.is_slow = true;
        self
    }

    /// What is sent, as a number by which it can be known again (FNV-1a), and its length in bytes.
    pub(super) fn digest(&self) -> (u64, u64) {
        let (mut digest, mut length) = (0xcbf2_9ce4_8422_2325_u64, 0);
        let mut take = |bytes: &[u8]| {
            for byte in bytes {
                digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for step in &self.steps {
            match step {
                Step::Write(bytes) => {
                    take(bytes);
                    length += bytes.len() as u64;
                }
                Step::Repeat(bytes, times) => {
                    take(bytes);
                    take(&(*times as u64).to_be_bytes());
                    length += bytes.len() as u64 * *times as u64;
                }
                _ => {}
            }
        }
        (digest, length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(seed: u64, round: u32) -> Vec<(String, (u64, u64))> {
        let all = attacks(&mut Seeded::new(seed, round));
        all.into_iter().map(|attack| (attack.name.clone(), attack.digest())).collect()
    }

    #[test]
    fn a_seed_makes_the_same_bytes_and_another_one_others() {
        assert_eq!(digests(42, 0), digests(42, 0));
        let (one, other, later) = (digests(42, 0), digests(43, 0), digests(42, 1));
        let differ = |others: &[(String, (u64, u64))]| {
            one.iter().zip(others).filter(|(one, other)| one.1 != other.1).count()
        };
        assert!(differ(&other) > one.len() / 2 && differ(&later) > one.len() / 2);
        assert!(one.iter().zip(&other).all(|(one, other)| one.0 == other.0));
    }

    #[test]
    fn every_attack_has_a_name_of_its_own() {
        let mut names: Vec<String> = digests(1, 0).into_iter().map(|(name, _)| name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
