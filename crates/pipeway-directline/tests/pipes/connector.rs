//! The connector's end, before agents that make their pipes in other ways.

use pipeway_directline::pipes::{
    PairConnectOptions, RECONNECT_PAUSE, connect_pair, reconnect_pause,
};
use pipeway_transport::{ErrorKind, ListenOptions, Listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::*;

fn one(endpoint: &Endpoint) -> Listener {
    Listener::bind(endpoint, &ListenOptions::default()).unwrap()
}

#[test]
fn an_agent_that_makes_outgoing_only_after_incoming_is_connected() {
    run(async {
        let place = somewhere();
        let mut incoming = one(place.incoming());
        let agent = async {
            let (reader, _) = incoming.accept().await.unwrap();
            let mut outgoing = one(place.outgoing());
            let (writer, _) = outgoing.accept().await.unwrap();
            (reader, writer)
        };
        let options = PairConnectOptions::default();
        let ((mut reader, mut writer), pair) = tokio::join!(agent, connect_pair(&place, &options));
        let mut pair = pair.unwrap();
        pair.writer.write_all(b"x").await.unwrap();
        assert_eq!(reader.read_u8().await.unwrap(), b'x');
        writer.write_all(b"y").await.unwrap();
        assert_eq!(pair.reader.read_u8().await.unwrap(), b'y');
    });
}

#[test]
fn an_agent_that_starts_later_is_waited_for() {
    run(async {
        let place = somewhere();
        let options = PairConnectOptions::default();
        let mut connecting = Box::pin(connect_pair(&place, &options));
        stays_pending(&mut connecting, "nobody is there").await;
        let mut listener = listen(&place).await;
        let (agent, connector) = tokio::join!(listener.accept(), connecting);
        assert_works(&mut agent.unwrap(), &mut connector.unwrap()).await;
    });
}

#[test]
fn an_agent_that_never_starts_is_given_up_at_the_deadline() {
    run(async {
        let place = somewhere();
        let options = PairConnectOptions { timeout: MOMENT * 4, ..PairConnectOptions::default() };
        let started = Instant::now();
        let error = connect_pair(&place, &options).await.unwrap_err();
        assert!(started.elapsed() < MOMENT * 40);
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains(&place.to_string()), "{error}");
    });
}

#[test]
fn without_outgoing_incoming_is_closed_and_all_begins_anew() {
    run(async {
        let place = somewhere();
        let mut incoming = one(place.incoming());
        let options =
            PairConnectOptions { outgoing_timeout: MOMENT, ..PairConnectOptions::default() };
        let agent = async {
            let (mut first, _) = incoming.accept().await.unwrap();
            assert_closed(&mut first).await;
            let mut outgoing = one(place.outgoing());
            let (reader, _) = incoming.accept().await.unwrap();
            (reader, outgoing.accept().await.unwrap().0)
        };
        let ((mut reader, _writer), pair) = tokio::join!(agent, connect_pair(&place, &options));
        pair.unwrap().writer.write_all(b"x").await.unwrap();
        assert_eq!(reader.read_u8().await.unwrap(), b'x');
    });
}

#[test]
fn the_writer_tells_of_vectored_writes_and_takes_all_parts_at_once() {
    run(async {
        let mut listener = listen(&somewhere()).await;
        let (mut agent, mut connector) = session(&mut listener).await;
        for (from, to) in
            [(&mut agent.writer, &mut connector.reader), (&mut connector.writer, &mut agent.reader)]
        {
            assert!(tokio::io::AsyncWrite::is_write_vectored(from));
            let parts = [&b"header"[..], b"", b"payload", b"!"].map(std::io::IoSlice::new);
            assert_eq!(from.write_vectored(&parts).await.unwrap(), 14);
            let mut read = [0; 14];
            to.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"headerpayload!");
        }
    });
}

#[test]
fn both_ways_are_full_at_once_and_nothing_is_stuck() {
    const BYTES: usize = 4 * 1024 * 1024;
    run(async {
        let mut listener = listen(&somewhere()).await;
        let (mut agent, mut connector) = session(&mut listener).await;
        let sent = vec![7; BYTES];
        let (mut down, mut up) = (vec![0; BYTES], vec![0; BYTES]);
        let written = tokio::join!(
            agent.writer.write_all(&sent),
            connector.writer.write_all(&sent),
            agent.reader.read_exact(&mut up),
            connector.reader.read_exact(&mut down),
        );
        written.0.unwrap();
        written.1.unwrap();
        assert!(down == sent && up == sent);
    });
}

#[test]
fn the_pause_after_a_session_counts_from_its_end() {
    run(async {
        tokio::time::pause();
        let ended = Instant::now();
        assert!(timeout(RECONNECT_PAUSE / 2, reconnect_pause(ended)).await.is_err());
        reconnect_pause(ended).await;
        assert!(ended.elapsed() < RECONNECT_PAUSE * 2);
    });
}
