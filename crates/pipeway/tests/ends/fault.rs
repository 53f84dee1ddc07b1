//! Across the border, one of the processes on the way is killed.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::harness::{Room, WATCHDOG, kill, until_gone};
use crate::presence::{children, until};
use crate::way::{Route, Way};

/// A service that sends everything back.
fn echo(room: &Room) -> String {
    let socket = room.path("echo.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    format!("unix:{}", socket.display())
}

/// A session that is up from end to end.
fn session(way: &Way) -> UnixStream {
    let mut stream = UnixStream::connect(&way.front).unwrap();
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut word = [0; 5];
    stream.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"hello");
    stream
}

/// Its end comes, and nothing before it.
#[track_caller]
fn ends(mut stream: UnixStream) {
    match stream.read(&mut [0]) {
        Ok(length) => assert_eq!(length, 0),
        // A reset is as good an end as any.
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

fn open() -> (Room, Way) {
    let room = Room::new();
    let to = echo(&room);
    let way = Way::open(Route::Border, &room, &to, &["--raw"], &[]);
    (room, way)
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_killed_guest_of_windows_ends_its_sessions_and_is_replaced() {
    let (_room, way) = open();
    let cut = session(&way);
    let guest = way.guest();
    assert!(kill("KILL", guest));
    ends(cut);
    session(&way);
    assert_ne!(way.guest(), guest);
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_guest_of_windows_ends_with_the_bridge_that_was_killed() {
    let (_room, way) = open();
    let cut = session(&way);
    let guest = way.guest();
    way.bridge.signal("KILL");
    ends(cut);
    // Its input has ended. Nobody waits for it but this system's first process.
    until_gone(guest);
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_killed_bridge_of_windows_ends_its_sessions_and_leaves_no_guest_in_wsl() {
    let (_room, way) = open();
    let cut = session(&way);
    let [windows, server] = &way.behind[..] else { panic!("a bridge and the Linux side") };
    assert_eq!(children(server.id()).len(), 1);
    windows.signal("KILL");
    ends(cut);
    // wsl.exe is in a job that ends with the bridge, and the guest's input ends with it.
    until(|| children(server.id()), Vec::is_empty);
}
