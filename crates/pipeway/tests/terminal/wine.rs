//! The same through `pipeway.exe` and its named pipe, under Wine: Windows programs on one side, the
//! agent of this system on a loopback port on the other, as it is between Windows and WSL.
//!
//! `cargo xtask windows test` runs these tests, with a Wine server running. It tells where the
//! Windows programs are by `PIPEWAY_WINDOWS_PROGRAM` and `PIPEWAY_WINDOWS_NODE`.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::{COMMANDS, KNOWN, command_process, gone_within_two_seconds, terminal_process};
use crate::foreign::{recorded_by_node, report, scripts, succeeds};
use crate::harness::{Room, Running, unique_local};
use crate::presence::{Go, Presence, children, descriptors, peak_kib, resident_kib, until};
use crate::recorder::Recorder;
use crate::scene::{Agent, Place, events};
use crate::session::{Expected, agree, opcodes};
use crate::windows::{StandIn, pipeway_exe, windows_path, windows_program};
use crate::wire::{CLOSE, CONTINUATION, TEXT};

/// An agent of this system, and a bridge of the other to it.
struct Across {
    room: Room,
    agent: Agent,
    bridge: Running,
    /// The pipe.
    pipe: String,
    /// The Linux side of a link.
    _stand_in: Option<StandIn>,
}

impl Across {
    fn new(more: &[&str]) -> Self {
        let room = Room::new();
        let agent = Agent::start(&room, Place::Port);
        let (bridge, pipe) = bridge(&room, &agent.endpoint, more);
        Across { room, agent, bridge, pipe, _stand_in: None }
    }

    /// With a recorder between the two.
    fn recorded() -> (Self, Recorder) {
        let room = Room::new();
        let agent = Agent::start(&room, Place::Port);
        let recorder = Recorder::before(&agent.endpoint, &room.path(""), "recorder");
        let (bridge, pipe) = bridge(&room, &recorder.endpoint, &[]);
        (Across { room, agent, bridge, pipe, _stand_in: None }, recorder)
    }

    /// With a recorder between the two, and the agent at a Unix socket: a link leads there.
    fn linked() -> (Self, Recorder) {
        let room = Room::new();
        let agent = Agent::start(&room, Place::Link);
        let recorder = Recorder::before(&agent.endpoint, &room.path(""), "recorder");
        let stand_in = StandIn::start();
        let file = windows_path(&room.path("events.jsonl"));
        let more = ["--connect-timeout", "20s", "--events", &file];
        let (bridge, name) = stand_in.bridge(&room, &recorder.endpoint, "ubuntu-22.04", &more);
        let pipe = name.replace("npipe:", r"\\.\pipe\");
        (Across { room, agent, bridge, pipe, _stand_in: Some(stand_in) }, recorder)
    }

    fn token(&self) -> Option<&str> {
        self.agent.token.as_deref()
    }

    fn terminal(&self, cmd: &str) -> Running {
        terminal_process(pipeway_exe(), &self.pipe, self.token(), cmd)
    }

    fn command(&self, route: &str, cmd: &str, pty: bool) -> Running {
        command_process(pipeway_exe(), (&self.pipe, route), self.token(), (cmd, pty))
    }

    /// Windows Node with `arguments` to its client.
    fn node(&self, mode: &str, arguments: &[&str]) -> PathBuf {
        let folder = self.room.path(mode);
        fs::create_dir(&folder).unwrap();
        let mut node = windows_program("PIPEWAY_WINDOWS_NODE");
        node.arg(windows_path(&scripts().join("terminal/client.cjs"))).args([mode, &self.pipe]);
        node.arg(windows_path(&folder)).arg(windows_path(&scripts().join("windows/node_modules")));
        node.args(arguments).args(self.token());
        succeeds(node, &folder);
        folder
    }

    /// Stops the bridge, and reads what it told of upgraded sessions.
    fn upgrades(self) -> Vec<Value> {
        // Wine passes SIGINT on as Ctrl-C.
        self.bridge.signal("INT");
        self.bridge.end().exits_with(0);
        events(&self.room, "upgrade")
    }
}

fn bridge(room: &Room, to: &str, more: &[&str]) -> (Running, String) {
    let name = unique_local().replace("local:", "");
    let mut command = pipeway_exe();
    command.args(["bridge", "--listen", &format!("npipe:{name}"), "--to", to, "--events"]);
    command.arg(windows_path(&room.path("events.jsonl"))).args(more);
    let running = Running::start(command);
    let pipe = format!(r"\\.\pipe\{name}");
    assert_eq!(running.line(), format!("ready {pipe}"));
    (running, pipe)
}

/// Reads what a terminal shows until there is `text`.
fn sees(client: &Running, text: &str) {
    let mut screen = Vec::new();
    while !String::from_utf8_lossy(&screen).contains(text) {
        match crate::terminal::told(&client.line()) {
            crate::terminal::Told::Output(data) => screen.extend(data),
            other => panic!("{other:?} before {text:?}"),
        }
    }
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_session_over_a_pipe_is_the_same_at_both_ends() {
    for mode in ["hand", "bytes", "ws"] {
        let (across, recorder) = Across::recorded();
        let client = recorded_by_node(&across.node(mode, &[]));
        let (agent, pipe) = (recorder.recording(), across.pipe.clone());
        let expected = Expected {
            transport_mode: "named_pipe",
            transport_endpoint: &pipe,
            upstream_endpoint: &recorder.endpoint,
        };
        agree(&client, &agent, &across.upgrades(), &expected);
        let sent = opcodes(&client.sent);
        assert_eq!(sent.contains(&CONTINUATION), mode != "ws", "{sent:?}");
        assert_eq!((sent.first(), sent.last()), (Some(&TEXT), Some(&CLOSE)));
    }
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_session_over_a_pipe_and_a_link_is_the_same_at_both_ends() {
    for mode in ["hand", "ws"] {
        let (across, recorder) = Across::linked();
        let client = recorded_by_node(&across.node(mode, &[]));
        let (agent, pipe) = (recorder.recording(), across.pipe.clone());
        let expected = Expected {
            transport_mode: "named_pipe",
            transport_endpoint: &pipe,
            upstream_endpoint: &recorder.endpoint,
        };
        let upgrades = across.upgrades();
        assert_eq!(upgrades[0]["link.mode"], "stdio", "{upgrades:?}");
        agree(&client, &agent, &upgrades, &expected);
    }
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_mebibyte_pasted_through_a_pipe_comes_back_whole() {
    let across = Across::new(&[]);
    report(&across.node("paste", &[]));
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_client_that_does_not_read_its_pipe_gets_all_in_order_later() {
    const GROWTH_KIB: u64 = 4 * 1024;
    let across = Across::new(&[]);
    let agent = across.agent.running.id();
    let before = resident_kib(agent);
    report(&across.node("slow", &[]));
    let growth = peak_kib(agent).saturating_sub(before);
    assert!(growth < GROWTH_KIB, "{growth} KiB");
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn two_hundred_terminals_over_a_pipe_at_once_leave_nothing() {
    const TERMINALS: usize = 200;
    let across = Across::new(&[]);
    let agent = across.agent.running.id();
    let before = descriptors(agent);
    let folder = across.node("many", &[&TERMINALS.to_string()]);
    assert!(report(&folder).contains("200 terminals at once\n"));
    until(|| children(agent), Vec::is_empty);
    until(|| descriptors(agent), |now| *now <= before);
    let upgrades = across.upgrades();
    assert_eq!(upgrades.len(), TERMINALS);
    let odd = upgrades.iter().find(|event| event["transport.mode"] != "named_pipe");
    assert_eq!(odd, None);
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_killed_agent_is_known_across_a_pipe_within_two_seconds() {
    let across = Across::new(&[]);
    let client = across.terminal("echo '[ready]'; exec cat");
    sees(&client, "[ready]");
    across.agent.running.signal("KILL");
    assert!(client.is_closed_within(KNOWN), "the client does not know");
    // 9: it was lost, not closed.
    client.end().exits_with(9).says("lost without a close");
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_killed_client_of_a_pipe_leaves_no_command() {
    let across = Across::new(&[]);
    for (name, cmd, pty) in COMMANDS {
        for route in ["/v1/stream", "/v1/execute", "/v1/execute/stream"] {
            let presence = Presence::new(&across.room, &format!("{name}{}", route.len()));
            let cmd = presence.of(cmd);
            let client = match route {
                "/v1/stream" => across.terminal(&cmd),
                _ => across.command(route, &cmd, pty),
            };
            presence.ready();
            let killed = Instant::now();
            client.signal("KILL");
            gone_within_two_seconds(&presence, killed, &format!("{route} {name}"));
        }
    }
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_stopped_bridge_at_a_pipe_ends_within_its_drain_time_with_a_terminal_open() {
    const DRAIN: Duration = Duration::from_secs(1);
    for (name, cmd, _) in COMMANDS {
        let across = Across::new(&["--drain-timeout", "1s"]);
        let presence = Presence::new(&across.room, name);
        let client = across.terminal(&presence.of(cmd));
        sees(&client, "[ready]");
        let stopped = Instant::now();
        across.bridge.signal("INT");
        across.bridge.end().exits_with(0);
        let ended = stopped.elapsed();
        assert!(ended >= DRAIN && ended < DRAIN + Duration::from_millis(900), "{ended:?}");
        let gone = presence.gone_after(stopped);
        assert!(gone < DRAIN + KNOWN, "{name}: gone after {gone:?}");
        client.end().exits_with(9);
        assert_eq!(events(&across.room, "upgrade")[0]["end"], "cut", "{name}");
    }
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_stream_over_a_pipe_comes_line_by_line_and_is_cancelled() {
    let across = Across::new(&[]);
    let go = Go::new(&across.room);
    let cmd = format!("for n in 1 2 3; do echo $n; {}; done; sleep 60", go.wait());
    let client = across.command("/v1/execute/stream", &cmd, false);
    let next = || serde_json::from_str::<Value>(&client.line()).unwrap();
    let start = next();
    assert_eq!(start["type"], "start");
    for (number, chunk) in (1..).zip(["MQo=", "Mgo=", "Mwo="]) {
        assert_eq!(next(), json!({"type": "stdout", "chunk_b64": chunk}));
        go.on(number);
    }
    let order = json!({"span_id": start["span_id"], "sig": "INT"}).to_string();
    let mut cancel = pipeway_exe();
    cancel.args(["curl", &across.pipe, "/v1/execute/cancel", "--json", &order]);
    cancel.args(["-H", &format!("Authorization: Bearer {}", across.token().unwrap())]);
    let cancelled = crate::harness::run(cancel, b"").exits_with(0).stdout();
    assert_eq!(cancelled, r#"{"schema_version":1,"delivered":true}"#);
    assert_eq!(next()["exit"], 130);
    client.end().exits_with(0);
}
