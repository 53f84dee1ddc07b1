//! Memory and pipes of raw sessions. A program of its own, because what it measures is the whole
//! process.

#![cfg(target_os = "linux")] // It reads /proc.

#[allow(dead_code, reason = "the other suite uses the rest")]
#[path = "../bridge/rig.rs"]
mod rig;

use std::sync::Mutex;

use pipeway_bridge::{BridgeConfig, Protocol};
use pipeway_telemetry::Sink;
use pipeway_transport::Stream;

use rig::{Rig, Wire, pattern, run};

/// Held by the test that measures.
static ALONE: Mutex<()> = Mutex::new(());

fn raw_with(change: impl FnOnce(&mut BridgeConfig)) -> Rig {
    Rig::with(|config| {
        config.protocol = Protocol::Raw;
        change(config);
    })
}

async fn joined(rig: &mut Rig) -> (Wire, Wire) {
    let client = rig.client().await;
    let upstream = rig.upstream.accept().await;
    (client, upstream)
}

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
    let _alone = ALONE.lock();
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
async fn move_some(rig: &mut Rig, count: usize) -> Vec<[Stream; 2]> {
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
fn a_busy_session_has_the_system_move_its_bytes_and_gives_the_pipe_back() {
    let _alone = ALONE.lock();
    run(async {
        let mut rig = raw_with(|_| {});
        let (mut client, mut upstream) = joined(&mut rig).await;
        let before = pipe_ends();
        let piece = pattern(8 << 20);
        let mut most = 0;
        let mut got = Vec::new();
        // Between two reads, some of it lies in the pipe.
        let read = async {
            while got.len() < piece.len() {
                got.extend(client.take(64 * 1024).await);
                most = most.max(pipe_ends());
            }
        };
        tokio::join!(upstream.send(&piece), read);
        assert!(got == piece);
        assert_eq!(most, before + 2, "one pipe");
        // Nothing is on its way, so it is kept for the next direction that is busy, of this
        // session or another.
        let (mut other, mut other_upstream) = joined(&mut rig).await;
        for (from, to) in [(&mut other, &mut other_upstream), (&mut client, &mut upstream)] {
            let (got, ()) = tokio::join!(to.take(piece.len()), from.send(&piece));
            assert!(got == piece);
            assert_eq!(pipe_ends(), before + 2, "the same pipe");
        }
    });
}
