//! How a child is started: its folder, environment and signals, and what can't be started.

#![cfg(unix)]

use std::os::unix::fs::PermissionsExt;

use pipeway_transport::ErrorKind;
use pipeway_transport::child::{Child, Program, TerminalSize};

use crate::alone::{alone, is_alone};
use crate::support::run;
use crate::{read_all, script};

/// The error of a program that must not start, with pipes and in a terminal.
fn refused(program: &Program) -> pipeway_transport::Error {
    let error = Child::in_terminal(program, TerminalSize::default()).unwrap_err();
    let piped = Child::piped(program).unwrap_err();
    assert_eq!((piped.kind(), piped.to_string()), (error.kind(), error.to_string()));
    piped
}

#[test]
fn a_child_starts_in_its_folder_with_its_variables_besides_our_own() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        let program = script("pwd -P; echo \"$ONE|$TWO|${PATH:+a path}\"")
            .folder(&path)
            .variable("ONE", "1 = 1")
            .variable("TWO", "");
        let (_child, mut pipes) = Child::piped(&program).unwrap();
        let said = read_all(&mut pipes.stdout).await;
        assert_eq!(said, format!("{}\n1 = 1||a path\n", path.display()));
    });
}

#[test]
fn a_missing_program_and_a_missing_folder_are_told_apart() {
    run(async {
        let error = refused(&Program::new("pipeway-no-such-program"));
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("pipeway-no-such-program"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        for (name, what) in [("missing", "does not exist"), ("file", "is no folder")] {
            std::fs::write(folder.path().join("file"), b"").unwrap();
            let error = refused(&script("exit").folder(folder.path().join(name)));
            assert_eq!(error.kind(), ErrorKind::NotFound);
            let text = error.to_string();
            assert!(text.contains(name) && text.contains(what), "{text}");
        }
    });
}

#[test]
fn a_file_that_may_not_be_executed_is_a_matter_of_permission() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, b"#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(refused(&Program::new(path)).kind(), ErrorKind::Permission);
    });
}

#[test]
fn nul_bytes_and_impossible_names_are_refused() {
    run(async {
        for program in [
            script("echo a\0b"),
            Program::new("echo").arg("a\0b"),
            Program::new("ec\0ho"),
            Program::new(""),
            script("exit").variable("A", "a\0b"),
            script("exit").variable("A\0", "b"),
            script("exit").variable("A=B", "c"),
            script("exit").variable("", "c"),
        ] {
            assert_eq!(refused(&program).kind(), ErrorKind::Unsupported, "{program:?}");
        }
        // A folder's name with a NUL byte names nothing.
        let error = Child::piped(&script("exit").folder("/tmp\0")).unwrap_err();
        assert!(error.to_string().contains("folder"), "{error}");
    });
}

#[test]
fn a_command_that_is_too_long_is_refused_as_such() {
    run(async {
        let error = refused(&script(&format!("true {}", "x".repeat(8 << 20))));
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.advice().is_some_and(|hint| hint.contains("file")), "{error:?}");
    });
}

/// Prints what it got and ends by the signals that its parent's parent ignored.
const SUICIDES: [(&str, i32); 3] =
    [("kill -INT $$", 130), ("kill -HUP $$", 129), ("kill -QUIT $$", 131)];

#[test]
fn what_this_process_ignores_its_children_do_not() {
    if !is_alone() {
        let ignore = ["sh", "-c", "trap '' INT HUP QUIT; exec \"$0\" \"$@\""];
        let name = "start::what_this_process_ignores_its_children_do_not";
        return alone(&ignore.map(AsRef::as_ref), name);
    }
    run(async {
        for (suicide, code) in SUICIDES {
            let program = script(&format!("ulimit -c 0; {suicide}; exit 0"));
            let (mut child, _pipes) = Child::piped(&program).unwrap();
            assert_eq!(child.wait().await.unwrap(), code, "{suicide}");
            let size = TerminalSize::default();
            let (mut child, mut terminal) = Child::in_terminal(&program, size).unwrap();
            assert_eq!(read_all(&mut terminal).await, "");
            assert_eq!(child.wait().await.unwrap(), code, "{suicide} in a terminal");
        }
    });
}

#[test]
fn what_this_process_blocks_its_children_do_not() {
    if !is_alone() {
        let block = "import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
os.execv(sys.argv[1], sys.argv[1:])";
        let name = "start::what_this_process_blocks_its_children_do_not";
        return alone(&["python3", "-c", block].map(AsRef::as_ref), name);
    }
    run(async {
        for (suicide, code) in SUICIDES {
            let program = script(&format!("ulimit -c 0; {suicide}; exit 0"));
            let (mut child, _pipes) = Child::piped(&program).unwrap();
            assert_eq!(child.wait().await.unwrap(), code, "{suicide}");
        }
    });
}
