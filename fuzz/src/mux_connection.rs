//! One end of a multiplexed connection.

use std::collections::HashMap;

use pipeway_mux::fuzzing::{CONTENT_MAX, Frames, Machine, Part, id, seen_from_there, write};
use pipeway_mux::{ChannelId, Limits, Options, Source, Version};

const CHANNELS_MAX: usize = 8;

/// What may be kept of a channel: the least that its sender counts as unruly for, which seeded
/// channels have, and what a frame may bring beyond it in version 1.
const KEPT_MAX: usize = 1_024_000 + (1 << 16);

/// So much is given along with an offer here, at most.
const FIRST_MAX: usize = 31;

const NAMES: [&str; 3] = ["", "a", "b"];

/// Whatever the other end sends and the application does, in any order: what is sent is frames, in
/// the order that a channel's life has; each channel is terminated once at the most, with nothing
/// behind it; no more is acknowledged than came; and what is kept has its bounds.
///
/// The input's first byte is how the connection is set up. Then come actions: a byte of 16 or more
/// is how many bytes are received, less 15, and they follow; 15 is a sound frame, told by four
/// bytes; less is what the application does, with a byte for the details.
pub fn mux_connection(data: &[u8]) {
    let [kind, data @ ..] = data else { return };
    let version = [Version::V1, Version::V2, Version::V3][usize::from(kind % 3)];
    let odd = kind & 0x80 == 0;
    let seeded = if version == Version::V3 { vec![16; usize::from(kind >> 5 & 1)] } else { vec![] };
    let limits = Limits {
        payload_bytes_max: 1 << 16,
        offers_waiting_max: 4,
        channels_max: CHANNELS_MAX,
        windows_bytes_max: 200_000,
        v1_buffer_bytes: 1000,
        ..Limits::default()
    };
    let mut options = Options::new(version);
    (options.seeded, options.limits) = (seeded.clone(), limits.clone());
    (options.window_bytes, options.window_max_bytes) = (30_000, 100_000);
    (options.growth_budget_bytes, options.fault_open_channels) = (150_000, kind & 0x40 != 0);
    let mut run = Run {
        machine: Machine::new(options, odd),
        received: Frames::new(version, odd, &limits),
        sent: Frames::new(version, !odd, &Limits::default()),
        lives: HashMap::new(),
        last: None,
        version,
    };
    let mut input = data;
    while let Some((action, rest)) = input.split_first() {
        input = run.act(*action, rest);
        run.machine.events();
        let channels = run.machine.channels();
        assert!(channels <= CHANNELS_MAX + seeded.len() + run.machine.held());
        let (kept, forgotten) = run.machine.kept();
        assert!(kept <= channels * KEPT_MAX, "{kept} bytes of {channels} channels");
        assert_eq!(forgotten, 0, "bytes are kept for nobody");
    }
    run.flush(true);
    while run.machine.held() > 0 {
        run.machine.release(0);
    }
    run.flush(true);
    run.machine.close();
    run.flush(true);
    // A seeded channel that was never taken is there as long as the connection.
    assert!(run.machine.channels() <= seeded.len(), "channels are kept for nobody");
}

/// What the wire has told of a channel, as this end sees it.
#[derive(Debug, Default)]
struct Life {
    /// How often the other end has offered it, and whether it has accepted it.
    offers: usize,
    accepted: bool,
    /// How much content came, and how much was acknowledged.
    came: u64,
    acknowledged: u64,
    terminations: usize,
    /// What was sent since the last termination.
    sent: Vec<u8>,
}

struct Run {
    machine: Machine,
    received: Frames,
    sent: Frames,
    lives: HashMap<ChannelId, Life>,
    last: Option<ChannelId>,
    version: Version,
}

impl Run {
    /// Does `action` and tells what is left of the input.
    fn act<'a>(&mut self, action: u8, input: &'a [u8]) -> &'a [u8] {
        if action >= 16 {
            let (bytes, rest) = input.split_at(usize::from(action - 15).min(input.len()));
            self.receive(bytes);
            return rest;
        }
        if action == 15 {
            let Some((told, rest)) = input.split_first_chunk::<4>() else { return &[] };
            let mut bytes = Vec::new();
            self.sound(*told, &mut bytes);
            self.receive(&bytes);
            return rest;
        }
        let Some((detail, rest)) = input.split_first() else { return &[] };
        let (place, more) = (usize::from(detail & 7), usize::from(detail >> 3));
        let name = NAMES[place % NAMES.len()];
        let window = [None, Some(16), Some(1000), Some(60_000)][more % 4];
        let text = [None, Some("Error: no")][more % 2];
        let number = place as u64;
        let machine = &mut self.machine;
        match action {
            0 => machine.offer(name, window, &[7; FIRST_MAX][..more]),
            1 => machine.accept(name, window),
            2 => machine.accept_number(number, window),
            3 => machine.reject(number, text),
            4 => machine.next_offer(),
            5 => machine.write(place, &vec![7; 1 + more * 700]),
            6 => machine.write(place, &vec![7; 1 + more * 7000]),
            7 => machine.finish(place),
            8 => machine.read(place),
            9 => machine.stop_reading(place),
            10 => machine.terminate(place, text),
            11 => machine.release(place),
            12 => self.flush(more % 2 == 0),
            13 if more == 31 => machine.close(),
            14 if more == 31 => machine.end_of_input(),
            _ => {}
        }
        rest
    }

    /// Writes a frame that may be sent, if not now.
    fn sound(&self, [code, channel, low, high]: [u8; 4], out: &mut Vec<u8>) {
        let code = code % 9;
        let source = [Source::Local, Source::Remote, Source::Seeded, Source::Remote]
            [usize::from(channel >> 6)];
        let number = u16::from_be_bytes([high, low]);
        let [high, low] = number.to_be_bytes();
        let array = [0x91, 0xcd, high, low];
        let payload = match (code, self.version) {
            (2, _) => vec![9; usize::from(number)],
            (0, Version::V1) => NAMES[usize::from(low) % NAMES.len()].into(),
            (_, Version::V1) => Vec::new(),
            (0, _) => {
                let name = NAMES[usize::from(low) % NAMES.len()].as_bytes();
                let mut payload = vec![0x92, 0xa0 | name.len() as u8];
                payload.extend_from_slice(name);
                payload.extend_from_slice(&array[1..]);
                payload
            }
            (1 | 5 | 7, _) => array.to_vec(),
            (4, _) if high > 0x80 => vec![0x91, 0xa1, b'x'],
            _ => Vec::new(),
        };
        write(out, self.version, code, id(u64::from(channel & 7), source), &payload);
    }

    /// Notes what comes before the machine sees it: of what it has not handled, too much is noted.
    fn receive(&mut self, bytes: &[u8]) {
        let mut parts = Vec::new();
        self.received.read(bytes, &mut parts);
        for part in parts {
            match part {
                Part::Frame { code, id, .. } => {
                    self.last = Some(id);
                    let life = self.lives.entry(id).or_default();
                    life.offers += usize::from(code == 0);
                    life.accepted |= code == 1;
                }
                Part::Piece(piece) => {
                    let life = self.last.and_then(|id| self.lives.get_mut(&id));
                    life.expect("a piece follows its head").came += piece.len() as u64;
                }
            }
        }
        self.machine.receive(bytes);
    }

    /// Takes what is sent, and holds it against what may be.
    fn flush(&mut self, sent: bool) {
        let bytes = self.machine.output(sent);
        let mut parts = Vec::new();
        self.sent.read(&bytes, &mut parts);
        assert_eq!(self.sent.failed(), None, "{}", bytes.escape_ascii());
        assert!(self.sent.is_between_frames(), "{}", bytes.escape_ascii());
        for part in parts {
            if let Part::Frame { code, id, payload, content } = part {
                self.is_in_order(code, seen_from_there(id), &payload, content);
            }
        }
    }

    fn is_in_order(&mut self, code: u8, id: ChannelId, payload: &[u8], content: u32) {
        let life = self.lives.entry(id).or_default();
        let theirs = id.source() == Source::Remote;
        if theirs {
            // A number that is offered anew after its end is a channel anew.
            assert!(life.terminations < life.offers, "{code} about {id}, which is over");
        } else {
            assert_eq!(life.terminations, 0, "{code} about {id}, which is over");
        }
        let before = |code: u8| life.sent.contains(&code);
        if self.version == Version::V1 {
            assert!(code < 5 && (code == 0 || code == 2 || payload.is_empty()), "{code} in v1");
        }
        match id.source() {
            Source::Local => assert_eq!(code == 0, life.sent.is_empty(), "{code} about {id}"),
            Source::Remote => {
                assert_ne!(code, 0, "an offer of {id}");
                assert!(code == 4 || (code == 1) == life.sent.is_empty(), "{code} about {id}");
            }
            Source::Seeded => assert!(code > 1, "{code} about {id}"),
        }
        match code {
            2 => {
                assert!((1..=CONTENT_MAX).contains(&(content as usize)), "{content} bytes");
                assert!(!before(3), "content of {id} behind its end");
                // Before the answer nothing is sent but what was given along with the offer.
                let first = life.sent == [0] && content as usize <= FIRST_MAX;
                let waits = !life.accepted && id.source() == Source::Local;
                assert!(first || !waits, "content of {id}");
            }
            3 => assert!(!before(3), "the second end of {id}"),
            5 => {
                life.acknowledged += number(payload);
                assert!(life.acknowledged <= life.came, "{id}: more is acknowledged than came");
            }
            6 => assert!(!before(6), "the second 6 of {id}"),
            _ => {}
        }
        life.sent.push(code);
        if code == 4 {
            life.terminations += 1;
            life.sent.clear();
        }
    }
}

/// The number in an array of one, as it is written here.
fn number(payload: &[u8]) -> u64 {
    match payload {
        [0x91, small @ ..=0x7f] => u64::from(*small),
        [0x91, 0xcc..=0xcf, digits @ ..] => {
            digits.iter().fold(0, |number, digit| number << 8 | u64::from(*digit))
        }
        other => panic!("no array of a number: {other:?}"),
    }
}
