//! What happens when one of the three dies or stops.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::conversation::{ByHand, ByLibrary, Came, Conversation};
use crate::harness::{Running, kill};
use crate::presence::Presence;
use crate::scene::{PLACES, Place, Scene, events};
use crate::terminal::{Terminal, Told, start, told};

/// In what time a death must be known at the other end.
pub const KNOWN: Duration = Duration::from_secs(2);

/// Commands that are hard to end: one that a hangup ends, one that ignores it, and one that is in
/// a process group of its own, in the foreground of its terminal.
pub const COMMANDS: [(&str, &str, bool); 3] = [
    ("plain", "@; exec sleep 1000", false),
    ("deaf", "trap '' HUP; @; while :; do sleep 1; done", false),
    ("grouped", "set -m; sh -c '@; exec sleep 1000'", true),
];

fn agent_killed<C: Conversation>(place: Place) {
    let scene = Scene::new(place, &[]);
    let presence = Presence::new(&scene.room, "presence");
    let conversation = C::open(&scene.socket(), scene.token());
    let cmd = presence.of("@; exec cat");
    let mut terminal = Terminal::start(conversation, &cmd, 80, 24);
    terminal.sees("[ready]");
    let killed = Instant::now();
    scene.agent.running.signal("KILL");
    // The end of the line that said that it is ready may come by itself.
    let last = loop {
        match terminal.conversation.receive() {
            Came::Text(_) => {}
            other => break other,
        }
    };
    // No close frame: a session that broke does not look like one that ended.
    assert_eq!(last, Came::End);
    let known = killed.elapsed();
    assert!(known < KNOWN, "known after {known:?}");
    // The terminal's other end is closed with the agent, which is a hangup.
    let gone = presence.gone_after(killed);
    assert!(gone < KNOWN, "gone after {gone:?}");
    let upgrades = scene.upgrades();
    assert_eq!(upgrades[0]["end"], "upstream_closed", "{upgrades:?}");
}

#[test]
fn a_killed_agent_is_known_to_the_client_within_two_seconds() {
    for place in PLACES {
        agent_killed::<ByHand>(place);
        agent_killed::<ByLibrary>(place);
    }
}

/// A client in a process of its own, with a terminal open in which `cmd` runs. `program` is
/// pipeway without arguments.
pub fn terminal_process(
    mut program: Command,
    endpoint: &str,
    token: Option<&str>,
    cmd: &str,
) -> Running {
    program.args(["ws", endpoint, "/v1/stream"]).args(authorization(token));
    let mut client = Running::start(program);
    client.write(format!("{}\n", start(cmd, 80, 24)).as_bytes());
    client
}

/// A client in a process of its own that has asked for `cmd` to be run.
pub fn command_process(
    mut program: Command,
    (endpoint, route): (&str, &str),
    token: Option<&str>,
    (cmd, pty): (&str, bool),
) -> Running {
    let body = json!({"cmd": cmd, "pty": pty}).to_string();
    program.args(["curl", endpoint, route, "--json", &body]).args(authorization(token));
    Running::start(program)
}

/// The arguments that show a token.
fn authorization(token: Option<&str>) -> Vec<String> {
    token.map_or(vec![], |token| vec!["-H".into(), format!("Authorization: Bearer {token}")])
}

#[track_caller]
pub fn gone_within_two_seconds(presence: &Presence, since: Instant, what: &str) {
    let gone = presence.gone_after(since);
    assert!(gone < KNOWN, "{what}: gone after {gone:?}");
}

#[test]
fn a_killed_clients_terminal_is_gone_within_two_seconds() {
    for place in PLACES {
        let scene = Scene::new(place, &[]);
        for (name, cmd, _) in COMMANDS {
            let presence = Presence::new(&scene.room, name);
            let cmd = presence.of(cmd);
            let client = terminal_process(scene.program(), &scene.endpoint(), scene.token(), &cmd);
            presence.ready();
            let killed = Instant::now();
            client.signal("KILL");
            gone_within_two_seconds(&presence, killed, name);
        }
    }
}

#[test]
fn a_job_of_an_interactive_shell_is_gone_within_two_seconds() {
    let scene = Scene::new(Place::Socket, &[]);
    let presence = Presence::new(&scene.room, "presence");
    let cmd = presence.of("@; exec sh -i");
    let mut client = terminal_process(scene.program(), &scene.endpoint(), None, &cmd);
    presence.ready();
    let typed = crate::terminal::typed(b"sh -c 'echo \"[job-$((1+1))]\"; exec sleep 1000'\n");
    client.write(format!("{typed}\n").as_bytes());
    let mut screen = Vec::new();
    while !String::from_utf8_lossy(&screen).contains("[job-2]") {
        match told(&client.line()) {
            Told::Output(data) => screen.extend(data),
            other => panic!("{other:?}"),
        }
    }
    let killed = Instant::now();
    client.signal("KILL");
    gone_within_two_seconds(&presence, killed, "the job");
}

#[test]
fn a_killed_clients_command_is_gone_within_two_seconds() {
    for place in PLACES {
        let scene = Scene::new(place, &[]);
        for route in ["/v1/execute", "/v1/execute/stream"] {
            for (name, cmd, pty) in COMMANDS {
                let presence = Presence::new(&scene.room, &format!("{name}{}", route.len()));
                let (endpoint, cmd) = (scene.endpoint(), presence.of(cmd));
                let client = command_process(
                    scene.program(),
                    (&endpoint, route),
                    scene.token(),
                    (&cmd, pty),
                );
                presence.ready();
                let killed = Instant::now();
                client.signal("KILL");
                gone_within_two_seconds(&presence, killed, &format!("{route} {name}"));
            }
        }
    }
}

#[test]
fn a_stopped_bridge_ends_within_its_drain_time_with_a_terminal_open() {
    const DRAIN: Duration = Duration::from_secs(1);
    // Each takes its drain time.
    let places = [Place::Socket, Place::Socket, Place::Link];
    for ((name, cmd, _), place) in COMMANDS.into_iter().zip(places) {
        let scene = Scene::new(place, &["--drain-timeout", "1s"]);
        let presence = Presence::new(&scene.room, name);
        let mut terminal =
            Terminal::start(ByHand::open(&scene.socket(), None), &presence.of(cmd), 80, 24);
        terminal.sees("[ready]");
        let stopped = Instant::now();
        scene.bridge.signal("TERM");
        assert_eq!(terminal.conversation.receive(), Came::End, "{name}");
        let known = stopped.elapsed();
        scene.bridge.end().exits_with(0);
        let ended = stopped.elapsed();
        // It waits as long as it may, and the process takes a moment to end.
        assert!(
            known >= DRAIN && ended < DRAIN + Duration::from_millis(700),
            "{known:?} {ended:?}"
        );
        let gone = presence.gone_after(stopped);
        assert!(gone < DRAIN + KNOWN, "{name}: gone after {gone:?}");
        assert_eq!(events(&scene.room, "upgrade")[0]["end"], "cut", "{name}");
    }
}

#[test]
fn a_terminal_that_ends_while_the_bridge_stops_ends_in_order() {
    let scene = Scene::new(Place::Socket, &["--drain-timeout", "20s"]);
    let mut terminal =
        Terminal::start(ByHand::open(&scene.socket(), None), crate::terminal::SHELL, 80, 24);
    terminal.sees("[ready]");
    scene.bridge.signal("TERM");
    // It accepts no more, so it knows of the order.
    crate::presence::until(
        || std::os::unix::net::UnixStream::connect(scene.socket()).is_err(),
        |no| *no,
    );
    terminal.types("exit 5\n");
    assert_eq!(terminal.exit(), 5);
    scene.bridge.end().exits_with(0);
    assert_eq!(events(&scene.room, "upgrade")[0]["end"], "upstream_closed");
}

#[test]
fn a_killed_bridge_leaves_no_command() {
    for place in [Place::Port, Place::Link] {
        for (name, cmd, _) in COMMANDS {
            let scene = Scene::new(place, &[]);
            let presence = Presence::new(&scene.room, name);
            let mut terminal = Terminal::start(
                ByHand::open(&scene.socket(), scene.token()),
                &presence.of(cmd),
                80,
                24,
            );
            terminal.sees("[ready]");
            let killed = Instant::now();
            scene.bridge.signal("KILL");
            assert_eq!(terminal.conversation.receive(), Came::End, "{name}");
            // Through a link: the guest's input has ended, and so has the guest.
            gone_within_two_seconds(&presence, killed, name);
        }
    }
}

#[test]
fn a_killed_guest_is_known_at_both_ends_and_the_next_session_has_a_new_one() {
    let scene = Scene::new(Place::Link, &[]);
    for (name, cmd, _) in COMMANDS {
        let presence = Presence::new(&scene.room, name);
        let mut terminal =
            Terminal::start(ByHand::open(&scene.socket(), None), &presence.of(cmd), 80, 24);
        terminal.sees("[ready]");
        let killed = Instant::now();
        assert!(kill("KILL", scene.guest()));
        // No close frame: a session that broke does not look like one that ended.
        assert_eq!(terminal.conversation.receive(), Came::End, "{name}");
        let known = killed.elapsed();
        assert!(known < KNOWN, "{name}: known after {known:?}");
        gone_within_two_seconds(&presence, killed, name);
    }
    let mut terminal = Terminal::start(ByHand::open(&scene.socket(), None), "exit 3", 80, 24);
    assert_eq!(terminal.exit(), 3);
    let upgrades = scene.upgrades();
    let cut = upgrades.iter().filter(|event| event["error.type"] == "upstream_reset").count();
    assert_eq!((upgrades.len(), cut), (COMMANDS.len() + 1, COMMANDS.len()), "{upgrades:?}");
}
