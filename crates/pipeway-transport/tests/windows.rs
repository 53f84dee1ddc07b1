//! What only named pipes have.

#![cfg(windows)]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::time::Duration;

use pipeway_transport::{Access, ErrorKind, ListenOptions, Listener, connect};
use support::{hasty, listen, pair, patient, run, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
