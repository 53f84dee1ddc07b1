//! The proof that the product is for: one session of a terminal, and what both ends saw of it.

use serde_json::Value;

use crate::conversation::{ByHand, ByLibrary, Came, Conversation};
use crate::recorder::{Recorder, Recording};
use crate::scene::{PLACES, Place, Scene};
use crate::terminal::{SHELL, Terminal};
use crate::wire::{CLOSE, CONTINUATION, PING, PONG, TEXT, frames, header, split_head};

/// The whole session, from the shell's start to its end by a signal.
fn converse<C: Conversation>(conversation: C) -> Recording {
    let mut terminal = Terminal::start(conversation, SHELL, 80, 24);
    terminal.sees("24 80\r\n");
    terminal.sees("[ready]\r\n");

    terminal.types("echo answer-$((6*7))\n");
    terminal.sees("echo answer-$((6*7))\r\n");
    terminal.sees("answer-42\r\n");

    terminal.conversation.ping(b"still there?");
    assert_eq!(terminal.conversation.receive(), Came::Pong(b"still there?".to_vec()));

    terminal.resize(120, 40);
    terminal.sees("40 120\r\n");

    terminal.signal("INT");
    terminal.sees("[interrupted]\r\n");

    // The inner shell has no trap and becomes `sleep`; the outer one gives its code on.
    terminal.types("sh -c 'echo \"[asleep-$((1+1))]\"; exec sleep 60'; exit $?\n");
    terminal.sees("[asleep-2]\r\n");
    terminal.signal("SIGINT");
    assert_eq!(terminal.exit(), 130, "{}", terminal.screen());
    terminal.conversation.into_recording()
}

/// What the bridge must have told of the session besides the counts.
pub struct Expected<'a> {
    pub transport_mode: &'a str,
    pub transport_endpoint: &'a str,
    pub upstream_endpoint: &'a str,
}

impl<'a> Expected<'a> {
    /// A bridge at a Unix socket, before a recorder.
    pub fn unix(endpoint: &'a str, recorder: &'a Recorder) -> Self {
        Expected {
            transport_mode: "unix",
            transport_endpoint: endpoint,
            upstream_endpoint: &recorder.endpoint,
        }
    }
}

/// Both ends' recordings are of the same frames, and the bridge's event tells of them.
#[track_caller]
pub fn agree(client: &Recording, agent: &Recording, upgrades: &[Value], expected: &Expected<'_>) {
    let head = |bytes| split_head(bytes).expect("a whole head");
    let ((asked, sent), (was_asked, came)) = (head(&client.sent), head(&agent.sent));
    let ((was_told, got), (told, gave)) = (head(&client.got), head(&agent.got));

    assert!(asked.starts_with("GET /v1/stream HTTP/1.1\r\n"), "{asked}");
    assert!(was_asked.starts_with("GET /v1/stream HTTP/1.1\r\n"), "{was_asked}");
    for name in ["Sec-WebSocket-Key", "Sec-WebSocket-Version", "Authorization"] {
        assert_eq!(header(asked, name), header(was_asked, name), "{name}");
    }
    assert!(told.starts_with("HTTP/1.1 101 ") && was_told.starts_with("HTTP/1.1 101 "));
    let accept = header(told, "Sec-WebSocket-Accept");
    assert!(accept.is_some());
    assert_eq!(header(was_told, "Sec-WebSocket-Accept"), accept);

    // Number, order, opcodes and bytes; and the bytes on the wire, masks and lengths included.
    assert_eq!(frames(sent), frames(came));
    assert_eq!(frames(gave), frames(got));
    assert!(sent == came && gave == got, "the frames are the same and their encoding is not");

    assert_eq!(upgrades.len(), 1, "{upgrades:?}");
    let event = &upgrades[0];
    assert_eq!(event["transport.mode"], expected.transport_mode, "{event}");
    assert_eq!(event["transport.endpoint"], expected.transport_endpoint, "{event}");
    assert_eq!(event["upstream.endpoint"], expected.upstream_endpoint, "{event}");
    let upstream_mode = expected.upstream_endpoint.split(':').next().unwrap();
    assert_eq!(event["upstream.mode"], upstream_mode, "{event}");
    assert_eq!(event["bytes.received"], client.sent.len(), "{event}");
    assert_eq!(event["bytes.sent"], client.got.len(), "{event}");
    assert_eq!(event["http.request.method"], "GET", "{event}");
    assert_eq!(event["url.path"], "/v1/stream", "{event}");
    assert_eq!(event["http.response.status_code"], 101, "{event}");
    assert_eq!(event["network.protocol.name"], "websocket", "{event}");
    // After the closing handshake either may close first.
    assert!(event["end"] == "upstream_closed" || event["end"] == "client_closed", "{event}");
    assert!(event.get("error.type").is_none(), "{event}");
    assert!(event["peer.pid"].as_u64().unwrap() > 0, "{event}");
}

/// Which opcodes a recorded direction has, in order, repeats left out.
pub fn opcodes(bytes: &[u8]) -> Vec<u8> {
    let mut opcodes: Vec<u8> =
        frames(split_head(bytes).unwrap().1).iter().map(|frame| frame.opcode).collect();
    opcodes.dedup();
    opcodes
}

fn prove<C: Conversation>(place: Place) -> Recording {
    let (scene, recorder) = Scene::recorded(place);
    let client = converse(C::open(&scene.socket(), scene.token()));
    let agent = recorder.recording();
    let endpoint = scene.endpoint();
    let upgrades = scene.upgrades();
    assert_eq!(upgrades[0]["peer.pid"], std::process::id());
    let link = upgrades[0].get("link.mode").and_then(Value::as_str);
    assert_eq!(link, (place == Place::Link).then_some("stdio"));
    agree(&client, &agent, &upgrades, &Expected::unix(&endpoint, &recorder));
    agent
}

#[test]
fn a_session_by_hand_is_the_same_at_both_ends() {
    for place in PLACES {
        let agent = prove::<ByHand>(place);
        let sent = opcodes(&agent.sent);
        assert!([TEXT, CONTINUATION, PING].iter().all(|opcode| sent.contains(opcode)), "{sent:?}");
        assert_eq!(sent.last(), Some(&CLOSE));
        assert_eq!(opcodes(&agent.got), [TEXT, PONG, TEXT, CLOSE]);
    }
}

#[test]
fn a_session_by_a_library_is_the_same_at_both_ends() {
    for place in PLACES {
        let agent = prove::<ByLibrary>(place);
        assert_eq!(opcodes(&agent.sent), [TEXT, PING, TEXT, CLOSE]);
        assert_eq!(opcodes(&agent.got), [TEXT, PONG, TEXT, CLOSE]);
    }
}

#[test]
fn a_wrong_token_opens_nothing() {
    let scene = Scene::new(Place::Port, &[]);
    for header in ["", "Authorization: Bearer 00000000000000000000000000000000\r\n"] {
        let asked = crate::wire::handshake(None).replace("User-Agent: by hand\r\n", header);
        let answer = crate::commands::exchange(&scene.socket(), asked.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
}
