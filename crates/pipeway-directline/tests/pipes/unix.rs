//! What only sockets have: modes, stale files, half-closes.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use pipeway_directline::pipes::{
    PairConnectOptions, PairListenOptions, PairListener, connect_pair,
};
use pipeway_transport::{ErrorKind, ListenOptions, Listener};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::*;

fn in_folder(folder: &Path) -> Place {
    Place::in_folder(folder, &"a".parse().unwrap()).unwrap()
}

#[test]
fn each_socket_has_mode_0600_and_nothing_is_left_of_it() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let place = in_folder(folder.path());
        let mut listener = listen(&place).await;
        for name in ["a.incoming", "a.outgoing"] {
            let metadata = fs::symlink_metadata(folder.path().join(name)).unwrap();
            assert!(metadata.file_type().is_socket());
            assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
        }
        session(&mut listener).await;
        listener.close().await;
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    });
}

#[test]
fn a_stale_file_is_replaced_and_a_live_one_is_not() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let place = in_folder(folder.path());
        // Closing the socket leaves its file.
        drop(UnixListener::bind(folder.path().join("a.incoming")).unwrap());
        let mut listener = listen(&place).await;
        session(&mut listener).await;
        drop(listener);

        let other = tempfile::tempdir().unwrap();
        let place = in_folder(other.path());
        let live = UnixListener::bind(other.path().join("a.outgoing")).unwrap();
        let options = PairListenOptions { bind_attempts: 1, ..PairListenOptions::default() };
        let error = PairListener::bind(&place, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InUse);
        drop(live);
    });
}

#[test]
fn the_temporary_folder_will_do_for_dotnet_and_for_explicit_paths() {
    run(async {
        let name = unique();
        let stem = std::env::temp_dir().join(format!(r"\\.\pipe\{name}"));
        for place in [Place::dotnet(&name).unwrap(), Place::of_stem(&stem).unwrap()] {
            let mut listener = listen(&place).await;
            let (mut agent, mut connector) = session(&mut listener).await;
            assert_works(&mut agent, &mut connector).await;
        }
    });
}

#[test]
fn a_folder_in_which_others_could_replace_the_sockets_is_refused_at_once() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        tokio::time::pause();
        let started = Instant::now();
        let error =
            PairListener::bind(&in_folder(folder.path()), &PairListenOptions::default()).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Insecure);
        assert!(error.is_lasting());
        assert_eq!(started.elapsed(), Duration::ZERO);
    });
}

#[test]
fn a_name_in_use_is_tried_for_seven_seconds() {
    run(async {
        let place = somewhere();
        let _holder = listen(&place).await;
        tokio::time::pause();
        let started = Instant::now();
        let error = PairListener::bind(&place, &PairListenOptions::default()).await.unwrap_err();
        assert!(error.to_string().contains("after 30 tries"), "{error}");
        assert_eq!(started.elapsed().as_millis() / 100, 72);
    });
}

#[test]
fn a_lone_half_is_kept_for_thirty_seconds() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        let mut alone = client(place.outgoing()).await;
        stays_pending(listener.accept(), "half a pair is none").await;
        tokio::time::pause();
        let started = Instant::now();
        tokio::select! {
            _ = listener.accept() => panic!("half a pair is none"),
            () = assert_closed(&mut alone) => {}
        }
        assert!((29..=31).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    });
}

#[test]
fn an_agent_that_starts_five_seconds_later_is_connected() {
    run(async {
        tokio::time::pause();
        let place = somewhere();
        let options = PairConnectOptions::default();
        let mut connecting = Box::pin(connect_pair(&place, &options));
        let waited = timeout(Duration::from_secs(5), &mut connecting).await;
        assert!(waited.is_err(), "nobody is there");
        let mut listener = listen(&place).await;
        let (agent, connector) = tokio::join!(listener.accept(), connecting);
        assert_works(&mut agent.unwrap(), &mut connector.unwrap()).await;
    });
}

/// As .NET does: each end shuts down the direction that it does not use.
#[test]
fn an_agent_that_shuts_the_unused_direction_is_no_lost_agent() {
    run(async {
        let place = somewhere();
        let mut incoming = Listener::bind(place.incoming(), &ListenOptions::default()).unwrap();
        let mut outgoing = Listener::bind(place.outgoing(), &ListenOptions::default()).unwrap();
        let options = PairConnectOptions::default();
        let agent = async {
            let (mut reader, _) = incoming.accept().await.unwrap();
            reader.shutdown().await.unwrap();
            (reader, outgoing.accept().await.unwrap().0)
        };
        let ((mut reader, _writer), pair) = tokio::join!(agent, connect_pair(&place, &options));
        let mut pair = pair.unwrap();
        stays_pending(pair.watch.closed(), "half a socket is open").await;
        for _ in 0..100 {
            // Each read by the other end is a change that the watch looks at.
            pair.writer.write_all(&[1; 50_000]).await.unwrap();
            reader.read_exact(&mut [0; 50_000]).await.unwrap();
        }
        stays_pending(pair.watch.closed(), "half a socket is open").await;
        drop(reader);
        within(pair.watch.closed()).await;
    });
}

#[test]
fn a_connector_that_shuts_the_unused_direction_is_no_lost_connector() {
    run(async {
        let place = somewhere();
        let mut listener = listen(&place).await;
        let mut outgoing = client(place.outgoing()).await;
        outgoing.shutdown().await.unwrap();
        stays_pending(listener.accept(), "half a pair is none").await;
        assert_eq!(listener.counts().halves_lost, 0);
        let _incoming = client(place.incoming()).await;
        let mut agent = listener.accept().await.unwrap();
        stays_pending(agent.watch.closed(), "half a socket is open").await;
        agent.writer.write_all(b"x").await.unwrap();
        assert_eq!(outgoing.read_u8().await.unwrap(), b'x');
        drop(outgoing);
        within(agent.watch.closed()).await;
    });
}
