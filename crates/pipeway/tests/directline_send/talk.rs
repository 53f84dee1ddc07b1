//! Activities there, and replies back.

use std::sync::mpsc;

use serde_json::{Value, json};

use crate::agent::{Agent, place};
use crate::harness::{Ended, Room, Running, WATCHDOG, run};

/// Nothing more is waited for: the agent's replies come before its answer.
const NO_WAIT: [&str; 2] = ["--wait", "0s"];

fn send(room: &Room, pipe: &str, args: &[&str]) -> Ended {
    let all = ["directline", "send", "--pipe", pipe];
    room.run(all.iter().chain(&NO_WAIT).chain(args))
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_text_is_sent_and_its_replies_are_told_in_words() {
    let room = Room::new();
    let agent = Agent::start(&room);
    let said = |text| send(&room, &agent.pipe, &[text]).exits_with(0).stdout();
    assert_eq!(said("hello"), "bot: echo: hello\n");
    assert_eq!(said("send"), "bot: (is typing)\n");
    assert_eq!(
        said("change"),
        "bot: before\nbot: (changed activity-1) after\nbot: (deleted activity-1)\n"
    );
    assert_eq!(said("ask"), "bot: \"user\" 404 400\n");
}

#[test]
fn a_reply_that_comes_after_the_answer_is_waited_for() {
    let room = Room::new();
    let late = axum::routing::post(async |request: axum::extract::Request| {
        let client = request.extensions().get::<pipeway_directline::Client>().unwrap().clone();
        tokio::spawn(async move {
            let said = json!({ "type": "message", "text": "late" }).to_string();
            let path = "/v3/conversations/c/activities";
            let call = axum::http::Request::post(path).body(pipeway_directline::Body::from(said));
            client.call(call.unwrap()).await.unwrap();
        });
    });
    let agent = Agent::with(&room, axum::Router::new().route("/api/messages", late));
    let args = ["directline", "send", "--pipe", &agent.pipe, "--wait", "3s", "hello"];
    assert_eq!(room.run(args).exits_with(0).stdout(), "bot: late\n");
}

#[test]
fn with_json_each_activity_is_an_object_and_so_is_the_answer() {
    let room = Room::new();
    let agent = Agent::start(&room);
    let ended = send(
        &room,
        &agent.pipe,
        &["--json", "--from", "ada", "--conversation-id", "c1", "activity"],
    );
    let lines = lines(&ended.exits_with(0));
    let [reply, answer] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&reply["operation"], &reply["conversation"]), (&json!("reply"), &json!("c1")));
    assert_eq!(*answer, json!({ "operation": "answer", "status": 200 }));
    let sent = &reply["activity"]["value"];
    assert_eq!(sent["from"]["id"], "ada");
    assert_eq!(sent["channelId"], "directline");
    assert_eq!(sent["id"], reply["to"]);
    let url = sent["serviceUrl"].as_str().unwrap();
    let name = url.strip_prefix("urn:botframework:namedpipe:pw-test-").unwrap();
    assert!(agent.pipe.ends_with(name), "{url}");
    assert!(sent["timestamp"].as_str().unwrap().ends_with('Z'), "{sent}");
}

#[test]
fn an_activity_of_a_file_or_of_standard_input_is_completed_and_not_changed() {
    let room = Room::new();
    let agent = Agent::start(&room);
    let activity = json!({ "text": "activity", "id": "mine", "from": { "id": "eve" }, "x": [1] });
    room.file("activity.json", activity.to_string());
    let of_file = send(&room, &agent.pipe, &["--json", "@activity.json"]).exits_with(0);
    let args = ["directline", "send", "--pipe", &agent.pipe, "--wait", "0s", "--json", "@-"];
    let of_input = run(room.pipeway(args), activity.to_string().as_bytes()).exits_with(0);
    for ended in [of_file, of_input] {
        let sent = &lines(&ended)[0]["activity"]["value"];
        assert_eq!((&sent["id"], &sent["from"]), (&json!("mine"), &json!({ "id": "eve" })));
        assert_eq!((&sent["x"], &sent["type"]), (&json!([1]), &json!("message")));
    }
    room.file("bad.json", "[]");
    send(&room, &agent.pipe, &["@bad.json"]).exits_with(2).says("no JSON object");
    send(&room, &agent.pipe, &["@none.json"]).exits_with(2).says("can't read none.json");
}

#[test]
fn files_go_beside_the_activity_with_their_media_types() {
    let room = Room::new();
    let agent = Agent::start(&room);
    room.file("a.PNG", [1; 5000]);
    room.file("b.unknown", "");
    let ended =
        send(&room, &agent.pipe, &["--attach", "a.PNG", "--attach", "b.unknown", "received"]);
    let said = ended.exits_with(0).stdout();
    assert_eq!(said, "bot: image/png 5000, application/octet-stream 0\n");
}

#[test]
fn replies_in_the_answer_and_an_invokes_result_are_told() {
    let room = Room::new();
    let agent = Agent::start(&room);
    let ended = send(&room, &agent.pipe, &["--expect-replies", "hello"]).exits_with(0);
    assert_eq!(ended.stdout(), "bot: in the answer: hello\n");
    let ended = send(&room, &agent.pipe, &["--invoke", "task/fetch", "{\"a\":1}"]).exits_with(0);
    assert_eq!(ended.stdout(), "bot: (answered 200) {\"invoked\":{\"a\":1}}\n");
    let ended = send(&room, &agent.pipe, &["--invoke", "task/fetch", "no JSON"]);
    ended.exits_with(2).says("the invoke's value is not JSON");
}

#[test]
fn each_way_to_fail_has_its_exit_code() {
    let room = Room::new();
    let agent = Agent::start(&room);
    let refused = send(&room, &agent.pipe, &["refuse"]).exits_with(10);
    refused.says("I am told to refuse").says("the agent refused with status 422");
    send(&room, &agent.pipe, &["--timeout", "300ms", "hang"]).exits_with(8).says("did not answer");
    let (nowhere, _) = place(&room);
    let nobody = send(&room, &nowhere, &["--connect-timeout", "200ms", "hello"]);
    nobody.exits_with(7).says("no agent answers at");
    send(&room, "bad name", &["hello"]).exits_with(2);
    send(&room, &agent.pipe, &[]).exits_with(2);
}

#[test]
fn an_agent_that_ends_the_session_before_its_answer_is_told() {
    let room = Room::new();
    let (asked_tx, asked_rx) = mpsc::channel();
    let never = axum::routing::post(async move || {
        asked_tx.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    let agent = Agent::with(&room, axum::Router::new().route("/api/messages", never));
    let args = ["directline", "send", "--pipe", &agent.pipe, "hello"];
    let running = Running::start(room.pipeway(args));
    asked_rx.recv_timeout(WATCHDOG).unwrap();
    drop(agent);
    running.end().exits_with(9).says("the session ended before the agent's answer");
}

#[test]
fn a_conversation_sends_line_by_line_and_prints_in_order() {
    let room = Room::new();
    let agent = Agent::start(&room);
    let args = ["directline", "send", "--pipe", &agent.pipe, "--wait", "0s", "--conversation"];
    let ended = run(room.pipeway(args), b"one\r\n\ntwo\nthree").exits_with(0);
    assert_eq!(ended.stdout(), "bot: echo: one\nbot: echo: two\nbot: echo: three\n");
    let refused = run(room.pipeway(args), b"refuse\nafter\n").exits_with(10);
    assert_eq!(refused.stdout(), "bot: echo: after\n");

    let mut running = Running::start(room.pipeway(args));
    for text in ["a", "b"] {
        running.write(format!("{text}\n").as_bytes());
        assert_eq!(running.line(), format!("bot: echo: {text}"));
    }
    #[cfg(unix)]
    running.signal("INT");
    #[cfg(not(unix))]
    running.close_stdin();
    running.end().exits_with(0);
}

#[test]
fn a_conversation_ends_when_the_agent_does() {
    let room = Room::new();
    let agent = Agent::start(&room);
    let args = ["directline", "send", "--pipe", &agent.pipe, "--conversation", "--json"];
    let mut running = Running::start(room.pipeway(args));
    running.write(b"a\n");
    // The reply and the agent's answer, whichever comes first: with the answer missing the end would
    // be another one.
    let lines = [running.line(), running.line()];
    for operation in ["reply", "answer"] {
        let operation = format!(r#""operation":"{operation}""#);
        assert_eq!(lines.iter().filter(|line| line.contains(&operation)).count(), 1, "{lines:?}");
    }
    drop(agent);
    running.end().exits_with(9).says("the agent ended the session");
}

#[test]
fn verbose_tells_every_frame_and_no_body() {
    let room = Room::new();
    let agent = Agent::start(&room);
    let ended = send(&room, &agent.pipe, &["--verbose", "secret-word"]).exits_with(0);
    assert_eq!(ended.stdout(), "bot: echo: secret-word\n");
    assert!(!ended.stderr.contains("secret-word"), "{}", ended.stderr);
    for part in
        ["* connected", "> request ", "> stream ", "< request ", "< response ", "> response "]
    {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}
