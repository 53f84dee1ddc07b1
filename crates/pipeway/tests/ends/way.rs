//! The ways from a socket of this system to a service of this system.

use std::path::PathBuf;

use crate::harness::{Room, Running};
use crate::presence::children;
use crate::wine::{StandIn, interop};

pub const PIPEWAY: &str = env!("CARGO_BIN_EXE_pipeway");

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
            Route::Link => Way::command(room, to, &[PIPEWAY, "guest"], more),
            Route::Border => {
                // Wine takes its time to start the stand-in, too.
                let more_there = [more, pipe, &["--connect-timeout", "20s"]].concat();
                let stand_in = StandIn::start();
                let (windows, name) = stand_in.bridge(room, to, "ubuntu-22.04", &more_there);
                let behind = vec![windows, stand_in.server];
                let guest = interop(room);
                let through = ["--through", "windows", "--link-guest", &guest];
                Way::front(room, &name, &through, more, behind)
            }
        }
    }

    /// A link by that command, whose end is a guest.
    pub fn command(room: &Room, to: &str, command: &[&str], more: &[&str]) -> Way {
        let through = format!("command:{}", serde_json::to_string(command).unwrap());
        Way::front(room, to, &["--through", &through], more, vec![])
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
