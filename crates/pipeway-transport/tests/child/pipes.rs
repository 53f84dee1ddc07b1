//! Children with pipes: their end, signals to their group, and their streams.

#![cfg(unix)]

use std::io::ErrorKind as Io;

use pipeway_transport::child::{Child, Program, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use crate::support::run;
use crate::{MOMENT, PATIENT, read_all, read_until, script};

#[test]
fn the_exit_code_is_the_childs() {
    run(async {
        for code in [0, 1, 7, 255] {
            let (mut child, _pipes) = Child::piped(&script(&format!("exit {code}"))).unwrap();
            assert_eq!(child.wait().await.unwrap(), code);
        }
    });
}

#[test]
fn the_exit_code_of_what_a_signal_ended_is_128_and_its_number() {
    run(async {
        for signal in
            [Signal::Hangup, Signal::Interrupt, Signal::Quit, Signal::Terminate, Signal::Kill]
        {
            // Without a core file in the tests' folder.
            let suicide = format!("ulimit -c 0; kill -{signal} $$");
            let (mut child, _pipes) = Child::piped(&script(&suicide)).unwrap();
            assert_eq!(child.wait().await.unwrap(), signal.exit_code(), "{signal}");
        }
    });
}

#[test]
fn a_wait_that_was_dropped_loses_nothing_and_one_after_the_end_tells_it_again() {
    run(async {
        let (mut child, mut pipes) = Child::piped(&script("read line; exit 5")).unwrap();
        timeout(MOMENT, child.wait()).await.unwrap_err();
        pipes.stdin.write_all(b"go\n").await.unwrap();
        assert_eq!(child.wait().await.unwrap(), 5);
        assert_eq!(child.wait().await.unwrap(), 5);
        assert!(!child.signal(Signal::Kill), "nobody is there");
        assert!(!child.signal_foreground(Signal::Kill), "nobody is there");
        child.end(PATIENT).await;
    });
}

#[test]
fn a_signal_reaches_the_whole_group() {
    run(async {
        for signal in [Signal::Hangup, Signal::Terminate, Signal::Kill] {
            let (mut child, mut pipes) =
                Child::piped(&script("sleep 1000 & echo ready; wait")).unwrap();
            read_until(&mut pipes.stdout, "ready\n").await;
            assert!(child.signal(signal));
            assert_eq!(child.wait().await.unwrap(), signal.exit_code());
            assert_eq!(read_all(&mut pipes.stdout).await, "", "{signal}: the sleep is gone too");
        }
        // A shell lets what is in its background ignore these two.
        for signal in [Signal::Interrupt, Signal::Quit] {
            let pipeline = "ulimit -c 0; sh -c 'echo ready; exec sleep 1000' | cat";
            let (mut child, mut pipes) = Child::piped(&script(pipeline)).unwrap();
            read_until(&mut pipes.stdout, "ready\n").await;
            assert!(child.signal_foreground(signal), "without a terminal it is the same");
            assert_eq!(child.wait().await.unwrap(), signal.exit_code());
            assert_eq!(read_all(&mut pipes.stdout).await, "", "{signal}: both ends are gone");
        }
    });
}

#[test]
fn a_signal_reaches_nobody_outside_the_group() {
    run(async {
        let ready = script("echo ready; exec cat");
        let (_other, mut others) = Child::piped(&ready).unwrap();
        let (mut child, mut pipes) = Child::piped(&ready).unwrap();
        read_until(&mut others.stdout, "ready\n").await;
        read_until(&mut pipes.stdout, "ready\n").await;
        assert!(child.signal(Signal::Kill));
        assert_eq!(child.wait().await.unwrap(), 137);
        others.stdin.write_all(b"alive\n").await.unwrap();
        read_until(&mut others.stdout, "alive\n").await;
    });
}

#[test]
fn the_child_leads_a_session_and_a_group() {
    run(async {
        let (mut child, _pipes) = Child::piped(&script("exec cat")).unwrap();
        let leader = rustix::process::Pid::from_raw(child.pid().cast_signed());
        assert_eq!(rustix::process::getsid(leader).ok(), leader);
        assert_eq!(rustix::process::getpgid(leader).ok(), leader);
        child.end(PATIENT).await;
    });
}

#[test]
fn the_end_is_a_hang_up_first() {
    run(async {
        let trap = "trap 'echo hung up; exit 3' HUP; echo ready; read line";
        let (mut child, mut pipes) = Child::piped(&script(trap)).unwrap();
        read_until(&mut pipes.stdout, "ready\n").await;
        child.end(PATIENT).await;
        assert_eq!(child.wait().await.unwrap(), 3);
        assert_eq!(read_all(&mut pipes.stdout).await, "hung up\n");
    });
}

#[test]
fn what_ignores_a_hang_up_is_killed_after_the_grace() {
    run(async {
        let (mut child, mut pipes) =
            Child::piped(&script("trap '' HUP; echo ready; exec sleep 1000")).unwrap();
        read_until(&mut pipes.stdout, "ready\n").await;
        let start = Instant::now();
        child.end(MOMENT).await;
        assert!(start.elapsed() >= MOMENT, "it has its grace");
        assert_eq!(child.wait().await.unwrap(), 137);
    });
}

#[test]
fn what_outlives_its_leader_is_killed_too() {
    run(async {
        let member = "(trap '' HUP; echo ready; exec sleep 1000) & wait";
        let (mut child, mut pipes) = Child::piped(&script(member)).unwrap();
        read_until(&mut pipes.stdout, "ready\n").await;
        child.end(MOMENT).await;
        assert_eq!(child.wait().await.unwrap(), 129, "the leader was hung up");
        assert_eq!(read_all(&mut pipes.stdout).await, "");
    });
}

#[test]
fn what_is_stopped_sees_the_hang_up() {
    run(async {
        let stopped = "trap 'exit 3' HUP; (kill -STOP $$; echo ready); read line";
        let (mut child, mut pipes) = Child::piped(&script(stopped)).unwrap();
        read_until(&mut pipes.stdout, "ready\n").await;
        child.end(PATIENT).await;
        assert_eq!(child.wait().await.unwrap(), 3);
    });
}

#[test]
fn dropping_the_child_kills_its_group() {
    run(async {
        let stubborn = "(trap '' HUP INT TERM; echo ready; exec sleep 1000) & wait";
        let (child, mut pipes) = Child::piped(&script(stubborn)).unwrap();
        read_until(&mut pipes.stdout, "ready\n").await;
        drop(child);
        assert_eq!(read_all(&mut pipes.stdout).await, "", "nobody holds it any more");
    });
}

#[test]
fn what_was_written_before_the_end_is_read_whole() {
    run(async {
        for _ in 0..20 {
            let (mut child, mut pipes) =
                Child::piped(&script("head -c 1048576 /dev/zero | tr '\\0' x; printf END"))
                    .unwrap();
            let output = read_all(&mut pipes.stdout).await;
            assert_eq!(output.len(), 1_048_576 + 3);
            assert!(output.ends_with("xEND"));
            assert_eq!(child.wait().await.unwrap(), 0);
        }
    });
}

#[test]
fn the_three_streams_are_three() {
    run(async {
        let (mut child, mut pipes) = Child::piped(&script("cat; echo err >&2; exit 2")).unwrap();
        pipes.stdin.write_all(b"in").await.unwrap();
        drop(pipes.stdin);
        assert_eq!(read_all(&mut pipes.stdout).await, "in");
        assert_eq!(read_all(&mut pipes.stderr).await, "err\n");
        assert_eq!(child.wait().await.unwrap(), 2);
    });
}

#[test]
fn a_writer_that_is_not_read_waits() {
    run(async {
        let (mut child, mut pipes) =
            Child::piped(&script("head -c 1000000 /dev/zero; echo done >&2")).unwrap();
        let mut said = [0; 5];
        timeout(MOMENT, pipes.stderr.read_exact(&mut said)).await.unwrap_err();
        assert_eq!(read_all(&mut pipes.stdout).await.len(), 1_000_000);
        pipes.stderr.read_exact(&mut said).await.unwrap();
        assert_eq!(child.wait().await.unwrap(), 0);
    });
}

#[test]
fn an_input_that_is_not_read_fills_up_and_breaks_at_the_childs_end() {
    run(async {
        let (mut child, mut pipes) = Child::piped(&script("exec sleep 1000")).unwrap();
        let much = vec![b'x'; 1 << 20];
        timeout(MOMENT, pipes.stdin.write_all(&much)).await.unwrap_err();
        child.end(PATIENT).await;
        let error = pipes.stdin.write_all(&much).await.unwrap_err();
        assert_eq!(error.kind(), Io::BrokenPipe);
    });
}

#[test]
fn a_slow_reader_gets_all_of_a_large_input() {
    run(async {
        let (mut child, mut pipes) = Child::piped(&script("wc -c")).unwrap();
        pipes.stdin.write_all(&vec![b'x'; 3_000_000]).await.unwrap();
        drop(pipes.stdin);
        assert_eq!(read_all(&mut pipes.stdout).await.trim(), "3000000");
        assert_eq!(child.wait().await.unwrap(), 0);
    });
}

#[test]
fn arguments_arrive_as_they_are() {
    run(async {
        let args = ["", "two words", "\"", "\\", "$HOME", "*", "a'b", "line\nfeed", "ä"];
        let mut program = Program::new("printf").arg("[%s]");
        for arg in args {
            program = program.arg(arg);
        }
        let (_child, mut pipes) = Child::piped(&program).unwrap();
        let expected: String = args.iter().map(|arg| format!("[{arg}]")).collect();
        assert_eq!(read_all(&mut pipes.stdout).await, expected);
    });
}

#[test]
fn the_end_of_one_is_waited_for_while_another_is_read() {
    run(async {
        let (mut quick, _quick) = Child::piped(&script("exit 4")).unwrap();
        let (_slow, mut slow) = Child::piped(&script("exec cat")).unwrap();
        let mut byte = [0];
        tokio::select! {
            code = quick.wait() => assert_eq!(code.unwrap(), 4),
            _ = slow.stdout.read(&mut byte) => panic!("cat says nothing"),
        }
    });
}
