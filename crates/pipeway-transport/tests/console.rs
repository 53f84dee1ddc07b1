//! The console, in a terminal of the test's own: this test program starts itself in it.
#![cfg(all(unix, feature = "console"))]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::time::Duration;

use pipeway_transport::child::{Child, Program, TerminalSize};
use pipeway_transport::console::{self, Input, RawMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Says which of the below is to be done in the terminal.
const PLAY: &str = "PIPEWAY_TEST_PLAY";

/// What the program does in the terminal: nothing, unless it was started for it.
#[test]
fn plays_its_part_in_the_terminal() {
    let Ok(play) = std::env::var(PLAY) else { return };
    let size = console::size().unwrap();
    println!("size={}x{}.", size.columns, size.rows);
    let raw = RawMode::enter().unwrap();
    RawMode::enter().unwrap_err();
    match play.as_str() {
        "panic" => {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                console::restore();
                report(panic);
            }));
            panic!("line one\nline two");
        }
        "key" => {
            println!("ready.");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            println!("key={:?}.", runtime.block_on(Input::open().read()).unwrap());
        }
        // Restored twice, and the guard comes third.
        _ => {
            console::restore();
            console::restore();
        }
    }
    drop(raw);
}

/// Starts this program's part in a terminal, types what follows `ready.`, and gives what was
/// shown.
async fn played(play: &str, keys: &str) -> String {
    let script = "stty -g; \"$0\" --exact plays_its_part_in_the_terminal --nocapture; stty -g";
    let program = Program::new("/bin/sh").arg("-c").arg(script);
    let program = program.arg(std::env::current_exe().unwrap()).variable(PLAY, play);
    let size = TerminalSize { columns: 91, rows: 17 };
    let (mut child, mut terminal) = Child::in_terminal(&program, size).unwrap();
    let mut shown = Vec::new();
    let all = async {
        let mut typed = false;
        while terminal.read_buf(&mut shown).await.unwrap() > 0 {
            if !typed && String::from_utf8_lossy(&shown).contains("ready.") {
                typed = true;
                terminal.write_all(keys.as_bytes()).await.unwrap();
            }
        }
        child.wait().await.unwrap()
    };
    tokio::time::timeout(Duration::from_secs(30), all).await.expect("it ends");
    String::from_utf8(shown).unwrap()
}

/// The modes before and after.
#[track_caller]
fn check_restored(shown: &str) {
    let modes: Vec<&str> = shown.lines().filter(|line| line.matches(':').count() > 20).collect();
    assert_eq!(modes.len(), 2, "{shown}");
    assert_eq!(modes[0], modes[1], "the terminal was not restored");
}

#[tokio::test]
async fn the_terminal_is_restored_when_the_guard_is_dropped() {
    let shown = played("nothing", "").await;
    assert!(shown.contains("size=91x17."), "{shown}");
    check_restored(&shown);
}

#[tokio::test]
async fn a_panic_finds_the_terminal_restored() {
    let shown = played("panic", "").await;
    // In raw mode the lines would begin where the ones before ended.
    assert!(shown.contains("line one\r\nline two\r\n"), "{shown:?}");
    check_restored(&shown);
}

#[tokio::test]
async fn a_key_comes_as_it_is_typed() {
    let shown = played("key", "\x03").await;
    assert!(shown.contains("key=[3]."), "{shown}");
    assert!(!shown.contains("^C"), "it was echoed: {shown}");
    check_restored(&shown);
}
