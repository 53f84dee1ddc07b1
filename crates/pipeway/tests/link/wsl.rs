//! `wsl:` and `windows`, with a script in the place of `wsl.exe`: what it is told, and what is made
//! of what it says.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pipeway_transport::link::{Link, LinkConfig, LinkDown, LinkDownReason as Reason};

use crate::harness::{Room, Running, Service, unique_local};
use crate::rig::{PIPEWAY, run, service, session, started, until_down};

/// A stand-in that lists these distributions in UTF-16 as `wsl.exe` does, notes how it was called,
/// and starts what it is told to.
fn stand_in(folder: &Path, list: &str) -> PathBuf {
    let utf16: Vec<u8> =
        list.replace('\n', "\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(folder.join("list"), utf16).unwrap();
    let script = r#"#!/bin/sh
here=$(dirname "$0")
echo "$WSL_UTF8 $*" >> "$here/calls"
if [ "$1" = -l ]; then cat "$here/list"; exit; fi
while [ "$1" != --exec ]; do shift; done
shift
exec "$@"
"#;
    let path = folder.join("wsl");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    path
}

fn config(to: &str, wsl: &Path) -> LinkConfig {
    let mut config = LinkConfig::new("wsl", to.parse().unwrap());
    config.wsl_program = Some(wsl.to_owned());
    config.guest = Some(PIPEWAY.to_owned());
    config
}

async fn failure(config: LinkConfig) -> LinkDown {
    let link = Link::start(config).unwrap();
    let down = until_down(&mut link.watch()).await;
    link.stop().await;
    down
}

#[test]
fn a_distribution_is_looked_up_and_its_guest_started_without_a_shell() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let wsl = stand_in(folder.path(), "Debian\nUbuntu-22.04\n");
        let (listener, opening) = service().await;
        let mut config = config("wsl:ubuntu-22.04", &wsl);
        config.user = Some("me".into());
        config.environment = vec![("LANG".into(), "C.UTF-8".into())];
        config.openings = vec![opening.clone()];
        let (link, _watch) = started(config).await;
        session(&link, &listener, &opening).await;
        let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
        let expected = format!(
            "1 -l -q\n1 -d Ubuntu-22.04 -u me --exec /usr/bin/env LANG=C.UTF-8 {PIPEWAY} guest\n"
        );
        assert_eq!(calls, expected);
    });
}

#[test]
fn a_distribution_that_is_not_listed_is_not_started() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let wsl = stand_in(folder.path(), "Debian\nkali-linux\n");
        let down = failure(config("wsl:Ubuntu", &wsl)).await;
        assert_eq!(down.reason, Reason::NotStarted);
        assert_eq!(down.message, "WSL has no distribution `Ubuntu`");
        assert_eq!(down.hint.as_deref(), Some("it has Debian, kali-linux"));
        let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
        assert_eq!(calls, "1 -l -q\n");
    });
}

#[test]
fn a_distribution_without_pipeway_is_told_with_how_to_name_it() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let wsl = stand_in(folder.path(), "Debian\n");
        let mut config = config("wsl:Debian", &wsl);
        config.guest = Some("no-such-pipeway".into());
        let down = failure(config).await;
        assert_eq!(down.reason, Reason::NoGuest);
        assert!(down.message.contains("no-such-pipeway"), "{}", down.message);
        assert!(down.hint.unwrap().contains("`guest` names it by its path"));
    });
}

#[test]
fn a_wsl_that_fails_or_hangs_is_told_with_what_it_said() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let wsl = folder.path().join("wsl");
        let write = |script: &str| {
            std::fs::write(&wsl, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&wsl, PermissionsExt::from_mode(0o755)).unwrap();
        };
        write(r"printf 'W\000S\000L\000 \000i\000s\000 \000o\000f\000f\000'; exit 1");
        let down = failure(config("wsl:Debian", &wsl)).await;
        assert_eq!(down.reason, Reason::NotStarted);
        assert!(
            down.message.contains("ended with code 1; it said: WSL is off"),
            "{}",
            down.message
        );
        write("exec sleep 1000");
        let mut hung = config("wsl:Debian", &wsl);
        hung.start_timeout = std::time::Duration::from_millis(300);
        let down = failure(hung).await;
        assert_eq!(down.reason, Reason::NoAnswer);
        assert!(down.hint.unwrap().contains("--shutdown"));
    });
}

#[test]
fn a_guest_on_windows_is_started_by_its_name() {
    run(async {
        let (listener, opening) = service().await;
        let mut config = LinkConfig::new("windows", "windows".parse().unwrap());
        config.guest = Some(PIPEWAY.to_owned());
        // As a shell inside WSL has it.
        config.environment = vec![("WSL_INTEROP".into(), "/run/WSL/1_interop".into())];
        config.openings = vec![opening.clone()];
        let (link, _watch) = started(config).await;
        session(&link, &listener, &opening).await;
    });
}

#[test]
fn the_stand_in_is_named_by_a_variable() {
    let room = Room::new();
    let service = Service::mirror();
    let wsl = stand_in(&room.path(""), "Debian\n");
    let listen = unique_local();
    let args = [
        "bridge",
        "--listen",
        &listen,
        "--to",
        &service.endpoint(),
        "--through",
        "wsl:Debian",
        "--link-guest",
        PIPEWAY,
    ];
    let mut bridge = room.pipeway(args);
    bridge.env("PIPEWAY_WSL_PROGRAM", wsl);
    let bridge = Running::start(bridge);
    bridge.line();
    room.run(["curl", "-f", &listen, "/"]).exits_with(0);
    bridge.signal("TERM");
    bridge.end().exits_with(0).says("link Debian: up");
}
