//! What a child gets of this process, and what is left of it: descriptors and zombies.

// Looks into /proc.
#![cfg(target_os = "linux")]

use std::path::Path;

use pipeway_transport::child::{Child, Program, TerminalSize};
use pipeway_transport::{ListenOptions, Listener};

use crate::alone::{alone, is_alone};
use crate::support::{run, unique};
use crate::{PATIENT, read_all, script};

/// Open descriptors of this process.
fn open() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Children of this process, running and zombies.
fn children() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |task: &Path| std::fs::read_to_string(task.join("children")).unwrap_or_default();
    tasks.map(|task| of(&task.unwrap().path()).split_whitespace().count()).sum()
}

#[test]
fn a_child_inherits_its_three_streams_and_nothing_else() {
    if !is_alone() {
        // In a process of its own, without what this one has inherited.
        let close = "import os, sys; os.closerange(3, 4096); os.execv(sys.argv[1], sys.argv[1:])";
        let name = "descriptors::a_child_inherits_its_three_streams_and_nothing_else";
        return alone(&["python3", "-c", close].map(AsRef::as_ref), name);
    }
    run(async {
        let _listener = Listener::bind(&unique(), &ListenOptions::default()).unwrap();
        let size = TerminalSize::default();
        let _piped = Child::piped(&script("exec cat")).unwrap();
        let _in_terminal = Child::in_terminal(&script("exec cat"), size).unwrap();
        // The fourth is the folder that `ls` reads.
        let list = Program::new("ls").arg("/proc/self/fd");
        let (_child, mut pipes) = Child::piped(&list).unwrap();
        assert_eq!(read_all(&mut pipes.stdout).await, "0\n1\n2\n3\n");
        let list = script("ls /proc/self/fd | tr '\\n' ' '");
        let (_child, mut terminal) = Child::in_terminal(&list, size).unwrap();
        assert_eq!(read_all(&mut terminal).await, "0 1 2 3 ");
    });
}

#[test]
fn nothing_is_left_of_hundreds_of_children() {
    if !is_alone() {
        return alone(&[], "descriptors::nothing_is_left_of_hundreds_of_children");
    }
    run(async {
        let size = TerminalSize::default();
        let missing = Program::new("pipeway-no-such-program");
        // The runtime keeps a few descriptors from its first child on.
        Child::piped(&script("exit")).unwrap().0.wait().await.unwrap();
        let before = open();
        for round in 0..100 {
            let (mut waited, _pipes) = Child::piped(&script("exit 3")).unwrap();
            assert_eq!(waited.wait().await.unwrap(), 3);
            let (mut waited, mut terminal) = Child::in_terminal(&script("exit 3"), size).unwrap();
            assert_eq!(read_all(&mut terminal).await, "");
            assert_eq!(waited.wait().await.unwrap(), 3);
            let (mut ended, _pipes) = Child::piped(&script("exec sleep 1000")).unwrap();
            ended.end(PATIENT).await;
            Child::piped(&missing).unwrap_err();
            Child::in_terminal(&missing, size).unwrap_err();
            drop((waited, ended, terminal));
            assert_eq!(children(), 0, "round {round}");
            // These are reaped by the runtime, when it gets to it.
            drop(Child::piped(&script("exec sleep 1000")).unwrap());
            drop(Child::in_terminal(&script("exec sleep 1000"), size).unwrap());
            while children() > 0 {
                let (mut next, _pipes) = Child::piped(&script("exit")).unwrap();
                next.wait().await.unwrap();
            }
        }
        // The runtime may have begun to listen for the ends of dropped children: it needs none
        // for each of them.
        let after = open();
        assert!(after <= before + 2, "{before} descriptors were open, and now {after}");
    });
}
