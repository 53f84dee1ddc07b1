//! The ways from a socket of this system to a service of this system.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::harness::{Room, Running, unique_local};
use crate::presence::children;
use crate::wine::{windows_path, windows_program};

const PIPEWAY: &str = env!("CARGO_BIN_EXE_pipeway");

/// What leads from the socket to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// A bridge, its link, and a guest of this system.
    Link,
    /// Both directions of the border: a bridge, its link to `pipeway.exe guest` as WSL's interop
    /// starts it, a named pipe, a bridge of Windows, its link to a guest of this system that the
    /// stand-in for `wsl.exe` starts.
    Border,
}

/// A way that is up.
pub struct Way {
    /// The socket.
    pub front: PathBuf,
    /// The bridge that listens there.
    pub bridge: Running,
    /// Across the border: the bridge of Windows, and the Linux side of the stand-in.
    pub behind: Vec<Running>,
}

impl Way {
    /// `more` are arguments of every bridge, and `pipe` of the one that listens at the pipe.
    pub fn open(route: Route, room: &Room, to: &str, more: &[&str], pipe: &[&str]) -> Way {
        match route {
            Route::Link => {
                let guest = serde_json::to_string(&[PIPEWAY, "guest"]).unwrap();
                let through = format!("command:{guest}");
                Way::front(room, to, &["--through", &through], more, vec![])
            }
            Route::Border => {
                let (name, behind) = windows_side(room, to, &[more, pipe].concat());
                let guest = interop(room);
                let through = ["--through", "windows", "--link-guest", &guest];
                Way::front(room, &name, &through, more, behind)
            }
        }
    }

    fn front(room: &Room, to: &str, link: &[&str], more: &[&str], behind: Vec<Running>) -> Way {
        let front = room.path("front.sock");
        let listen = format!("unix:{}", front.display());
        let args = ["bridge", "--listen", &listen, "--to", to, "--events", "events.jsonl"];
        // Wine takes its time to start a guest, and a client's first connection waits for it.
        let patience = ["--connect-timeout", "20s"];
        let args = args.iter().chain(link).chain(more).chain(&patience);
        let mut bridge = room.pipeway(args);
        // As a shell inside WSL has it.
        bridge.env("WSL_INTEROP", "/run/WSL/1_interop");
        let bridge = Running::start(bridge);
        assert_eq!(bridge.line(), format!("ready {listen}"));
        Way { front, bridge, behind }
    }

    /// The socket as Docker's client writes it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.front.display())
    }

    /// The guest that runs.
    pub fn guest(&self) -> u32 {
        let guests = children(self.bridge.id());
        assert_eq!(guests.len(), 1, "{guests:?}");
        guests[0].parse().unwrap()
    }

    /// Stops the bridge, which must have had all its sessions through the link; the way that its
    /// events tell of, once for each different one.
    pub fn upstreams(self, room: &Room) -> Vec<[String; 3]> {
        self.bridge.signal("TERM");
        self.bridge.end().exits_with(0);
        let events = std::fs::read_to_string(room.path("events.jsonl")).unwrap();
        let events = events.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut ways: Vec<[String; 3]> = events
            .filter(|event: &serde_json::Value| event.get("upstream.mode").is_some())
            .map(|event| {
                ["upstream.mode", "upstream.endpoint", "link.mode"]
                    .map(|key| event[key].as_str().unwrap_or_default().to_owned())
            })
            .collect();
        ways.sort();
        ways.dedup();
        ways
    }
}

/// A bridge of Windows from a named pipe to an endpoint of this system, and the pipe.
fn windows_side(room: &Room, to: &str, more: &[&str]) -> (String, Vec<Running>) {
    // This test lies in `deps`, beside `examples`.
    let test = std::env::current_exe().unwrap();
    let stand_in = test.parent().unwrap().parent().unwrap().join("examples/wsl");
    let mut server = Command::new(stand_in);
    server.arg("serve");
    let server = Running::start(server);
    let place = server.line().strip_prefix("ready ").unwrap().to_owned();

    let name = unique_local().replace("local:", "npipe:");
    let mut bridge = windows_program("PIPEWAY_WINDOWS_PROGRAM");
    bridge.args(["bridge", "--listen", &name, "--to", to, "--through", "wsl:ubuntu"]);
    bridge.args(["--link-guest", PIPEWAY, "--connect-timeout", "20s"]).args(more);
    bridge.env("WSL_STAND_IN", place).env("WSL_STAND_IN_DISTRIBUTIONS", "Ubuntu,Debian");
    let wsl = std::env::var_os("PIPEWAY_WINDOWS_WSL").expect("PIPEWAY_WINDOWS_WSL is set");
    bridge.env("PIPEWAY_WSL_PROGRAM", windows_path(wsl.as_ref()));
    bridge.current_dir(room.path(""));
    let bridge = Running::start(bridge);
    assert!(bridge.line().starts_with("ready "));
    (name, vec![bridge, server])
}

/// A script by which a program of this system starts `pipeway.exe`, as WSL's interop does by itself.
fn interop(room: &Room) -> String {
    let program = std::env::var("PIPEWAY_WINDOWS_PROGRAM").unwrap();
    let path = room.file("pipeway.exe", format!("#!/bin/sh\nexec wine '{program}' \"$@\"\n"));
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path.display().to_string()
}
