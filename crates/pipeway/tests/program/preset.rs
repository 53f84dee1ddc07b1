//! `pipeway preset`: what it prints is a configuration of this program's.

use crate::harness::{Ended, Room};

const PRESETS: [&str; 2] = ["ssh-agent", "docker"];

/// Each direction's flags; the first is that of this system.
fn directions() -> [&'static [&'static str]; 2] {
    let to_wsl: &[&str] = &["--direction", "windows-to-wsl", "--distro", "Ubuntu"];
    let to_windows: &[&str] = &["--direction", "wsl-to-windows"];
    if cfg!(windows) { [to_wsl, to_windows] } else { [to_windows, to_wsl] }
}

fn checked(room: &Room, preset: &str, flags: &[&str]) -> Ended {
    let args = ["preset", preset].into_iter().chain(flags.iter().copied());
    let printed = room.run(args).exits_with(0);
    let file = room.file("preset.toml", &printed.stdout).display().to_string();
    room.run(["check", "--config", &file])
}

#[test]
fn a_preset_of_this_system_is_a_configuration() {
    let room = Room::new();
    let [own, _] = directions();
    for preset in PRESETS {
        checked(&room, preset, own).exits_with(0).says("ok: 1 bridge");
    }
}

#[test]
fn a_preset_of_the_other_system_is_wrong_here_for_that_alone() {
    let room = Room::new();
    let [_, other] = directions();
    for preset in PRESETS {
        let ended = checked(&room, preset, other).exits_with(3);
        for odd in ["unknown key", "not TOML", "expected"] {
            assert!(!ended.stderr.contains(odd), "{}", ended.stderr);
        }
    }
}

#[test]
fn what_is_next_is_told_beside_the_configuration() {
    let room = Room::new();
    for preset in PRESETS {
        for flags in directions() {
            let args = ["preset", preset].into_iter().chain(flags.iter().copied());
            let ended = room.run(args).exits_with(0).says("pipeway serve --config");
            assert!(!ended.stdout().contains("next:"), "{}", ended.stdout());
        }
    }
}

#[test]
fn the_direction_is_from_this_system_if_none_is_named() {
    let room = Room::new();
    let [own, _] = directions();
    for preset in PRESETS {
        let named = room.run(["preset", preset].iter().chain(own)).exits_with(0);
        // Without `--direction` and its value.
        let bare = room.run(["preset", preset].iter().chain(&own[2..])).exits_with(0);
        assert_eq!(bare.stdout(), named.stdout());
    }
}

#[test]
fn what_is_missing_is_told() {
    let room = Room::new();
    let args = ["preset", "docker", "--direction", "windows-to-wsl"];
    room.run(args).exits_with(2).says("--distro NAME").says("wsl.exe -l -q");
    room.run(["preset", "gpg"]).exits_with(2).says("'gpg'");
}
