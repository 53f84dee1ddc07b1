//! What the other end sends.

use super::*;
use crate::msgpack::{ReadError, Reader};

/// How the other end broke the protocol.
#[derive(Debug)]
struct Broken(String);

impl From<Malformed> for Broken {
    fn from(malformed: Malformed) -> Self {
        Broken(malformed.0.to_owned())
    }
}

type Handled = Result<(), Broken>;

impl Connection {
    /// Takes what there is in `input`. After the connection's end nothing is taken.
    pub(crate) fn receive(&mut self, input: &mut BytesMut) {
        while self.ended.is_none() && self.may_receive() {
            let handled = match self.decoder.next(input) {
                Ok(None) => return,
                Ok(Some(Part::Piece(piece))) => {
                    self.on_piece(piece);
                    Ok(())
                }
                Ok(Some(Part::Content { id, length })) => self.on_content(id, length),
                Ok(Some(Part::Frame { code, id, payload })) => self.on_frame(code, id, &payload),
                Err(malformed) => Err(malformed.into()),
            };
            if let Err(Broken(what)) = handled {
                let what = format!("the other end broke the protocol: {what}");
                self.end(Err(Error::new(ErrorKind::Protocol, what)));
            }
        }
    }

    fn on_frame(&mut self, code: Code, id: ChannelId, payload: &[u8]) -> Handled {
        let has_windows = self.options.version.has_windows();
        match code {
            Code::Offer => return self.on_offer(id, payload),
            Code::OfferAccepted => return self.on_accepted(id, payload),
            _ => {}
        }
        let Some(key) = self.ids.get(&id).copied() else { return Ok(()) };
        match code {
            Code::ContentWritingCompleted => self.on_completed(key),
            Code::ChannelTerminated => self.on_terminated(key, payload),
            Code::ContentProcessed if has_windows => self.on_processed(key, payload),
            Code::ContentReadingCompleted if has_windows => {
                self.on_reading_completed(key);
                Ok(())
            }
            Code::ChannelWindowAdjust if has_windows => self.on_adjust(key, payload),
            Code::ChannelWindowGrowthRequest if has_windows => {
                self.records[key].receive.growth_wanted = true;
                self.grow_if_waiting(key);
                Ok(())
            }
            // Version 1 has no flow control.
            _ => Ok(()),
        }
    }

    fn on_offer(&mut self, id: ChannelId, payload: &[u8]) -> Handled {
        if id.source != Source::Remote {
            return Err(Broken(format!("it offers the channel {id}, which is not its to offer")));
        }
        if self.ids.contains_key(&id) {
            return Err(Broken(format!("it offers the channel {id} while that is open")));
        }
        if self.records.len() >= self.options.limits.channels_max {
            return Err(Broken(format!(
                "it opens more than {} channels",
                self.options.limits.channels_max
            )));
        }
        if self.offers.len() >= self.options.limits.offers_waiting_max {
            return Err(Broken(format!(
                "more than {} of its offers wait to be accepted",
                self.options.limits.offers_waiting_max
            )));
        }
        let has_windows = self.options.version.has_windows();
        let (name, window) =
            if has_windows { offer_parameters(payload)? } else { (payload, u64::MAX) };
        let name: Arc<str> = String::from_utf8_lossy(name).into();
        let mut record = Record::new(id, Arc::clone(&name), Phase::Incoming);
        if has_windows {
            record.send = SendWindow::new(window);
            record.receive = ReceiveWindow::new(UNACCEPTED_MAX);
        } else {
            record.send = SendWindow::UNLIMITED;
            record.receive = ReceiveWindow::UNLIMITED;
        }
        let key = self.records.insert(record);
        self.ids.insert(id, key);
        let tell = self.offers.add(&name, key);
        self.tell(tell);
        Ok(())
    }

    fn on_accepted(&mut self, id: ChannelId, payload: &[u8]) -> Handled {
        if id.source != Source::Local {
            return Err(Broken(format!(
                "it accepts the channel {id}, which was not offered to it"
            )));
        }
        let Some(key) = self.ids.get(&id).copied() else {
            return if self.was_offered(id.number) {
                Ok(())
            } else {
                Err(Broken(format!("it accepts the channel {id}, which was never offered")))
            };
        };
        if self.records[key].phase != Phase::Offered {
            return Ok(());
        }
        let window =
            if self.options.version.has_windows() { window_parameter(payload)? } else { u64::MAX };
        let record = &mut self.records[key];
        record.send.open(window);
        record.phase = Phase::Open;
        record.accepted = true;
        self.events.extend([Event::Answered(key), Event::Writable(key)]);
        if record.own == Own::DoneUntold {
            record.own = Own::Done;
            self.send(key, Code::ContentWritingCompleted, &[]);
            self.end_if_complete(key);
        }
        if self.records.get(key).is_some_and(|record| !record.reading) {
            self.tell_not_reading(key);
        }
        Ok(())
    }

    /// Whether this end has ever offered the channel of that number.
    fn was_offered(&self, number: u64) -> bool {
        let first = if self.options.version.number() == 3 {
            self.options.seeded.len() as u64 + 1
        } else if self.naming.odd {
            1
        } else {
            2
        };
        (first..self.next_number).contains(&number)
    }

    fn on_content(&mut self, id: ChannelId, length: u32) -> Handled {
        self.receiving = None;
        if length == 0 {
            return Ok(());
        }
        let Some(key) = self.ids.get(&id).copied() else { return Ok(()) };
        let record = &mut self.records[key];
        match record.phase {
            Phase::Offered => {
                return Err(Broken(format!(
                    "it sends content on the channel {id}, which it has not accepted"
                )));
            }
            Phase::Closing | Phase::Gone => return Ok(()),
            Phase::Incoming | Phase::Open => {}
        }
        if record.theirs.is_some() {
            return Ok(());
        }
        if !record.receive.receive(u64::from(length)) {
            if record.phase == Phase::Incoming && record.id.source == Source::Remote {
                let name = Arc::clone(&record.name);
                self.offers.remove(&name, key);
            }
            let text = "FlowControl: more content was sent than the window allows";
            let record = &mut self.records[key];
            record.theirs = Some(Err(ChannelError::Overrun));
            self.terminate_with(key, Err(ChannelError::Overrun), Some(text));
            // Where nobody had accepted it, nobody will read what came.
            self.forget_if_over(key);
            return Ok(());
        }
        self.receiving = Some(key);
        Ok(())
    }

    fn on_piece(&mut self, piece: Bytes) {
        let Some(key) = self.receiving else { return };
        let record = &mut self.records[key];
        if record.phase == Phase::Closing {
            return;
        }
        if !record.reading {
            let length = piece.len();
            self.acknowledge(key, length);
            return;
        }
        if record.inbox.is_empty() {
            self.events.push(Event::Readable(key));
        }
        record.read_waits = false;
        record.inbox.push(piece, self.gather_small);
        if !self.options.version.has_windows()
            && !record.congested
            && record.inbox.len() > self.options.limits.v1_buffer_bytes as usize
        {
            record.congested = true;
            self.congested += 1;
        }
    }

    fn on_completed(&mut self, key: Key) -> Handled {
        let record = &mut self.records[key];
        match record.phase {
            Phase::Offered => Err(Broken(format!(
                "it ends its direction of the channel {}, which it has not accepted",
                record.id
            ))),
            Phase::Closing | Phase::Gone => Ok(()),
            Phase::Incoming | Phase::Open => {
                if record.theirs.is_none() {
                    record.theirs = Some(Ok(()));
                    self.events.push(Event::Readable(key));
                }
                self.end_if_complete(key);
                Ok(())
            }
        }
    }

    fn on_terminated(&mut self, key: Key, payload: &[u8]) -> Handled {
        let record = &mut self.records[key];
        if record.phase != Phase::Closing {
            let text = if self.options.version.has_windows() { error_text(payload)? } else { None };
            let (theirs, outcome) = match text {
                Some(text) => {
                    let error = ChannelError::Remote(text);
                    (Err(error.clone()), Err(error))
                }
                None => (Ok(()), Ok(Ended::Terminated)),
            };
            record.theirs.get_or_insert(theirs);
            record.outcome.get_or_insert(outcome);
            let id = record.id;
            if record.phase == Phase::Incoming && id.source == Source::Remote {
                let name = Arc::clone(&record.name);
                self.offers.remove(&name, key);
            }
            // The other end is done with it.
            self.out.answer_that_may_wait(Code::ChannelTerminated, id);
        }
        self.be_gone(key);
        Ok(())
    }

    fn on_processed(&mut self, key: Key, payload: &[u8]) -> Handled {
        let record = &mut self.records[key];
        if record.phase == Phase::Closing {
            return Ok(());
        }
        let bytes = number_parameter(payload)?;
        let had_room = record.send.room() > 0;
        let sound = u64::try_from(bytes).is_ok_and(|bytes| record.send.acknowledged(bytes));
        if !sound {
            return Err(Broken(format!(
                "it acknowledges more on the channel {} than was sent",
                record.id
            )));
        }
        if !had_room && record.send.room() > 0 {
            self.events.push(Event::Writable(key));
        }
        Ok(())
    }

    fn on_reading_completed(&mut self, key: Key) {
        let record = &mut self.records[key];
        if record.own != Own::Open || !matches!(record.phase, Phase::Open | Phase::Incoming) {
            return;
        }
        record.own = Own::Refused;
        self.unqueue(key);
        self.out.purge(key);
        self.events.extend([Event::Writable(key), Event::Flushed(key)]);
        if self.records[key].phase == Phase::Open {
            self.send(key, Code::ContentWritingCompleted, &[]);
            self.end_if_complete(key);
        }
    }

    fn on_adjust(&mut self, key: Key, payload: &[u8]) -> Handled {
        let window = number_parameter(payload)?;
        let record = &mut self.records[key];
        let Some(window) = u64::try_from(window).ok().filter(|window| *window > 0) else {
            return Err(Broken(format!(
                "it sets the window of the channel {} to {window}",
                record.id
            )));
        };
        if matches!(record.phase, Phase::Closing | Phase::Gone) {
            return Ok(());
        }
        let had_room = record.send.room() > 0;
        // The largest number stands for no window at all.
        record.send.adjust(window.min(u64::MAX - 1));
        if !had_room && record.send.room() > 0 {
            self.events.push(Event::Writable(key));
        }
        Ok(())
    }

    /// Answers the other end's wish for a larger window, once somebody here waits to read.
    pub(super) fn grow_if_waiting(&mut self, key: Key) {
        let record = &mut self.records[key];
        let answers = record.receive.growth_wanted
            && record.read_waits
            && record.inbox.is_empty()
            && record.phase == Phase::Open
            && record.theirs.is_none();
        if !answers {
            return;
        }
        let limit = u64::from(self.options.window_max_bytes);
        let window = record.receive.grow(limit, &mut self.growth_left);
        let id = record.id;
        self.out.answer(Code::ChannelWindowAdjust, id, &Self::number_payload(window));
    }
}

/// The name and the window of an offer, of versions 2 and 3.
fn offer_parameters(payload: &[u8]) -> Result<(&[u8], u64), Broken> {
    let broken = |error| match error {
        ReadError::Short => Broken("an offer has no parameters, or they are cut off".into()),
        ReadError::Wrong(what) => Broken(format!("in an offer {what}")),
    };
    let mut reader = Reader::new(payload);
    let elements = reader.array().map_err(broken)?;
    if elements < 2 {
        return Err(Broken("an offer lacks its name or its window".into()));
    }
    let name = match reader.peek().map_err(broken)? {
        msgpack::NIL => {
            reader.binary_length().map_err(broken)?;
            &[]
        }
        _ => reader.string().map_err(broken)?,
    };
    window(reader.integer().map_err(broken)?).map(|window| (name, window))
}

/// The window in an acceptance.
fn window_parameter(payload: &[u8]) -> Result<u64, Broken> {
    number_parameter(payload).and_then(window)
}

fn window(number: i128) -> Result<u64, Broken> {
    u64::try_from(number)
        .ok()
        .filter(|window| *window > 0)
        // The largest number stands for no window at all.
        .map(|window| window.min(u64::MAX - 1))
        .ok_or_else(|| Broken(format!("a window of {number} bytes lets nothing through")))
}

/// An array of one number.
fn number_parameter(payload: &[u8]) -> Result<i128, Broken> {
    let mut reader = Reader::new(payload);
    let read = reader
        .array()
        .and_then(|elements| if elements == 0 { Err(ReadError::Short) } else { reader.integer() });
    read.map_err(|error| match error {
        ReadError::Short => Broken("a frame lacks its number".into()),
        ReadError::Wrong(what) => Broken(what.into()),
    })
}

/// The text of a termination; what is no text is an empty one.
fn error_text(payload: &[u8]) -> Result<Option<String>, Broken> {
    if payload.is_empty() {
        return Ok(None);
    }
    let mut reader = Reader::new(payload);
    match reader.array() {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        Err(_) => return Err(Broken("a termination's error is no array".into())),
    }
    let text = reader.string().unwrap_or_default();
    Ok(Some(String::from_utf8_lossy(text).into_owned()))
}
