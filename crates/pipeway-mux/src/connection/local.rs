//! What the application does.

use super::*;

/// What there is to read.
#[derive(Debug)]
pub(crate) enum Taken {
    Piece(Bytes),
    End,
    Failed(ChannelError),
    /// Nothing yet.
    Nothing,
}

/// Why a write takes nothing.
#[derive(Debug)]
pub(crate) enum NotWritten {
    /// It has to wait.
    Wait,
    /// It never will.
    Failed(Option<ChannelError>),
}

impl Connection {
    /// Offers a channel, which is held from then on. The content `first` goes with the offer.
    pub(crate) fn offer(
        &mut self,
        name: &str,
        window: Option<u32>,
        first: &[u8],
    ) -> Result<Key, Error> {
        self.check_running()?;
        if first.len() > FIRST_MAX {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "{} bytes are too many to go with an offer; at most {FIRST_MAX} may",
                    first.len()
                ),
            ));
        }
        if self.records.len() >= self.options.limits.channels_max {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("there are {} channels, as many as may be", self.records.len()),
            ));
        }
        let has_windows = self.options.version.has_windows();
        // With the head of an array, the string's length and a window of four bytes.
        let room = if has_windows { CONTENT_MAX - 9 } else { CONTENT_MAX };
        if name.len() > room {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("a channel's name of {} bytes is too long; at most {room} fit", name.len()),
            ));
        }
        let id = ChannelId { number: self.next_number, source: Source::Local };
        self.next_number += if self.options.version.number() == 3 { 1 } else { 2 };
        let mut record = Record::new(id, name.into(), Phase::Offered);
        record.held = true;
        let key = self.records.insert(record);
        self.ids.insert(id, key);
        if has_windows {
            let window = self.count_window(key, window);
            self.records[key].receive = ReceiveWindow::new(window);
            let mut payload = vec![0x92];
            msgpack::write_string(&mut payload, name);
            msgpack::write_unsigned(&mut payload, window);
            self.send(key, Code::Offer, &payload);
        } else {
            self.records[key].receive = ReceiveWindow::UNLIMITED;
            self.send(key, Code::Offer, name.as_bytes());
        }
        if !first.is_empty() {
            let sent = self.out.content(key, id, first);
            debug_assert!(sent == first.len(), "it fits one frame");
            let record = &mut self.records[key];
            record.send.sent(sent);
            record.generation = self.out.generation();
        }
        Ok(key)
    }

    /// What became of an offer: accepted, or rejected and why; `None` while it is open.
    pub(crate) fn answer(&self, key: Key) -> Option<Result<(), Option<String>>> {
        let record = &self.records[key];
        if record.accepted {
            return Some(Ok(()));
        }
        match (&record.phase, &record.outcome) {
            (Phase::Gone | Phase::Closing, Some(Err(ChannelError::Remote(text)))) => {
                Some(Err(Some(text.clone())))
            }
            (Phase::Gone | Phase::Closing, _) => Some(Err(None)),
            _ => None,
        }
    }

    /// One more waits for an offer of that name.
    pub(crate) fn wait_to_accept(&mut self, name: &str) -> AcceptId {
        self.offers.wait(name)
    }

    /// Accepts the offer that is there for `accept`.
    pub(crate) fn accept_waiting(
        &mut self,
        name: &str,
        accept: AcceptId,
        window: Option<u32>,
    ) -> Result<Option<Key>, Error> {
        self.check_running()?;
        let Some(key) = self.offers.take(name, accept) else { return Ok(None) };
        self.accept(key, window);
        Ok(Some(key))
    }

    /// `accept` waits no more.
    pub(crate) fn stop_waiting(&mut self, name: &str, accept: AcceptId) {
        let tell = self.offers.leave(name, accept);
        self.tell(tell);
    }

    /// The next offer that nobody waited for. It goes on waiting.
    pub(crate) fn next_offer(&mut self) -> Option<(ChannelId, Arc<str>)> {
        // With the connection, those that waited are gone.
        self.check_running().ok()?;
        let key = self.offers.next_announced()?;
        let record = &self.records[key];
        Some((record.id, Arc::clone(&record.name)))
    }

    /// Accepts the other end's offer of that number, or else a seeded channel.
    pub(crate) fn accept_number(&mut self, number: u64, window: Option<u32>) -> Result<Key, Error> {
        self.check_running()?;
        match self.offered(number) {
            Ok(key) => {
                self.accept(key, window);
                Ok(key)
            }
            Err(error) => self.accept_seeded(number).map_err(|_| error),
        }
    }

    /// Accepts a seeded channel, which sends nothing.
    pub(crate) fn accept_seeded(&mut self, number: u64) -> Result<Key, Error> {
        let place = usize::try_from(number).ok().and_then(|index| self.seeded.get_mut(index));
        let Some(place) = place else {
            return Err(Self::usage("there is no seeded channel of that number"));
        };
        let Some(key) = place.take() else {
            return Err(Self::usage("that seeded channel was taken already"));
        };
        let record = &mut self.records[key];
        record.accepted = true;
        if record.phase == Phase::Incoming {
            record.phase = Phase::Open;
            if record.own == Own::Refused {
                self.send(key, Code::ContentWritingCompleted, &[]);
            }
            self.end_if_complete(key);
        }
        Ok(key)
    }

    /// Rejects the other end's offer of that number.
    pub(crate) fn reject(&mut self, number: u64, reason: Option<&str>) -> Result<(), Error> {
        self.check_running()?;
        let key = self.offered(number)?;
        let name = Arc::clone(&self.records[key].name);
        self.offers.remove(&name, key);
        let outcome = match reason {
            Some(reason) => Err(ChannelError::Local(reason.to_owned())),
            None => Ok(Ended::Terminated),
        };
        self.terminate_with(key, outcome, reason);
        self.forget_if_over(key);
        Ok(())
    }

    fn offered(&self, number: u64) -> Result<Key, Error> {
        let id = ChannelId { number, source: Source::Remote };
        match self.ids.get(&id).map(|key| (*key, &self.records[*key])) {
            Some((key, record)) if record.phase == Phase::Incoming => Ok(key),
            Some(_) => Err(Error::new(
                ErrorKind::Usage,
                format!("the channel {id} was accepted or rejected already"),
            )),
            None => Err(Error::new(
                ErrorKind::Usage,
                format!("there is no offer of the channel {id}, or it was withdrawn"),
            )),
        }
    }

    fn accept(&mut self, key: Key, window: Option<u32>) {
        let name = Arc::clone(&self.records[key].name);
        self.offers.remove(&name, key);
        if self.options.version.has_windows() {
            let window = self.count_window(key, window);
            self.records[key].receive.set(window);
            let payload = Self::number_payload(window);
            if self.records[key].inbox.is_empty() {
                self.send(key, Code::OfferAccepted, &payload);
            } else {
                // Who has sent something with the offer waits for an answer to that.
                self.send_in_a_moment(key, Code::OfferAccepted, &payload);
            }
        } else {
            self.send(key, Code::OfferAccepted, &[]);
        }
        let record = &mut self.records[key];
        record.held = true;
        record.accepted = true;
        record.phase = Phase::Open;
        if record.own == Own::Refused {
            self.send(key, Code::ContentWritingCompleted, &[]);
        }
        self.end_if_complete(key);
    }

    pub(crate) fn id(&self, key: Key) -> ChannelId {
        self.records[key].id
    }

    pub(crate) fn name(&self, key: Key) -> Arc<str> {
        Arc::clone(&self.records[key].name)
    }

    pub(crate) fn is_accepted(&self, key: Key) -> bool {
        self.records[key].accepted
    }

    pub(crate) fn outcome(&self, key: Key) -> Option<Result<Ended, ChannelError>> {
        self.records[key].outcome.clone()
    }

    /// Sends from `content`, and tells how much of it; at least a byte.
    pub(crate) fn write(&mut self, key: Key, content: &[u8]) -> Result<usize, NotWritten> {
        let record = &mut self.records[key];
        let fails = |outcome: &Option<Result<Ended, ChannelError>>| {
            NotWritten::Failed(outcome.clone().and_then(Result::err))
        };
        match (record.phase, record.own) {
            (Phase::Open, Own::Open) => {}
            (Phase::Offered | Phase::Incoming, Own::Open) => return Err(NotWritten::Wait),
            _ => return Err(fails(&record.outcome)),
        }
        let room = usize::try_from(record.send.room()).unwrap_or(usize::MAX).min(content.len());
        if room == 0 {
            // An empty write never comes here.
            if record.send.stall() {
                self.send(key, Code::ChannelWindowGrowthRequest, &[]);
            }
            return Err(NotWritten::Wait);
        }
        if self.out.must_queue(room, record.granted) {
            if !record.queued {
                record.queued = true;
                self.out.queue(key);
            }
            return Err(NotWritten::Wait);
        }
        record.granted = false;
        let written = self.out.content(key, record.id, &content[..room]);
        record.send.sent(written);
        record.generation = self.out.generation();
        Ok(written)
    }

    /// Whether all that was written on the channel has been handed to the stream below; if not,
    /// its holder is told when it has.
    pub(crate) fn is_flushed(&mut self, key: Key) -> bool {
        let record = &mut self.records[key];
        let flushed = self.out.is_written(record.generation)
            || matches!(record.phase, Phase::Gone)
            || self.ended.is_some();
        if !flushed && !std::mem::replace(&mut record.flush_waits, true) {
            self.flushing.push(key);
        }
        flushed
    }

    /// Brings this end's direction to its end, after what was written.
    pub(crate) fn finish(&mut self, key: Key) {
        let record = &mut self.records[key];
        if record.own != Own::Open {
            return;
        }
        match record.phase {
            Phase::Open => {
                record.own = Own::Done;
                self.unqueue(key);
                self.send(key, Code::ContentWritingCompleted, &[]);
                self.end_if_complete(key);
            }
            Phase::Offered => record.own = Own::DoneUntold,
            Phase::Incoming | Phase::Closing | Phase::Gone => record.own = Own::Done,
        }
        self.events.push(Event::Writable(key));
    }

    /// Takes the oldest piece of what was received.
    pub(crate) fn take(&mut self, key: Key) -> Taken {
        if let Some(piece) = self.take_more(key) {
            return Taken::Piece(piece);
        }
        let record = &mut self.records[key];
        match &record.theirs {
            Some(Ok(())) => Taken::End,
            Some(Err(error)) => Taken::Failed(error.clone()),
            None => {
                record.read_waits = true;
                self.grow_if_waiting(key);
                Taken::Nothing
            }
        }
    }

    /// Takes the oldest piece, if there is one.
    pub(crate) fn take_more(&mut self, key: Key) -> Option<Bytes> {
        let record = &mut self.records[key];
        let piece = record.inbox.pop()?;
        if record.congested
            && record.inbox.len() <= self.options.limits.v1_buffer_bytes as usize / 2
        {
            record.congested = false;
            self.congested -= 1;
        }
        Some(piece)
    }

    /// Whether there is another piece.
    pub(crate) fn has_more(&self, key: Key) -> bool {
        !self.records[key].inbox.is_empty()
    }

    /// `bytes` that were taken have been read.
    pub(crate) fn acknowledge(&mut self, key: Key, bytes: usize) {
        let record = &mut self.records[key];
        let ripe = record.receive.read(bytes as u64);
        let speaks = record.phase == Phase::Open && record.theirs.is_none();
        if ripe > 0 && speaks {
            let id = record.id;
            // Not in the channel's generation: nobody waits for it to be flushed.
            self.out.frame(Code::ContentProcessed, id, &Self::number_payload(ripe));
        }
    }

    /// Nobody here will read any more.
    pub(crate) fn stop_reading(&mut self, key: Key) {
        let record = &mut self.records[key];
        if !std::mem::take(&mut record.reading) {
            return;
        }
        let thrown_away = record.inbox.clear();
        if std::mem::take(&mut record.congested) {
            self.congested -= 1;
        }
        self.tell_not_reading(key);
        self.acknowledge(key, thrown_away);
    }

    pub(super) fn tell_not_reading(&mut self, key: Key) {
        let record = &self.records[key];
        let speaks = record.phase == Phase::Open
            && record.theirs.is_none()
            && self.options.version.has_windows();
        if speaks {
            self.send(key, Code::ContentReadingCompleted, &[]);
        }
    }

    /// Terminates the channel, with an error or without.
    pub(crate) fn terminate(&mut self, key: Key, error: Option<&str>) {
        if matches!(self.records[key].phase, Phase::Closing | Phase::Gone) {
            return;
        }
        let outcome = match error {
            Some(text) => Err(ChannelError::Local(text.to_owned())),
            None => Ok(Ended::Terminated),
        };
        self.terminate_with(key, outcome, error);
    }

    /// Nobody holds the channel any more.
    pub(crate) fn release(&mut self, key: Key) {
        self.terminate(key, None);
        self.records[key].held = false;
        self.forget_if_over(key);
    }
}
