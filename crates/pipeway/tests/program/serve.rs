use crate::harness::{Room, Running, Service, unique_local};

fn bridge(listen: &str, to: &str) -> String {
    format!("[[bridge]]\nlisten = \"{listen}\"\nto = \"{to}\"\n")
}

#[test]
fn every_bridge_of_a_file_serves() {
    let room = Room::new();
    let one = Service::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    let two = Service::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
    let (first, second) = (unique_local(), unique_local());
    let text = bridge(&first, &one.endpoint()) + &bridge(&second, &two.endpoint());
    room.file("pipeway/pipeway.toml", text);
    let running = Running::start(room.pipeway(["serve"]));
    assert!(running.line().starts_with("ready "));
    assert!(running.line().starts_with("ready "));
    assert_eq!(room.run(["curl", &first, "/"]).exits_with(0).stdout(), "one");
    assert_eq!(room.run(["curl", &second, "/"]).exits_with(0).stdout(), "two");
}

#[test]
fn none_serves_if_one_can_not_listen() {
    let room = Room::new();
    let service = Service::mirror();
    let (taken, _holder) = room.bridge(&service.endpoint(), &[]);
    let free = unique_local();
    let text = bridge(&free, &service.endpoint()) + &bridge(&taken, &service.endpoint());
    room.file("f.toml", text);
    let ended = room.run(["serve", "--config", "f.toml"]).exits_with(4).says("is taken by");
    assert_eq!(ended.stdout(), "", "no bridge may say that it is ready");
    room.run(["curl", &free, "/"]).exits_with(7);
}

#[test]
fn a_wrong_file_starts_nothing() {
    let room = Room::new();
    let listen = unique_local();
    room.file("f.toml", bridge(&listen, "tcp:127.0.0.1:80") + "nonsense = 1\n");
    let ended = room.run(["serve", "--config", "f.toml"]).exits_with(3);
    assert_eq!(ended.stdout(), "");
    ended
        .says("f.toml:4:1: unknown key `nonsense` in bridge")
        .says("1 problem; nothing was started");
}

#[test]
#[cfg_attr(windows, ignore = "signals are sent with kill(1)")]
fn a_signal_ends_all_bridges_with_0() {
    let room = Room::new();
    let text =
        bridge(&unique_local(), "tcp:127.0.0.1:9") + &bridge(&unique_local(), "tcp:127.0.0.1:9");
    room.file("f.toml", text);
    let running = Running::start(room.pipeway(["serve", "--config", "f.toml"]));
    running.line();
    running.line();
    running.signal("TERM");
    running.end().exits_with(0);
}

#[test]
fn an_events_file_that_can_not_be_made_stops_the_start() {
    let room = Room::new();
    room.file("f.toml", bridge(&unique_local(), "tcp:127.0.0.1:9"));
    let args = ["serve", "--config", "f.toml", "--events", "absent/events.jsonl"];
    let ended = room.run(args).exits_with(1).says("can't write events to");
    assert_eq!(ended.stdout(), "");
}

#[test]
fn what_is_no_events_file_is_told_with_what_would_be_one() {
    let room = Room::new();
    room.file("f.toml", bridge(&unique_local(), "tcp:127.0.0.1:9"));
    let refused = |to: &str, hint: &str| {
        let args = ["serve", "--config", "f.toml", "--events", to];
        let ended = room.run(args).exits_with(1).says("can't write events to").says(hint);
        assert_eq!(ended.stdout(), "");
    };
    refused(".", "name a file in it");
    #[cfg(unix)]
    refused("/dev/null", "--events none");
}
