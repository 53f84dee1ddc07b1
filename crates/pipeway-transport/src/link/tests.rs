//! A guest in memory, with the other end in the test's hands and services on loopback ports.

use std::future::poll_fn;
use std::time::Duration;

use pipeway_mux::{Channel, ChannelOptions, Mux, OfferError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::handshake::{Failed, Rewound, ask};
use super::opening::Opening;
use super::preface::{Hello, Nonce, PROGRAM, Unfit, VERSIONS};
use super::{GuestOptions, LinkStream, lines, serve};
use crate::{ConnectOptions, Endpoint, Error, ErrorKind, Mode, Splice, Stream};

/// How long anything may take before the test fails.
const WATCHDOG: Duration = Duration::from_secs(20);

/// A guest that serves, and the other end of its link.
struct Rig {
    mux: Mux,
    resolved: Vec<Result<Endpoint, Error>>,
    guest: JoinHandle<Result<(), Error>>,
}

fn hello(openings: &[Opening]) -> Hello {
    Hello {
        nonce: Nonce::new(),
        versions: VERSIONS,
        heartbeat: Duration::from_secs(10),
        openings: openings.to_vec(),
    }
}

fn guest(allow: &[&str]) -> (DuplexStream, JoinHandle<Result<(), Error>>) {
    let (ours, theirs) = duplex(64 * 1024);
    let allow = allow.iter().map(|endpoint| endpoint.parse().unwrap()).collect();
    (ours, tokio::spawn(serve(theirs, GuestOptions { allow })))
}

async fn rig(openings: &[Opening], allow: &[&str]) -> Rig {
    let (mut io, guest) = guest(allow);
    let mut noise = Vec::new();
    let asked = ask(&mut io, &hello(openings), &mut noise).await;
    let (answer, rest) = asked.unwrap();
    let mux = Mux::create(Rewound::new(rest, io), lines::options()).unwrap();
    Rig { mux, resolved: answer.resolved, guest }
}

fn opening(endpoint: &str) -> Opening {
    Opening::new(&endpoint.parse().unwrap(), &ConnectOptions::default()).unwrap()
}

/// A service on a loopback port, and what leads to it.
///
/// Its queue holds all that a test opens at once: of connections that find it full, Linux lets
/// some wait a second for their next try, and resets others.
async fn service() -> (TcpListener, Opening) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1024).unwrap();
    let opening = opening(&format!("tcp:{}", listener.local_addr().unwrap()));
    (listener, opening)
}

impl Rig {
    async fn open(&self, opening: &Opening) -> Result<Channel, OfferError> {
        self.mux.offer(&opening.to_string(), ChannelOptions::default()).await
    }

    /// A session: the channel, and the service's end of its connection.
    async fn session(&self, listener: &TcpListener, opening: &Opening) -> (Channel, TcpStream) {
        let (channel, accepted) = tokio::join!(self.open(opening), listener.accept());
        (channel.unwrap(), accepted.unwrap().0)
    }
}

/// Runs `test` with a watchdog.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(WATCHDOG, test).await.expect("the test hangs") });
}

fn rejected(error: &OfferError) -> Error {
    match error {
        OfferError::Rejected { reason: Some(reason) } => super::report::read(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_go_both_ways_and_each_direction_ends_by_itself() {
    run(async {
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let (mut channel, mut service) = rig.session(&listener, &opening).await;
        channel.write_all(b"question").await.unwrap();
        channel.shutdown().await.unwrap();
        let mut question = String::new();
        service.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
        service.write_all(b"answer").await.unwrap();
        drop(service);
        let mut answer = String::new();
        channel.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
        rig.mux.close().await;
        rig.guest.await.unwrap().unwrap();
    });
}

#[test]
fn what_comes_through_a_link_goes_on_where_it_lies_and_no_further_than_asked() {
    run(async {
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let (channel, mut service) = rig.session(&listener, &opening).await;
        let through = LinkStream::new(channel, opening.endpoint().clone(), Mode::Tcp);
        let mut from = Stream::link(through);
        // Where it goes on to.
        let options = ConnectOptions::default();
        let (target, to) = tokio::join!(crate::connect(opening.endpoint(), &options), async {
            listener.accept().await.unwrap().0
        });
        let (mut target, mut to) = (to, target.unwrap());
        let body: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
        let served = body.clone();
        let serving = tokio::spawn(async move {
            service.write_all(&served).await.unwrap();
            service.write_all(b"next").await.unwrap();
        });
        let read = tokio::spawn(async move {
            let mut read = Vec::new();
            target.read_to_end(&mut read).await.unwrap();
            read
        });
        let mut splice = Splice::between(&from, &to).expect("a link is read so");
        let mut left = body.len();
        while left > 0 {
            let most = left.min(50_001);
            let taken = poll_fn(|cx| splice.poll_fill(cx, &mut from, most)).await.unwrap();
            assert!((1..=most).contains(&taken) && splice.len() == taken);
            left -= taken;
            while !splice.is_empty() {
                assert!(poll_fn(|cx| splice.poll_drain(cx, &mut to)).await.unwrap() > 0);
            }
        }
        serving.await.unwrap();
        let mut next = [0; 4];
        from.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"next");
        let end = poll_fn(|cx| splice.poll_fill(cx, &mut from, 1)).await.unwrap();
        assert_eq!(end, 0, "the service has closed");
        drop(to);
        assert!(read.await.unwrap() == body);
    });
}

#[test]
fn the_first_bytes_come_with_the_offer() {
    run(async {
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let name = opening.to_string();
        let offer = rig.mux.offer_with(&name, ChannelOptions::default(), b"question");
        let (channel, accepted) = tokio::join!(offer, listener.accept());
        let (mut channel, mut service) = (channel.unwrap(), accepted.unwrap().0);
        channel.shutdown().await.unwrap();
        let mut question = String::new();
        service.read_to_string(&mut question).await.unwrap();
        assert_eq!(question, "question");
    });
}

#[test]
fn the_services_end_comes_first_and_the_other_direction_goes_on() {
    run(async {
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let (mut channel, mut service) = rig.session(&listener, &opening).await;
        service.shutdown().await.unwrap();
        assert_eq!(channel.read(&mut [0; 8]).await.unwrap(), 0);
        channel.write_all(b"more").await.unwrap();
        channel.shutdown().await.unwrap();
        let mut more = String::new();
        service.read_to_string(&mut more).await.unwrap();
        assert_eq!(more, "more");
    });
}

#[test]
fn nothing_is_opened_that_the_handshake_did_not_name() {
    run(async {
        let (listener, named) = service().await;
        let (_other_listener, other) = service().await;
        let rig = rig(std::slice::from_ref(&named), &[]).await;
        let error = rejected(&rig.open(&other).await.unwrap_err());
        assert_eq!(error.kind(), ErrorKind::Permission);
        // The same place with other rules is another opening.
        let lax = ConnectOptions { allow_remote: true, ..<_>::default() };
        let lax = Opening::new(named.endpoint(), &lax).unwrap();
        assert_eq!(rejected(&rig.open(&lax).await.unwrap_err()).kind(), ErrorKind::Permission);
        rig.session(&listener, &named).await;
    });
}

#[test]
fn a_list_of_the_guests_own_is_held_whatever_the_handshake_names() {
    run(async {
        let (listener, allowed) = service().await;
        let (_other_listener, other) = service().await;
        let list = allowed.endpoint().to_string();
        let rig = rig(&[other.clone(), allowed.clone()], &[&list]).await;
        let error = rig.resolved[0].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission);
        let advice = error.advice().unwrap();
        assert_eq!(advice, format!("start it with --allow {}", other.endpoint()));
        assert_eq!(rig.resolved[1].as_ref().unwrap(), allowed.endpoint());
        assert_eq!(rejected(&rig.open(&other).await.unwrap_err()).kind(), ErrorKind::Permission);
        rig.session(&listener, &allowed).await;
    });
}

#[test]
fn a_service_that_is_not_there_is_told_with_kind_and_hint() {
    run(async {
        let (listener, opening) = service().await;
        drop(listener);
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let error = rejected(&rig.open(&opening).await.unwrap_err());
        // Wine's loopback may take its time to refuse.
        assert!(matches!(error.kind(), ErrorKind::Refused | ErrorKind::TimedOut), "{error:?}");
        assert!(error.to_string().contains(&opening.endpoint().to_string()), "{error}");
        assert!(error.advice().is_some());
    });
}

#[test]
fn what_the_guests_system_lacks_is_told_in_its_answer() {
    run(async {
        let lacking =
            if crate::sys::LOCAL_MODE == crate::Mode::Unix { "npipe:x" } else { "unix:/x" };
        let rig = rig(&[opening(lacking)], &[]).await;
        assert_eq!(rig.resolved[0].as_ref().unwrap_err().kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn a_dropped_channel_closes_the_connection_after_what_was_written() {
    run(async {
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let (mut channel, mut service) = rig.session(&listener, &opening).await;
        channel.write_all(&[7; 200_000]).await.unwrap();
        drop(channel);
        let mut got = Vec::new();
        service.read_to_end(&mut got).await.unwrap();
        assert_eq!(got.len(), 200_000);
    });
}

#[test]
#[cfg_attr(windows, ignore = "under Wine a close is an orderly end whatever SO_LINGER says")]
fn a_connection_that_breaks_is_no_orderly_end() {
    run(async {
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let (mut channel, mut service) = rig.session(&listener, &opening).await;
        service.write_all(b"half").await.unwrap();
        let mut half = [0; 4];
        channel.read_exact(&mut half).await.unwrap();
        socket2::SockRef::from(&service).set_linger(Some(Duration::ZERO)).unwrap();
        drop(service);
        let error = channel.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    });
}

#[test]
#[cfg_attr(windows, ignore = "under Wine a close is an orderly end whatever SO_LINGER says")]
fn a_cut_session_is_reset_at_the_service() {
    run(async {
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let (channel, mut service) = rig.session(&listener, &opening).await;
        channel.terminate(Some("Aborted: cut"));
        let error = service.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_lost_link_is_an_error_to_its_streams_and_no_end() {
    run(async {
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let (mut channel, _service) = rig.session(&listener, &opening).await;
        rig.guest.abort();
        assert!(rig.guest.await.unwrap_err().is_cancelled());
        let error = channel.read(&mut [0; 8]).await.unwrap_err();
        // Told by the guest's last words, or by the end of the link.
        use std::io::ErrorKind::{ConnectionAborted, ConnectionReset};
        assert!(matches!(error.kind(), ConnectionAborted | ConnectionReset), "{error}");
    });
}

#[test]
fn a_guest_whose_input_ends_closes_its_connections() {
    run(async {
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let (channel, mut service) = rig.session(&listener, &opening).await;
        rig.mux.close().await;
        drop(channel);
        rig.guest.await.unwrap().unwrap();
        // An end or a reset: in any case not a wait.
        let _ = service.read(&mut [0; 8]).await;
    });
}

#[test]
fn an_answer_is_read_although_the_service_reads_no_more() {
    run(async {
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let (channel, service) = rig.session(&listener, &opening).await;
        let (mut reader, mut writer) = channel.into_split();
        // The service answers at once, reads nothing, and goes: more is written than it takes.
        let served = async move {
            let mut service = service;
            service.write_all(b"no, thanks").await.unwrap();
            service.shutdown().await.unwrap();
            service
        };
        let mut answer = [0; 10];
        let (_service, read) = tokio::join!(served, reader.read_exact(&mut answer));
        read.unwrap();
        assert_eq!(&answer, b"no, thanks");
        writer.write_all(&[0; 1000]).await.unwrap();
    });
}

#[test]
fn another_version_is_refused_by_both_ends() {
    run(async {
        let (mut io, guest) = guest(&[]);
        let mut later = hello(&[]);
        later.versions = 7..=8;
        let mut noise = Vec::new();
        match ask(&mut io, &later, &mut noise).await {
            Err(Failed::Unfit(Unfit::Versions { theirs, program })) => {
                assert_eq!((theirs.as_str(), program.as_str()), ("1-1", PROGRAM));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(guest.await.unwrap().unwrap_err().kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn what_is_no_link_is_refused_by_the_guest() {
    run(async {
        let (mut io, guest) = guest(&[]);
        io.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let error = guest.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("GET / HTTP/1.1"), "{error}");
    });
}

#[test]
fn signs_of_life_are_answered() {
    run(async {
        let rig = rig(&[], &[]).await;
        let mut channel = rig.mux.seeded(lines::HEARTBEAT).unwrap();
        for beat in 0..3 {
            channel.write_all(&[beat]).await.unwrap();
            let mut back = [0];
            channel.read_exact(&mut back).await.unwrap();
            assert_eq!(back, [beat]);
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_guest_without_signs_of_life_ends_by_itself() {
    let rig = rig(&[], &[]).await;
    let began = tokio::time::Instant::now();
    let error = rig.guest.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LinkDown);
    assert!(began.elapsed() >= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_guest_to_which_nobody_speaks_ends_by_itself() {
    let (_io, guest) = guest(&[]);
    assert_eq!(guest.await.unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn hundreds_of_channels_are_opened_at_once() {
    run(async {
        // Under Wine 8, 500 connections to one loopback port at once are not all accepted.
        const COUNT: usize = if cfg!(windows) { 100 } else { 500 };
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let echo = async {
            for _ in 0..COUNT {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                    writer.shutdown().await.unwrap();
                });
            }
        };
        let ask = |number: usize| {
            let (rig, opening) = (&rig, &opening);
            async move {
                let mut channel = rig.open(opening).await.unwrap();
                let text = format!("number {number}");
                channel.write_all(text.as_bytes()).await.unwrap();
                channel.shutdown().await.unwrap();
                let mut back = String::new();
                channel.read_to_string(&mut back).await.unwrap();
                assert_eq!(back, text);
            }
        };
        let all = futures_util::future::join_all((0..COUNT).map(ask));
        tokio::join!(echo, all);
    });
}

#[test]
fn a_channel_that_nobody_reads_holds_up_no_other() {
    run(async {
        let (listener, opening) = service().await;
        let rig = rig(std::slice::from_ref(&opening), &[]).await;
        let (_stuck, stuck_service) = rig.session(&listener, &opening).await;
        // Writes until nothing is taken any more, which bounds what is kept.
        let flood = vec![0; 1 << 20];
        let mut written = 0;
        loop {
            let written_now = async {
                stuck_service.writable().await.unwrap();
                stuck_service.try_write(&flood)
            };
            match timeout(Duration::from_millis(300), written_now).await {
                Ok(Ok(count)) => written += count,
                Ok(Err(_)) => {}
                Err(_) => break,
            }
        }
        assert!(written < 64 << 20, "{written} bytes were taken");
        let (mut channel, mut service) = rig.session(&listener, &opening).await;
        channel.write_all(b"ping").await.unwrap();
        let mut ping = [0; 4];
        service.read_exact(&mut ping).await.unwrap();
        service.write_all(b"pong").await.unwrap();
        channel.read_exact(&mut ping).await.unwrap();
        assert_eq!(&ping, b"pong");
    });
}
