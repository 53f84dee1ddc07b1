//! What only named pipes have.

#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::time::Duration;

use pipeway_transport::{
    Access, ConnectOptions, Direction, ErrorKind, HalfClose, ListenOptions, Listener, Probe,
    connect,
};
use support::{hasty, listen, pair, patient, run, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::windows::named_pipe::ServerOptions;
use tokio::time::timeout;

#[test]
fn a_local_name_is_a_pipe_of_that_name() {
    let endpoint: pipeway_transport::Endpoint = "local:pipeway-demo".parse().unwrap();
    assert_eq!(endpoint.resolve().unwrap().to_string(), r"\\.\pipe\pipeway-demo");
}

#[test]
fn names_differ_by_more_than_case() {
    run(async {
        let listener = listen(&unique());
        let other = listener.endpoint().to_string().to_ascii_uppercase().parse().unwrap();
        let error = Listener::bind(&other, &ListenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
    });
}

#[test]
fn a_name_with_parts_is_served() {
    run(async {
        let name = unique().resolve().unwrap().to_string();
        let mut listener = listen(&format!(r"{name}\part two").parse().unwrap());
        let (mut client, mut server, _) = pair(&mut listener).await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
    });
}

#[test]
fn the_longest_name_is_served() {
    run(async {
        let name = unique().resolve().unwrap().to_string();
        let longest = format!("{name}{}", "x".repeat(256 - name.len()));
        let mut listener = listen(&longest.parse().unwrap());
        pair(&mut listener).await;
    });
}

#[test]
fn at_the_bound_established_connections_are_kept_and_the_next_client_waits() {
    run(async {
        let options = ListenOptions { max_instances: 2, ..ListenOptions::default() };
        let mut listener = Listener::bind(&unique(), &options).unwrap();
        let endpoint = listener.endpoint().clone();
        let (mut first, mut first_server, _) = pair(&mut listener).await;

        // Connected, and not yet handed over.
        let mut second = connect(&endpoint, &patient()).await.unwrap();
        let accepted = timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(accepted.is_err(), "there is no place for a second");
        let error = connect(&endpoint, &hasty()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy);

        first.write_all(b"1").await.unwrap();
        assert_eq!(first_server.read_u8().await.unwrap(), b'1');

        // The place is free, and the waiting accept learns of it.
        let ending = async {
            tokio::task::yield_now().await;
            drop(first_server);
        };
        let (accepted, ()) = tokio::join!(listener.accept(), ending);
        let (mut second_server, _) = accepted.unwrap();
        second.write_all(b"2").await.unwrap();
        assert_eq!(second_server.read_u8().await.unwrap(), b'2');
    });
}

#[test]
fn a_custom_descriptor_that_lets_everyone_in_is_served_with_a_warning() {
    run(async {
        let access = Access::Sddl("D:P(A;;FA;;;SY)(A;;FA;;;WD)".into());
        let options = ListenOptions { access, ..ListenOptions::default() };
        let mut listener = Listener::bind(&unique(), &options).unwrap();
        assert!(listener.warnings().iter().any(|warning| warning.contains("everyone")));
        pair(&mut listener).await;
    });
}

#[test]
fn the_last_instance_takes_its_unread_tail_along() {
    run(async {
        let mut listener = listen(&unique());
        let (mut client, mut server, _) = pair(&mut listener).await;
        server.write_all(b"tail").await.unwrap();
        server.shutdown().await.unwrap();
        drop(server);
        drop(listener);
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"tail");
    });
}

fn one_way(direction: Direction) -> ConnectOptions {
    ConnectOptions { direction, ..patient() }
}

#[test]
fn a_client_that_only_reads_or_only_writes() {
    run(async {
        let mut listener = listen(&unique());
        let endpoint = listener.endpoint().clone();
        let options = one_way(Direction::ReadOnly);
        let (reader, server) = tokio::join!(connect(&endpoint, &options), listener.accept());
        let (mut reader, (mut server, _)) = (reader.unwrap(), server.unwrap());
        assert_eq!(reader.direction(), Direction::ReadOnly);
        server.write_all(b"x").await.unwrap();
        assert_eq!(reader.read_u8().await.unwrap(), b'x');
        assert_eq!(reader.probe(), Probe::Quiet);
        assert!(reader.write_all(b"y").await.is_err());
        reader.shutdown().await.unwrap();
        drop(server);
        assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
        assert!(reader.is_hung_up());

        let options = one_way(Direction::WriteOnly);
        let (writer, server) = tokio::join!(connect(&endpoint, &options), listener.accept());
        let (mut writer, (mut server, _)) = (writer.unwrap(), server.unwrap());
        assert_eq!(writer.probe(), Probe::Quiet);
        writer.write_all(b"y").await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'y');
        assert!(writer.read(&mut [0]).await.is_err());
        drop(writer);
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
    });
}

#[test]
#[ignore = "Wine refuses no client of a one-way pipe that wants the other way"]
fn a_server_that_goes_one_way_refuses_a_client_that_wants_the_other() {
    run(async {
        let endpoint = unique().resolve().unwrap();
        let path = endpoint.to_string();
        let _server = ServerOptions::new().access_outbound(false).create(&path).unwrap();
        let error = connect(&endpoint, &one_way(Direction::ReadOnly)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission);
        let error = connect(&endpoint, &one_way(Direction::Both)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission);
        let options =
            ConnectOptions { verify_server: Some(false), ..one_way(Direction::WriteOnly) };
        connect(&endpoint, &options).await.unwrap();
    });
}

#[test]
fn the_parts_of_a_vectored_write_are_one_write() {
    run(async {
        let options = ListenOptions { half_close: HalfClose::Message, ..Default::default() };
        let mut listener = Listener::bind(&unique(), &options).unwrap();
        let (mut client, mut server, _) = pair(&mut listener).await;
        assert!(tokio::io::AsyncWrite::is_write_vectored(&server));
        let parts = [&b""[..], b"head", b"", b"body"].map(std::io::IoSlice::new);
        assert_eq!(server.write_vectored(&parts).await.unwrap(), 8);
        // A message is what was written at once.
        let mut buf = [0; 64];
        assert_eq!(client.read(&mut buf).await.unwrap(), 8);
        assert_eq!(&buf[..8], b"headbody");
        let large = vec![1; 50_000];
        let parts = [&large[..], &large[..]].map(std::io::IoSlice::new);
        let (written, mut read) = (server.write_vectored(&parts).await.unwrap(), 0);
        assert!(written > large.len() && written < 2 * large.len(), "{written}");
        while read < written {
            read += client.read(&mut buf).await.unwrap();
        }
    });
}
