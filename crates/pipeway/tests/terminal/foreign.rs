//! Sessions by other people's clients: Node with the package `ws` and with nothing but `net`, and
//! Python with `websockets`.
//!
//! Where they are missing the tests say so and pass, unless `PIPEWAY_REQUIRE_INTEROP=1`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::harness::{code_is_lost, under_wine};
use crate::recorder::{Recorder, Recording};
use crate::scene::{PLACES, Place, Scene};
use crate::session::{Expected, agree, opcodes};
use crate::wire::{CLOSE, CONTINUATION, PING, TEXT};

/// Longer than a client gives itself.
const LIMIT: Duration = Duration::from_secs(160);

/// The folder of the scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop").canonicalize().unwrap()
}

/// Whether a test can't be, for want of `what`.
fn is_left_out(what: &str, mut probe: Command) -> bool {
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let is_here = probe.status().is_ok_and(|status| status.success());
    let is_required = std::env::var("PIPEWAY_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
    assert!(is_here || !is_required, "missing: {what}");
    if !is_here {
        eprintln!("left out, for want of {what}");
    }
    !is_here
}

/// Runs a client with its output in files of `folder`, and shows them if it does not end well.
#[track_caller]
pub fn succeeds(mut client: Command, folder: &Path) {
    let file = |name: &str| File::create(folder.join(name)).unwrap();
    client.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr"));
    let mut child = client.spawn().unwrap();
    let id = child.id().to_string();
    let (ended_tx, ended_rx) = mpsc::channel();
    thread::spawn(move || ended_tx.send(child.wait().unwrap()));
    let ended = ended_rx.recv_timeout(LIMIT);
    let under_wine = under_wine(&client);
    // Where its code is lost, its report says whether all was well.
    if !ended.as_ref().is_ok_and(|status| status.success() || code_is_lost(under_wine, *status)) {
        let _ = Command::new("kill").args(["-KILL", &id]).status();
        let said = ["report", "stdout", "stderr"]
            .map(|name| fs::read_to_string(folder.join(name)).unwrap_or_default());
        panic!("{client:?} ended with {ended:?}:\n{}", said.join("\n"));
    }
}

/// What Node's client reported, which must be that all was well.
#[track_caller]
pub fn report(folder: &Path) -> String {
    let report = fs::read_to_string(folder.join("report")).unwrap();
    assert!(report.ends_with(" done\n"), "{report}");
    report
}

/// What Node's client recorded of its session.
pub fn recorded_by_node(folder: &Path) -> Recording {
    report(folder);
    let file = |name: &str| fs::read(folder.join(name)).unwrap();
    Recording { sent: file("sent"), got: file("got") }
}

#[test]
fn a_session_by_node_is_the_same_at_both_ends() {
    let mut probe = Command::new("node");
    probe.args(["-e", "require('./node_modules/ws')"]).current_dir(scripts());
    if is_left_out("Node with interop/node_modules (npm ci)", probe) {
        return;
    }
    for (mode, place) in [
        ("hand", Place::Socket),
        ("bytes", Place::Port),
        ("ws", Place::Socket),
        ("ws", Place::Port),
        ("hand", Place::Link),
        ("ws", Place::Link),
    ] {
        let (scene, recorder) = Scene::recorded(place);
        let folder = scene.room.path("node");
        fs::create_dir(&folder).unwrap();
        let mut node = Command::new("node");
        node.arg(scripts().join("terminal/client.cjs")).arg(mode).arg(scene.socket());
        node.arg(&folder).arg(scripts().join("node_modules")).args(scene.token());
        succeeds(node, &folder);
        let client = recorded_by_node(&folder);
        let (agent, endpoint) = (recorder.recording(), scene.endpoint());
        agree(&client, &agent, &scene.upgrades(), &Expected::unix(&endpoint, &recorder));
        let sent = opcodes(&client.sent);
        assert_eq!(sent.contains(&CONTINUATION), mode != "ws", "{sent:?}");
    }
}

#[test]
fn a_session_by_python_is_the_same_at_both_ends() {
    let python = std::env::var_os("PIPEWAY_PYTHON").unwrap_or("python3".into());
    let mut probe = Command::new(&python);
    probe.args(["-c", "import websockets"]);
    if is_left_out("Python with interop/requirements.txt (PIPEWAY_PYTHON)", probe) {
        return;
    }
    for place in PLACES {
        let (scene, recorder) = Scene::recorded(place);
        // Its own end is recorded on its way to the bridge.
        let endpoint = scene.endpoint();
        let before = Recorder::before(&endpoint, &scene.room.path(""), "before");
        let mut client = Command::new(&python);
        client.arg(scripts().join("python/terminal.py"));
        client.arg(before.endpoint.strip_prefix("unix:").unwrap()).args(scene.token());
        succeeds(client, &scene.room.path(""));
        let (client, agent) = (before.recording(), recorder.recording());
        agree(&client, &agent, &scene.upgrades(), &Expected::unix(&endpoint, &recorder));
        assert_eq!(opcodes(&client.sent), [TEXT, PING, TEXT, CLOSE]);
    }
}
