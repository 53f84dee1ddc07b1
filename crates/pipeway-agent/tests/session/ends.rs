//! How sessions end, and that nothing is left of them.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;

use crate::GONE;
use crate::client::{Client, exec};
use crate::rig::{Rig, gone, run};

/// The shell's process id, and the folder that the session's files lie in.
async fn insides(client: &mut Client) -> (u32, PathBuf) {
    let output = client.output("echo \"$$ ${BASH_SOURCE[0]}\"").await;
    let (pid, program) = output.trim().split_once(' ').unwrap();
    let folder = PathBuf::from(program).parent().unwrap().to_owned();
    assert!(folder.is_dir(), "{folder:?}");
    (pid.parse().unwrap(), folder)
}

/// A program's process id, once it runs.
async fn pid_of(client: &mut Client, program: &str) -> u32 {
    client.exec(format!("sh -c 'echo pid $$.; {program}'"), "eof").await;
    client.until("pid ").await;
    client.until(".").await.trim_end_matches('.').parse().unwrap()
}

#[test]
fn the_shells_end_is_the_sessions_and_has_its_exit_code() {
    run(async {
        let rig = Rig::start();
        for (program, exit, output) in [
            ("echo bye; exit 3", 3, "bye\r\n"),
            ("set -e; false; echo never", 1, ""),
            ("f() { exit 4; }; f", 4, ""),
            ("kill -9 $$", 137, ""),
            ("exec true", 0, ""),
            ("trap 'echo trapped' EXIT; exit 5", 5, "trapped\r\n"),
        ] {
            let mut client = Client::open(&rig).await;
            let (_, folder) = insides(&mut client).await;
            client.exec(program, "eof").await;
            let end = client.end().await;
            assert_eq!((end.exit(), end.output.as_str()), (exit, output), "{program}");
            assert_eq!(end.messages.len(), 1, "{program}: {end:?}");
            assert!(!folder.exists(), "{program}");
        }
    });
}

#[test]
fn errexit_stays_and_a_success_does_not_end_the_session() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        client.output("set -euo pipefail").await;
        assert_eq!(client.output("echo on; false || :").await, "on\r\n");
        client.exec("while :; do :; done", "eof").await;
        client.signal("INT").await;
        assert_eq!(client.done().await.exit, 130);
        assert!(client.output("echo on").await.contains("on\r\n"));
        client.exec("false; echo never", "eof").await;
        assert_eq!(client.end().await.exit(), 1);
    });
}

#[test]
fn a_close_ends_the_shell_and_what_it_runs() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        let (shell, folder) = insides(&mut client).await;
        client.output("trap 'echo bye' EXIT; sleep 1000 & echo $!").await;
        let program = pid_of(&mut client, "sleep 1000; :").await;
        let begun = Instant::now();
        // Whatever comes after it is not looked at.
        client.send(json!({ "type": "close" })).await;
        client.send(exec(7, "echo never", "eof")).await;
        let end = client.end().await;
        end.exit();
        assert!(end.output.contains("bye") && !end.output.contains("never"), "{end:?}");
        gone(shell).await;
        gone(program).await;
        assert!(begun.elapsed() < GONE);
        assert!(!folder.exists());
    });
}

#[test]
fn a_program_that_does_not_want_to_end_is_killed_at_the_close() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        let (shell, _) = insides(&mut client).await;
        let program = pid_of(&mut client, "trap : HUP TERM INT; while :; do sleep 1; done").await;
        let begun = Instant::now();
        let end = client.close().await;
        assert_eq!(end.close, Some(1000), "{end:?}");
        gone(shell).await;
        gone(program).await;
        assert!(begun.elapsed() < GONE);
    });
}

#[test]
fn a_client_that_is_gone_takes_all_with_it() {
    run(async {
        let rig = Rig::start();
        for program in ["sleep 1000; :", "trap : HUP; while :; do sleep 1; done", "cat /dev/zero"] {
            let mut client = Client::open(&rig).await;
            let (shell, folder) = insides(&mut client).await;
            let program = pid_of(&mut client, program).await;
            let begun = Instant::now();
            drop(client);
            gone(shell).await;
            gone(program).await;
            while folder.exists() {
                tokio::task::yield_now().await;
            }
            assert!(begun.elapsed() < GONE, "{:?}", begun.elapsed());
        }
    });
}

#[test]
fn an_agent_that_stops_ends_its_sessions_and_says_so() {
    run(async {
        let rig = Rig::start();
        let mut idle = Client::open(&rig).await;
        let (shell, folder) = insides(&mut idle).await;
        let mut busy = Client::open(&rig).await;
        let program = pid_of(&mut busy, "sleep 1000; :").await;
        let ((), idle, busy) = tokio::join!(rig.stop(), idle.end(), busy.end());
        for end in [idle, busy] {
            assert_eq!(end.messages[0]["message"], "the agent was stopped", "{end:?}");
            end.exit();
        }
        gone(shell).await;
        gone(program).await;
        assert!(!folder.exists());
    });
}

#[test]
fn a_session_leaves_no_descriptor_behind() {
    run(async {
        let rig = Rig::start();
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        Client::open(&rig).await.close().await.exit();
        let before = count();
        for _ in 0..10 {
            let mut client = Client::open(&rig).await;
            client.output("echo on").await;
            client.close().await.exit();
        }
        while count() > before {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_trace_tells_what_happened_and_neither_tokens_nor_programs() {
    run(async {
        let rig = Rig::start();
        let (mut client, ready) = Client::open_with(&rig, json!({})).await;
        client.run("return 4 # confidential").await;
        client.close().await.exit();
        let nonce = ready["session_nonce"].as_str().unwrap();
        let trace = rig.get(&format!("/v1/trace/{nonce}")).await.json();
        let events = trace["events"].as_array().unwrap();
        let told: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(told, ["start", "program", "exit"], "{trace}");
        assert_eq!((&events[1]["seq"], &events[1]["exit"]), (&json!(1), &json!(4)));
        let text = trace.to_string();
        assert!(!text.contains(&crate::client::token(1)) && !text.contains("confidential"));
    });
}
