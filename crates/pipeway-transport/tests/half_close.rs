//! Half-closes of named pipes: messages of no bytes on pipes of message type.

#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::fs::File;
use std::io::{IoSlice, Read, Write};
use std::time::Duration;

use pipeway_transport::{
    ConnectOptions, Endpoint, HalfClose, ListenOptions, Listener, Probe, connect,
};
use support::{listen, pair, patient, run, unique};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::windows::named_pipe::{NamedPipeServer, PipeMode, ServerOptions};
use tokio::time::timeout;

/// A listener whose pipe is of message type.
fn listen_by_messages() -> Listener {
    let options = ListenOptions { half_close: HalfClose::Message, ..ListenOptions::default() };
    Listener::bind(&unique(), &options).unwrap()
}

/// Options of a client for which a message of no bytes is nothing.
fn unheeding() -> ConnectOptions {
    ConnectOptions { half_close: HalfClose::None, ..patient() }
}

fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8 ^ (at / 65_521) as u8).collect()
}

/// Sends a question, half-closes, and reads an answer to its end; or the other way round.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    asks: bool,
    says: &[u8],
) -> Vec<u8> {
    let mut heard = Vec::new();
    if asks {
        stream.write_all(says).await.unwrap();
        stream.shutdown().await.unwrap();
    }
    stream.read_to_end(&mut heard).await.unwrap();
    if !asks {
        stream.write_all(says).await.unwrap();
        stream.shutdown().await.unwrap();
    }
    heard
}

/// A server's end that nobody here wrote: the runtime's, of message type and read by messages.
fn foreign_server() -> (Endpoint, NamedPipeServer) {
    let endpoint = unique().resolve().unwrap();
    let server = ServerOptions::new().pipe_mode(PipeMode::Message).create(endpoint.to_string());
    (endpoint, server.unwrap())
}

/// A client that reads and writes bytes by the system's plain calls, one after another.
fn plain_client(endpoint: &Endpoint) -> File {
    File::options().read(true).write(true).open(endpoint.to_string()).unwrap()
}

#[test]
fn each_direction_of_a_message_pipe_ends_by_itself() {
    run(async {
        for client_asks in [true, false] {
            let mut listener = listen_by_messages();
            let (mut client, mut server, _) = pair(&mut listener).await;
            assert!(client.can_half_close() && server.can_half_close());
            let (question, answer) = (pattern(300_000), pattern(200_001));
            let (client_says, server_says) =
                if client_asks { (&question, &answer) } else { (&answer, &question) };
            let (client_heard, server_heard) = tokio::join!(
                converse(&mut client, client_asks, client_says),
                converse(&mut server, !client_asks, server_says),
            );
            assert!(server_heard == *client_says && client_heard == *server_says);
            assert!(!client.is_hung_up() && !server.is_hung_up());
            drop(server);
            while !client.is_hung_up() {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
fn a_byte_pipe_has_no_half_close() {
    run(async {
        let mut listener = listen(&unique());
        let (client, server, _) = pair(&mut listener).await;
        assert!(!client.can_half_close() && !server.can_half_close());
    });
}

#[test]
fn a_client_of_plain_calls_reads_all_and_then_the_end() {
    run(async {
        let mut listener = listen_by_messages();
        let endpoint = listener.endpoint().clone();
        let plain = tokio::task::spawn_blocking(move || {
            let mut client = plain_client(&endpoint);
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).unwrap();
            client.write_all(b"answer").unwrap();
            // As Go's clients end a direction: what was written is read, then nothing is written.
            client.sync_all().unwrap();
            assert_eq!(client.write(b"").unwrap(), 0);
            let mut byte = [0];
            assert_eq!(client.read(&mut byte).ok().unwrap_or(0), 0);
            heard
        });
        let (mut server, _) = listener.accept().await.unwrap();
        // Small pieces at the end, which a reader of bytes takes together.
        let mut said = pattern(100_000);
        server.write_all(&said).await.unwrap();
        for byte in b"tail" {
            server.write_all(&[*byte]).await.unwrap();
            said.push(*byte);
        }
        server.shutdown().await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"answer");
        drop(server);
        assert!(plain.await.unwrap() == said);
    });
}

#[test]
fn a_client_learns_the_type_of_the_pipe_that_it_opened() {
    run(async {
        let (endpoint, mut server) = foreign_server();
        let (mut client, connected) =
            (connect(&endpoint, &patient()).await, server.connect().await);
        connected.unwrap();
        let client = client.as_mut().unwrap();
        assert!(client.can_half_close());
        client.write_all(b"question").await.unwrap();
        // The end comes once the question was read.
        let ((), ()) = tokio::join!(async { client.shutdown().await.unwrap() }, async {
            let mut space = [0; 64];
            let count = server.read(&mut space).await.unwrap();
            assert_eq!(&space[..count], b"question");
            assert_eq!(server.read(&mut space).await.unwrap(), 0);
            server.write_all(b"answer").await.unwrap();
            assert_eq!(server.write(b"").await.unwrap(), 0);
        });
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "answer");
        assert!(!client.is_hung_up());
    });
}

#[test]
fn messages_larger_than_a_read_are_whole() {
    run(async {
        let (endpoint, mut server) = foreign_server();
        let (client, connected) = (connect(&endpoint, &patient()).await, server.connect().await);
        connected.unwrap();
        let mut client = client.unwrap();
        let said = pattern(60_000);
        let mut heard = vec![0; said.len()];
        let (written, read) = tokio::join!(server.write_all(&said), client.read_exact(&mut heard));
        written.unwrap();
        read.unwrap();
        assert!(heard == said);
    });
}

#[test]
fn what_is_written_in_parts_goes_in_one_message() {
    run(async {
        let (endpoint, mut server) = foreign_server();
        let (client, connected) = (connect(&endpoint, &patient()).await, server.connect().await);
        connected.unwrap();
        let mut client = client.unwrap();
        assert!(client.is_write_vectored());
        let parts = [&b""[..], b"a head ", b"", b"and a body"].map(IoSlice::new);
        assert_eq!(client.write_vectored(&parts).await.unwrap(), 17);
        let mut heard = [0; 64];
        assert_eq!(server.read(&mut heard).await.unwrap(), 17);
        assert_eq!(&heard[..17], b"a head and a body");
        // More than is written at once.
        let said = pattern(100_000);
        let parts = [IoSlice::new(&said[..40_000]), IoSlice::new(&said[40_000..])];
        let written = client.write_vectored(&parts).await.unwrap();
        assert_eq!(written, 64 * 1024);
        let mut heard = vec![0; written];
        server.read_exact(&mut heard).await.unwrap();
        assert!(heard == said[..written]);
    });
}

#[test]
fn writing_nothing_is_not_the_end() {
    run(async {
        let mut listener = listen_by_messages();
        let (mut client, mut server, _) = pair(&mut listener).await;
        assert_eq!(client.write(b"").await.unwrap(), 0);
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
    });
}

#[test]
fn nothing_is_written_after_the_end() {
    run(async {
        let mut listener = listen_by_messages();
        let (mut client, mut server, _) = pair(&mut listener).await;
        client.shutdown().await.unwrap();
        client.shutdown().await.unwrap();
        let error = client.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        server.write_all(b"y").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'y');
    });
}

#[test]
fn where_half_closes_are_off_messages_of_no_bytes_are_nothing() {
    run(async {
        let (endpoint, mut server) = foreign_server();
        let (client, connected) = (connect(&endpoint, &unheeding()).await, server.connect().await);
        connected.unwrap();
        let mut client = client.unwrap();
        assert!(!client.can_half_close());
        for piece in [&b""[..], b"a", b"", b"", b"b", b""] {
            assert_eq!(server.write(piece).await.unwrap(), piece.len());
        }
        let mut two = [0; 2];
        client.read_exact(&mut two).await.unwrap();
        assert_eq!(&two, b"ab");
        server.write_all(b"tail").await.unwrap();
        assert_eq!(server.write(b"").await.unwrap(), 0);
        drop(server);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"tail");
        assert!(client.is_hung_up());
    });
}

#[test]
fn looking_at_an_idle_pipe_finds_its_half_close() {
    run(async {
        let mut listener = listen_by_messages();
        let (client, mut server, _) = pair(&mut listener).await;
        assert_eq!(client.probe(), Probe::Quiet);
        server.shutdown().await.unwrap();
        while client.probe() == Probe::Quiet {
            tokio::task::yield_now().await;
        }
        assert_eq!(client.probe(), Probe::Closed);
        assert_eq!(client.probe(), Probe::Closed);
    });
}

#[test]
fn an_end_that_nobody_reads_can_be_given_up() {
    run(async {
        let mut listener = listen_by_messages();
        let endpoint = listener.endpoint().clone();
        // One that does not read ahead.
        let plain = tokio::task::spawn_blocking(move || plain_client(&endpoint));
        let (mut server, _) = listener.accept().await.unwrap();
        let mut client = plain.await.unwrap();
        server.write_all(b"unread").await.unwrap();
        let mut shutdown = Box::pin(async move { server.shutdown().await });
        let waited = timeout(Duration::from_millis(300), &mut shutdown).await;
        assert!(waited.is_err(), "told the end before the rest was read");
        // The server's end goes with it, although nobody has read, and the rest is still there.
        drop(shutdown);
        let plain = tokio::task::spawn_blocking(move || {
            while client.write(b"x").is_ok() {}
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).unwrap();
            heard
        });
        assert_eq!(plain.await.unwrap(), b"unread");
    });
}
