//! What every transport promises, over the local endpoint of the system that this runs on: a
//! named pipe on Windows, a Unix socket elsewhere.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::time::{Duration, Instant};

use pipeway_transport::{
    Access, ConnectOptions, Endpoint, ErrorKind, ListenOptions, Listener, Mode, Probe, connect,
};
use support::{hasty, listen, pair, patient, run, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Bytes in which a lost or doubled part shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

#[test]
fn bytes_come_back() {
    run(async {
        let mut listener = listen(&unique());
        let (mut client, mut server, _) = pair(&mut listener).await;
        client.write_all(b"hello").await.unwrap();
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).await.unwrap();
        server.write_all(&bytes).await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"hello");
    });
}

#[test]
fn the_mode_is_the_local_one_at_both_ends() {
    run(async {
        let expected = if cfg!(windows) { Mode::NamedPipe } else { Mode::Unix };
        let mut listener = listen(&unique());
        let (client, server, _) = pair(&mut listener).await;
        assert_eq!(listener.mode(), expected);
        assert_eq!(client.mode(), expected);
        assert_eq!(server.mode(), expected);
        assert_eq!(listener.endpoint().mode(), Some(expected));
    });
}

#[test]
fn a_mebibyte_goes_each_way_at_once() {
    run(async {
        let mut listener = listen(&unique());
        let (client, server, _) = pair(&mut listener).await;
        let sent = pattern(1 << 20);
        let exchange = |stream| {
            let sent = sent.clone();
            async move {
                let (mut reader, mut writer) = tokio::io::split(stream);
                let mut received = vec![0; sent.len()];
                let (written, read) =
                    tokio::join!(writer.write_all(&sent), reader.read_exact(&mut received));
                written.unwrap();
                read.unwrap();
                received
            }
        };
        let (at_client, at_server) = tokio::join!(exchange(client), exchange(server));
        assert!(at_client == sent && at_server == sent);
    });
}

#[test]
fn the_tail_written_before_a_close_is_read() {
    run(async {
        let mut listener = listen(&unique());
        let (mut client, mut server, _) = pair(&mut listener).await;
        let sent = pattern(300_000);
        let expected = sent.clone();
        let writing = async move {
            server.write_all(&sent).await.unwrap();
            server.shutdown().await.unwrap();
            drop(server);
        };
        let reading = async {
            let mut received = Vec::new();
            client.read_to_end(&mut received).await.unwrap();
            received
        };
        let ((), received) = tokio::join!(writing, reading);
        assert!(received == expected, "{} bytes of {}", received.len(), expected.len());
        assert!(client.is_hung_up());
    });
}

#[test]
fn what_was_written_is_readable_after_the_writer_has_gone() {
    run(async {
        let mut listener = listen(&unique());
        let (mut client, mut server, _) = pair(&mut listener).await;
        client.write_all(b"last words").await.unwrap();
        client.shutdown().await.unwrap();
        drop(client);
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"last words");
    });
}

#[test]
fn shutting_down_waits_for_the_write_in_flight() {
    run(async {
        let mut listener = listen(&unique());
        let (mut client, mut server, _) = pair(&mut listener).await;
        // Until the writer is stuck behind the reader: then more is written than the system holds.
        let part = pattern(64 * 1024);
        let mut written = 0;
        while let Ok(done) = timeout(Duration::from_millis(50), client.write(&part)).await {
            written += done.unwrap();
        }
        let closing = tokio::spawn(async move {
            client.shutdown().await.unwrap();
            drop(client);
        });
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.unwrap();
        assert_eq!(received.len(), written);
        closing.await.unwrap();
    });
}

#[test]
fn five_hundred_clients_at_once_are_all_served() {
    run(async {
        const CLIENTS: u32 = 500;
        let mut listener = listen(&unique());
        let endpoint = listener.endpoint().clone();
        let serving = tokio::spawn(async move {
            for _ in 0..CLIENTS {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let number = stream.read_u32().await.unwrap();
                    stream.write_u32(!number).await.unwrap();
                    // Open until the client has closed.
                    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
                });
            }
            listener
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let endpoint = endpoint.clone();
                tokio::spawn(async move {
                    let mut stream = connect(&endpoint, &patient()).await.unwrap();
                    stream.write_u32(number).await.unwrap();
                    assert_eq!(stream.read_u32().await.unwrap(), !number);
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        serving.await.unwrap();
    });
}

#[test]
fn a_second_listener_is_refused_at_once_and_names_the_holder() {
    run(async {
        let endpoint = unique();
        let mut listener = listen(&endpoint);
        let begin = Instant::now();
        let error = Listener::bind(&endpoint, &ListenOptions::default()).unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(1));
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert_eq!(error.holder_pid(), Some(std::process::id()));
        assert!(error.to_string().contains("taken by process"), "{error}");
        assert!(error.advice().is_some());
        // The first one goes on. Whoever looked at a pipe to see whose it is was a client that
        // came and went.
        let mut client = connect(&endpoint, &patient()).await.unwrap();
        client.write_all(b"x").await.unwrap();
        let mut byte = [0];
        while listener.accept().await.unwrap().0.read(&mut byte).await.unwrap() == 0 {}
        assert_eq!(&byte, b"x");
    });
}

#[test]
fn a_name_is_free_again_after_its_listener_ended() {
    run(async {
        let endpoint = unique();
        for _ in 0..3 {
            // Where the runtime closes handles in the background, that takes it a moment.
            let mut listener = loop {
                match Listener::bind(&endpoint, &ListenOptions::default()) {
                    Ok(listener) => break listener,
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::InUse);
                        tokio::task::yield_now().await;
                    }
                }
            };
            let (_client, _server, _) = pair(&mut listener).await;
        }
    });
}

#[test]
fn the_client_is_identified() {
    run(async {
        let mut listener = listen(&unique());
        let (_client, _server, peer) = pair(&mut listener).await;
        assert_eq!(peer.address, None);
        if cfg!(any(windows, target_os = "linux")) {
            assert_eq!(peer.pid, Some(std::process::id()));
        }
        if cfg!(windows) {
            assert!(peer.sid.as_deref().is_some_and(|sid| sid.starts_with("S-1-5-")), "{peer:?}");
            assert!(peer.session.is_some());
            assert_eq!(peer.uid, None);
        } else {
            assert!(peer.uid.is_some());
            assert_eq!((peer.sid, peer.session), (None, None));
        }
    });
}

#[test]
fn connecting_to_nothing_fails_at_once() {
    run(async {
        let begin = Instant::now();
        let endpoint = unique();
        let error = connect(&endpoint, &patient()).await.unwrap_err();
        assert!(begin.elapsed() < Duration::from_secs(1));
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("does not exist"), "{error}");
        assert!(error.advice().is_some_and(|hint| hint.contains("start the service")));
    });
}

#[test]
fn a_full_listener_is_waited_for_until_the_deadline() {
    run(async {
        let options = ListenOptions { backlog: 1, max_instances: 2, ..ListenOptions::default() };
        let mut listener = Listener::bind(&unique(), &options).unwrap();
        let endpoint = listener.endpoint().clone();
        let mut clients = Vec::new();
        let begin = loop {
            let begin = Instant::now();
            match connect(&endpoint, &hasty()).await {
                Ok(client) => clients.push(client),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Busy);
                    break begin;
                }
            }
            assert!(clients.len() < 100, "the queue has no end");
        };
        let waited = begin.elapsed();
        assert!(waited >= hasty().timeout && waited < Duration::from_secs(5), "{waited:?}");
        // A patient one gets in as soon as there is room.
        let late = tokio::spawn(async move { connect(&endpoint, &patient()).await });
        for _ in 0..=clients.len() {
            let (server, _) = listener.accept().await.unwrap();
            drop(server);
        }
        late.await.unwrap().unwrap();
    });
}

#[test]
fn a_cancelled_accept_loses_no_client() {
    run(async {
        let mut listener = listen(&unique());
        let endpoint = listener.endpoint().clone();
        for _ in 0..20 {
            for _ in 0..5 {
                tokio::select! {
                    biased;
                    _ = listener.accept() => panic!("nobody connects yet"),
                    () = tokio::task::yield_now() => {}
                }
            }
            let mut client = connect(&endpoint, &patient()).await.unwrap();
            client.write_all(b"x").await.unwrap();
            let mut server = loop {
                tokio::select! {
                    biased;
                    accepted = listener.accept() => break accepted.unwrap().0,
                    () = tokio::task::yield_now() => {}
                }
            };
            assert_eq!(server.read_u8().await.unwrap(), b'x');
        }
    });
}

#[test]
fn a_waiting_accept_is_woken_by_a_client() {
    run(async {
        let mut listener = listen(&unique());
        let endpoint = listener.endpoint().clone();
        let accepting = tokio::spawn(async move { listener.accept().await.map(|_| ()) });
        tokio::task::yield_now().await;
        let _client = connect(&endpoint, &patient()).await.unwrap();
        accepting.await.unwrap().unwrap();
    });
}

#[test]
fn a_client_that_came_and_went_is_an_ended_stream() {
    run(async {
        let mut listener = listen(&unique());
        let endpoint = listener.endpoint().clone();
        drop(connect(&endpoint, &patient()).await.unwrap());
        let (mut server, _) = listener.accept().await.unwrap();
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        // The end stays the end.
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        assert!(server.is_hung_up());
        assert_eq!(server.probe(), Probe::Closed);
    });
}

#[test]
fn writing_to_a_client_that_has_gone_is_a_broken_pipe() {
    run(async {
        let mut listener = listen(&unique());
        let (client, mut server, _) = pair(&mut listener).await;
        drop(client);
        let error = loop {
            if let Err(error) = server.write_all(&[0; 1024]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
    });
}

#[test]
fn a_probe_tells_quiet_data_and_closed_apart_and_takes_nothing() {
    run(async {
        let mut listener = listen(&unique());
        let (mut client, mut server, _) = pair(&mut listener).await;
        assert_eq!(server.probe(), Probe::Quiet);
        client.write_all(b"x").await.unwrap();
        while server.probe() == Probe::Quiet {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.probe(), Probe::Data);
        assert_eq!(server.read_u8().await.unwrap(), b'x');
        assert_eq!(server.probe(), Probe::Quiet);
        drop(client);
        while server.probe() == Probe::Quiet {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.probe(), Probe::Closed);
    });
}

#[test]
fn only_a_socket_can_half_close() {
    run(async {
        let mut listener = listen(&unique());
        let (mut client, mut server, _) = pair(&mut listener).await;
        assert_eq!(client.can_half_close(), cfg!(not(windows)));
        client.shutdown().await.unwrap();
        if client.can_half_close() {
            assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
            assert!(!server.is_hung_up(), "only half of it is closed");
        }
        server.write_all(b"still there").await.unwrap();
        let mut bytes = [0; 11];
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"still there");
    });
}

#[test]
fn an_own_server_is_verified() {
    run(async {
        let mut listener = listen(&unique());
        let endpoint = listener.endpoint().clone();
        let options = ConnectOptions { verify_server: Some(true), ..patient() };
        let (client, server) = tokio::join!(connect(&endpoint, &options), listener.accept());
        client.unwrap();
        server.unwrap();
    });
}

/// A number that grows with the files and handles that this process has open.
fn lowest_free_handle() -> usize {
    #[cfg(windows)]
    {
        use std::os::windows::io::AsRawHandle;
        std::fs::File::open("NUL").unwrap().as_raw_handle() as usize / 4
    }
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        std::fs::File::open("/dev/null").unwrap().as_raw_fd() as usize
    }
}

#[test]
fn a_thousand_connections_leave_no_handles() {
    run(async {
        let mut listener = listen(&unique());
        let mut before = 0;
        for cycle in 0..1100 {
            let (mut client, mut server, _) = pair(&mut listener).await;
            client.write_all(b"x").await.unwrap();
            assert_eq!(server.read_u8().await.unwrap(), b'x');
            if cycle == 100 {
                before = lowest_free_handle();
            }
        }
        let after = lowest_free_handle();
        assert!(after <= before + 20, "{before} before, {after} after a thousand");
    });
}

#[test]
fn a_port_echoes_and_reports_the_port_that_it_got() {
    run(async {
        let mut listener = listen(&"tcp:127.0.0.1:0".parse().unwrap());
        assert_eq!(listener.mode(), Mode::Tcp);
        let Endpoint::Tcp(address) = listener.endpoint() else { panic!("not TCP") };
        assert_ne!(address.port(), 0);
        let (mut client, mut server, peer) = pair(&mut listener).await;
        assert!(peer.address.is_some());
        assert!(client.can_half_close());
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
        client.shutdown().await.unwrap();
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        server.write_all(b"y").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'y');
    });
}

#[test]
fn a_taken_port_is_refused() {
    run(async {
        let listener = listen(&"tcp:127.0.0.1:0".parse().unwrap());
        let error = Listener::bind(listener.endpoint(), &ListenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse, "{error:?}");
    });
}

#[test]
fn an_address_of_other_machines_is_refused_unless_allowed() {
    run(async {
        let everywhere: Endpoint = "tcp:0.0.0.0:0".parse().unwrap();
        let error = Listener::bind(&everywhere, &ListenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Insecure);
        let allowed = ListenOptions { allow_remote: true, ..ListenOptions::default() };
        Listener::bind(&everywhere, &allowed).unwrap();
        let error = connect(&"tcp:192.0.2.1:80".parse().unwrap(), &patient()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Insecure);
    });
}

#[test]
fn a_port_has_no_access_rule_but_owner() {
    run(async {
        let options = ListenOptions { access: Access::Group("x".into()), ..Default::default() };
        let error = Listener::bind(&"tcp:127.0.0.1:0".parse().unwrap(), &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn a_port_nobody_listens_on_is_refused() {
    run(async {
        let listener = listen(&"tcp:127.0.0.1:0".parse().unwrap());
        let endpoint = listener.endpoint().clone();
        drop(listener);
        let error = connect(&endpoint, &patient()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    });
}

#[test]
fn stdio_is_neither_listened_on_nor_connected_to() {
    run(async {
        let error = Listener::bind(&Endpoint::Stdio, &ListenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let error = connect(&Endpoint::Stdio, &patient()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn the_other_systems_local_endpoint_is_unsupported_and_says_what_to_use() {
    run(async {
        let text = if cfg!(windows) { "unix:/tmp/x.sock" } else { "npipe:x" };
        let endpoint: Endpoint = text.parse().unwrap();
        let error = Listener::bind(&endpoint, &ListenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.advice().is_some_and(|hint| hint.contains("local:NAME")), "{error:?}");
        let error = connect(&endpoint, &patient()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    });
}
