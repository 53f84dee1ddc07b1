//! The built program between clients and servers that nobody here wrote: curl, Node's `http`, the
//! npm package `ws`, Python's `http.client`, `aiohttp` and `websockets`, a Jupyter server.
//!
//! They are installed by the test command (`npm ci` in `interop/`, and the Python packages of
//! `interop/requirements.txt` in an environment named by `PIPEWAY_PYTHON`). Where they are missing
//! the tests say so and pass, unless `PIPEWAY_REQUIRE_INTEROP=1`.

#![cfg(unix)] // These clients reach Unix sockets; pipes are driven by the Windows test kit.

mod jupyter;
mod running;

use std::path::{Path, PathBuf};
use std::process::Command;

use running::{
    Running, WAYS, Way, bridge, finished, have, have_python, python, runs, scripts, started,
    succeeds,
};

/// A service on Node's HTTP server and `ws`, with a bridge before it.
struct Bridged {
    folder: tempfile::TempDir,
    upstream: Option<Running>,
    _bridge: Running,
}

impl Bridged {
    fn node(way: Way) -> Bridged {
        let folder = tempfile::tempdir().expect("a folder");
        let node = node_server(&folder.path().join("node.sock"));
        let bridge = bridge(folder.path(), "node", way);
        Bridged { folder, upstream: Some(node), _bridge: bridge }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("bridge-node.sock")
    }

    fn curl(&self, arguments: &[&str]) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--unix-socket"]);
        curl.arg(self.socket()).args(arguments);
        curl
    }
}

fn node_server(socket: &Path) -> Running {
    started(Command::new("node").arg(scripts().join("node/server.mjs")).arg(socket))
}

fn have_node() -> (&'static str, bool) {
    let modules = scripts().join("node_modules/ws/package.json").is_file();
    ("Node with interop/node_modules (npm ci)", modules && runs("node", &["--version"]))
}

fn have_curl() -> (&'static str, bool) {
    ("curl", runs("curl", &["--version"]))
}

/// Bytes that differ from place to place.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

#[test]
fn node_and_ws_speak_through_the_bridge() {
    if !have(&[have_node()]) {
        return;
    }
    for way in WAYS {
        let bridged = Bridged::node(way);
        let said = succeeds(
            Command::new("node").arg(scripts().join("node/client.mjs")).arg(bridged.socket()),
        );
        assert!(said.ends_with("done\n"), "{said}");
    }
}

#[test]
fn python_speaks_through_the_bridge() {
    if !have(&[have_node(), have_python()]) {
        return;
    }
    for way in WAYS {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let _python = started(
            Command::new(python())
                .arg(scripts().join("python/server.py"))
                .args([at("http.sock"), at("talk.sock")]),
        );
        let _node = node_server(&at("node.sock"));
        let _bridges: Vec<_> =
            ["http", "talk", "node"].iter().map(|name| bridge(folder.path(), name, way)).collect();
        let said = succeeds(Command::new(python()).arg(scripts().join("python/client.py")).args([
            at("bridge-http.sock"),
            at("bridge-talk.sock"),
            at("bridge-node.sock"),
        ]));
        assert!(said.ends_with("done\n"), "{said}");
    }
}

#[test]
fn curl_gets_and_keeps_its_connection() {
    if !have(&[have_curl(), have_node()]) {
        return;
    }
    for way in WAYS {
        let bridged = Bridged::node(way);
        let said = succeeds(&mut bridged.curl(&[
            "--write-out",
            " %{http_code} %{num_connects}\n",
            "http://anything/hello",
            "http://anything/hello",
        ]));
        assert_eq!(
            said,
            "hello from node 1.1 localhost 200 1\nhello from node 1.1 localhost 200 0\n"
        );
    }
}

#[test]
fn curl_uploads_a_file_and_waits_for_the_upstreams_continue() {
    if !have(&[have_curl(), have_node()]) {
        return;
    }
    for way in WAYS {
        let bridged = Bridged::node(way);
        let file = bridged.folder.path().join("upload");
        std::fs::write(&file, pattern(8_000_000)).expect("written");
        let file = file.to_str().expect("text");
        // The time for which curl waits for the 100 is longer than the whole may take.
        let output = finished(
            &mut bridged.curl(&["--expect100-timeout", "90", "-T", file, "http://a/echo", "-v"]),
            Vec::new(),
        );
        let talk = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{talk}");
        assert!(talk.contains("< HTTP/1.1 100 Continue"), "{talk}");
        assert!(output.stdout == pattern(8_000_000));
    }
}

#[test]
fn curl_uploads_a_stream_of_unknown_length() {
    if !have(&[have_curl(), have_node()]) {
        return;
    }
    for way in WAYS {
        let bridged = Bridged::node(way);
        let output = finished(&mut bridged.curl(&["-T", "-", "http://a/echo"]), pattern(3_000_000));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == pattern(3_000_000));
    }
}

#[test]
fn curl_speaks_http_1_0() {
    if !have(&[have_curl(), have_node()]) {
        return;
    }
    for way in WAYS {
        let bridged = Bridged::node(way);
        let said = succeeds(&mut bridged.curl(&["-0", "-i", "-d", "old times", "http://a/echo"]));
        let (head, body) = said.split_once("\r\n\r\n").expect("a head");
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
        assert_eq!(body, "old times");
    }
}

#[test]
fn curl_notices_an_answer_cut_short() {
    if !have(&[have_curl(), have_node()]) {
        return;
    }
    for way in WAYS {
        let bridged = Bridged::node(way);
        for path in ["cut", "cut-chunked"] {
            let output = finished(&mut bridged.curl(&[&format!("http://a/{path}")]), Vec::new());
            // 18: the transfer was shorter than announced.
            assert_eq!(output.status.code(), Some(18), "{path}");
            assert!(b"only this".starts_with(&output.stdout[..]), "{path}");
        }
    }
}

#[test]
fn curl_is_told_that_the_service_is_gone() {
    if !have(&[have_curl(), have_node()]) {
        return;
    }
    for way in WAYS {
        let mut bridged = Bridged::node(way);
        succeeds(&mut bridged.curl(&["http://a/hello"]));
        bridged.upstream = None;
        std::fs::remove_file(bridged.folder.path().join("node.sock")).ok();
        let said = succeeds(&mut bridged.curl(&["-i", "http://a/hello"]));
        assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
        assert!(said.to_ascii_lowercase().contains("\r\nretry-after: "), "{said}");
        assert!(said.contains("\"type\":\"upstream_absent\""), "{said}");
    }
}
