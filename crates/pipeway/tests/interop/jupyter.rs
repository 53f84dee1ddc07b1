//! A Jupyter server on a Unix socket, whose kernels are used through the bridge.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::running::{
    Running, Way, bridge, events, have, have_python, python, scripts, started_with_log, succeeds,
};

/// The server's own; the bridge passes it on.
const TOKEN: &str = "a-token-for-this-test-alone";

/// A server that has nothing to do with the user's own files and settings.
fn jupyter(folder: &Path) -> Running {
    let mut command = Command::new(python());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["JUPYTER", "IPYTHON", "XDG_"].iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command.args(["-m", "jupyter_server", "--no-browser", "--allow-root"]);
    // The kernels' channels are Unix sockets too, in place of loopback ports.
    command.arg("--KernelManager.transport=ipc");
    // By default it drops what a kernel prints beyond a megabyte a second.
    command.arg("--ZMQChannelsWebsocketConnection.iopub_data_rate_limit=1e9");
    command.arg("--sock").arg(folder.join("jupyter.sock"));
    command.current_dir(folder).env("HOME", folder).env("JUPYTER_TOKEN", TOKEN);
    for (name, place) in [
        ("JUPYTER_CONFIG_DIR", "config"),
        ("JUPYTER_DATA_DIR", "data"),
        ("JUPYTER_RUNTIME_DIR", "run"),
        ("IPYTHONDIR", "ipython"),
    ] {
        command.env(name, folder.join(place));
    }
    started_with_log(&mut command, " is running at:")
}

/// The lines of a kind that a bridge wrote until it stopped.
fn told(file: &Path, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("events");
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    lines.filter(|line: &Value| line["event"] == kind).collect()
}

#[test]
fn kernels_of_a_jupyter_server_run_cells_through_the_bridge() {
    if !have(&[have_python()]) {
        return;
    }
    // In a folder with a short path: the kernels' sockets have long names.
    let folder = tempfile::Builder::new().prefix("pw-").tempdir_in("/tmp").expect("a folder");
    let folder = folder.path();
    let jupyter = jupyter(folder);
    let bridge = bridge(folder, "jupyter", Way::Straight);
    let said = succeeds(
        Command::new(python())
            .arg(scripts().join("python/kernels.py"))
            .arg(folder.join("bridge-jupyter.sock"))
            .env("JUPYTER_TOKEN", TOKEN),
    );
    assert!(said.ends_with("done\n"), "{said}");
    assert_eq!(bridge.stop().code(), Some(0));

    let seen: Vec<Value> =
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let upgrades = told(&events(folder, "jupyter"), "upgrade");
    assert_eq!((seen.len(), upgrades.len()), (2, 2), "{upgrades:?}");
    for (seen, told) in seen.iter().zip(&upgrades) {
        assert_eq!(told["transport.mode"], "unix");
        assert_eq!(told["upstream.mode"], "unix");
        assert_eq!(told["network.protocol.name"], "websocket");
        assert_eq!(told["http.response.status_code"], 101);
        assert_eq!(told["url.path"], seen["path"]);
        for (bytes, payload) in [("bytes.received", "sent"), ("bytes.sent", "received")] {
            let (bytes, payload) = (told[bytes].as_u64(), seen[payload].as_u64());
            let (bytes, payload) = (bytes.expect("a number"), payload.expect("a number"));
            assert!(bytes > payload && bytes < payload + payload / 10, "{bytes}, {payload}");
        }
        // After a WebSocket's close either may be the first to close the connection.
        let end = told["end"].as_str().expect("a word");
        assert!(["upstream_closed", "client_closed"].contains(&end), "{told}");
        assert!(told["error.type"].is_null(), "{told}");
    }
    // Its log is over when the last kernel has ended.
    assert_eq!(jupyter.stop().code(), Some(0));
}
