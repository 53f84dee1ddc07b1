//! What is received lies where it was read until its reader takes it.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use pipeway_mux::{ChannelOptions, Mux, Options, Version};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};

/// A stream that notes where it was read to.
struct Noting {
    io: DuplexStream,
    places: Arc<Mutex<Vec<Range<usize>>>>,
}

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = buf.filled()[before..].as_ptr_range();
        self.places.lock().unwrap().push(read.start as usize..read.end as usize);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Noting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_payload_is_copied_by_nobody_but_its_reader() {
    for version in [Version::V1, Version::V2, Version::V3] {
        let (here, io) = duplex(256 * 1024);
        let places = Arc::new(Mutex::new(Vec::new()));
        let there = Noting { io, places: Arc::clone(&places) };
        let options = || Options::new(version);
        let (here, there) =
            tokio::join!(Mux::connect(here, options()), Mux::connect(there, options()));
        let (here, there) = (here.unwrap(), there.unwrap());
        let channel = ChannelOptions::default();
        let (from, to) = tokio::join!(here.offer("a", channel), there.accept("a", channel));
        let (mut from, mut to) = (from.unwrap(), to.unwrap());
        let sending = tokio::spawn(async move {
            from.write_all(&vec![7; 4 << 20]).await.unwrap();
            from.shutdown().await.unwrap();
            from
        });
        let (mut in_place, mut gathered) = (0, 0);
        loop {
            let piece = to.fill_buf().await.unwrap();
            if piece.is_empty() {
                break;
            }
            let length = piece.len();
            let at = piece.as_ptr() as usize..piece.as_ptr() as usize + length;
            let places = places.lock().unwrap();
            if places.iter().any(|read| read.start <= at.start && at.end <= read.end) {
                in_place += length;
            } else {
                // What a read cut off short: gathered with its like.
                assert!(length < 2 * 4096, "a piece of {length} bytes was copied");
                gathered += length;
            }
            drop(places);
            to.consume(length);
        }
        assert_eq!(in_place + gathered, 4 << 20);
        assert!(gathered * 10 < in_place, "{gathered} bytes were gathered, {in_place} not");
        sending.await.unwrap();
    }
}
