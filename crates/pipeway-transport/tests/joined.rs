//! A stream joined of a reader and a writer.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::io::{ErrorKind, IoSlice};

use pipeway_transport::join;
use support::{listen, pair, run, unique};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};

#[test]
fn each_direction_goes_its_own_way() {
    run(async {
        let (reader, mut into_reader) = duplex(64);
        let (writer, mut out_of_writer) = duplex(64);
        let mut joined = join(reader, writer);
        into_reader.write_all(b"in").await.unwrap();
        joined.write_all(b"out").await.unwrap();
        let (mut came, mut went) = ([0; 2], [0; 3]);
        joined.read_exact(&mut came).await.unwrap();
        out_of_writer.read_exact(&mut went).await.unwrap();
        assert_eq!((&came, &went), (b"in", b"out"));
    });
}

#[test]
fn shutting_down_ends_the_writer_and_leaves_the_reader() {
    run(async {
        let (reader, mut into_reader) = duplex(64);
        // Half of a stream that is never shut down by itself: only its drop tells the other end.
        let (other, writer) = tokio::io::simplex(64);
        let mut other = other;
        let mut joined = join(reader, writer);
        joined.write_all(b"tail").await.unwrap();
        joined.shutdown().await.unwrap();
        joined.shutdown().await.unwrap();
        assert!(joined.writer().is_none());
        let mut text = String::new();
        other.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "tail");
        into_reader.write_all(b"x").await.unwrap();
        assert_eq!(joined.read_u8().await.unwrap(), b'x');
    });
}

#[test]
fn writing_after_the_shutdown_is_a_broken_pipe() {
    run(async {
        let mut joined = join(tokio::io::empty(), Vec::new());
        joined.shutdown().await.unwrap();
        assert_eq!(joined.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let parts = [IoSlice::new(b"x")];
        assert_eq!(joined.write_vectored(&parts).await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(!joined.is_write_vectored());
        joined.flush().await.unwrap();
        assert!(joined.into_inner().1.is_none());
    });
}

#[test]
fn the_readers_end_is_the_end() {
    run(async {
        let mut joined = join(&b"all"[..], tokio::io::sink());
        let mut text = String::new();
        joined.read_to_string(&mut text).await.unwrap();
        assert_eq!((text.as_str(), joined.reader().len()), ("all", 0));
    });
}

#[test]
fn halves_of_two_connections_make_a_way_through() {
    run(async {
        let mut listener = listen(&unique());
        let (first, first_server, _) = pair(&mut listener).await;
        let (second, second_server, _) = pair(&mut listener).await;
        // In by the first, out by the second.
        let (reader, _keep) = split(first_server);
        let (_keep_too, writer) = split(second_server);
        let mut joined = join(reader, writer);
        let (mut first, mut second) = (first, second);
        let sent: Vec<u8> = (0..200_000).map(|index| (index % 251) as u8).collect();
        let expected = sent.clone();
        let through = async {
            let mut buffer = vec![0; 16 * 1024];
            let mut left = sent.len();
            while left > 0 {
                let read = joined.read(&mut buffer).await.unwrap();
                joined.write_all(&buffer[..read]).await.unwrap();
                left -= read;
            }
        };
        let mut received = vec![0; expected.len()];
        let (written, (), read) =
            tokio::join!(first.write_all(&expected), through, second.read_exact(&mut received));
        written.unwrap();
        read.unwrap();
        assert!(received == expected);
    });
}
