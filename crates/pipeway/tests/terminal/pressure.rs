//! Clients that are slow, that write in pieces, or that paste a lot.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::conversation::{ByHand, Came, Conversation, Tap};
use crate::harness::WATCHDOG;
use crate::presence::{children, peak_kib, resident_kib};
use crate::scene::{PLACES, Place, Scene};
use crate::terminal::{Terminal, Told, typed};
use crate::wire::{CONTINUATION, Frame, TEXT, handshake};

/// A connection on which requests go round.
struct Rounds {
    stream: BufReader<UnixStream>,
}

impl Rounds {
    fn new(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        Rounds { stream: BufReader::new(stream) }
    }

    /// One request to the agent and back: whatever was sent before on another connection has been
    /// there to be read for that long.
    fn go(&mut self) {
        self.stream
            .get_mut()
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0);
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        self.stream.read_exact(&mut vec![0; length]).unwrap();
    }
}

/// Bytes in which a lost, doubled or moved part shows; no control characters.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| b' ' + ((at * 31 + at / 95) % 95) as u8).collect()
}

/// Reads output until there are so many bytes of it.
fn output<C: Conversation>(terminal: &mut Terminal<C>, length: usize) -> Vec<u8> {
    let mut output = std::mem::take(&mut terminal.unseen);
    while output.len() < length {
        match terminal.message() {
            Told::Output(data) => output.extend(data),
            other => panic!("{other:?} after {} bytes", output.len()),
        }
    }
    output
}

#[test]
fn output_that_is_not_read_waits_and_comes_in_order() {
    not_read(Place::Socket);
}

#[test]
fn output_through_a_link_that_is_not_read_waits_and_comes_in_order() {
    not_read(Place::Link);
}

fn not_read(place: Place) {
    const LAST: u32 = 3_000_000;
    // What is kept of 26 MB; 0.4 MB were measured.
    const GROWTH_KIB: u64 = 4 * 1024;
    let scene = Scene::new(place, &[]);
    let mut rounds = Rounds::new(&scene.socket());
    rounds.go();
    let guest = (place == Place::Link).then(|| scene.guest());
    let pids: Vec<u32> =
        [scene.agent.running.id(), scene.bridge.id()].into_iter().chain(guest).collect();
    let before: Vec<u64> = pids.iter().copied().map(resident_kib).collect();
    // 26 MB that `yes` would write as well, but whose order is known.
    let cmd = format!("stty -onlcr; echo '[ready]'; seq 1 {LAST}");
    let mut terminal = Terminal::start(ByHand::open(&scene.socket(), None), &cmd, 80, 24);
    terminal.sees("[ready]\n");
    // Nothing of the output is read meanwhile, and everybody else is served.
    (0..2000).for_each(|_| rounds.go());
    assert_ne!(children(pids[0]), [""; 0], "the command waits");
    for (&pid, before) in pids.iter().zip(before) {
        let growth = peak_kib(pid).saturating_sub(before);
        assert!(growth < GROWTH_KIB, "{growth} KiB more than {before} KiB");
    }
    let mut rest = std::mem::take(&mut terminal.unseen);
    let mut next = 1;
    while next <= LAST {
        match terminal.message() {
            Told::Output(data) => rest.extend(data),
            other => panic!("{other:?} before {next}"),
        }
        let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in rest.drain(..end).collect::<Vec<_>>().split_inclusive(|byte| *byte == b'\n') {
            assert_eq!(std::str::from_utf8(line).unwrap(), format!("{next}\n"));
            next += 1;
        }
    }
    assert_eq!(terminal.exit(), 0);
}

#[test]
fn a_killed_client_that_did_not_read_leaves_no_command() {
    use crate::faults::KNOWN;
    use crate::presence::Presence;
    use std::time::Instant;

    let scene = Scene::new(Place::Socket, &[]);
    let presence = Presence::new(&scene.room, "presence");
    let mut rounds = Rounds::new(&scene.socket());
    let conversation = ByHand::open(&scene.socket(), None);
    let terminal = Terminal::start(conversation, &presence.of("@; exec yes"), 80, 24);
    presence.ready();
    (0..500).for_each(|_| rounds.go());
    let left = Instant::now();
    drop(terminal);
    let gone = presence.gone_after(left);
    assert!(gone < KNOWN, "gone after {gone:?}");
}

#[test]
fn a_client_that_reads_byte_by_byte_gets_all() {
    let scene = Scene::new(Place::Port, &[]);
    let mut conversation = ByHand::open(&scene.socket(), scene.token());
    conversation.read_size = 1;
    let mut terminal = Terminal::start(conversation, "stty -onlcr; seq 1 2000; exit 9", 80, 24);
    assert_eq!(terminal.exit(), 9);
    let expected: String = (1..=2000).map(|number| format!("{number}\n")).collect();
    assert_eq!(terminal.screen(), expected);
}

#[test]
fn a_session_that_is_written_byte_by_byte_works() {
    let scene = Scene::new(Place::Socket, &[]);
    let mut tap = Tap::connect(&scene.socket());
    let one_by_one = |tap: &mut Tap, bytes: &[u8]| {
        bytes.iter().for_each(|byte| tap.write_all(&[*byte]).unwrap());
    };
    one_by_one(&mut tap, handshake(None).as_bytes());
    let mut hand = ByHand::with(tap);
    for message in [
        crate::terminal::start("stty -echo; echo '[ready]'; read -r line; exit ${#line}", 80, 24),
        typed(b"seven77\n"),
    ] {
        let bytes = hand.encode(&Frame::of(TEXT, message.to_string()));
        one_by_one(&mut hand.tap, &bytes);
    }
    let mut terminal = Terminal { conversation: hand, unseen: Vec::new() };
    assert_eq!(terminal.exit(), 7);
}

#[test]
fn a_frame_split_at_any_point_is_one_message() {
    let scene = Scene::new(Place::Socket, &[]);
    let mut rounds = Rounds::new(&scene.socket());
    let conversation = ByHand::open(&scene.socket(), None);
    let mut terminal =
        Terminal::start(conversation, "stty raw -echo; echo '[ready]'; exec cat", 80, 24);
    terminal.sees("[ready]\n");
    // A short frame at every point; frames with longer lengths at every point of their heads.
    let short = typed(b"short").to_string().len() + 6;
    let points = (1..short).map(|point| (5, point)).chain((1..=10).map(|point| (600, point)));
    for (length, point) in points.chain((1..=16).map(|point| (70_000, point))) {
        let text = pattern(length);
        let frame = Frame::of(TEXT, typed(&text).to_string());
        let bytes = terminal.conversation.encode(&frame);
        terminal.conversation.tap.write_all(&bytes[..point]).unwrap();
        rounds.go();
        terminal.conversation.tap.write_all(&bytes[point..]).unwrap();
        assert!(output(&mut terminal, length) == text, "{length} split at {point}");
    }
}

#[test]
fn a_message_in_a_thousand_frames_with_pings_between_is_one_message() {
    const LAST_PING: usize = 750;
    let scene = Scene::new(Place::Socket, &[]);
    let conversation = ByHand::open(&scene.socket(), None);
    let mut terminal =
        Terminal::start(conversation, "stty raw -echo; echo '[ready]'; exec cat", 80, 24);
    terminal.sees("[ready]\n");
    let text = pattern(3000);
    let message = typed(&text).to_string().into_bytes();
    let pieces: Vec<&[u8]> = message.chunks(message.len().div_ceil(1000)).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let opcode = if at == 0 { TEXT } else { CONTINUATION };
        let is_last = at + 1 == pieces.len();
        terminal.conversation.send_frame(&Frame { is_last, ..Frame::of(opcode, *piece) });
        if at <= LAST_PING && at % 100 == 50 {
            terminal.conversation.ping(&[at as u8]);
        }
    }
    // Of several pings the last alone must be answered (RFC 6455, 5.5.3).
    let (mut last_pong, mut back) = (Vec::new(), Vec::new());
    while back.len() < text.len() || last_pong != [LAST_PING as u8] {
        match terminal.message() {
            Told::Output(data) => back.extend(data),
            Told::Else(Came::Pong(payload)) => last_pong = payload,
            other => panic!("{other:?}"),
        }
    }
    assert!(back == text);
}

#[test]
fn a_mebibyte_pasted_comes_back_whole() {
    for place in PLACES {
        let scene = Scene::new(place, &[]);
        let text = pattern(1 << 20);
        let cmd = format!("stty raw -echo; echo '[ready]'; exec head -c {}", text.len());
        let conversation = ByHand::open(&scene.socket(), scene.token());
        let mut terminal = Terminal::start(conversation, &cmd, 80, 24);
        terminal.sees("[ready]\n");
        terminal.conversation.write_from_a_thread();
        for piece in text.chunks(20_000) {
            terminal.conversation.send_frame(&Frame::of(TEXT, typed(piece).to_string()));
        }
        assert!(output(&mut terminal, text.len()) == text);
        assert_eq!(terminal.exit(), 0);
    }
}

#[test]
fn a_mebibyte_in_one_message_is_typed_whole() {
    let scene = Scene::new(Place::Socket, &[]);
    let text = pattern(1 << 20);
    let file = scene.room.path("pasted");
    let (length, path) = (text.len(), file.display());
    let cmd = format!("stty raw -echo; echo '[ready]'; head -c {length} > '{path}'; echo '[done]'");
    let conversation = ByHand::open(&scene.socket(), None);
    let mut terminal = Terminal::start(conversation, &cmd, 80, 24);
    terminal.sees("[ready]\n");
    terminal.conversation.send_frame(&Frame::of(TEXT, typed(&text).to_string()));
    terminal.sees("[done]\n");
    assert!(std::fs::read(&file).unwrap() == text);
    assert_eq!(terminal.exit(), 0);
}
