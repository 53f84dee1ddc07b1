//! An agent, a bridge to it, and a recorder between them.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Room, Running};
use crate::presence::children;
use crate::recorder::Recorder;

/// Where the agent listens, as the bridge sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A Unix socket.
    Socket,
    /// A loopback port, with a token.
    Port,
    /// A Unix socket at the other side of a link.
    Link,
}

/// All of them.
pub const PLACES: [Place; 3] = [Place::Socket, Place::Port, Place::Link];

/// An agent that runs.
pub struct Agent {
    pub running: Running,
    pub endpoint: String,
    pub token: Option<String>,
}

impl Agent {
    pub fn start(room: &Room, place: Place) -> Self {
        let (arguments, token) = match place {
            Place::Socket | Place::Link => {
                let listen = format!("unix:{}", room.path("agent.sock").display());
                (vec!["agent".into(), "--listen".into(), listen], None)
            }
            Place::Port => {
                let token = "0123456789abcdef0123456789abcdef";
                let file = room.file("token", token);
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(&file, mode).unwrap();
                let file = file.display().to_string();
                let listen = "tcp:127.0.0.1:0".to_owned();
                let arguments =
                    vec!["agent".into(), "--listen".into(), listen, "--token-file".into(), file];
                (arguments, Some(token.to_owned()))
            }
        };
        let running = Running::start(room.pipeway(arguments));
        let line = running.line();
        let endpoint = line.strip_prefix("ready ").unwrap_or_else(|| panic!("{line}")).to_owned();
        Agent { running, endpoint, token }
    }
}

/// Everything for one test on this system.
pub struct Scene {
    pub room: Room,
    pub agent: Agent,
    pub bridge: Running,
}

impl Scene {
    /// An agent with a bridge right before it.
    pub fn new(place: Place, more: &[&str]) -> Self {
        let room = Room::new();
        let agent = Agent::start(&room, place);
        let bridge = bridge(&room, place, &agent.endpoint, more);
        Scene { room, agent, bridge }
    }

    /// The same with a recorder between the two.
    pub fn recorded(place: Place) -> (Self, Recorder) {
        let room = Room::new();
        let agent = Agent::start(&room, place);
        let recorder = Recorder::before(&agent.endpoint, room.path("").as_path(), "recorder");
        let bridge = bridge(&room, place, &recorder.endpoint, &[]);
        (Scene { room, agent, bridge }, recorder)
    }

    /// The socket of the bridge.
    pub fn socket(&self) -> PathBuf {
        self.room.path("bridge.sock")
    }

    /// The bridge as an endpoint.
    pub fn endpoint(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// The program, without arguments.
    pub fn program(&self) -> Command {
        self.room.pipeway::<&str>([])
    }

    pub fn token(&self) -> Option<&str> {
        self.agent.token.as_deref()
    }

    /// The guest of the bridge's link.
    pub fn guest(&self) -> u32 {
        let guests = children(self.bridge.id());
        assert_eq!(guests.len(), 1, "{guests:?}");
        guests[0].parse().unwrap()
    }

    /// Stops the bridge, and reads what it told of upgraded sessions.
    pub fn upgrades(self) -> Vec<Value> {
        self.bridge.signal("TERM");
        self.bridge.end().exits_with(0);
        events(&self.room, "upgrade")
    }
}

fn bridge(room: &Room, place: Place, to: &str, more: &[&str]) -> Running {
    let guest = serde_json::to_string(&[env!("CARGO_BIN_EXE_pipeway"), "guest"]).unwrap();
    let through = format!("command:{guest}");
    let link = if place == Place::Link { &["--through", &through][..] } else { &[] };
    let listen = format!("unix:{}", room.path("bridge.sock").display());
    let arguments = ["bridge", "--listen", &listen, "--to", to, "--events", "events.jsonl"];
    let running = Running::start(room.pipeway(arguments.iter().chain(link).chain(more)));
    assert_eq!(running.line(), format!("ready {listen}"));
    running
}

/// The events of a kind that a bridge told in this room.
pub fn events(room: &Room, kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(room.path("events.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == kind).collect()
}
