//! Memory and handles of many sessions one after another. A program of its own, because what it
//! measures is the whole process.

#![cfg(target_os = "linux")] // It reads /proc.

#[allow(dead_code, reason = "the other suite uses the rest")]
#[path = "../bridge/rig.rs"]
mod rig;

use pipeway_telemetry::Sink;

use rig::{Rig, get, ok, run};

/// How many files this process has open.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("/proc").count()
}

/// How much memory is resident, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

async fn sessions(rig: &mut Rig, count: usize) {
    for number in 0..count {
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        match number % 4 {
            0 => {
                upstream.send(ok("fine")).await;
                assert_eq!(client.answer().await.text(), "fine");
            }
            1 => {
                upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut").await;
                drop(upstream);
                assert!(client.answer_or_cut().await.is_err());
            }
            2 => drop(client),
            _ => {
                drop(upstream);
                client.refusal(502, "upstream_closed").await;
            }
        }
    }
}

#[test]
fn ten_thousand_sessions_leave_nothing_behind() {
    run(async {
        let mut rig = Rig::with(|config| config.events = Sink::disabled());
        sessions(&mut rig, 1_000).await;
        let (files, memory) = (open_files(), resident_kib());
        sessions(&mut rig, 10_000).await;
        // The last session or two may still be closing.
        assert!(open_files() <= files + 4, "{} files, and {files} before", open_files());
        let grown = resident_kib().saturating_sub(memory);
        assert!(grown < 2 * 1024, "{grown} KiB more than after the first thousand");
        assert_eq!(rig.stop().await.sessions, 11_000);
    });
}
