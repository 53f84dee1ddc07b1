//! What is received lies where it was read until its reader takes it.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use pipeway_mux::{Channel, ChannelOptions, Mux, Options, Version};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};

/// A stream that notes where it was read to.
struct Noting {
    io: DuplexStream,
    places: Places,
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

type Places = Arc<Mutex<Vec<Range<usize>>>>;

/// Two ends, and where the second one reads to.
async fn ends(version: Version) -> (Mux, Mux, Places) {
    let (here, io) = duplex(256 * 1024);
    let places = Places::default();
    let there = Noting { io, places: Arc::clone(&places) };
    let options = || Options::new(version);
    let (here, there) = tokio::join!(Mux::connect(here, options()), Mux::connect(there, options()));
    (here.unwrap(), there.unwrap(), places)
}

async fn channel(here: &Mux, there: &Mux, name: &str) -> (Channel, Channel) {
    let options = ChannelOptions::default();
    let (from, to) = tokio::join!(here.offer(name, options), there.accept(name, options));
    (from.unwrap(), to.unwrap())
}

fn is_in_place(piece: &[u8], places: &Places) -> bool {
    let at = piece.as_ptr() as usize..piece.as_ptr() as usize + piece.len();
    places.lock().unwrap().iter().any(|read| read.start <= at.start && at.end <= read.end)
}

/// Sends `messages` of `length` bytes, and tells how many bytes lay where they were received when
/// they were taken, and how many did not.
async fn places_of(
    version: Version,
    messages: usize,
    length: usize,
    waits: bool,
) -> (usize, usize) {
    let (here, there, places) = ends(version).await;
    let (mut from, mut to) = channel(&here, &there, "a").await;
    let sending = tokio::spawn(async move {
        for number in 0..messages {
            from.write_all(&vec![number as u8; length]).await.unwrap();
            from.flush().await.unwrap();
        }
        from.shutdown().await.unwrap();
        from
    });
    let from = if waits { Some(sending.await.unwrap()) } else { None };
    let (mut in_place, mut copied) = (0, 0);
    loop {
        let piece = to.fill_buf().await.unwrap();
        if piece.is_empty() {
            break;
        }
        for (at, byte) in piece.iter().enumerate() {
            assert_eq!(*byte, ((in_place + copied + at) / length) as u8);
        }
        let length = piece.len();
        *(if is_in_place(piece, &places) { &mut in_place } else { &mut copied }) += length;
        to.consume(length);
    }
    drop(from);
    assert_eq!(in_place + copied, messages * length);
    (in_place, copied)
}

#[tokio::test]
async fn a_payload_is_copied_by_nobody_but_its_reader() {
    for version in [Version::V1, Version::V2, Version::V3] {
        for (messages, length) in [(1, 4 << 20), (2000, 100), (100, 4095), (3000, 1)] {
            let (_, copied) = places_of(version, messages, length, false).await;
            assert_eq!(copied, 0, "{messages} messages of {length} bytes");
        }
    }
}

/// What has to wait is not copied either, as long as it is worth the memory that it holds.
#[tokio::test]
async fn small_messages_that_wait_for_their_reader_lie_where_they_were_received() {
    for version in [Version::V2, Version::V3] {
        let (_, copied) = places_of(version, 1500, 200, true).await;
        assert_eq!(copied, 0);
        let (in_place, copied) = places_of(version, 60_000, 1, true).await;
        assert!(copied > 10 * in_place, "{in_place} bytes in place, {copied} copied");
    }
}
