//! What an idle raw session costs.

use std::time::Duration;

use pipeway_telemetry::Sink;
use tokio::time::timeout;

use crate::rig::{pattern, run, run_paused};
use crate::{joined, raw, raw_with};

/// How much memory is resident, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// How many pipes this process has open, by their ends.
fn pipe_ends() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").expect("/proc");
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("pipe:")).count()
}

#[test]
fn two_thousand_idle_sessions_hold_no_buffers() {
    run(async {
        pipeway_transport::raise_file_limit();
        let mut rig = raw_with(|config| config.events = Sink::disabled());
        // What is kept for reuse, and the test's own memory, is there before it is measured.
        let warm = move_some(&mut rig, 50).await;
        let (before, pipes) = (resident_kib(), pipe_ends());
        let idle = move_some(&mut rig, 2_000).await;
        let grown = resident_kib().saturating_sub(before);
        // All four ends of a session's two connections, and the test's part of them, are in here.
        assert!(grown < 2_000 * 8, "{grown} KiB for 2,000 idle sessions");
        assert!(pipe_ends() <= pipes + 64, "{} ends of pipes, and {pipes} before", pipe_ends());
        drop((warm, idle));
        assert_eq!(rig.stop().await.sessions, 2_050);
    });
}

/// Sessions that have all moved a buffer's worth and are idle again.
async fn move_some(rig: &mut crate::Rig, count: usize) -> Vec<[pipeway_transport::Stream; 2]> {
    let mut sessions = Vec::new();
    let piece = pattern(40_000);
    for _ in 0..count {
        let (mut client, mut upstream) = joined(rig).await;
        client.send(&piece).await;
        assert!(upstream.take(piece.len()).await == piece);
        upstream.send(&piece).await;
        assert!(client.take(piece.len()).await == piece);
        sessions.push([client.into_stream(), upstream.into_stream()]);
    }
    sessions
}

#[test]
fn an_idle_raw_session_wakes_for_nothing() {
    run_paused(async {
        let mut rig = raw();
        let (mut client, _upstream) = joined(&mut rig).await;
        // A year of idleness. A timer of one second would need thirty million wakings, and this
        // test has a minute.
        let year = timeout(Duration::from_secs(365 * 24 * 3600), client.take(1)).await;
        assert!(year.is_err());
    });
}
