//! How sessions end, and many of them in a row.

use pipeway_directline::pipes::{PairConnectOptions, PairListenOptions};
use pipeway_transport::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[test]
fn the_end_of_incoming_is_read_by_the_agent() {
    run(async {
        let mut listener = listen(&somewhere()).await;
        let (mut agent, connector) = session(&mut listener).await;
        let mut writer = connector.writer;
        writer.write_all(b"end").await.unwrap();
        writer.shutdown().await.unwrap();
        drop(writer);
        let mut rest = Vec::new();
        within(agent.reader.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"end");
    });
}

#[test]
fn the_end_of_outgoing_alone_is_seen_without_a_write() {
    run(async {
        let mut listener = listen(&somewhere()).await;
        let (mut agent, connector) = session(&mut listener).await;
        stays_pending(agent.watch.closed(), "both pipes are open").await;
        drop(connector.reader);
        within(agent.watch.closed()).await;
        drop(connector.writer);
    });
}

#[test]
fn a_watch_ends_with_its_own_writer() {
    run(async {
        let mut listener = listen(&somewhere()).await;
        let (agent, _connector) = session(&mut listener).await;
        let pipeway_directline::pipes::Pair { writer, mut watch, .. } = agent;
        let watching = tokio::spawn(async move { watch.closed().await });
        tokio::task::yield_now().await;
        drop(writer);
        within(watching).await.unwrap();
    });
}

#[test]
fn bytes_against_the_direction_are_passed_over_within_a_bound() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        let mut incoming = client(place.incoming()).await;
        let mut outgoing = client(place.outgoing()).await;
        let mut agent = listener.accept().await.unwrap();
        outgoing.write_all(b"end").await.unwrap();
        stays_pending(agent.watch.closed(), "a farewell is no end").await;
        agent.writer.write_all(b"x").await.unwrap();
        assert_eq!(outgoing.read_u8().await.unwrap(), b'x');
        let flood = vec![0; 256 * 1024];
        tokio::select! {
            _ = outgoing.write_all(&flood) => panic!("more than the bound was taken"),
            () = within(agent.watch.closed()) => {}
        }
        incoming.write_all(b"y").await.unwrap();
        assert_eq!(agent.reader.read_u8().await.unwrap(), b'y');
    });
}

#[test]
fn a_session_is_over_for_the_listener_whatever_the_peer_does() {
    run(async {
        let mut listener = listen(&somewhere()).await;
        let (agent, mut old) = session(&mut listener).await;
        drop(agent);
        let (mut agent, mut connector) = session(&mut listener).await;
        assert_works(&mut agent, &mut connector).await;
        assert_eq!(within(old.reader.read(&mut [0])).await.unwrap_or(0), 0);
    });
}

#[test]
fn the_next_session_waits_for_the_end_of_both_parts() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        let (agent, _connector) = session(&mut listener).await;
        drop(agent.writer);
        let mut stray = client(place.incoming()).await;
        assert_closed(&mut stray).await;
        stays_pending(listener.accept(), "the reader is still in use").await;
        drop(agent.reader);
        session(&mut listener).await;
    });
}

/// The name is there whenever anybody looks, and whoever looks disturbs no session.
#[test]
fn the_name_is_held_during_and_between_sessions() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        let (stop_tx, mut stop_rx) = tokio::sync::oneshot::channel::<()>();
        let looked_at = place.clone();
        let prober = tokio::spawn(async move {
            let mut looks = 0u32;
            let options = ConnectOptions { timeout: MOMENT, ..ConnectOptions::default() };
            while stop_rx.try_recv().is_err() {
                for endpoint in [looked_at.incoming(), looked_at.outgoing()] {
                    match connect(endpoint, &options).await {
                        Ok(_) => looks += 1,
                        // It exists, and others were faster.
                        Err(error) if error.kind() == ErrorKind::Busy => {}
                        Err(error) => panic!("after {looks} looks: {error}"),
                    }
                    tokio::task::yield_now().await;
                }
            }
            looks
        });
        for _ in 0..20 {
            assert_is_served(&mut listener).await;
        }
        stop_tx.send(()).unwrap();
        assert!(prober.await.unwrap() > 0);
    });
}

/// More sessions than a pipe may have instances: none is used again, and none stays.
#[test]
fn a_hundred_sessions_in_a_row() {
    run(async {
        let mut listener = listen(&somewhere()).await;
        for _ in 0..100 {
            let (mut agent, mut connector) = session(&mut listener).await;
            assert_works(&mut agent, &mut connector).await;
        }
    });
}

#[test]
fn options_have_the_documented_defaults() {
    let listen = PairListenOptions::default();
    assert_eq!((listen.bind_attempts, listen.bind_pause.as_millis()), (30, 250));
    assert_eq!(listen.lone_half_timeout.as_secs(), 30);
    let connect = PairConnectOptions::default();
    assert_eq!(connect.outgoing_timeout.as_secs(), 10);
    assert!(connect.verify_server);
}

/// The parts of a pair are used by tasks of their own, on threads of their own.
#[test]
fn reader_writer_and_watch_are_used_at_once_by_three_tasks() {
    const BYTES: usize = 1024 * 1024;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(within(async {
        let mut listener = listen(&somewhere()).await;
        for _ in 0..10 {
            let (agent, connector) = session(&mut listener).await;
            let mut tasks = tokio::task::JoinSet::new();
            for pair in [agent, connector] {
                let Pair { mut reader, mut writer, mut watch, .. } = pair;
                tasks.spawn(async move {
                    let mut received = vec![0; BYTES];
                    reader.read_exact(&mut received).await.unwrap();
                    assert!(received.iter().all(|byte| *byte == 7));
                    // Until the other writer is gone.
                    assert_eq!(reader.read(&mut [0]).await.unwrap_or(0), 0);
                });
                tasks.spawn(async move {
                    writer.write_all(&vec![7; BYTES]).await.unwrap();
                    writer.shutdown().await.unwrap();
                });
                tasks.spawn(async move { watch.closed().await });
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        }
    }));
}
