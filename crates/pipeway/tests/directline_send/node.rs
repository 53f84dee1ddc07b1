//! Others' agents, with Node: the Bot Framework's SDK for JavaScript.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::{Room, Running, is_left_out, run};

fn node(room: &Room, script: &str, args: &[&str]) -> Option<(String, Running)> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../interop");
    if is_left_out(&["node"]) {
        return None;
    }
    if !scripts.join("node_modules").is_dir() {
        assert!(std::env::var_os("PIPEWAY_REQUIRE_INTEROP").is_none(), "`npm ci` in interop");
        eprintln!("left out, for want of node_modules in interop");
        return None;
    }
    let prefix = format!("{}/", room.path("pipes").display());
    std::fs::create_dir_all(&prefix).unwrap();
    let mut command = Command::new("node");
    command.arg(scripts.join("directline").join(script)).args(args);
    command.args(["--prefix", &prefix, "--seconds", "120"]);
    let running = Running::start(command);
    let line = running.line();
    assert!(line.starts_with("ready"), "{line}");
    Some((format!("unix:{prefix}bot"), running))
}

#[test]
fn a_bot_of_botbuilder_is_talked_to() {
    let room = Room::new();
    let Some((pipe, _bot)) = node(&room, "bot.cjs", &["bot"]) else { return };
    // Each of its replies comes before its answer.
    let args = ["directline", "send", "--pipe", &pipe, "--wait", "0s", "--conversation"];
    let said = b"hello\nmany 3\nattach\nupdate\ndelete\nmembers\nsend\n";
    let ended = run(room.pipeway(args), said).exits_with(0);
    let stdout = ended.stdout();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "bot: echo: hello",
            "bot: echo: 0",
            "bot: echo: 1",
            "bot: echo: 2",
            "bot: [text/plain, hello.txt, inline]",
            "bot: before",
            "bot: (changed activity-6) after",
            "bot: to be deleted",
            "bot: (deleted activity-7)",
            "bot: members: 2",
            "bot: sent",
        ]
    );
}

#[test]
fn a_bot_of_botbuilder_answers_an_invoke_and_with_replies() {
    let room = Room::new();
    let Some((pipe, _bot)) = node(&room, "bot.cjs", &["bot"]) else { return };
    // Node drops who connects before it has noticed the end of the session before.
    let send = |args: &[&str]| {
        let all = ["directline", "send", "--pipe", &pipe, "--wait", "0s"];
        let attempts = std::iter::repeat_with(|| room.run(all.iter().chain(args)));
        attempts.take(20).find(|ended| ended.code() != Some(9)).unwrap()
    };
    let ended = send(&["--invoke", "task/fetch", "{\"status\":201}"]).exits_with(0);
    assert_eq!(ended.stdout(), "bot: (answered 201) {\"invoked\":\"task/fetch\"}\n");
    send(&["--invoke", "ignored", "{}"]).exits_with(10).says("status 501");
    let ended = send(&["--expect-replies", "hello"]).exits_with(0);
    assert_eq!(ended.stdout(), "bot: echo: hello\n");
    send(&["fail"]).exits_with(10).says("status 500");
}

#[test]
fn the_test_of_agents_has_its_form_whatever_the_agent_does() {
    let room = Room::new();
    let mut reports = Vec::new();
    for _ in 0..2 {
        // It may die, so each has its own.
        let Some((pipe, bot)) = node(&room, "bfs.mjs", &["agent", "bot"]) else { return };
        let only = ["--only", "H-30", "--only", "H-34", "--only", "X-01", "--only", "M-04"];
        let args = ["directline", "send", "--pipe", &pipe, "--hostile", "5", "--json"];
        let ended = Running::start(room.pipeway(args.iter().chain(&only))).end();
        let rows: Vec<Value> =
            ended.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let (verdict, rows) = rows.split_last().unwrap();
        let is_dead = verdict["verdict"] == "dead";
        assert!(is_dead || verdict["verdict"] == "survived", "{verdict}");
        assert_eq!(ended.code(), Some(i32::from(is_dead)));
        assert!(rows.iter().all(|row| row["happened"].is_string()), "{rows:?}");
        let digests: Vec<(Value, Value)> =
            rows.iter().map(|row| (row["attack"].clone(), row["digest"].clone())).collect();
        reports.push(digests);
        drop(bot);
        let _ = std::fs::remove_dir_all(room.path("pipes"));
    }
    let same = reports[0].len().min(reports[1].len());
    assert!(same > 0);
    assert_eq!(reports[0][..same], reports[1][..same]);
}
