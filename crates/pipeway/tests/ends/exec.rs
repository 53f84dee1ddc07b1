//! `docker exec -i`: a client makes bytes both ways of a connection of HTTP (`Upgrade: tcp`), whose
//! directions end one by one. By Docker's client, and written out by hand.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

use crate::docker::docker;
use crate::engine::{CODE, Ends, STDERR, STDOUT, WELCOME, engine};
use crate::harness::{Room, WATCHDOG, is_left_out, run};
use crate::way::{Route, Way};

const SIZE: usize = 1_000_003;

/// A bridge for HTTP, and one that passes on bytes.
const KINDS: [&[&str]; 2] = [&[], &["--raw"]];

/// The bridge's pipe that can carry the end of one direction.
const HALVES: &[&str] = &["--half-close", "message"];

fn pattern() -> Vec<u8> {
    (0..SIZE).map(|at| (at % 251) as u8).collect()
}

fn input_comes_back(route: Route, bridge: &[&str], pipe: &[&str], ends: Ends) {
    if is_left_out(&["docker"]) {
        return;
    }
    let room = Room::new();
    let engine = engine(ends);
    let way = Way::open(route, &room, &engine.endpoint(), bridge, pipe);
    let exec = docker(&room, &way.url(), &["exec", "-i", "box", "cat"]);
    let ended = run(exec, &pattern()).exits_with(CODE);
    assert_eq!(ended.stderr, format!("{WELCOME}{SIZE} bytes came\n"));
    assert!(ended.stdout == pattern(), "{} bytes came back", ended.stdout.len());
    let nothing = docker(&room, &way.url(), &["exec", "nobody", "cat"]);
    run(nothing, b"").exits_with(1).says("No such container: nobody");
    drop(way);
}

/// A client by hand.
struct Attached(BufReader<UnixStream>);

impl Attached {
    /// One that has seen the welcome.
    fn open(way: &Way) -> Self {
        let mut stream = UnixStream::connect(&way.front).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        stream.set_write_timeout(Some(WATCHDOG)).unwrap();
        let body = r#"{"Detach":false,"Tty":false}"#;
        let head = format!(
            "POST /v1.41/exec/run/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).unwrap() > 0, "no whole head: {head:?}");
        }
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.to_lowercase().contains("\r\nupgrade: tcp\r\n"), "{head}");
        let mut attached = Attached(stream);
        assert_eq!(attached.frame(), Some((STDERR, WELCOME.into())));
        attached
    }

    /// The next frame; `None` at the output's end.
    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        if self.0.fill_buf().unwrap().is_empty() {
            return None;
        }
        let mut head = [0; 8];
        self.0.read_exact(&mut head).unwrap();
        let [stream, _, _, _, length @ ..] = head;
        let mut data = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut data).unwrap();
        Some((stream, data))
    }
}

/// Each is answered while the other is still written; the input's end is the command's.
fn the_end_of_the_input_arrives_and_the_output_goes_on(route: Route, kind: &[&str]) {
    let room = Room::new();
    let engine = engine(Ends::WithInput);
    let way = Way::open(route, &room, &engine.endpoint(), kind, HALVES);
    let mut attached = Attached::open(&way);
    attached.0.get_mut().write_all(b"typed\n").unwrap();
    assert_eq!(attached.frame(), Some((STDOUT, b"typed\n".to_vec())), "{kind:?}");
    let mut input = attached.0.get_ref().try_clone().unwrap();
    let writer = thread::spawn(move || {
        input.write_all(&pattern()).unwrap();
        input.shutdown(Shutdown::Write).unwrap();
    });
    let mut back = Vec::new();
    let told = loop {
        match attached.frame().unwrap() {
            (STDOUT, data) => back.extend(data),
            told => break told,
        }
    };
    writer.join().unwrap();
    assert!(back == pattern(), "{kind:?}: {} bytes came back", back.len());
    assert_eq!(told, (STDERR, format!("{} bytes came\n", SIZE + 6).into()), "{kind:?}");
    assert_eq!(attached.frame(), None, "{kind:?}");
}

fn the_end_of_the_output_arrives_and_the_input_goes_on(route: Route, kind: &[&str]) {
    let room = Room::new();
    let (input_tx, input_rx) = mpsc::channel();
    let engine = engine(Ends::First(input_tx));
    let way = Way::open(route, &room, &engine.endpoint(), kind, HALVES);
    let mut attached = Attached::open(&way);
    assert_eq!(attached.frame(), None, "{kind:?}");
    attached.0.get_mut().write_all(b"typed after the end").unwrap();
    attached.0.get_mut().shutdown(Shutdown::Write).unwrap();
    assert_eq!(input_rx.recv_timeout(WATCHDOG).unwrap(), b"typed after the end", "{kind:?}");
}

#[test]
fn input_and_its_end_go_through_a_raw_link() {
    input_comes_back(Route::Link, &["--raw"], &[], Ends::WithInput);
}

#[test]
fn input_and_its_end_go_through_an_http_link() {
    input_comes_back(Route::Link, &[], &[], Ends::WithInput);
}

#[test]
fn the_end_of_an_attached_input_arrives_and_the_output_goes_on() {
    for kind in KINDS {
        the_end_of_the_input_arrives_and_the_output_goes_on(Route::Link, kind);
    }
}

#[test]
fn the_end_of_an_attached_output_arrives_and_the_input_goes_on() {
    for kind in KINDS {
        the_end_of_the_output_arrives_and_the_input_goes_on(Route::Link, kind);
    }
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn input_and_its_end_go_across_the_border_through_a_pipe_of_messages() {
    input_comes_back(Route::Border, &["--raw"], HALVES, Ends::WithInput);
}

/// The pipe of an HTTP bridge is one of bytes, and can't carry the end of one direction alone.
#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn input_goes_across_the_border_through_an_http_bridge() {
    input_comes_back(Route::Border, &[], &[], Ends::After(SIZE));
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn either_direction_of_an_attached_command_ends_first_across_the_border() {
    the_end_of_the_input_arrives_and_the_output_goes_on(Route::Border, &["--raw"]);
    the_end_of_the_output_arrives_and_the_input_goes_on(Route::Border, &["--raw"]);
}
