//! Children in terminals.

#![cfg(unix)]

use std::io::ErrorKind as Io;

use pipeway_transport::child::{Child, Program, Signal, Terminal, TerminalSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use crate::support::run;
use crate::{MOMENT, PATIENT, read_all, read_until, script};

fn in_terminal(program: &Program) -> (Child, Terminal) {
    Child::in_terminal(program, TerminalSize::default()).unwrap()
}

/// A script run by a shell with job control: what it runs is a foreground job in a group of its
/// own.
fn jobs(script: &str) -> Program {
    Program::new("sh").arg("-m").arg("-c").arg(script)
}

#[test]
fn the_size_is_right_from_the_start_and_after_a_resize() {
    run(async {
        let trap = "trap 'stty size' WINCH; stty size; while :; do sleep 1000 & wait; done";
        let size = TerminalSize { columns: 90, rows: 30 };
        let (mut child, mut terminal) = Child::in_terminal(&script(trap), size).unwrap();
        assert_eq!(read_until(&mut terminal, "\r\n").await, "30 90");
        terminal.resize(TerminalSize { columns: 120, rows: 40 }).unwrap();
        assert_eq!(read_until(&mut terminal, "\r\n").await, "40 120");
        child.end(PATIENT).await;
    });
}

#[test]
fn all_three_streams_are_the_terminal_and_it_is_the_controlling_one() {
    run(async {
        let look = "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo yes >/dev/tty";
        let (_child, mut terminal) = in_terminal(&script(look));
        assert_eq!(read_all(&mut terminal).await, "yes\r\n");
    });
}

#[test]
fn its_kind_is_xterm_unless_the_program_says_otherwise() {
    run(async {
        let say = script("printf %s \"$TERM\"");
        let (_child, mut terminal) = in_terminal(&say);
        assert_eq!(read_all(&mut terminal).await, "xterm-256color");
        let (_child, mut terminal) = in_terminal(&say.variable("TERM", "dumb"));
        assert_eq!(read_all(&mut terminal).await, "dumb");
    });
}

#[test]
fn erasing_takes_a_whole_character() {
    run(async {
        let (_child, mut terminal) = in_terminal(&script("stty -echo; echo ready; head -n 1"));
        read_until(&mut terminal, "ready\r\n").await;
        terminal.write_all("ä\u{7f}b\n".as_bytes()).await.unwrap();
        assert_eq!(read_all(&mut terminal).await, "b\r\n");
    });
}

#[test]
fn a_typed_interrupt_interrupts() {
    run(async {
        let (mut child, mut terminal) = in_terminal(&script("echo ready; exec sleep 1000"));
        read_until(&mut terminal, "ready\r\n").await;
        terminal.write_all(&[0x03]).await.unwrap();
        assert_eq!(child.wait().await.unwrap(), 130);
    });
}

#[test]
fn a_typed_end_of_input_ends_the_input() {
    run(async {
        let (mut child, mut terminal) = in_terminal(&script("stty -echo; echo ready; exec cat"));
        read_until(&mut terminal, "ready\r\n").await;
        terminal.write_all(b"typed\n\x04").await.unwrap();
        assert_eq!(read_all(&mut terminal).await, "typed\r\n");
        assert_eq!(child.wait().await.unwrap(), 0);
    });
}

#[test]
fn a_signal_to_the_foreground_reaches_the_job_and_not_the_shell() {
    run(async {
        let job = "sh -c 'echo ready; exec sleep 1000'; echo \"status $?\"; exit 5";
        let (mut child, mut terminal) = in_terminal(&jobs(job));
        read_until(&mut terminal, "ready\r\n").await;
        assert!(child.signal_foreground(Signal::Terminate));
        read_until(&mut terminal, "status 143\r\n").await;
        assert_eq!(child.wait().await.unwrap(), 5);
    });
}

#[test]
fn a_foreground_job_that_ignores_a_hang_up_is_killed_after_the_grace() {
    run(async {
        let job = "sh -c 'trap \"\" HUP; echo ready; exec sleep 1000'; exit 5";
        let (mut child, mut terminal) = in_terminal(&jobs(job));
        read_until(&mut terminal, "ready\r\n").await;
        child.end(MOMENT).await;
        read_all(&mut terminal).await;
        child.wait().await.unwrap();
    });
}

#[test]
fn dropping_the_child_kills_the_foreground_job_too() {
    run(async {
        let job = "sh -c 'trap \"\" HUP; echo ready; exec sleep 1000'; exit 5";
        let (child, mut terminal) = in_terminal(&jobs(job));
        read_until(&mut terminal, "ready\r\n").await;
        drop(child);
        read_all(&mut terminal).await;
    });
}

#[test]
fn what_was_written_before_the_end_is_read_whole() {
    run(async {
        for _ in 0..50 {
            let (mut child, mut terminal) =
                in_terminal(&script("head -c 1048576 /dev/zero | tr '\\0' x; printf END"));
            let output = read_all(&mut terminal).await;
            assert_eq!(output.len(), 1_048_576 + 3);
            assert!(output.ends_with("xEND"));
            assert_eq!(child.wait().await.unwrap(), 0);
        }
    });
}

#[test]
#[cfg_attr(
    target_os = "macos",
    ignore = "on macOS a process does not end before its terminal's output is read"
)]
fn what_was_written_is_read_whole_after_the_end_was_seen() {
    run(async {
        for _ in 0..50 {
            let (mut child, mut terminal) =
                in_terminal(&script("head -c 3000 /dev/zero | tr '\\0' x; printf END"));
            assert_eq!(child.wait().await.unwrap(), 0);
            let output = read_all(&mut terminal).await;
            assert_eq!(output.len(), 3_000 + 3);
            assert!(output.ends_with("xEND"));
        }
    });
}

#[test]
fn a_writer_that_is_not_read_waits() {
    run(async {
        let (mut child, mut terminal) = in_terminal(&script("head -c 1000000 /dev/zero; exit 6"));
        timeout(MOMENT, child.wait()).await.unwrap_err();
        assert_eq!(read_all(&mut terminal).await.len(), 1_000_000);
        assert_eq!(child.wait().await.unwrap(), 6);
    });
}

#[test]
fn an_input_that_is_not_read_fills_up_and_breaks_at_the_childs_end() {
    run(async {
        let (mut child, mut terminal) =
            in_terminal(&script("stty raw -echo; echo ready; exec sleep 1000"));
        read_until(&mut terminal, "ready").await;
        let much = vec![b'x'; 1 << 20];
        timeout(MOMENT, terminal.write_all(&much)).await.unwrap_err();
        child.end(PATIENT).await;
        let error = terminal.write_all(&much).await.unwrap_err();
        assert_eq!(error.kind(), Io::BrokenPipe);
    });
}

#[test]
fn a_slow_reader_gets_all_of_a_large_input() {
    run(async {
        let (mut child, mut terminal) =
            in_terminal(&script("stty raw -echo; echo ready; head -c 1000000 | wc -c"));
        read_until(&mut terminal, "ready\n").await;
        terminal.write_all(&vec![b'x'; 1_000_000]).await.unwrap();
        assert_eq!(read_all(&mut terminal).await.trim(), "1000000");
        assert_eq!(child.wait().await.unwrap(), 0);
    });
}

#[test]
fn a_terminal_that_all_had_left_and_one_came_back_to_is_at_its_end() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (says, hears) = (folder.path().join("says"), folder.path().join("hears"));
        for fifo in [&says, &hears] {
            assert!(std::process::Command::new("mkfifo").arg(fifo).status().unwrap().success());
        }
        let mut from = pipe::OpenOptions::new().open_receiver(&says).unwrap();
        let leave = "exec </dev/null >\"$SAYS\" 2>/dev/null; exec <\"$HEARS\"; echo left; read go; \
            exec 3<>/dev/tty; echo back; exec sleep 1000";
        let program = script(leave).variable("SAYS", &says).variable("HEARS", &hears);
        let (child, mut terminal) = in_terminal(&program);
        // A sender can be opened as soon as the script has opened its side.
        let mut to = loop {
            if let Ok(to) = pipe::OpenOptions::new().open_sender(&hears) {
                break to;
            }
            tokio::task::yield_now().await;
        };
        read_until(&mut from, "left\n").await;
        // Meanwhile the runtime learns that nobody holds the terminal.
        timeout(MOMENT, from.read_u8()).await.unwrap_err();
        to.write_all(b"go\n").await.unwrap();
        read_until(&mut from, "back\n").await;
        assert_eq!(read_all(&mut terminal).await, "");
        drop(child);
    });
}

#[test]
fn a_hundred_terminals_live_beside_each_other() {
    run(async {
        let mut all = tokio::task::JoinSet::new();
        for number in 1..=100 {
            all.spawn(async move {
                let size = TerminalSize { columns: 100 + number, rows: number };
                let echo = script("stty -echo; stty size; read line; echo \"$line\"; exit 9");
                let (mut child, mut terminal) = Child::in_terminal(&echo, size).unwrap();
                let said = read_until(&mut terminal, "\r\n").await;
                assert_eq!(said, format!("{number} {}", 100 + number));
                terminal.write_all(format!("I am {number}\n").as_bytes()).await.unwrap();
                assert_eq!(read_all(&mut terminal).await, format!("I am {number}\r\n"));
                assert_eq!(child.wait().await.unwrap(), 9);
            });
        }
        while let Some(one) = all.join_next().await {
            one.unwrap();
        }
    });
}
