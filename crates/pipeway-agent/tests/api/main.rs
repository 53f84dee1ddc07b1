//! The agent's HTTP interface, over a socket.
#![cfg(target_os = "linux")] // /proc tells whether a process is gone; the commands are a Unix shell's.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod rig;
mod terminal;

use std::time::{Duration, Instant};

use pipeway_agent::Agent;
use rig::{Rig, gone, run, text};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn a_command_gives_its_output_and_exit_code() {
    run(async {
        let rig = Rig::start();
        let answer = rig.execute("printf out; printf err >&2; exit 7").await;
        assert_eq!(answer["exit"], 7);
        assert_eq!(text(&answer["stdout_b64"]), "out");
        assert_eq!(text(&answer["stderr_b64"]), "err");
        assert_eq!(answer["scopes_used"], json!([]));
        assert_eq!(answer["span_id"].as_str().unwrap().len(), 16);
    });
}

#[test]
fn a_command_runs_in_its_folder_with_its_variables() {
    run(async {
        let rig = Rig::start();
        let body =
            json!({ "cmd": "pwd; echo \"$GREETING\"", "cwd": "/", "env": { "GREETING": "a b" } });
        let answer = rig.post("/v1/execute", body).await.json();
        assert_eq!(text(&answer["stdout_b64"]), "/\na b\n");
    });
}

#[test]
fn a_signalled_command_exits_with_128_and_the_signal() {
    run(async {
        let rig = Rig::start();
        assert_eq!(rig.execute("kill -INT $$").await["exit"], 130);
        assert_eq!(rig.execute("kill -KILL $$").await["exit"], 137);
    });
}

#[test]
fn a_command_has_nothing_to_read() {
    run(async {
        let rig = Rig::start();
        assert_eq!(rig.execute("cat; echo end").await["stdout_b64"], "ZW5kCg==");
    });
}

#[test]
fn a_command_in_a_terminal_has_one_of_80_by_24() {
    run(async {
        let rig = Rig::start();
        let body =
            json!({ "cmd": "test -t 0 && test -t 1 && test -t 2 && stty size", "pty": true });
        let answer = rig.post("/v1/execute", body).await.json();
        assert_eq!(text(&answer["stdout_b64"]), "24 80\r\n");
    });
}

#[test]
fn what_is_left_in_the_background_does_not_hold_the_answer() {
    run(async {
        let rig = Rig::start();
        let begin = Instant::now();
        let answer = rig.execute("sleep 1000 & echo $!").await;
        assert!(begin.elapsed() < Duration::from_secs(10));
        let pid = text(&answer["stdout_b64"]).trim().to_owned();
        std::process::Command::new("kill").arg(&pid).status().unwrap();
        let body = json!({ "cmd": "yes & echo $! >&2" });
        let mut lines = rig.stream(body).await;
        let mut pid = String::new();
        while let Some(line) = lines.next().await {
            if line["type"] == "stderr" {
                pid.push_str(&text(&line["chunk_b64"]));
            }
        }
        std::process::Command::new("kill").arg(pid.trim()).status().unwrap();
    });
}

#[test]
fn a_megabyte_comes_whole_and_both_outputs_at_once_do_not_block() {
    run(async {
        let rig = Rig::start();
        let cmd = "head -c 1000000 /dev/zero | tr '\\0' a & head -c 1000000 /dev/zero | tr '\\0' b >&2; wait";
        let answer = rig.execute(cmd).await;
        assert_eq!(text(&answer["stdout_b64"]), "a".repeat(1_000_000));
        assert_eq!(text(&answer["stderr_b64"]), "b".repeat(1_000_000));
    });
}

#[test]
fn more_output_than_is_kept_ends_the_command() {
    run(async {
        let rig = Rig::with(|config, _| config.limits.max_kept_output_bytes = 100_000);
        let cmd = format!("echo $$ >{}; yes", rig.path("pid").display());
        let answer = rig.post("/v1/execute", json!({ "cmd": cmd })).await;
        let message = answer.refusal(507, "output_too_large");
        assert!(message.contains("/v1/execute/stream"), "{message}");
        gone(pid_in(&rig)).await;
    });
}

#[test]
fn each_line_of_a_stream_comes_at_once() {
    run(async {
        let rig = Rig::start();
        let fifo = rig.path("go");
        let cmd =
            format!("mkfifo {0}; echo one; read x <{0}; echo two >&2; exit 3", fifo.display());
        let mut lines = rig.stream(json!({ "cmd": cmd })).await;
        let start = lines.expect("start").await;
        assert_eq!(text(&lines.expect("stdout").await["chunk_b64"]), "one\n");
        // Only now may the command go on.
        tokio::fs::write(&fifo, "x\n").await.unwrap();
        assert_eq!(text(&lines.expect("stderr").await["chunk_b64"]), "two\n");
        let exit = lines.expect("exit").await;
        assert_eq!((&exit["exit"], &exit["span_id"]), (&json!(3), &start["span_id"]));
        assert!(lines.next().await.is_none());
    });
}

#[test]
fn a_stream_is_cancelled_over_a_second_connection() {
    run(async {
        let rig = Rig::start();
        for (sig, exit) in
            [("INT", 130), ("SIGTERM", 143), ("QUIT", 131), ("HUP", 129), ("KILL", 137)]
        {
            let mut lines = rig.stream(json!({ "cmd": "echo up; exec sleep 1000" })).await;
            let span_id = lines.expect("start").await["span_id"].clone();
            lines.expect("stdout").await;
            let body = json!({ "span_id": span_id, "sig": sig });
            let answer = rig.post("/v1/execute/cancel", body.clone()).await.json();
            assert_eq!(answer, json!({ "schema_version": 1, "delivered": true }));
            assert_eq!(lines.expect("exit").await["exit"], exit, "{sig}");
            assert!(lines.next().await.is_none());
            let late = rig.post("/v1/execute/cancel", body).await.json();
            assert_eq!(late, json!({ "schema_version": 1, "delivered": false }));
        }
    });
}

#[test]
fn an_unknown_signal_is_refused() {
    run(async {
        let rig = Rig::start();
        let body = json!({ "span_id": "x", "sig": "USR1" });
        let message = rig.post("/v1/execute/cancel", body).await.refusal(400, "bad_request");
        assert!(message.contains("INT, TERM, QUIT, HUP or KILL"), "{message}");
    });
}

#[test]
fn a_spent_budget_ends_the_command_and_says_so() {
    run(async {
        let rig = Rig::with(|config, _| config.grace = Duration::from_millis(100));
        let budget = json!({ "max_runtime_ms": 50 });
        let mut lines = rig.stream(json!({ "cmd": "sleep 1000", "budget": budget })).await;
        lines.expect("start").await;
        let error = lines.expect("error").await;
        assert!(error["message"].as_str().unwrap().contains("max_runtime_ms, 50"), "{error}");
        assert_eq!(lines.expect("exit").await["exit"], 143);
        // One that does not hear is killed.
        let deaf = "trap '' TERM; while :; do sleep 1000; done";
        let answer = rig.post("/v1/execute", json!({ "cmd": deaf, "budget": budget })).await;
        assert_eq!(answer.json()["exit"], 137);
    });
}

#[test]
fn a_commands_whole_group_ends_with_its_client() {
    run(async {
        let rig = Rig::start();
        let pids = rig.path("pid");
        for path in ["/v1/execute", "/v1/execute/stream"] {
            for cmd in ["", "trap '' HUP; "] {
                let cmd = format!(
                    "{cmd}sleep 1000 & echo $! $$ >{0}.new; mv {0}.new {0}; wait",
                    pids.display()
                );
                let body = json!({ "cmd": cmd }).to_string();
                let mut stream = rig.connect().await;
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                let text = loop {
                    match std::fs::read_to_string(&pids) {
                        Ok(text) => break text,
                        Err(_) => tokio::task::yield_now().await,
                    }
                };
                std::fs::remove_file(&pids).unwrap();
                let begin = Instant::now();
                drop(stream);
                for pid in text.split_whitespace() {
                    gone(pid.parse().unwrap()).await;
                }
                assert!(begin.elapsed() < Duration::from_secs(2), "{path} {cmd}");
            }
        }
    });
}

#[test]
fn output_that_is_not_read_makes_the_command_wait() {
    run(async {
        let rig = Rig::start();
        let done = rig.path("done");
        let cmd = format!("head -c 50000000 /dev/zero; echo $? >{}", done.display());
        let mut lines = rig.stream(json!({ "cmd": cmd })).await;
        lines.expect("start").await;
        // Whoever does not read has what fits on the way, and the command can't be done.
        for _ in 0..200 {
            rig.get("/healthz").await;
        }
        assert!(!done.exists());
        let mut bytes = 0;
        while let Some(line) = lines.next().await {
            if line["type"] == "stdout" {
                let chunk = line["chunk_b64"].as_str().unwrap();
                bytes += pipeway_agent::protocol::decode(chunk).unwrap().len();
            }
        }
        assert_eq!(bytes, 50_000_000);
        assert!(done.exists());
    });
}

#[test]
fn a_trace_tells_what_happened_and_not_the_command() {
    run(async {
        let rig = Rig::start();
        let body = json!({ "cmd": "echo s3cret", "env": { "A": "s3cret" }, "agent_id": "me", "profile": "p" });
        let span_id = rig.post("/v1/execute", body).await.json()["span_id"].clone();
        let answer = rig.get(&format!("/v1/trace/{}", span_id.as_str().unwrap())).await;
        let trace = answer.json();
        assert_eq!((&trace["span_id"], &trace["running"]), (&span_id, &json!(false)));
        let events = trace["events"].as_array().unwrap();
        assert_eq!((&events[0]["event"], &events[0]["agent_id"]), (&json!("start"), &json!("me")));
        assert_eq!((&events[1]["event"], &events[1]["stdout_bytes"]), (&json!("exit"), &json!(7)));
        assert!(!String::from_utf8(answer.body).unwrap().contains("s3cret"));
        rig.get("/v1/trace/none").await.refusal(404, "no_such_span");
    });
}

#[test]
fn what_can_not_be_used_is_refused_and_named() {
    run(async {
        let rig = Rig::with(|config, _| config.limits.max_body_bytes = 10_000);
        let file = rig.path("agent.sock");
        for (body, expected) in [
            (json!({ "cmd": "x", "colour": 1 }), "unknown field `colour`"),
            (json!({ "cmd": "x", "budget": { "cpu": 1 } }), "unknown field `cpu`"),
            (json!({ "cwd": "/" }), "missing field `cmd`"),
            (json!({ "cmd": 5 }), "invalid type"),
            (json!({ "cmd": "x", "cwd": "relative" }), "must be an absolute path"),
            (json!({ "cmd": "x", "cwd": "/nowhere" }), "/nowhere does not exist"),
            (json!({ "cmd": "x", "cwd": file }), "is no folder"),
            (json!({ "cmd": "x\u{0}y" }), "NUL"),
            (json!({ "cmd": "x", "env": { "A=B": "" } }), "variable"),
            (json!([]), "the body can't be used"),
        ] {
            for path in ["/v1/execute", "/v1/execute/stream"] {
                let message = rig.post(path, body.clone()).await.refusal(400, "bad_request");
                assert!(message.contains(expected), "{message}");
            }
        }
        rig.post("/v1/execute", json!({ "cmd": "x".repeat(10_000) }))
            .await
            .refusal(413, "body_too_large");
        rig.get("/nowhere").await.refusal(404, "not_found");
        rig.get("/v1/execute").await.refusal(405, "method_not_allowed");
        rig.get("/v1/stream").await.refusal(426, "upgrade_required");
    });
}

#[test]
fn health_and_capabilities_are_told() {
    run(async {
        let rig = Rig::start();
        assert_eq!(rig.get("/healthz").await.json(), json!({ "status": "ok" }));
        let capabilities = rig.get("/v1/capabilities").await.json();
        assert_eq!(capabilities["platform"], std::env::consts::OS);
        assert!(capabilities["features"].as_array().unwrap().contains(&json!("execute_stream")));
        for field in ["version", "backend"] {
            assert!(capabilities[field].is_string(), "{capabilities}");
        }
    });
}

#[test]
fn a_port_wants_a_token_and_no_web_page() {
    run(async {
        let rig = Rig::with(|config, folder| {
            let token = folder.join("token");
            std::fs::write(&token, "s3cret-s3cret-s3cret\n").unwrap();
            config.listen = "tcp:127.0.0.1:0".parse().unwrap();
            config.token_file = Some(token);
        });
        let ask =
            async |lines: &str| rig.send(&format!("GET /healthz HTTP/1.1\r\n{lines}"), b"").await;
        let token = "Authorization: Bearer s3cret-s3cret-s3cret\r\n";
        let refused = ask("Host: localhost\r\n").await;
        refused.refusal(401, "token_required");
        assert!(refused.head.contains("www-authenticate: Bearer\r\n"), "{}", refused.head);
        ask("Host: localhost\r\nAuthorization: Bearer s3cret-s3cret-s3creT\r\n")
            .await
            .refusal(401, "token_required");
        ask(&format!("Host: localhost\r\n{token}{token}")).await.refusal(401, "token_required");
        for host in ["evil.example", "127.0.0.1.evil.example", ""] {
            ask(&format!("Host: {host}\r\n{token}")).await.refusal(421, "wrong_host");
        }
        for origin in ["https://evil.example", "null", "http://localhost.evil.example", "localhost"]
        {
            ask(&format!("Host: localhost\r\nOrigin: {origin}\r\n{token}"))
                .await
                .refusal(403, "wrong_origin");
        }
        for lines in
            ["Host: LOCALHOST:80\r\n", "Host: 127.0.0.1:1\r\nOrigin: http://localhost:3000\r\n"]
        {
            assert_eq!(ask(&format!("{lines}{token}")).await.status, 200);
        }
    });
}

#[test]
fn a_port_without_a_token_does_not_start() {
    run(async {
        let listen = "tcp:127.0.0.1:0".parse().unwrap();
        let error = Agent::bind(pipeway_agent::AgentConfig::new(listen)).unwrap_err().to_string();
        assert!(error.contains("--token-file"), "{error}");
    });
}

#[test]
fn a_stop_ends_commands_and_gives_their_clients_the_last_word() {
    run(async {
        let rig = Rig::start();
        let cmd = format!("echo $$ >{}; echo up; sleep 1000", rig.path("pid").display());
        let mut lines = rig.stream(json!({ "cmd": cmd })).await;
        lines.expect("start").await;
        lines.expect("stdout").await;
        let pid = pid_in(&rig);
        let begin = Instant::now();
        let (_, ()) = tokio::join!(rig.stop(), async {
            let error = lines.expect("error").await;
            assert_eq!(error["message"], "the agent was stopped");
            assert_eq!(lines.expect("exit").await["exit"], 129);
            assert!(lines.next().await.is_none());
        });
        gone(pid).await;
        assert!(begin.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn five_hundred_commands_at_once_leave_nothing_behind() {
    run(async {
        let rig = std::sync::Arc::new(Rig::start());
        rig.execute("true").await;
        let before = descriptors();
        let mut all = tokio::task::JoinSet::new();
        for number in 0..500 {
            let rig = rig.clone();
            all.spawn(async move {
                let answer = rig.execute(&format!("echo {number}; exit {}", number % 100)).await;
                assert_eq!(text(&answer["stdout_b64"]), format!("{number}\n"));
                assert_eq!(answer["exit"], number % 100);
            });
        }
        while let Some(ended) = all.join_next().await {
            ended.unwrap();
        }
        while descriptors() > before {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_connection_serves_one_request_after_another() {
    run(async {
        let rig = Rig::start();
        let mut stream = rig.connect().await;
        for _ in 0..3 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"{\"status\":\"ok\"}") {
                assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
            }
        }
    });
}

/// The id that a command wrote into the file `pid`.
fn pid_in(rig: &Rig) -> u32 {
    std::fs::read_to_string(rig.path("pid")).unwrap().trim().parse().unwrap()
}

/// How many descriptors this process has open.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
