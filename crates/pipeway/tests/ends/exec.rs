//! `docker exec -i`: Docker's client makes bytes both ways of a connection of HTTP
//! (`Upgrade: tcp`), and ends its own direction first.

use crate::docker::docker;
use crate::engine::{CODE, engine};
use crate::harness::{Room, is_left_out, run};
use crate::way::{Route, Way};

/// `ends_after` where the way can't carry the end of one direction.
fn input_comes_back(route: Route, bridge: &[&str], pipe: &[&str], ends_after: Option<usize>) {
    if is_left_out(&["docker"]) {
        return;
    }
    let room = Room::new();
    let engine = engine(ends_after);
    let way = Way::open(route, &room, &engine.endpoint(), bridge, pipe);
    let input: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
    let exec = docker(&room, &way.url(), &["exec", "-i", "box", "cat"]);
    let ended = run(exec, &input).exits_with(CODE);
    assert_eq!(ended.stderr, format!("{SIZE} bytes came\n"));
    assert!(ended.stdout == input, "{} bytes came back", ended.stdout.len());
    let nothing = docker(&room, &way.url(), &["exec", "nobody", "cat"]);
    run(nothing, b"").exits_with(1).says("No such container: nobody");
    drop(way);
}

const SIZE: usize = 1_000_003;

#[test]
fn input_and_its_end_go_through_a_raw_link() {
    input_comes_back(Route::Link, &["--raw"], &[], None);
}

#[test]
fn input_and_its_end_go_through_an_http_link() {
    input_comes_back(Route::Link, &[], &[], None);
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn input_and_its_end_go_across_the_border_through_a_pipe_of_messages() {
    input_comes_back(Route::Border, &["--raw"], &["--half-close", "message"], None);
}

/// The pipe of an HTTP bridge is one of bytes, and can't carry the end of one direction alone.
#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn input_goes_across_the_border_through_an_http_bridge() {
    input_comes_back(Route::Border, &[], &[], Some(SIZE));
}
