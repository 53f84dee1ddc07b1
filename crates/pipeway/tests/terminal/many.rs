//! Many terminals at once, and nothing left of them.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use crate::conversation::{ByHand, Conversation};
use crate::presence::{children, descriptors, until};
use crate::scene::{Place, Scene};
use crate::terminal::{SHELL, Terminal};

const TERMINALS: u16 = 200;

#[test]
fn two_hundred_terminals_at_once_are_kept_apart_and_leave_nothing() {
    many(Place::Socket);
}

#[test]
fn two_hundred_terminals_at_once_through_one_link_leave_nothing() {
    many(Place::Link);
}

fn many(place: Place) {
    let scene = Scene::new(place, &[]);
    // What the first session makes for good, such as a pool's thread, is no leak.
    let socket = scene.socket();
    one(&socket, 0, || {});
    let guest = (place == Place::Link).then(|| scene.guest());
    let pids: Vec<u32> =
        [scene.agent.running.id(), scene.bridge.id()].into_iter().chain(guest).collect();
    until(|| children(pids[0]), Vec::is_empty);
    let before: Vec<usize> = pids.iter().map(|pid| until_settled(|| descriptors(*pid))).collect();

    let all_open = Barrier::new(TERMINALS.into());
    thread::scope(|scope| {
        for number in 1..=TERMINALS {
            let (socket, all_open, pids) = (&socket, &all_open, &pids);
            scope.spawn(move || {
                one(socket, number, || {
                    if all_open.wait().is_leader() {
                        assert!(children(pids[0]).len() >= TERMINALS.into());
                    }
                });
            });
        }
    });

    until(|| children(pids[0]), Vec::is_empty);
    until(|| pids.iter().copied().map(descriptors).collect::<Vec<_>>(), |now| *now == before);
    let upgrades = scene.upgrades();
    assert_eq!(upgrades.len(), usize::from(TERMINALS) + 1);
    let odd = upgrades
        .iter()
        .find(|event| event["end"] != "upstream_closed" || event.get("error.type").is_some());
    assert_eq!(odd, None, "the agent closes what has ended");
    let sessions: HashSet<_> =
        upgrades.iter().map(|event| event["connection.id"].as_str()).collect();
    assert_eq!(sessions.len(), upgrades.len());
}

/// One session that nobody else's can be taken for; `meet` is called while it is open.
fn one(socket: &Path, number: u16, meet: impl FnOnce()) {
    let mut terminal = Terminal::start(ByHand::open(socket, None), SHELL, 80, 24);
    terminal.sees("[ready]");
    meet();
    terminal.types(&format!("echo mine-$(({number}*7))\n"));
    terminal.sees(&format!("mine-{}\r\n", u32::from(number) * 7));
    terminal.resize(1000 + number, 30);
    terminal.sees(&format!("30 {}\r\n", 1000 + number));
    terminal.types(&format!("exit {}\n", number % 256));
    assert_eq!(terminal.exit(), i32::from(number % 256));
}

/// A number that is the same for many looks.
fn until_settled(mut look: impl FnMut() -> usize) -> usize {
    let (mut last, mut same) = (look(), 0);
    while same < 1000 {
        let now = look();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}
