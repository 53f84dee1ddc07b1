//! The agent's end: who gets in, in which order, and who is closed.

use pipeway_directline::pipes::{
    PairConnectOptions, PairListenOptions, PairListener, connect_pair,
};
use pipeway_transport::ErrorKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::*;

#[test]
fn both_pipes_exist_before_any_client_and_either_may_come_first() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        for incoming_first in [true, false] {
            let (mut incoming, mut outgoing);
            if incoming_first {
                incoming = client(place.incoming()).await;
                outgoing = client(place.outgoing()).await;
            } else {
                outgoing = client(place.outgoing()).await;
                incoming = client(place.incoming()).await;
            }
            let mut pair = listener.accept().await.unwrap();
            incoming.write_all(b"x").await.unwrap();
            assert_eq!(pair.reader.read_u8().await.unwrap(), b'x');
            pair.writer.write_all(b"y").await.unwrap();
            assert_eq!(outgoing.read_u8().await.unwrap(), b'y');
        }
    });
}

#[test]
fn the_agent_knows_who_connected() {
    run(async {
        let mut listener = listen(&somewhere()).await;
        let (agent, _connector) = session(&mut listener).await;
        assert_eq!(agent.peer.pid, Some(std::process::id()));
        assert!(agent.peer.uid.is_some() || agent.peer.sid.is_some());
    });
}

#[test]
fn whoever_connects_during_a_session_is_closed_and_the_session_goes_on() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        let (mut agent, mut connector) = session(&mut listener).await;
        for _ in 0..3 {
            assert_closed(&mut client(place.incoming()).await).await;
            assert_closed(&mut client(place.outgoing()).await).await;
        }
        assert_works(&mut agent, &mut connector).await;
        assert_eq!(listener.counts().turned_away, 6);
    });
}

#[test]
fn strays_that_stay_and_write_do_not_keep_the_next_session_out() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        let (agent, connector) = session(&mut listener).await;
        let mut strays = Vec::new();
        for endpoint in [place.incoming(), place.outgoing()] {
            let mut stray = client(endpoint).await;
            // It may be closed already.
            let _ = stray.write_all(b"anything").await;
            strays.push(stray);
        }
        // They were seen before the session's end.
        for stray in &mut strays {
            assert_closed(stray).await;
        }
        drop((agent, connector));
        let (mut agent, mut connector) = session(&mut listener).await;
        assert_works(&mut agent, &mut connector).await;
        drop(strays);
    });
}

#[test]
fn a_half_that_closes_before_the_other_comes_is_replaced() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        // Once asked for, a pair is made whoever waits for it.
        stays_pending(listener.accept(), "nobody is there").await;
        let mut lost = 0;
        for endpoint in [place.incoming(), place.outgoing()] {
            for said in ["", "what it said does not hide that it has gone"] {
                let mut alone = client(endpoint).await;
                alone.write_all(said.as_bytes()).await.unwrap();
                alone.shutdown().await.unwrap();
                drop(alone);
                lost += 1;
                while listener.counts().halves_lost < lost {
                    tokio::task::yield_now().await;
                }
            }
        }
        let (mut agent, mut connector) = session(&mut listener).await;
        assert_works(&mut agent, &mut connector).await;
        assert_eq!(listener.counts().turned_away, 0);
    });
}

#[test]
fn dead_halves_that_were_in_the_queue_are_no_pair() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        for endpoint in [place.incoming(), place.outgoing()] {
            let mut early = client(endpoint).await;
            early.write_all(b"dead").await.unwrap();
            early.shutdown().await.unwrap();
        }
        assert_is_served(&mut listener).await;
    });
}

#[test]
fn a_half_that_is_taken_is_not_taken_over() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        let mut first = client(place.incoming()).await;
        stays_pending(listener.accept(), "half a pair is none").await;
        let mut second = client(place.incoming()).await;
        let others = async {
            assert_closed(&mut second).await;
            client(place.outgoing()).await
        };
        let (accepted, mut outgoing) = tokio::join!(listener.accept(), others);
        let mut pair = accepted.unwrap();
        first.write_all(b"1").await.unwrap();
        assert_eq!(pair.reader.read_u8().await.unwrap(), b'1');
        pair.writer.write_all(b"2").await.unwrap();
        assert_eq!(outgoing.read_u8().await.unwrap(), b'2');
    });
}

#[test]
fn what_came_before_the_other_half_is_read() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        let mut incoming = client(place.incoming()).await;
        let sent: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
        incoming.write_all(&sent).await.unwrap();
        // It is accepted, watched and read ahead.
        stays_pending(listener.accept(), "half a pair is none").await;
        let _outgoing = client(place.outgoing()).await;
        let mut pair = listener.accept().await.unwrap();
        incoming.write_all(b"more").await.unwrap();
        let mut read = vec![0; sent.len() + 4];
        pair.reader.read_exact(&mut read).await.unwrap();
        assert_eq!(read[..sent.len()], sent);
        assert_eq!(&read[sent.len()..], b"more");
    });
}

#[test]
fn a_half_that_stays_alone_is_given_up() {
    run(async {
        let place = somewhere();
        let options =
            PairListenOptions { lone_half_timeout: MOMENT, ..PairListenOptions::default() };
        let mut listener = PairListener::bind(&place, &options).await.unwrap();
        for endpoint in [place.incoming(), place.outgoing()] {
            let mut alone = client(endpoint).await;
            tokio::select! {
                _ = listener.accept() => panic!("half a pair is none"),
                () = assert_closed(&mut alone) => {}
            }
        }
        assert_eq!(listener.counts().halves_given_up, 2);
        let (mut agent, mut connector) = session(&mut listener).await;
        assert_works(&mut agent, &mut connector).await;
    });
}

#[test]
fn an_accept_that_is_given_up_loses_no_pair() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        stays_pending(listener.accept(), "nobody is there").await;
        let mut connector = connect_pair(&place, &PairConnectOptions::default()).await.unwrap();
        connector.writer.write_all(b"C").await.unwrap();
        // Made while nobody waits for it.
        stays_pending(connector.watch.closed(), "it was closed").await;
        let mut agent = listener.accept().await.unwrap();
        assert_eq!(agent.reader.read_u8().await.unwrap(), b'C');
    });
}

#[test]
fn a_pair_that_left_while_nobody_accepted_is_passed_over() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        stays_pending(listener.accept(), "nobody is there").await;
        let mut connector = connect_pair(&place, &PairConnectOptions::default()).await.unwrap();
        stays_pending(connector.watch.closed(), "it was closed").await;
        drop(connector);
        let (mut agent, mut connector) = session(&mut listener).await;
        assert_works(&mut agent, &mut connector).await;
    });
}

#[test]
fn a_name_in_use_is_tried_again_and_then_named() {
    run(async {
        let place = somewhere();
        let _holder = listen(&place).await;
        let options = PairListenOptions {
            bind_attempts: 3,
            bind_pause: std::time::Duration::from_millis(20),
            ..PairListenOptions::default()
        };
        let started = Instant::now();
        let error = PairListener::bind(&place, &options).await.unwrap_err();
        assert!(started.elapsed() >= options.bind_pause * 2);
        assert_eq!(error.kind(), ErrorKind::InUse);
        assert!(error.to_string().contains("after 3 tries"), "{error}");
        assert!(error.advice().is_some());
        assert!(!error.is_lasting());
    });
}

#[test]
fn a_name_that_becomes_free_is_taken() {
    run(async {
        let place = somewhere();
        let holder = listen(&place).await;
        let options = PairListenOptions::default();
        let mut binding = Box::pin(PairListener::bind(&place, &options));
        stays_pending(&mut binding, "the name is in use").await;
        holder.close().await;
        let mut listener = binding.await.unwrap();
        let (mut agent, mut connector) = session(&mut listener).await;
        assert_works(&mut agent, &mut connector).await;
    });
}

#[test]
fn closing_the_listener_frees_the_name_and_leaves_the_session() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        let (mut agent, mut connector) = session(&mut listener).await;
        within(listener.close()).await;
        assert_works(&mut agent, &mut connector).await;
        drop((agent, connector));
        let mut listener = listen(&place).await;
        session(&mut listener).await;
    });
}

#[test]
fn nothing_of_a_bind_that_is_given_up_is_left() {
    run(async {
        let place = somewhere();
        let outgoing_holder =
            pipeway_transport::Listener::bind(place.outgoing(), &Default::default()).unwrap();
        let options = PairListenOptions::default();
        let bound = timeout(MOMENT, PairListener::bind(&place, &options)).await;
        assert!(bound.is_err(), "one of the names is in use");
        drop(outgoing_holder);
        let mut listener = listen(&place).await;
        session(&mut listener).await;
    });
}

#[test]
fn the_access_that_is_asked_for_reaches_both_pipes() {
    run(async {
        let place = somewhere();
        let access = pipeway_transport::Access::Sddl("D:P(A;;FA;;;SY)(A;;FA;;;WD)".into());
        let options = PairListenOptions { access, ..PairListenOptions::default() };
        let bound = PairListener::bind(&place, &options).await;
        if cfg!(windows) {
            let mut listener = bound.unwrap();
            let warnings = listener.warnings();
            assert!(warnings.iter().any(|warning| warning.contains("everyone")), "{warnings:?}");
            // Connected by clients that do not ask who serves: the descriptor names no owner.
            let _incoming = client(place.incoming()).await;
            let _outgoing = client(place.outgoing()).await;
            listener.accept().await.unwrap();
        } else {
            let error = bound.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.is_lasting());
        }
    });
}
