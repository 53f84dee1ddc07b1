//! The test of agents, tested.

use std::collections::HashMap;
use std::process::Command;
use std::thread::JoinHandle;

use pipeway_directline::pipes::{PairListenOptions, PairListener};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::agent::{Agent, place};
use crate::harness::{Ended, Room, Running};

fn command(room: &Room, pipe: &str, seed: &str, args: &[&str]) -> Command {
    let all = ["directline", "send", "--pipe", pipe, "--hostile", seed];
    room.pipeway(all.iter().chain(args))
}

fn attack(room: &Room, pipe: &str, seed: &str, args: &[&str]) -> Ended {
    // Each line is waited for, not the end of all.
    Running::start(command(room, pipe, seed, args)).end()
}

fn objects(ended: &Ended) -> Vec<Value> {
    ended.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What was sent, by the attacks' names.
fn digests(ended: &Ended) -> HashMap<String, Value> {
    let rows = objects(ended).into_iter().filter(|row| row.get("attack").is_some());
    rows.map(|row| (row["attack"].as_str().unwrap().to_owned(), row["digest"].clone())).collect()
}

#[test]
fn our_own_agent_survives_and_does_all_that_is_expected() {
    let room = Room::new();
    let agent = Agent::start(&room);
    let ended = attack(&room, &agent.pipe, "42", &["--json"]);
    let rows = objects(&ended);
    let (verdict, rows) = rows.split_last().unwrap();
    let other: Vec<&Value> = rows.iter().filter(|row| row["happened"] != "ok").collect();
    assert!(other.is_empty(), "{other:#?}");
    assert_eq!((&verdict["verdict"], &verdict["not_run"]), (&"survived".into(), &0.into()));
    assert!(rows.len() > 100, "{}", rows.len());
    ended.exits_with(0);
}

#[test]
fn a_seed_makes_the_same_bytes_and_rounds_and_words_choose() {
    let room = Room::new();
    let agent = Agent::start(&room);
    let made = |seed, more: &[&str]| {
        let args = [&["--json", "--only", "H-30", "--only", "type in lower case"], more].concat();
        attack(&room, &agent.pipe, seed, &args).exits_with(0)
    };
    let (one, same, other) = (made("7", &[]), made("7", &[]), made("8", &[]));
    assert_eq!(digests(&one), digests(&same));
    assert_ne!(digests(&one), digests(&other));
    assert_eq!(digests(&one).len(), 2);
    assert_eq!(objects(&made("7", &["--rounds", "3"])).len(), 7);
    assert_eq!(objects(&made("7", &["--skip", "H-31"])).len(), 2);
    let late = made("7", &["--seconds", "0"]);
    assert_eq!(objects(&late)[0]["not_run"], 2);
}

#[test]
fn a_table_for_people_ends_with_the_verdict() {
    let room = Room::new();
    let agent = Agent::start(&room);
    let said = attack(&room, &agent.pipe, "7", &["--only", "M-01"]).exits_with(0).stdout();
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("case  attack "), "{said}");
    assert!(lines[1].starts_with("M-01  empty request "), "{said}");
    assert!(lines[1].contains(" alive ") && lines[1].contains(" ok "), "{said}");
    assert!(lines[2].starts_with("survived: 1 ok, 0 differ, 0 hang; seed 7, "), "{said}");
}

/// An agent that answers every request with 404 until one of its sessions ends, and is gone then.
fn mortal(room: &Room) -> (String, JoinHandle<()>) {
    let (pipe, place) = place(room);
    let (up_tx, up_rx) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = PairListenOptions::default();
            let mut listener = PairListener::bind(&place, &options).await.unwrap();
            up_tx.send(()).unwrap();
            let mut pair = listener.accept().await.unwrap();
            let mut header = [0; 48];
            while pair.reader.read_exact(&mut header).await.is_ok() && header[1] == b'.' {
                let length: usize = std::str::from_utf8(&header[2..8]).unwrap().parse().unwrap();
                pair.reader.read_exact(&mut vec![0; length]).await.unwrap();
                if header[0] == b'A' {
                    header[0] = b'B';
                    header[2..8].copy_from_slice(b"000018");
                    let answer = [&header[..], b"{\"statusCode\":404}"].concat();
                    pair.writer.write_all(&answer).await.unwrap();
                }
            }
            listener.close().await;
        });
    });
    up_rx.recv().unwrap();
    (pipe, thread)
}

#[test]
fn an_agent_that_dies_is_told_to_be_dead() {
    let room = Room::new();
    let (pipe, thread) = mortal(&room);
    let args = ["--json", "--only", "H-20", "--only", "X-01"];
    let ended = attack(&room, &pipe, "1", &args).exits_with(1);
    let rows = objects(&ended);
    assert_eq!(rows[0]["happened"], "dead", "{rows:?}");
    let verdict = &rows[1];
    assert_eq!(verdict["verdict"], "dead");
    assert_eq!(verdict["killer"], "no dot at byte 1");
    assert_eq!(verdict["not_run"], 1);
    thread.join().unwrap();
}

#[test]
fn what_differs_is_told_and_no_death() {
    let room = Room::new();
    // It has no route at all.
    let agent = Agent::with(&room, axum::Router::new());
    let ended = attack(&room, &agent.pipe, "1", &["--json", "--only", "R-01"]).exits_with(0);
    let rows = objects(&ended);
    assert_eq!(rows[0]["happened"], "differs: status 404");
    assert_eq!(rows[1]["verdict"], "survived");
}

#[test]
fn nobody_to_attack_is_told_so() {
    let room = Room::new();
    let (nowhere, _) = place(&room);
    let ended = attack(&room, &nowhere, "1", &["--connect-timeout", "200ms"]);
    ended.exits_with(7).says("no agent answers at");
}
