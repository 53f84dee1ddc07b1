//! What becomes of a link and its streams when its guest dies or hangs.

use std::time::{Duration, Instant};

use pipeway_transport::ErrorKind;
use pipeway_transport::link::{Link, LinkDownReason as Reason, LinkWatch, Opening};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::kill;
use crate::rig::{
    WATCHDOG, config, guest_with, marked, opening, run, service, session, until_down, until_up,
};

#[test]
fn a_killed_guest_ends_its_streams_at_once_and_is_started_anew() {
    run(async {
        let (listener, opening) = service().await;
        let (link, mut watch, pid) = marked(std::slice::from_ref(&opening)).await;
        let (mut reading, mut at_service) = session(&link, &listener, &opening).await;
        let (mut writing, _silent) = session(&link, &listener, &opening).await;
        at_service.write_all(b"half an answer").await.unwrap();
        let mut half = [0; 14];
        reading.read_exact(&mut half).await.unwrap();
        let began = Instant::now();
        assert!(kill("KILL", pid));
        // Never an end in order: what was cut must not look complete.
        reading.read(&mut half).await.unwrap_err();
        while writing.write_all(&[0; 65536]).await.is_ok() {}
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let down = until_down(&mut watch).await;
        assert_eq!((down.reason, down.attempt), (Reason::Lost, 0));
        assert!(down.message.contains("code 137"), "{}", down.message);
        assert!(down.was_up.is_some());
        until_up(&mut watch).await;
        session(&link, &listener, &opening).await;
    });
}

#[test]
fn a_stream_that_is_wished_for_while_the_link_is_down_waits_for_it() {
    run(async {
        let (listener, opening) = service().await;
        let (link, mut watch, pid) = marked(std::slice::from_ref(&opening)).await;
        assert!(kill("KILL", pid));
        until_down(&mut watch).await;
        session(&link, &listener, &opening).await;
    });
}

/// A socket whose queue is full: the guest waits for a place.
struct Full {
    folder: tempfile::TempDir,
    listener: std::os::unix::net::UnixListener,
    _first: std::os::unix::net::UnixStream,
}

impl Full {
    fn new() -> Full {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full.sock");
        let socket =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        socket.listen(0).unwrap();
        let listener = std::os::unix::net::UnixListener::from(std::os::fd::OwnedFd::from(socket));
        let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
        Full { folder, listener, _first }
    }

    fn opening(&self) -> Opening {
        opening(&format!("unix:{}", self.folder.path().join("full.sock").display()))
    }
}

/// Kills the guest while it holds the wish of `connecting`, and waits for the next one.
async fn kill_while_connecting(link: &Link, watch: &mut LinkWatch, pid: u32) {
    // The wish is at the guest when the answer to a later one is here.
    let error = link.connect(&opening("local:unknown")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission);
    tokio::task::yield_now().await;
    assert!(kill("KILL", pid));
    until_down(watch).await;
    until_up(watch).await;
}

#[test]
fn a_guest_that_dies_while_it_connects_is_no_failure_of_the_connect() {
    run(async {
        let full = Full::new();
        let wish = full.opening();
        let (link, mut watch, pid) = marked(std::slice::from_ref(&wish)).await;
        let connecting = tokio::spawn({
            let (link, wish) = (link.clone(), wish.clone());
            async move { link.connect(&wish).await }
        });
        kill_while_connecting(&link, &mut watch, pid).await;
        // Now there is a place: the new guest gets it.
        drop(full.listener.accept().unwrap());
        let accepted = tokio::task::spawn_blocking(move || full.listener.accept().unwrap().0);
        connecting.await.unwrap().unwrap();
        accepted.await.unwrap();
    });
}

#[test]
fn first_bytes_that_were_under_way_to_a_guest_that_died_are_not_sent_again() {
    run(async {
        let full = Full::new();
        let wish = full.opening();
        let (link, mut watch, pid) = marked(std::slice::from_ref(&wish)).await;
        let connecting = tokio::spawn({
            let (link, wish) = (link.clone(), wish.clone());
            async move { link.connect_with(&wish, b"pay 100").await }
        });
        kill_while_connecting(&link, &mut watch, pid).await;
        let error = connecting.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LinkDown);
        assert!(error.advice().unwrap().contains("may have arrived"), "{error}");
    });
}

#[test]
fn first_bytes_that_were_never_sent_go_to_the_next_guest() {
    run(async {
        let (listener, opening) = service().await;
        let (link, _watch, pid) = marked(std::slice::from_ref(&opening)).await;
        let (mut cut, _at_service) = session(&link, &listener, &opening).await;
        assert!(kill("KILL", pid));
        cut.read(&mut [0]).await.unwrap_err();
        // Whoever saw the end may be faster than the link's own task.
        let connecting = link.connect_with(&opening, b"pay 100");
        let (connected, accepted) = tokio::join!(connecting, listener.accept());
        let (_stream, mut service) = (connected.unwrap(), accepted.unwrap().0);
        let mut word = [0; 7];
        service.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"pay 100");
    });
}

#[test]
fn a_guest_that_hangs_is_found_by_its_silence_and_replaced() {
    run(async {
        let (listener, opening) = service().await;
        let mark = "local:mark-hung";
        let endpoint = opening.endpoint().to_string();
        let words = [crate::rig::PIPEWAY, "guest", "--allow", mark, "--allow", endpoint.as_str()];
        let mut config = config(&words, std::slice::from_ref(&opening));
        config.heartbeat = Duration::from_millis(200);
        let (link, mut watch) = crate::rig::started(config).await;
        let (mut stream, _at_service) = session(&link, &listener, &opening).await;
        let pid = guest_with(mark);
        assert!(kill("STOP", pid));
        let began = Instant::now();
        stream.read(&mut [0; 8]).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let down = until_down(&mut watch).await;
        assert_eq!(down.reason, Reason::Hung);
        assert!(!kill("0", pid), "the hung guest is left");
        until_up(&mut watch).await;
        session(&link, &listener, &opening).await;
    });
}

#[test]
fn a_link_that_stays_down_is_told_with_its_reason_when_the_time_is_over() {
    run(async {
        let options = pipeway_transport::ConnectOptions {
            timeout: Duration::from_millis(300),
            ..<_>::default()
        };
        let opening =
            pipeway_transport::link::Opening::new(&"local:nobody".parse().unwrap(), &options)
                .unwrap();
        let link = Link::start(config(&["false"], std::slice::from_ref(&opening))).unwrap();
        let began = Instant::now();
        let error = link.connect(&opening).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LinkDown);
        assert!(error.to_string().starts_with("the link test is down: "), "{error}");
        assert!(error.advice().is_some());
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(290) && took < WATCHDOG / 3, "{took:?}");
    });
}

#[test]
fn a_guest_ends_when_its_holder_is_killed() {
    // The holder is a bridge; what tells that its guest is gone is a FIFO that the guest holds.
    let room = crate::harness::Room::new();
    let fifo = room.path("alive");
    let fifo_text = fifo.display().to_string();
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let listen = crate::harness::unique_local();
    let script = format!("exec 9>{fifo_text}; exec {} guest", crate::rig::PIPEWAY);
    let through = crate::rig::command(&["sh", "-c", &script]);
    let args = ["bridge", "--listen", &listen, "--to", "tcp:127.0.0.1:9", "--through", &through];
    let bridge = crate::harness::Running::start(room.pipeway(args));
    bridge.line();
    // Opening waits for the guest's side.
    let mut alive = std::fs::File::open(&fifo).unwrap();
    let (gone_tx, gone_rx) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::Read;
        let mut rest = Vec::new();
        gone_tx.send(alive.read_to_end(&mut rest).map(|_| rest))
    });
    // The link is up when a request comes back.
    room.run(["curl", &listen, "/"]).exits_with(0);
    gone_rx.try_recv().unwrap_err();
    assert!(kill("KILL", bridge.id()));
    gone_rx.recv_timeout(WATCHDOG).expect("the guest goes on").unwrap();
}
