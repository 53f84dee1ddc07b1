//! Two ends of this crate, over a stream in memory: data, ends and back-pressure.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::time::Duration;

use pipeway_mux::{ChannelOptions, Ended, Mux, Options, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

const WATCHDOG: Duration = Duration::from_secs(60);
const VERSIONS: [Version; 3] = [Version::V1, Version::V2, Version::V3];

async fn pair(version: Version) -> (Mux, Mux) {
    pair_with(Options::new(version), Options::new(version)).await
}

async fn pair_with(here: Options, there: Options) -> (Mux, Mux) {
    let (a, b) = duplex(64 * 1024);
    let (a, b) = tokio::join!(Mux::connect(a, here), Mux::connect(b, there));
    (a.unwrap(), b.unwrap())
}

/// Runs `work` for every version, under a watchdog.
fn in_every_version<F: Future<Output = ()>>(work: impl Fn(Version) -> F) {
    for version in VERSIONS {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            timeout(WATCHDOG, work(version)).await.unwrap_or_else(|_| panic!("{version:?} hangs"));
        });
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()[0]).collect()
}

#[test]
fn every_size_comes_back_as_it_was_sent() {
    in_every_version(async |version| {
        let (here, there) = pair(version).await;
        let echo = async {
            let (mut read, mut write) =
                there.accept("echo", ChannelOptions::default()).await.unwrap().into_split();
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            write.shutdown().await.unwrap();
            assert_eq!(read.completion().await.unwrap(), Ended::Complete);
        };
        let ask = async {
            let channel = here.offer("echo", ChannelOptions::default()).await.unwrap();
            let (mut read, mut write) = channel.into_split();
            for length in [1, 2, 127, 128, 255, 256, 20_479, 20_480, 20_481, 65_536, 1 << 20] {
                let sent = pattern(length);
                let mut got = vec![0; length];
                let (wrote, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut got));
                wrote.unwrap();
                read.unwrap();
                assert!(sent == got, "{length}");
            }
            write.shutdown().await.unwrap();
            assert_eq!(read.read(&mut [0; 8]).await.unwrap(), 0);
            assert_eq!(read.completion().await.unwrap(), Ended::Complete);
        };
        tokio::join!(echo, ask);
    });
}
