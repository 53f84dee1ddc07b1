use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::harness::Room;

/// On Windows the demo's name is one for all of a user's processes. A runner with a process for
/// each test has a group for these.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_demo_shows_what_went_which_way_and_exits_0() {
    let _alone = alone();
    let room = Room::new();
    let ended = room.run(["demo"]).exits_with(0);
    let shown = ended.stdout();
    for step in ["GET ", "streamed POST ", "WebSocket ", "command ", "stream ", "terminal "] {
        let line = shown.lines().find(|line| line.starts_with(step)).expect(step);
        let is_out = cfg!(windows) && step == "terminal " && line.ends_with("left out");
        assert!(is_out || line.ends_with("ok"), "{line}");
        assert!(!is_out || shown.contains("The terminal was left out, since "), "{shown}");
    }
    for title in ["transport.mode", "transport.endpoint", "upstream.mode", "status", "ms"] {
        assert!(shown.contains(title), "{title} is not in:\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "colour, and nobody sees it: {shown:?}");
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_demo_beside_another_finds_the_name_taken() {
    let _alone = alone();
    let room = Room::new();
    let args = ["bridge", "--listen", "local:pipeway-demo", "--to", "tcp:127.0.0.1:9"];
    let running = crate::harness::Running::start(room.pipeway(args));
    assert!(running.line().starts_with("ready "));
    room.run(["demo"]).exits_with(4).says(&format!("is taken by process {}", running.id()));
}
