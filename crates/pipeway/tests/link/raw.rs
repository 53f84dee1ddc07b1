//! Plain bytes through a bridge and a link.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use crate::harness::{Room, Running, WATCHDOG, kill, unique_local};
use crate::rig::{PIPEWAY, children, command};

/// A raw bridge through a link to a service of the test's own.
fn scene() -> (Room, String, Running, TcpListener) {
    let room = Room::new();
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = format!("tcp:{}", service.local_addr().unwrap());
    let listen = unique_local();
    let through = command(&[PIPEWAY, "guest"]);
    let args = ["bridge", "--raw", "--listen", &listen, "--to", &to, "--through", &through];
    let bridge = Running::start(room.pipeway(args));
    assert!(bridge.line().starts_with("ready "));
    (room, listen, bridge, service)
}

fn client(room: &Room, listen: &str) -> UnixStream {
    let stream = UnixStream::connect(room.socket(listen)).unwrap();
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    stream
}

#[test]
fn each_direction_ends_by_itself() {
    let (room, listen, _bridge, service) = scene();
    let mut asks = client(&room, &listen);
    asks.write_all(b"question").unwrap();
    asks.shutdown(Shutdown::Write).unwrap();
    let (mut answers, _) = service.accept().unwrap();
    let mut text = String::new();
    answers.read_to_string(&mut text).unwrap();
    assert_eq!(text, "question");
    answers.write_all(b"answer").unwrap();
    drop(answers);
    let mut text = String::new();
    asks.read_to_string(&mut text).unwrap();
    assert_eq!(text, "answer");
}

#[test]
fn the_tail_before_a_close_is_not_lost() {
    let (room, listen, _bridge, service) = scene();
    let mut sends = client(&room, &listen);
    sends.write_all(&[7; 3_000_000]).unwrap();
    drop(sends);
    let (mut receives, _) = service.accept().unwrap();
    let mut all = Vec::new();
    receives.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), 3_000_000);
}

#[test]
fn a_lost_link_closes_the_connection_at_once_and_the_next_one_is_served() {
    let (room, listen, bridge, service) = scene();
    let mut first = client(&room, &listen);
    first.write_all(b"1").unwrap();
    let (_at_service, _) = service.accept().unwrap();
    let guests = children(bridge.id());
    assert!(kill("KILL", guests[0]));
    // An end or a reset, and no wait.
    let _ = first.read(&mut [0; 8]);
    // Of what is sent before the bridge knows of the loss nobody can say whether it arrived, so
    // that is not sent again.
    let began = Instant::now();
    while children(bridge.id()).contains(&guests[0]) {
        assert!(began.elapsed() < WATCHDOG, "the dead guest is not noticed");
        std::thread::yield_now();
    }
    let mut second = client(&room, &listen);
    second.write_all(b"2").unwrap();
    let (mut at_service, _) = service.accept().unwrap();
    let mut byte = [0];
    at_service.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"2");
}
