//! A WebSocket as a stream of bytes: every way to cut it, and the ends of it.

#![cfg(feature = "tungstenite")]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::io::ErrorKind;

use futures_util::{FutureExt, SinkExt, StreamExt};
use pipeway_transport::websocket::tungstenite::protocol::frame::coding::CloseCode;
use pipeway_transport::websocket::tungstenite::protocol::{CloseFrame, Role};
use pipeway_transport::websocket::tungstenite::{Bytes, Message};
use pipeway_transport::websocket::{ByteStream, WebSocketStream};
use support::{listen, pair, run, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex, split};

type Messages = WebSocketStream<DuplexStream>;

/// Bytes in which a lost or doubled part shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// A client's and a server's end over a transport that holds so many bytes.
async fn ends(holds: usize) -> (Messages, Messages) {
    let (near, far) = duplex(holds);
    (
        WebSocketStream::from_raw_socket(near, Role::Client, None).await,
        WebSocketStream::from_raw_socket(far, Role::Server, None).await,
    )
}

/// The same, as bytes.
async fn streams(holds: usize) -> (ByteStream<DuplexStream>, ByteStream<DuplexStream>) {
    let (client, server) = ends(holds).await;
    (ByteStream::new(client), ByteStream::new(server))
}

fn close(code: CloseCode) -> Message {
    Message::Close(Some(CloseFrame { code, reason: "why".into() }))
}

#[test]
fn bytes_arrive_one_at_a_time() {
    run(async {
        let sent = pattern(300);
        // A transport of one byte, too.
        for holds in [1, 2, 4096] {
            let (mut client, mut server) = streams(holds).await;
            let writing = async {
                for byte in &sent {
                    client.write_all(&[*byte]).await.unwrap();
                }
                client.shutdown().await.unwrap();
                assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            };
            let reading = async {
                let mut received = Vec::new();
                let mut byte = [0];
                while server.read(&mut byte).await.unwrap() == 1 {
                    received.push(byte[0]);
                }
                server.shutdown().await.unwrap();
                received
            };
            let ((), received) = tokio::join!(writing, reading);
            assert!(received == sent, "{holds}");
        }
    });
}

#[test]
fn a_mebibyte_goes_each_way_at_once() {
    run(async {
        for holds in [37, 4096, 1 << 20] {
            let (client, server) = streams(holds).await;
            let sent = pattern(if holds < 100 { 1 << 17 } else { 1 << 20 });
            let exchange = |stream: ByteStream<DuplexStream>| {
                let sent = sent.clone();
                tokio::spawn(async move {
                    let (mut reader, mut writer) = split(stream);
                    let mut received = vec![0; sent.len()];
                    // Two tasks, so that each has a waker of its own.
                    let writing = tokio::spawn(async move {
                        writer.write_all(&sent).await.unwrap();
                        writer
                    });
                    reader.read_exact(&mut received).await.unwrap();
                    (received, reader.unsplit(writing.await.unwrap()))
                })
            };
            let (client, server) = tokio::join!(exchange(client), exchange(server));
            let ((at_client, mut client), (at_server, mut server)) =
                (client.unwrap(), server.unwrap());
            assert!(at_client == sent && at_server == sent);
            client.shutdown().await.unwrap();
            let closing = async {
                assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
                server.shutdown().await.unwrap();
            };
            let ((), end) = tokio::join!(closing, async { client.read(&mut [0]).await.unwrap() });
            assert_eq!(end, 0);
        }
    });
}

#[test]
fn text_and_binary_are_read_and_what_lies_between_is_not() {
    run(async {
        let (client, mut server) = ends(4096).await;
        let mut client = ByteStream::new(client);
        for message in [
            Message::text("te"),
            Message::binary(Bytes::new()),
            Message::Ping("are you there".into()),
            Message::binary(&b"xt and bin"[..]),
            Message::Pong("unasked".into()),
            Message::text(""),
            Message::binary(&b"ary"[..]),
            Message::Close(None),
        ] {
            server.send(message).await.unwrap();
        }
        // In parts that are no message's.
        let mut part = [0; 3];
        client.read_exact(&mut part).await.unwrap();
        assert_eq!(&part, b"tex");
        assert_eq!(client.read(&mut []).await.unwrap(), 0);
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "t and binary");
        client.shutdown().await.unwrap();
        assert_eq!(server.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));
        assert!(server.next().await.unwrap().unwrap().is_close());
    });
}

/// What a server sends: text, a ping within a message of two frames, and a close frame.
const RECORDED: &[u8] = b"\x81\x03abc\x02\x02de\x89\x04ping\x80\x01f\x82\x7e\x00\x80\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\
    \x88\x02\x03\xe8";

#[test]
fn a_connection_that_is_lost_at_any_point_is_no_end() {
    run(async {
        let whole = [&b"abcdef"[..], &b"0123456789abcdef".repeat(8)].concat();
        for cut in 0..=RECORDED.len() {
            let (near, mut far) = duplex(4096);
            let client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
            let mut client = ByteStream::new(client);
            far.write_all(&RECORDED[..cut]).await.unwrap();
            far.shutdown().await.unwrap();
            let mut read = Vec::new();
            let end = client.read_to_end(&mut read).await;
            assert!(whole.starts_with(&read), "{cut}: {read:?}");
            if cut == RECORDED.len() {
                end.unwrap();
                assert_eq!(read, whole);
                assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
            } else {
                // And so it stays.
                for error in [end.unwrap_err(), client.read(&mut [0]).await.unwrap_err()] {
                    assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{cut}: {error}");
                }
                // A shutdown does not make it an orderly end.
                let _ = client.shutdown().await;
                drop(client);
                let mut answered = Vec::new();
                far.read_to_end(&mut answered).await.unwrap();
                let is_pong = |frame: &[u8]| frame.first() == Some(&0x8a);
                assert!(answered.is_empty() || is_pong(&answered), "{cut}: {answered:?}");
            }
        }
    });
}

#[test]
fn only_a_plain_close_is_the_end() {
    run(async {
        for message in [Message::Close(None), close(CloseCode::Normal)] {
            let (client, mut server) = ends(4096).await;
            let mut client = ByteStream::new(client);
            server.send(message).await.unwrap();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        }
        for code in [1001, 1009, 1011, 3000, 4000] {
            let (client, mut server) = ends(4096).await;
            let mut client = ByteStream::new(client);
            server.send(Message::text("x")).await.unwrap();
            server.send(close(CloseCode::from(code))).await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'x');
            for _ in 0..2 {
                let error = client.read(&mut [0]).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
                let text = error.to_string();
                assert!(text.contains(&code.to_string()) && text.contains("why"), "{text}");
            }
        }
    });
}

#[test]
fn what_breaks_the_protocol_is_invalid_data() {
    run(async {
        // A reserved bit, a masked frame from a server, text that is none.
        for sent in [&b"\xc1\x01a"[..], b"\x81\x81abcda", b"\x81\x01\xff"] {
            let (near, mut far) = duplex(4096);
            let client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
            far.write_all(sent).await.unwrap();
            let error = ByteStream::new(client).read(&mut [0]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
    });
}

#[test]
fn a_shutdown_sends_a_close_frame_and_reading_goes_on() {
    run(async {
        let (client, mut server) = ends(4096).await;
        let mut client = ByteStream::new(client);
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(client.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(server.next().await.unwrap().unwrap(), Message::binary(&b"last"[..]));
        // Before it looks again, the server has more to say.
        server.send(Message::text("still here")).await.unwrap();
        let Message::Close(Some(frame)) = server.next().await.unwrap().unwrap() else {
            panic!("no close frame");
        };
        assert_eq!(frame.code, CloseCode::Normal);
        assert!(server.next().await.is_none());
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "still here");
    });
}

#[test]
fn writing_after_the_other_ends_close_is_a_broken_pipe() {
    run(async {
        // At either end: tungstenite's server is done at once, its client is not.
        for is_client in [true, false] {
            let (client, server) = ends(4096).await;
            let (mut bytes, mut other) = if is_client {
                (ByteStream::new(client), server)
            } else {
                (ByteStream::new(server), client)
            };
            other.send(Message::Close(None)).await.unwrap();
            assert_eq!(bytes.read(&mut [0]).await.unwrap(), 0);
            for _ in 0..2 {
                let error = bytes.write(b"x").await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
            }
            bytes.flush().await.unwrap();
            bytes.shutdown().await.unwrap();
            assert_eq!(bytes.read(&mut [0]).await.unwrap(), 0);
            assert!(other.next().await.unwrap().unwrap().is_close());
        }
    });
}

#[test]
fn a_stream_that_is_dropped_is_lost_for_the_other_end() {
    run(async {
        let (mut client, mut server) = streams(4096).await;
        client.write_all(b"part").await.unwrap();
        drop(client);
        let mut read = Vec::new();
        let error = server.read_to_end(&mut read).await.unwrap_err();
        assert_eq!((error.kind(), &read[..]), (ErrorKind::UnexpectedEof, &b"part"[..]));
    });
}

#[test]
fn no_message_is_longer_than_the_bound() {
    run(async {
        for (bound, expected) in
            [(None, vec![65_536, 34_464]), (Some(40_000), vec![40_000, 40_000, 20_000])]
        {
            let (client, mut server) = ends(1 << 20).await;
            let mut client = ByteStream::new(client);
            if let Some(bound) = bound {
                client = client.with_message_bytes(bound);
            }
            client.write_all(&pattern(100_000)).await.unwrap();
            for length in expected {
                assert_eq!(server.next().await.unwrap().unwrap().len(), length);
            }
        }
        let (client, mut server) = ends(4096).await;
        let mut client = ByteStream::new(client).with_message_bytes(0);
        client.write_all(b"ab").await.unwrap();
        assert_eq!(server.next().await.unwrap().unwrap().len(), 1);
    });
}

#[test]
fn a_writer_waits_for_a_reader_that_does_not_read() {
    run(async {
        let (client, mut server) = streams(1000).await;
        let mut client = client.with_message_bytes(100);
        let mut written = 0;
        while let Some(result) = client.write(&[7; 500]).now_or_never() {
            written += result.unwrap();
            assert!(written <= 1100, "more is held than the transport and one message");
        }
        assert!(written >= 800, "{written}");
        // Nothing of the write that waited was taken.
        let mut received = vec![0; written];
        let (flushed, read) = tokio::join!(client.flush(), server.read_exact(&mut received));
        flushed.unwrap();
        read.unwrap();
        client.write_all(&[8]).await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), 8);
    });
}

#[test]
fn what_was_written_goes_out_while_only_reading_goes_on() {
    run(async {
        let (mut client, mut server) = streams(64).await;
        let answering = tokio::spawn(async move {
            let mut request = vec![0; 50_000];
            server.read_exact(&mut request).await.unwrap();
            server.write_all(b"!").await.unwrap();
            server
        });
        // One message, of which the transport takes 64 bytes at once; it is never flushed.
        assert_eq!(client.write(&[0; 50_000]).await.unwrap(), 50_000);
        assert_eq!(client.read_u8().await.unwrap(), b'!');
        answering.await.unwrap();
    });
}

#[test]
fn a_writer_that_waits_is_not_forgotten_for_a_reader_that_went_away() {
    run(async {
        let (client, mut server) = streams(64).await;
        let (mut reader, mut writer) = split(client);
        let writing = tokio::spawn(async move {
            writer.write_all(&[7; 200_000]).await.unwrap();
            writer.flush().await.unwrap();
        });
        let reading = tokio::spawn(async move {
            // Looks once, so that its waker is the last one that was seen, and never again.
            assert!(reader.read(&mut [0]).now_or_never().is_none());
            reader
        });
        tokio::task::yield_now().await;
        let reader = reading.await.unwrap();
        let mut received = vec![0; 200_000];
        server.read_exact(&mut received).await.unwrap();
        writing.await.unwrap();
        drop(reader);
    });
}

#[test]
fn a_cancelled_read_loses_nothing() {
    run(async {
        let (mut client, mut server) = streams(3).await;
        let sent = pattern(2000);
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        });
        let mut received = Vec::new();
        let mut part = [0; 7];
        loop {
            match server.read(&mut part).now_or_never() {
                Some(Ok(0)) => break,
                Some(read) => received.extend_from_slice(&part[..read.unwrap()]),
                None => tokio::task::yield_now().await,
            }
        }
        assert!(received == expected);
        server.shutdown().await.unwrap();
        writing.await.unwrap();
    });
}

#[test]
fn a_stream_of_bytes_is_copied_both_ways() {
    run(async {
        let (mut client, mut server) = streams(100).await;
        let (mut inner, mut outer) = duplex(77);
        let relaying =
            tokio::spawn(async move { copy_bidirectional(&mut server, &mut inner).await.unwrap() });
        let echoing = tokio::spawn(async move {
            // As many as come, then the end.
            let mut all = vec![0; 1 << 20];
            outer.read_exact(&mut all).await.unwrap();
            outer.write_all(&all).await.unwrap();
            outer.shutdown().await.unwrap();
            assert_eq!(outer.read(&mut [0]).await.unwrap(), 0);
        });
        let sent = pattern(1 << 20);
        client.write_all(&sent).await.unwrap();
        client.flush().await.unwrap();
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        assert!(received == sent);
        client.shutdown().await.unwrap();
        echoing.await.unwrap();
        assert_eq!(relaying.await.unwrap(), (1 << 20, 1 << 20));
    });
}

#[test]
fn the_tail_arrives_over_a_real_endpoint() {
    run(async {
        let mut listener = listen(&unique());
        let (client, server, _) = pair(&mut listener).await;
        let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let server = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
        let (mut client, mut server) = (ByteStream::new(client), ByteStream::new(server));
        assert_eq!(client.stream().mode(), listener.mode());
        let sent = pattern(300_000);
        let expected = sent.clone();
        let writing = tokio::spawn(async move {
            server.write_all(&sent).await.unwrap();
            server.shutdown().await.unwrap();
            assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        });
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        assert!(received == expected);
        client.shutdown().await.unwrap();
        drop(client);
        writing.await.unwrap();
    });
}
