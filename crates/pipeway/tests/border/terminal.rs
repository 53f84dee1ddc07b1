//! Windows at a named pipe, an agent of this system at a Unix socket, and a link between the two:
//! terminals and streams that share it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use crate::harness::{Room, Running, WATCHDOG};
use crate::presence::{Go, children, until};
use crate::wine::{StandIn, pipeway_exe, windows_path, windows_program};

/// All three, up.
struct Scene {
    room: Room,
    /// The pipe, as an endpoint.
    pipe: String,
    bridge: Running,
    stand_in: StandIn,
    agent: Running,
}

impl Scene {
    fn new() -> Self {
        let room = Room::new();
        let listen = format!("unix:{}", room.path("agent.sock").display());
        let agent = Running::start(room.pipeway(["agent", "--listen", &listen]));
        assert_eq!(agent.line(), format!("ready {listen}"));
        let stand_in = StandIn::start();
        let events = windows_path(&room.path("events.jsonl"));
        // Wine takes its time to start a guest, and a client's first connection waits for it.
        let more = ["--connect-timeout", "20s", "--events", &events];
        let (bridge, pipe) = stand_in.bridge(&room, &listen, "Debian", &more);
        Scene { room, pipe, bridge, stand_in, agent }
    }

    /// Windows Node in a terminal of the agent's: a shell that is typed at, resized, interrupted by a
    /// signal and by Ctrl-C, and ends with a code.
    #[track_caller]
    fn terminal(&self, mode: &str) {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop");
        let scripts = scripts.canonicalize().unwrap();
        let folder = self.room.path(mode);
        fs::create_dir(&folder).unwrap();
        let mut node = windows_program("PIPEWAY_WINDOWS_NODE");
        node.arg(windows_path(&scripts.join("terminal/client.cjs"))).arg(mode);
        node.arg(self.pipe.replace("npipe:", r"\\.\pipe\")).arg(windows_path(&folder));
        node.arg(windows_path(&scripts.join("windows/node_modules")));
        // Node's standard streams that are pipes do not work under Wine; it reports to a file.
        node.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut node = Ended(node.spawn().unwrap());
        let begin = Instant::now();
        while node.0.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < 2 * WATCHDOG, "no end: {}", report(&folder));
            std::thread::yield_now();
        }
        let report = report(&folder);
        for told in [
            "the shell echoes and answers",
            "the shell is 40 by 120",
            "the shell was interrupted",
            "Ctrl-C interrupted it too",
            "sleep ended with 130",
        ] {
            assert!(report.contains(told), "{told:?} is not in:\n{report}");
        }
        assert!(report.ends_with(" done\n"), "{report}");
    }

    /// What the bridge told when it was stopped, of this kind.
    fn events(&self, kind: &str) -> Vec<Value> {
        // Wine passes SIGINT on as Ctrl-C.
        self.bridge.signal("INT");
        assert!(self.bridge.is_closed_within(WATCHDOG), "the bridge does not end");
        let events = fs::read_to_string(self.room.path("events.jsonl")).unwrap();
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|event| event["event"] == kind).collect()
    }
}

fn report(folder: &Path) -> String {
    let report: PathBuf = folder.join("report");
    fs::read_to_string(report).unwrap_or_default()
}

/// A process that does not outlive its test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs Windows programs under Wine: cargo xtask windows test"]
fn a_terminal_and_a_stream_cross_the_border_by_one_link() {
    let scene = Scene::new();
    let go = Go::new(&scene.room);
    let cmd = format!("for n in 1 2 3; do echo $n; {}; done; exit 5", go.wait());
    let body = json!({"cmd": cmd}).to_string();
    let mut stream = pipeway_exe();
    stream.args(["curl", &scene.pipe, "/v1/execute/stream", "--json", &body]);
    let stream = Running::start(stream);
    let next = || serde_json::from_str::<Value>(&stream.line()).unwrap();
    assert_eq!(next()["type"], "start");
    // The answer has begun, and its end waits for us: meanwhile others come and go.
    assert_eq!(next(), json!({"type": "stdout", "chunk_b64": "MQo="}));
    for mode in ["hand", "ws"] {
        scene.terminal(mode);
    }
    assert_eq!(children(scene.stand_in.server.id()).len(), 1, "one guest carries all");
    go.on(1);
    assert_eq!(next(), json!({"type": "stdout", "chunk_b64": "Mgo="}));
    go.on(2);
    assert_eq!(next(), json!({"type": "stdout", "chunk_b64": "Mwo="}));
    go.on(3);
    assert_eq!(next()["exit"], 5);
    stream.end().exits_with(0);

    until(|| children(scene.agent.id()), Vec::is_empty);
    let upgrades = scene.events("upgrade");
    assert_eq!(upgrades.len(), 2, "{upgrades:?}");
    for event in upgrades {
        let way = ["transport.mode", "upstream.mode", "link.mode"].map(|key| event[key].as_str());
        assert_eq!(way, [Some("named_pipe"), Some("unix"), Some("stdio")], "{event}");
    }
    until(|| children(scene.stand_in.server.id()), Vec::is_empty);
}
