//! What readers that stop keep in memory.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use allocation_counter::measure;
use pipeway_mux::{ChannelOptions, Mux, Options, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// Bytes that nobody reads, one in each read buffer and on a channel of its own, must not hold all
/// those buffers.
#[test]
fn bytes_that_nobody_reads_hold_few_buffers() {
    const STOPPED: usize = 300;
    for version in [Version::V2, Version::V3] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let counted = measure(|| runtime.block_on(leave_bytes(version, STOPPED)));
        // 64 buffers of 64 KiB, and everything else that the two ends have.
        assert!(counted.bytes_max < 8 << 20, "{} bytes at a time", counted.bytes_max);
    }
}

async fn leave_bytes(version: Version, stopped: usize) {
    let (here, there) = duplex(256 * 1024);
    let options = || Options::new(version);
    let (here, there) = tokio::join!(Mux::connect(here, options()), Mux::connect(there, options()));
    let (here, there) = (here.unwrap(), there.unwrap());
    let channel = async |name| {
        let options = ChannelOptions::default();
        let (from, to) = tokio::join!(here.offer(name, options), there.accept(name, options));
        (from.unwrap(), to.unwrap())
    };
    let (mut many, mut reading) = channel("reading").await;
    let (content, mut read) = (vec![7; 64 << 10], vec![0; 64 << 10]);
    let mut left = Vec::new();
    for _ in 0..stopped {
        let mut ends = channel("stopped").await;
        ends.0.write_all(b"x").await.unwrap();
        let sending = many.write_all(&content);
        let (sent, received) = tokio::join!(sending, reading.read_exact(&mut read));
        sent.unwrap();
        received.unwrap();
        left.push(ends);
    }
    for (_, to) in &mut left {
        assert_eq!(to.read_u8().await.unwrap(), b'x');
    }
}
