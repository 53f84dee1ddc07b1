//! Persistent sessions, by a real WebSocket client.
#![cfg(target_os = "linux")] // /proc tells whether a process is gone; the programs are a Unix shell's.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod client;
mod ends;
mod faults;
mod interrupts;
#[path = "../api/rig.rs"]
#[allow(dead_code, reason = "what other tests need of it is not needed here")]
mod rig;

use std::time::Duration;

use client::Client;
use rig::{Rig, run};
use serde_json::json;

#[test]
fn a_session_keeps_its_state_between_programs() {
    run(async {
        let rig = Rig::start();
        let (mut client, ready) = Client::open_with(&rig, json!({ "cwd": "/usr" })).await;
        assert_eq!(ready["cwd"], "/usr");
        assert_eq!(ready["protocol_version"], 1);
        assert_eq!(ready["session_nonce"].as_str().unwrap().len(), 32);
        let done = client
            .run("cd lib; x=5; export Y=6; f() { echo f $x; }; declare -A z=([k]=7); set -- p q")
            .await;
        assert_eq!((done.exit, done.cwd.as_str(), done.output.as_str()), (0, "/usr/lib", ""));
        let output = client.output("f; echo $Y ${z[k]} $# $1; sh -c 'echo $Y$x'; pwd").await;
        assert_eq!(output, "f 5\r\n6 7 2 p\r\n6\r\n/usr/lib\r\n");
        assert_eq!(client.run("return 9").await.exit, 9);
        assert_eq!(client.output("echo $?").await, "9\r\n");
        client.close().await.exit();
    });
}

#[test]
fn a_session_begins_with_its_own_variables_and_leaves_no_trace_of_how_it_works() {
    run(async {
        let rig = Rig::start();
        let (mut client, _) =
            Client::open_with(&rig, json!({ "env": { "GIVEN": "a b", "PS1": "never" } })).await;
        let output = client.output("echo \"$GIVEN,$PS1,$PS2,$PROMPT_COMMAND,$0,$#\"").await;
        assert_eq!(output, "a b,,,,bash,0\r\n");
        let seen = client
            .output("env; set; trap; ls -l /proc/$$/fd; tr '\\0' ' ' </proc/$$/cmdline")
            .await;
        for secret in ["pipeway_report", &client::token(1), &client::token(2), "socket:"] {
            assert!(!seen.contains(secret), "{secret} in {seen}");
        }
        assert!(!seen.contains("HISTFILE="), "{seen}");
        assert!(seen.ends_with("bash --norc --noprofile --noediting -i "), "{seen}");
        client.close().await.exit();
    });
}

#[test]
fn the_folder_is_told_as_it_is() {
    run(async {
        let rig = Rig::start();
        let folder = rig.path("a\nb ").display().to_string();
        let mut client = Client::open(&rig).await;
        let quoted = format!("'{folder}'");
        let done =
            client.run(format!("mkdir {quoted}; ln -s {quoted} {quoted}l; cd {quoted}l")).await;
        assert_eq!(done.cwd, folder);
        let done = client
            .run(format!("PWD=/nowhere; IFS=/; mkdir {quoted}/$'\\xff'; cd {quoted}/$'\\xff'"))
            .await;
        assert_eq!(done.cwd, format!("{folder}/\u{fffd}"));
        // One that is gone has the name it had.
        let gone = rig.path("gone").display().to_string();
        let done = client.run(format!("mkdir {gone}; cd {gone}; rmdir {gone}")).await;
        assert_eq!((done.exit, done.cwd.as_str()), (0, gone.as_str()));
        assert_eq!(client.run("cd /").await.cwd, "/");
    });
}

#[test]
fn every_program_is_bounded_however_it_ends() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        for (program, exit, output) in [
            ("", 0, ""),
            ("# nothing", 0, ""),
            ("echo no line end", 0, "no line end\r\n"),
            ("echo crlf\r\n", 0, "crlf\r\r\n"),
            ("cat <<E\nunfinished", 0, "unfinished"),
            ("echo 'unfinished", 2, "unexpected EOF"),
            ("if true; then echo unfinished", 2, "syntax error"),
            ("}", 2, "syntax error"),
            ("nosuchcommand", 127, "not found"),
            (": ${nothing:?is set}", 1, "is set"),
            ("readonly r=1; r=2", 1, "readonly"),
            ("break; continue; echo on", 0, "on"),
            ("printf() { echo mine; }; alias command=false; printf", 0, "mine"),
            ("exec 3>&-; exec 10>/dev/null 11>/dev/null 255>/dev/null; echo on", 0, "on"),
            ("exec </dev/null; exec <&-; echo on", 0, "on"),
            ("set -u; IFS=0123456789; set -f; set -C; echo on", 0, "on"),
            ("unalias -a; unset -f printf; printf on", 0, "on"),
            ("(exit 130)", 130, ""),
            ("set -v -x; echo on; set +v +x", 0, "on"),
        ] {
            let done = client.run(program).await;
            assert_eq!(done.exit, exit, "{program:?}: {done:?}");
            assert!(done.output.contains(output), "{program:?}: {done:?}");
        }
        client.close().await.exit();
    });
}

#[test]
fn all_output_comes_before_the_completion() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        for _ in 0..50 {
            let done = client
                .run(
                    "i=0; while [ $i -lt 200 ]; do printf XXXXXXXXXX; i=$((i+1)); done; printf END",
                )
                .await;
            assert_eq!(done.output.len(), 2003, "{done:?}");
            assert!(done.output.ends_with("XEND"));
        }
        let done = client.run("head -c 3000000 /dev/zero | tr '\\0' x; echo END").await;
        assert_eq!(done.output.len(), 3_000_005);
        assert!(done.output.ends_with("xEND\r\n"));
    });
}

#[test]
fn something_that_writes_on_in_the_background_does_not_hold_the_completion() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        let done = client.run("while :; do echo noise; done & echo begun").await;
        assert_eq!(done.exit, 0);
        assert!(
            client.run("kill $!; wait $! 2>/dev/null; echo killed").await.output.contains("killed")
        );
        client.run("{ read -r _ <>/dev/null; echo later; } & wait").await;
    });
}

#[test]
fn what_comes_between_two_programs_is_sent() {
    run(async {
        let rig = Rig::start();
        let fifo = rig.path("fifo").display().to_string();
        let mut client = Client::open(&rig).await;
        client
            .output(&format!("mkfifo {fifo}; {{ read -r line <{fifo}; echo late $line; }} &"))
            .await;
        tokio::fs::write(&fifo, "word\n").await.unwrap();
        client.until("late word\r\n").await;
        assert_eq!(client.output("echo on").await, "on\r\n");
    });
}

#[test]
fn a_program_reads_what_is_typed_only_in_passthrough() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        assert_eq!(client.run("read -r x").await.exit, 1);
        client.type_in("idle\n").await;
        client
            .exec("echo ask; read -r x; echo got $x; tty; test -t 0 && test -t 1", "passthrough")
            .await;
        client.until("ask\r\n").await;
        client.type_in("äbc\x7fd\n").await;
        let done = client.done().await;
        assert_eq!(done.exit, 0, "{done:?}");
        assert!(done.output.contains("got äbd\r\n/dev/pts/"), "{done:?}");
        assert!(!done.output.contains("idle"), "{done:?}");
    });
}

#[test]
fn what_was_typed_for_one_program_never_reaches_the_next() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        client.exec("echo ask; read -r x; stty -echo; echo told $x", "passthrough").await;
        client.type_in("one\ntwo\nthree\n").await;
        assert!(client.done().await.output.contains("told one"));
        client.exec("echo ask; read -t 0.2 -r x; echo read $? $x", "passthrough").await;
        let done = client.done().await;
        assert!(done.output.contains("read 142\r\n"), "{done:?}");
        client.type_in("while idle\n").await;
        client.exec("echo ask", "eof").await;
        client.type_in("at the end\n").await;
        client.done().await;
        client.exec("read -t 0.2 -r x; echo read $? $x", "passthrough").await;
        assert!(client.done().await.output.contains("read 142\r\n"));
    });
}

#[test]
fn the_terminal_has_the_size_that_it_is_given() {
    run(async {
        let rig = Rig::start();
        let (mut client, _) = Client::open_with(&rig, json!({ "cols": 100, "rows": 30 })).await;
        assert_eq!(client.output("stty size <&2").await, "30 100\r\n");
        client.send(json!({ "type": "resize", "cols": 120, "rows": 40 })).await;
        assert_eq!(client.output("stty size <&2").await, "40 120\r\n");
        client
            .exec(
                "trap 'stty size; exit 0' WINCH; echo ready; while :; do read -t 1 _; done",
                "passthrough",
            )
            .await;
        client.until("ready\r\n").await;
        client.send(json!({ "type": "resize", "cols": 50, "rows": 20 })).await;
        client.until("20 50\r\n").await;
        assert_eq!(client.end().await.exit(), 0);
    });
}

#[test]
fn a_program_of_nearly_four_megabytes_runs() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        let line = format!("# {}\n", "x".repeat(97));
        let mut program = line.repeat(31_000);
        program.push_str("echo at the end");
        assert_eq!(client.output(&program).await, "at the end\r\n");
        let long = format!("x={}; echo ${{#x}}", "y".repeat(2_000_000));
        assert_eq!(client.output(&long).await, "2000000\r\n");
    });
}

#[test]
fn fifty_sessions_at_once_do_not_mix() {
    run(async {
        let rig = Rig::start();
        let each = (0..50).map(|number| {
            let rig = &rig;
            async move {
                let mut client = Client::open(rig).await;
                client.output(&format!("x={number}")).await;
                for round in 0..4 {
                    let output = client.output(&format!("echo $x {round}; x=$((x + 100))")).await;
                    assert_eq!(output, format!("{} {round}\r\n", number + round * 100));
                }
                client.exec(interrupts::SLEEP, "eof").await;
                client.until("begun\r\n").await;
                client.signal("INT").await;
                assert_eq!(client.done().await.exit, 130);
                client.close().await.exit();
            }
        });
        futures_util::future::join_all(each).await;
    });
}

#[test]
fn a_shell_that_is_not_bash_does_it_too() {
    run(async {
        let rig = Rig::start();
        let bin = rig.path("bin");
        std::fs::create_dir(&bin).unwrap();
        for tool in ["tty", "sleep", "sh"] {
            std::os::unix::fs::symlink(format!("/usr/bin/{tool}"), bin.join(tool)).unwrap();
        }
        let env = json!({ "PATH": bin, "ENV": "/nowhere/at/all" });
        let (mut client, _) = Client::open_with(&rig, json!({ "env": env })).await;
        assert_eq!(
            client
                .output(&format!("cd /usr; x=1; f() {{ {}; echo never; }}", interrupts::SLEEP))
                .await,
            ""
        );
        assert_eq!(client.output("echo $x ${BASH_VERSION-none}; pwd").await, "1 none\r\n/usr\r\n");
        for (program, exit) in [
            ("if", 2),
            ("echo 'x", 2),
            ("false", 1),
            (": ${nothing:?}", 2),
            ("readonly r=1; r=2", 2),
        ] {
            let done = client.run(program).await;
            assert_eq!(done.exit, exit, "{program}: {done:?}");
        }
        for (sig, exit) in [("INT", 130), ("TERM", 143), ("QUIT", 131), ("HUP", 129)] {
            client.exec("f; echo never", "eof").await;
            client.until("begun\r\n").await;
            client.signal(sig).await;
            let done = client.done().await;
            assert_eq!(done.exit, exit, "{sig}: {done:?}");
            assert!(!done.output.contains("never"), "{done:?}");
        }
        client.exec("read -r line; echo got $line", "passthrough").await;
        client.type_in("word\n").await;
        assert!(client.done().await.output.contains("got word"));
        client.close().await.exit();
    });
}

/// How long the last process of a session may live on.
const GONE: Duration = Duration::from_secs(2);
