//! What stops a link from coming up is told in words.

use std::time::Duration;

use pipeway_transport::link::{LinkDownReason as Reason, LinkState};

use crate::rig::{PIPEWAY, config, opening, run, service, session, started, until_down, until_up};

/// The first failure of a link whose guest is this script of the shell.
async fn failure(script: &str, timeout: Duration) -> pipeway_transport::link::LinkDown {
    let mut config = config(&["sh", "-c", script], &[opening("local:nobody")]);
    config.start_timeout = timeout;
    let link = pipeway_transport::link::Link::start(config).unwrap();
    let down = until_down(&mut link.watch()).await;
    assert_eq!((down.attempt, down.was_up), (1, None));
    link.stop().await;
    down
}

const SOON: Duration = Duration::from_millis(300);
const LATE: Duration = Duration::from_secs(20);

#[test]
fn a_program_that_does_not_exist_is_told() {
    run(async {
        let link = pipeway_transport::link::Link::start(config(&["no-such-program"], &[])).unwrap();
        let down = until_down(&mut link.watch()).await;
        assert_eq!(down.reason, Reason::NotStarted);
        assert!(down.message.contains("can't start no-such-program"), "{}", down.message);
        assert!(down.hint.unwrap().contains("PATH"));
    });
}

#[test]
fn a_guest_that_is_not_found_at_the_other_side_is_told_with_what_the_shell_said() {
    run(async {
        let down = failure("no-such-guest guest", LATE).await;
        assert_eq!(down.reason, Reason::NoGuest);
        assert!(down.message.contains("code 127"), "{}", down.message);
        assert!(down.message.contains("no-such-guest: not found"), "{}", down.message);
        assert!(down.hint.unwrap().contains("installed there"));
    });
}

#[test]
fn a_program_that_never_answers_is_given_up_at_the_deadline() {
    run(async {
        let down = failure("echo Password: >&2; exec sleep 1000", SOON).await;
        assert_eq!(down.reason, Reason::NoAnswer);
        assert!(down.message.contains("it said: Password:"), "{}", down.message);
    });
}

#[test]
fn an_echo_is_told_at_once() {
    run(async {
        let down = failure("exec cat", LATE).await;
        assert_eq!(down.reason, Reason::NoGuest);
        assert!(down.message.contains("comes back"), "{}", down.message);
        assert!(down.hint.unwrap().contains("ssh -T"));
    });
}

#[test]
fn garbage_in_place_of_an_answer_is_quoted() {
    run(async {
        let down = failure("exec yes garbage", LATE).await;
        assert_eq!(down.reason, Reason::NoGuest);
        assert!(down.message.contains("garbage | garbage"), "{}", down.message);
    });
}

#[test]
fn a_greeting_before_the_answer_is_passed_over() {
    run(async {
        let (listener, opening) = service().await;
        let script = format!("echo 'Welcome to box!'; printf 'box$ '; exec {PIPEWAY} guest");
        let config = config(&["sh", "-c", &script], std::slice::from_ref(&opening));
        let (link, _watch) = started(config).await;
        session(&link, &listener, &opening).await;
    });
}

#[test]
fn a_terminal_in_between_is_told() {
    run(async {
        // script(1) gives its program a terminal, as `ssh -t` does.
        let script = format!("exec script -qec '{PIPEWAY} guest' /dev/null");
        let down = failure(&script, Duration::from_secs(3)).await;
        assert_eq!(down.reason, Reason::NoGuest, "{}", down.message);
        assert!(down.hint.unwrap().contains("terminal"), "{}", down.message);
    });
}

#[test]
fn versions_without_one_in_common_are_told_with_both_programs() {
    run(async {
        let answer = "read -r word versions nonce; echo \"pipeway-guest $nonce refused 7-8 9.1.0\"";
        let down = failure(answer, LATE).await;
        assert_eq!(down.reason, Reason::Versions);
        assert!(down.message.contains("pipeway 9.1.0 and speaks version 7-8"), "{}", down.message);
        let later = "read -r word versions nonce; echo \"pipeway-guest $nonce 3 2.0.0\"";
        assert_eq!(failure(later, LATE).await.reason, Reason::Versions);
    });
}

#[test]
fn a_pipeway_that_is_older_than_links_is_told() {
    run(async {
        let down = failure(&format!("exec {PIPEWAY} gest"), LATE).await;
        assert_eq!(down.reason, Reason::NoGuest);
        assert!(down.message.contains("unrecognized subcommand"), "{}", down.message);
        assert!(down.hint.unwrap().contains("too old for links"));
    });
}

#[test]
fn a_link_that_did_not_come_up_is_tried_again_until_it_does() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let flag = folder.path().join("flag");
        let script = format!("test -e {} || exit 3; exec {PIPEWAY} guest", flag.display());
        let link =
            pipeway_transport::link::Link::start(config(&["sh", "-c", &script], &[])).unwrap();
        let mut watch = link.watch();
        let second = loop {
            let down = until_down(&mut watch).await;
            if down.attempt >= 2 {
                break down;
            }
        };
        assert!(second.message.contains("code 3"), "{}", second.message);
        std::fs::write(&flag, "").unwrap();
        let up = until_up(&mut watch).await;
        assert!(up.attempt > 2, "{up:?}");
    });
}

#[test]
fn a_stopped_link_leaves_no_process() {
    run(async {
        let (link, mut watch, pid) = crate::rig::marked(&[]).await;
        link.stop().await;
        assert!(matches!(watch.next().await, Some(LinkState::Stopped)));
        assert!(!crate::harness::kill("0", pid), "the guest is left");
        let error = link.connect(&opening("local:x")).await.unwrap_err();
        assert_eq!(error.kind(), pipeway_transport::ErrorKind::LinkDown);
    });
}

#[test]
fn the_last_handle_ends_the_link() {
    run(async {
        let (link, mut watch, pid) = crate::rig::marked(&[]).await;
        drop(link);
        while watch.next().await.is_some() {}
        assert!(!crate::harness::kill("0", pid), "the guest is left");
    });
}
