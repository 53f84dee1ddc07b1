//! Much through a raw way: many bytes, many sessions, and one that nobody reads.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Room, WATCHDOG};
use crate::way::{Route, Way};

const GIB: u64 = 1 << 30;

/// A way to a listener of the test's own. The pipe, where there is one, has half-closes.
fn open(route: Route, room: &Room) -> (UnixListener, Way) {
    let socket = room.path("service.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let to = format!("unix:{}", socket.display());
    let way = Way::open(route, room, &to, &["--raw"], &["--half-close", "message"]);
    (listener, way)
}

fn session(listener: &UnixListener, way: &Way) -> [UnixStream; 2] {
    let client = UnixStream::connect(&way.front).unwrap();
    let (service, _) = listener.accept().unwrap();
    for stream in [&client, &service] {
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        stream.set_write_timeout(Some(WATCHDOG)).unwrap();
    }
    [client, service]
}

/// A number that depends on each byte and its place.
fn mix(sum: u64, word: u64) -> u64 {
    (sum.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// Sends so many bytes that no pattern of lengths repeats, and ends; their sum.
fn send(mut to: &UnixStream, mut seed: u64, bytes: u64) -> u64 {
    let mut sum = 0;
    let mut left = bytes;
    let mut piece = vec![0; 99_992];
    while left > 0 {
        let length = left.min(piece.len() as u64) as usize;
        for word in piece[..length].chunks_exact_mut(8) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            word.copy_from_slice(&seed.to_le_bytes());
            sum = mix(sum, seed);
        }
        to.write_all(&piece[..length]).unwrap();
        left -= length as u64;
    }
    to.shutdown(Shutdown::Write).unwrap();
    sum
}

/// Reads to the end; the sum, and how many there were.
fn receive(mut from: &UnixStream) -> (u64, u64) {
    let (mut sum, mut count) = (0, 0);
    let mut piece = vec![0; 1 << 16];
    let mut held = 0;
    loop {
        let length = from.read(&mut piece[held..]).unwrap();
        if length == 0 {
            assert_eq!(held, 0, "the last word is whole");
            return (sum, count);
        }
        count += length as u64;
        let filled = held + length;
        let words = piece[..filled].chunks_exact(8);
        held = words.remainder().len();
        sum = words.fold(sum, |sum, word| mix(sum, u64::from_le_bytes(word.try_into().unwrap())));
        piece.copy_within(filled - held..filled, 0);
    }
}

fn much_goes_both_ways(route: Route, bytes: u64) {
    let room = Room::new();
    let (listener, way) = open(route, &room);
    let [client, service] = session(&listener, &way);
    let began = Instant::now();
    thread::scope(|scope| {
        let up = scope.spawn(|| send(&client, 1, bytes));
        let down = scope.spawn(|| send(&service, 2, bytes));
        let came_up = scope.spawn(|| receive(&service));
        let came_down = receive(&client);
        assert_eq!(came_up.join().unwrap(), (up.join().unwrap(), bytes));
        assert_eq!(came_down, (down.join().unwrap(), bytes));
    });
    let mib = bytes as f64 / f64::from(1 << 20);
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{route:?}: {mib} MiB each way at once in {seconds:.2} s, as it was sent");
}

fn hundreds_are_open_at_once(route: Route) {
    const COUNT: usize = 500;
    let room = Room::new();
    let (listener, way) = open(route, &room);
    let sessions: Vec<_> = (0..COUNT).map(|_| session(&listener, &way)).collect();
    for (number, [client, service]) in sessions.iter().enumerate() {
        (&*client).write_all(number.to_string().as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        (&*service).read_to_string(&mut text).unwrap();
        assert_eq!(text, number.to_string());
        (&*service).write_all(text.as_bytes()).unwrap();
    }
    // The last is closed first.
    for (number, [client, service]) in sessions.into_iter().enumerate().rev() {
        drop(service);
        let mut text = String::new();
        (&client).read_to_string(&mut text).unwrap();
        assert_eq!(text, number.to_string());
    }
    drop(way);
}

fn one_that_is_not_read_holds_up_no_other(route: Route) {
    // Windows, pipes and sockets' buffers on the way.
    const MOST: usize = 64 << 20;
    let room = Room::new();
    let (listener, way) = open(route, &room);
    let [stuck, mut flood] = session(&listener, &way);
    flood.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let piece = vec![7; 1 << 16];
    let mut taken = 0;
    // Until nothing more is taken.
    while let Ok(length) = flood.write(&piece) {
        taken += length;
        assert!(taken < MOST, "{taken} bytes were taken and nobody reads");
    }
    let [mut other, mut service] = session(&listener, &way);
    for _ in 0..10 {
        let mut byte = [0];
        other.write_all(b"?").unwrap();
        service.read_exact(&mut byte).unwrap();
        service.write_all(b"!").unwrap();
        other.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"!");
    }
    // What was taken is still to be had.
    drop(flood);
    let mut stuck = stuck.take(MOST as u64);
    let mut all = Vec::new();
    stuck.read_to_end(&mut all).unwrap();
    assert!(all.len() == taken && all.iter().all(|byte| *byte == 7), "{} of {taken}", all.len());
}

#[test]
fn much_goes_both_ways_through_a_link_as_it_was() {
    much_goes_both_ways(Route::Link, GIB);
}

#[test]
fn five_hundred_sessions_are_open_at_once_through_a_link() {
    hundreds_are_open_at_once(Route::Link);
}

#[test]
fn a_session_through_a_link_that_is_not_read_holds_up_no_other() {
    one_that_is_not_read_holds_up_no_other(Route::Link);
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn much_goes_both_ways_across_the_border_as_it_was() {
    much_goes_both_ways(Route::Border, GIB / 16);
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn five_hundred_sessions_are_open_at_once_across_the_border() {
    hundreds_are_open_at_once(Route::Border);
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_session_across_the_border_that_is_not_read_holds_up_no_other() {
    one_that_is_not_read_holds_up_no_other(Route::Border);
}
