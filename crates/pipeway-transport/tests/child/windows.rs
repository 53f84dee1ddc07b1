//! Children with pipes on Windows: their lines, environments and jobs.

#![cfg(windows)]

use std::io::{ErrorKind as Io, Read, Write};

use pipeway_transport::ErrorKind;
use pipeway_transport::child::{Child, Program, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::run;
use crate::{MOMENT, PATIENT, read_all, read_until, script};

/// What [`stand_in`] is to do.
const ROLE: &str = "PIPEWAY_TEST_ROLE";

/// Stands before what a stand-in says: the test framework speaks first.
const MARK: &str = "<stand-in>";

/// This program as a child.
pub fn stand_in_for(role: &str) -> Program {
    let program = Program::new(std::env::current_exe().unwrap());
    let args = ["--ignored", "--exact", "windows::stand_in", "--nocapture", "--"];
    args.iter().fold(program, |program, arg| program.arg(arg)).variable(ROLE, role)
}

#[test]
#[ignore = "it is the child of the other tests"]
fn stand_in() {
    let Ok(role) = std::env::var(ROLE) else { return };
    if role.starts_with("console") {
        return crate::console::stand_in(&role);
    }
    let args: Vec<String> = std::env::args().skip_while(|arg| arg != "--").skip(1).collect();
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{MARK}").unwrap();
    stdout.flush().unwrap();
    match role.as_str() {
        "code" => std::process::exit(args[0].parse().unwrap()),
        "arguments" => write!(stdout, "{args:?}").unwrap(),
        "variable" => {
            let all: Vec<_> = std::env::vars().collect();
            let same = |name: &str| name.eq_ignore_ascii_case(&args[0]);
            let found: Vec<_> = all.iter().filter(|(name, _)| same(name)).collect();
            let folder = std::env::current_dir().unwrap();
            write!(stdout, "{} {found:?} {}", all.len() > 3, folder.display()).unwrap();
        }
        "cat" => {
            std::io::copy(&mut std::io::stdin().lock(), &mut stdout).unwrap();
        }
        "count" => {
            let mut all = Vec::new();
            std::io::stdin().lock().read_to_end(&mut all).unwrap();
            write!(stdout, "{}", all.len()).unwrap();
        }
        "burst" => {
            stdout.write_all(&vec![b'x'; 1 << 20]).unwrap();
            write!(stdout, "END").unwrap();
            stdout.flush().unwrap();
            eprint!("done");
        }
        "pause" => loop {
            writeln!(stdout, "ready").unwrap();
            std::thread::park();
        },
        "parent" => {
            drop(stdout);
            let own = std::env::current_exe().unwrap();
            let mut child = std::process::Command::new(own)
                .args(std::env::args().skip(1))
                .env(ROLE, "pause")
                .spawn()
                .unwrap();
            child.wait().unwrap();
            return;
        }
        other => panic!("no such role: {other}"),
    }
    stdout.flush().unwrap();
    // Before the test framework says more.
    std::process::exit(0);
}

#[test]
fn the_exit_code_is_the_childs() {
    run(async {
        for code in [0, 7, 255, -1] {
            let (mut child, _pipes) =
                Child::piped(&stand_in_for("code").arg(code.to_string())).unwrap();
            assert_eq!(child.wait().await.unwrap(), code);
        }
    });
}

#[test]
fn a_script_is_run_by_the_systems_shell() {
    run(async {
        let (mut child, mut pipes) = Child::piped(&script("echo \"a b\"& exit 3")).unwrap();
        assert_eq!(read_all(&mut pipes.stdout).await, "\"a b\"\r\n");
        assert_eq!(child.wait().await.unwrap(), 3);
    });
}

#[test]
fn a_program_is_found_in_path() {
    run(async {
        let program = Program::new("cmd").arg("/d").arg("/c").arg("exit 4");
        let (mut child, _pipes) = Child::piped(&program).unwrap();
        assert_eq!(child.wait().await.unwrap(), 4);
    });
}

#[test]
fn arguments_arrive_as_they_are() {
    run(async {
        let args = [
            "",
            "plain",
            "two words",
            " ",
            "\"",
            "\\",
            "\\\\",
            "\\\"",
            "C:\\a b\\",
            "a\\\\\"b c\\\\",
            "%PATH%",
            "^&|<>",
            "tab\tbed",
            "line\nfeed",
            "ä€😀",
            "'single'",
            "\"quoted\" and \"again\"",
        ];
        let program = args.iter().fold(stand_in_for("arguments"), |program, arg| program.arg(arg));
        let (_child, mut pipes) = Child::piped(&program).unwrap();
        read_until(&mut pipes.stdout, MARK).await;
        assert_eq!(read_all(&mut pipes.stdout).await, format!("{args:?}"));
    });
}

#[test]
fn a_child_starts_in_its_folder_with_its_variables_besides_our_own() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        // With the verbatim prefix, which the child is not to see.
        let path = folder.path().canonicalize().unwrap();
        let program = stand_in_for("variable")
            .folder(&path)
            .variable("Pipeway_Test_Case", "first")
            .variable("PIPEWAY_TEST_case", "1 = 1")
            .arg("pipeway_test_case");
        let (_child, mut pipes) = Child::piped(&program).unwrap();
        read_until(&mut pipes.stdout, MARK).await;
        let said = read_all(&mut pipes.stdout).await;
        let path = path.display().to_string();
        let path = path.trim_start_matches(r"\\?\");
        assert_eq!(said, format!("true [(\"PIPEWAY_TEST_case\", \"1 = 1\")] {path}"));
    });
}

#[test]
fn a_signal_ends_the_whole_job_with_the_code_that_it_has_elsewhere() {
    run(async {
        for signal in
            [Signal::Hangup, Signal::Interrupt, Signal::Quit, Signal::Terminate, Signal::Kill]
        {
            let (mut child, mut pipes) = Child::piped(&stand_in_for("parent")).unwrap();
            read_until(&mut pipes.stdout, "ready\n").await;
            assert!(child.signal(signal));
            assert_eq!(child.wait().await.unwrap(), signal.exit_code());
            assert_eq!(read_all(&mut pipes.stdout).await, "", "the grandchild is gone too");
            assert!(!child.signal(signal), "nobody is there");
        }
    });
}

#[test]
fn the_end_ends_the_whole_job_at_once() {
    run(async {
        let (mut child, mut pipes) = Child::piped(&stand_in_for("parent")).unwrap();
        read_until(&mut pipes.stdout, "ready\n").await;
        child.end(PATIENT).await;
        assert_eq!(child.wait().await.unwrap(), Signal::Hangup.exit_code());
        assert_eq!(read_all(&mut pipes.stdout).await, "");
    });
}

#[test]
fn dropping_the_child_ends_its_job() {
    run(async {
        let (child, mut pipes) = Child::piped(&stand_in_for("parent")).unwrap();
        read_until(&mut pipes.stdout, "ready\n").await;
        drop(child);
        assert_eq!(read_all(&mut pipes.stdout).await, "", "nobody holds it any more");
    });
}

#[test]
fn a_wait_that_was_dropped_loses_nothing_and_one_after_the_end_tells_it_again() {
    run(async {
        let (mut child, pipes) = Child::piped(&stand_in_for("cat")).unwrap();
        timeout(MOMENT, child.wait()).await.unwrap_err();
        drop(pipes.stdin);
        assert_eq!(child.wait().await.unwrap(), 0);
        assert_eq!(child.wait().await.unwrap(), 0);
        child.end(PATIENT).await;
    });
}

#[test]
fn what_was_written_before_the_end_is_read_whole() {
    run(async {
        for _ in 0..10 {
            let (mut child, mut pipes) = Child::piped(&stand_in_for("burst")).unwrap();
            read_until(&mut pipes.stdout, MARK).await;
            let output = read_all(&mut pipes.stdout).await;
            assert_eq!(output.len(), (1 << 20) + 3);
            assert!(output.ends_with("xEND"));
            assert_eq!(child.wait().await.unwrap(), 0);
        }
    });
}

#[test]
fn a_writer_that_is_not_read_waits() {
    run(async {
        let (mut child, mut pipes) = Child::piped(&stand_in_for("burst")).unwrap();
        read_until(&mut pipes.stdout, MARK).await;
        let mut said = [0; 4];
        timeout(MOMENT, pipes.stderr.read_exact(&mut said)).await.unwrap_err();
        assert_eq!(read_all(&mut pipes.stdout).await.len(), (1 << 20) + 3);
        pipes.stderr.read_exact(&mut said).await.unwrap();
        assert_eq!(child.wait().await.unwrap(), 0);
    });
}

#[test]
fn an_input_that_is_not_read_fills_up_and_breaks_at_the_childs_end() {
    run(async {
        let (mut child, mut pipes) = Child::piped(&stand_in_for("pause")).unwrap();
        read_until(&mut pipes.stdout, "ready\n").await;
        let much = vec![b'x'; 1 << 20];
        timeout(MOMENT, pipes.stdin.write_all(&much)).await.unwrap_err();
        child.end(PATIENT).await;
        let error = pipes.stdin.write_all(&much).await.unwrap_err();
        assert_eq!(error.kind(), Io::BrokenPipe);
    });
}

#[test]
fn a_large_input_arrives_whole_also_where_its_pipe_is_dropped_at_once() {
    run(async {
        let (mut child, mut pipes) = Child::piped(&stand_in_for("count")).unwrap();
        read_until(&mut pipes.stdout, MARK).await;
        pipes.stdin.write_all(&vec![b'x'; 3_000_000]).await.unwrap();
        drop(pipes.stdin);
        assert_eq!(read_all(&mut pipes.stdout).await, "3000000");
        assert_eq!(child.wait().await.unwrap(), 0);
    });
}

#[test]
fn children_do_not_hold_each_others_pipes() {
    run(async {
        let (mut first, mut firsts) = Child::piped(&stand_in_for("cat")).unwrap();
        let (_second, mut seconds) = Child::piped(&stand_in_for("pause")).unwrap();
        read_until(&mut seconds.stdout, "ready\n").await;
        read_until(&mut firsts.stdout, MARK).await;
        firsts.stdin.write_all(b"in").await.unwrap();
        drop(firsts.stdin);
        assert_eq!(read_all(&mut firsts.stdout).await, "in");
        assert_eq!(first.wait().await.unwrap(), 0);
    });
}

#[test]
fn children_that_are_started_at_once_do_not_hold_each_others_pipes() {
    let start_some = || {
        run(async {
            let mut paused = Vec::new();
            for _ in 0..5 {
                let (mut child, mut pipes) = Child::piped(&stand_in_for("cat")).unwrap();
                paused.push(Child::piped(&stand_in_for("pause")).unwrap());
                read_until(&mut pipes.stdout, MARK).await;
                drop(pipes.stdin);
                assert_eq!(read_all(&mut pipes.stdout).await, "");
                assert_eq!(child.wait().await.unwrap(), 0);
            }
        });
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(start_some);
        }
    });
}

#[test]
fn thirty_children_live_beside_each_other() {
    run(async {
        let mut all = tokio::task::JoinSet::new();
        for number in 1..=30 {
            all.spawn(async move {
                let (mut child, mut pipes) = Child::piped(&stand_in_for("cat")).unwrap();
                read_until(&mut pipes.stdout, MARK).await;
                pipes.stdin.write_all(format!("I am {number}").as_bytes()).await.unwrap();
                drop(pipes.stdin);
                assert_eq!(read_all(&mut pipes.stdout).await, format!("I am {number}"));
                assert_eq!(child.wait().await.unwrap(), 0);
            });
        }
        while let Some(one) = all.join_next().await {
            one.unwrap();
        }
    });
}

#[test]
fn what_can_not_be_started_says_why() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let batch = folder.path().join("batch.CMD");
        std::fs::write(&batch, b"exit\r\n").unwrap();
        for (program, kind) in [
            (Program::new("pipeway-no-such-program"), ErrorKind::NotFound),
            (Program::new(folder.path().join("missing.exe")), ErrorKind::NotFound),
            (script("exit").folder(folder.path().join("missing")), ErrorKind::NotFound),
            (script("exit").folder(&batch), ErrorKind::NotFound),
            (Program::new(&batch), ErrorKind::Unsupported),
            (script("exit 1\nexit 2"), ErrorKind::Unsupported),
            (script(&"x".repeat(40_000)), ErrorKind::Unsupported),
            (Program::new("cmd").arg("x".repeat(40_000)), ErrorKind::Unsupported),
            (Program::new("cmd").arg("a\0b"), ErrorKind::Unsupported),
            (script("echo a\0b"), ErrorKind::Unsupported),
        ] {
            let error = Child::piped(&program).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        }
    });
}
