//! Signals.

use crate::client::Client;
use crate::rig::{Rig, run};

/// Says that it has begun and sleeps. It is another process that says so: a signal that comes in
/// the very moment at which a shell starts a process is lost, as a key at any terminal would be.
pub const SLEEP: &str = "sh -c 'echo begun >&2; exec sleep 1000'";

/// Says that it has begun when what is before it in a pipeline has. That one alone can't say it:
/// the shell may not have started this one yet, and the signal would be lost on it.
const CAT: &str = "sh -c 'read -r begun; echo $begun >&2; exec cat >&2'";

#[test]
fn a_signal_ends_the_program_wherever_it_is_and_the_session_goes_on() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        client
            .output(
                &format!("kept=1; f() {{ {SLEEP}; echo never; }}; g() {{ f; echo never; }}
                 spin() {{ echo begun; while :; do :; done; echo never; }}; h() {{ spin; echo never; }}"),
            )
            .await;
        for program in [
            "f; echo never",
            "echo begun; while :; do :; done",
            "for i in 1 2 3; do f; done; echo never",
            "g; echo never",
            "h; echo never",
            "(f; echo never); echo never",
            "x=$(g); echo never",
            &format!("g 2>&1 | {CAT}; echo never"),
            "eval 'h; echo never'; echo never",
        ] {
            for (sig, exit) in [("INT", 130), ("SIGTERM", 143), ("QUIT", 131), ("HUP", 129)] {
                client.exec(program, "eof").await;
                client.until("begun\r\n").await;
                client.signal(sig).await;
                let done = client.done().await;
                assert_eq!(done.exit, exit, "{program} {sig}: {done:?}");
                assert!(!done.output.contains("never"), "{program} {sig}: {done:?}");
            }
        }
        assert_eq!(client.output("echo $kept").await, "1\r\n");
    });
}

#[test]
fn a_typed_ctrl_c_ends_the_program() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        for program in [SLEEP, "echo begun; read -r line", "echo begun; while :; do :; done"] {
            client.exec(format!("{program}; echo never"), "passthrough").await;
            client.until("begun\r\n").await;
            client.type_in("\x03").await;
            let done = client.done().await;
            assert_eq!(done.exit, 130, "{program}: {done:?}");
            assert!(!done.output.contains("never"), "{program}: {done:?}");
        }
    });
}

#[test]
fn a_program_that_handles_an_interrupt_goes_on() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        client.exec("sh -c 'trap \"echo handled; exit 0\" INT; echo begun; while :; do sleep 1; done'; echo on", "eof").await;
        client.until("begun\r\n").await;
        client.signal("INT").await;
        let done = client.done().await;
        assert_eq!(done.exit, 0, "{done:?}");
        assert!(done.output.ends_with("handled\r\non\r\n"), "{done:?}");
    });
}

#[test]
fn a_users_own_trap_is_kept_and_can_be_taken_away() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        client.output("trap 'echo mine; n=1' INT").await;
        let program = "n=; echo begun; while [ -z \"$n\" ]; do :; done; echo on";
        client.exec(program, "eof").await;
        client.until("begun\r\n").await;
        client.signal("INT").await;
        let done = client.done().await;
        assert_eq!((done.exit, done.output.as_str()), (0, "mine\r\non\r\n"));
        client.output("trap - INT").await;
        client.exec(program, "eof").await;
        client.until("begun\r\n").await;
        client.signal("INT").await;
        assert_eq!(client.done().await.exit, 130);
    });
}

#[test]
fn a_signal_that_comes_before_the_program_begins_is_for_it() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        for sig in ["INT", "TERM"].into_iter().cycle().take(20) {
            client.exec("while :; do :; done", "eof").await;
            client.signal(sig).await;
            let exit = client.done().await.exit;
            assert_eq!(exit, if sig == "INT" { 130 } else { 143 });
        }
    });
}

#[test]
fn signals_around_a_programs_end_neither_end_the_session_nor_lose_the_completion() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        for round in 0..150 {
            let program = format!("i=0; while [ $i -lt {} ]; do i=$((i+1)); done", round * 3);
            client.exec(program, "eof").await;
            let sig = ["INT", "TERM", "QUIT", "HUP"][round % 4];
            client.signal(sig).await;
            client.signal(sig).await;
            let exit = client.done().await.exit;
            assert!([0, 130, 143, 131, 129].contains(&exit), "{exit}");
            client.signal(sig).await;
        }
        let done = client.run("echo on").await;
        assert_eq!((done.exit, done.output.ends_with("on\r\n")), (0, true), "{done:?}");
    });
}

#[test]
fn a_signal_while_nothing_runs_does_nothing() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        for sig in ["INT", "TERM", "QUIT", "HUP"] {
            client.signal(sig).await;
        }
        client.nothing_comes().await;
        assert_eq!(client.output("echo on").await, "on\r\n");
    });
}

#[test]
fn an_unknown_signal_is_refused_and_the_session_goes_on() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        client.signal("USR1").await;
        let error = client.next().await.unwrap();
        assert_eq!(error["type"], "error");
        assert!(error["message"].as_str().unwrap().contains("INT, TERM, QUIT or HUP"), "{error}");
        assert_eq!(client.output("echo on").await, "on\r\n");
    });
}

#[test]
fn a_typed_ctrl_z_does_not_stop_the_session() {
    run(async {
        let rig = Rig::start();
        let mut client = Client::open(&rig).await;
        client.exec("echo begun; read -r line; echo got $line", "passthrough").await;
        client.until("begun\r\n").await;
        client.type_in("\x1a").await;
        client.type_in("word\n").await;
        let done = client.done().await;
        assert_eq!(done.exit, 0, "{done:?}");
        assert!(done.output.ends_with("got word\r\n"), "{done:?}");
    });
}
