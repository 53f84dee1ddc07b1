//! Whether the other end is this crate's too, and what follows from it.

use super::Connection;
use crate::id::Id;
use crate::limits::{MARKED_FRAME_BYTES, Pace};

impl Connection {
    /// How what is sent is handed over now: as [`Legacy`](Pace::Legacy) or [`Modern`](Pace::Modern).
    /// With [`Pace::Automatic`] that may change while bytes are [received](Self::receive).
    pub fn pace(&self) -> Pace {
        match self.limits.pace {
            Pace::Automatic if self.is_recognised => Pace::Modern,
            Pace::Automatic => Pace::Legacy,
            told => told,
        }
    }

    /// The other end has chosen this id for a request, which may tell who it is. Once that is known,
    /// it is told who this end is, as what it sends may be long and come before a request of this end.
    pub(super) fn request_came(&mut self, id: &Id) {
        if self.is_recognised || !self.is_others_mark(id) {
            return;
        }
        self.recognise();
        // Where an id can't be drawn now, the next request tells.
        if self.limits.keeps_mark()
            && let Ok(id) = self.ids.draw_marked()
        {
            self.outbox.greet(id);
        }
    }

    /// Whether the cancel of something that nobody here knows is a greeting. It is not answered: who
    /// sends one knows this end.
    pub(super) fn is_greeting(&mut self, id: &Id) -> bool {
        let is_greeting = self.is_others_mark(id) && self.inbox.lengths(id).is_none();
        if is_greeting {
            self.recognise();
        }
        is_greeting
    }

    /// Peers send ids back that this end has marked: in responses, when they cancel, and some perhaps
    /// for requests of their own.
    fn is_others_mark(&self, id: &Id) -> bool {
        id.is_marked() && !self.ids.drew(id)
    }

    fn recognise(&mut self) {
        self.is_recognised = true;
        if self.limits.pace == Pace::Automatic {
            let chunk = self.limits.chunk_bytes.max(MARKED_FRAME_BYTES);
            self.outbox.set_longest_chunk(chunk);
            self.outbox.set_batch(self.limits.write_bytes);
        }
    }
}
