//! OpenSSH's agent and its clients, with a raw bridge and a link between them.

use crate::harness::{Room, is_left_out};
use crate::rig::{PIPEWAY, command};
use crate::ssh::{SSH_PROGRAMS, SshAgent, agent_serves};

#[test]
fn an_ssh_agent_takes_a_key_lists_it_and_signs_through_a_link() {
    if is_left_out(SSH_PROGRAMS) {
        return;
    }
    let room = Room::new();
    let agent = SshAgent::start(&room);
    let through = command(&[PIPEWAY, "guest", "--allow", &agent.endpoint]);
    let more = ["--raw", "--through", &through, "--events", "events.jsonl"];
    let (listen, bridge) = room.bridge(&agent.endpoint, &more);
    agent_serves(&room, &room.socket(&listen), "key");
    bridge.signal("TERM");
    bridge.end().exits_with(0);
    // Not one of the three clients found another way to the agent.
    let events = std::fs::read_to_string(room.path("events.jsonl")).unwrap();
    let events =
        events.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let sessions: Vec<_> = events.filter(|event| event["event"] == "session").collect();
    assert!(sessions.len() >= 3, "{sessions:#?}");
    for session in sessions {
        assert_eq!(session["link.mode"], "stdio", "{session:#}");
        assert_eq!(session["upstream.mode"], "unix", "{session:#}");
        assert!(session.get("error.type").is_none(), "{session:#}");
    }
}
