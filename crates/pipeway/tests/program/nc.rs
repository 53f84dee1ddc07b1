//! `pipeway nc`, its standard streams being pipes.

use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pipeway_transport::{Endpoint, HalfClose, ListenOptions, Listener, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Room, Running, WATCHDOG, unique_local};

/// A server of one connection.
struct Server {
    endpoint: String,
    thread: JoinHandle<()>,
}

impl Server {
    /// Listens as this system's processes do, and then serves one client.
    fn start<F: Future<Output = ()>>(
        room: &Room,
        serve: impl FnOnce(Stream) -> F + Send + 'static,
    ) -> Self {
        Server::at(&own_endpoint(room), serve)
    }

    /// The same; a pipe is one of messages, which has an end of one direction as a socket has.
    fn of_messages<F: Future<Output = ()>>(
        room: &Room,
        serve: impl FnOnce(Stream) -> F + Send + 'static,
    ) -> Self {
        let options = ListenOptions { half_close: HalfClose::Message, ..ListenOptions::default() };
        Server::with(&own_endpoint(room), options, serve)
    }

    fn at<F: Future<Output = ()>>(
        endpoint: &str,
        serve: impl FnOnce(Stream) -> F + Send + 'static,
    ) -> Self {
        Server::with(endpoint, ListenOptions::default(), serve)
    }

    fn with<F: Future<Output = ()>>(
        endpoint: &str,
        options: ListenOptions,
        serve: impl FnOnce(Stream) -> F + Send + 'static,
    ) -> Self {
        let parsed: Endpoint = endpoint.parse().unwrap();
        let (bound_tx, bound_rx) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut listener = Listener::bind(&parsed, &options).unwrap();
                bound_tx.send(listener.endpoint().to_string()).unwrap();
                let served = async {
                    let (stream, _) = listener.accept().await.unwrap();
                    serve(stream).await;
                };
                tokio::time::timeout(WATCHDOG, served).await.unwrap();
            });
        });
        let endpoint = bound_rx.recv_timeout(WATCHDOG).unwrap();
        Server { endpoint, thread }
    }

    fn end(self) {
        self.thread.join().unwrap();
    }
}

/// A pipe, or a socket in the room's folder.
fn own_endpoint(room: &Room) -> String {
    let name = unique_local().replace("local:", "");
    if cfg!(windows) {
        format!("npipe:{name}")
    } else {
        format!("unix:{}", room.path(&format!("{name}.sock")).display())
    }
}

async fn line(stream: &mut Stream) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn bytes_go_both_ways_as_they_come() {
    let room = Room::new();
    let server = Server::start(&room, |mut stream| async move {
        while line(&mut stream).await != "end\n" {
            stream.write_all(b"heard\n").await.unwrap();
        }
    });
    let mut nc = Running::start(room.pipeway(["nc", &server.endpoint]));
    for _ in 0..3 {
        nc.write(b"something\n");
        assert_eq!(nc.line(), "heard");
    }
    nc.write(b"end\n");
    server.end();
    // The server is gone, and standard input is open.
    nc.end().exits_with(0);
}

#[test]
fn much_goes_through_whole_and_what_is_not_read_waits() {
    const SIZE: usize = 8 << 20;
    let room = Room::new();
    let server = Server::start(&room, |stream| async move {
        let (mut from, mut to) = tokio::io::split(stream);
        tokio::io::copy(&mut (&mut from).take(SIZE as u64), &mut to).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let data: Vec<u8> = (0..SIZE as u32).map(|n| (n % 251) as u8).collect();
    let ended = crate::harness::run(room.pipeway(["nc", &server.endpoint]), &data).exits_with(0);
    assert!(ended.stdout == data, "{} bytes", ended.stdout.len());
    server.end();
}

#[test]
fn a_server_that_is_not_read_is_held_back() {
    let room = Room::new();
    let server = Server::start(&room, |mut stream| async move {
        let piece = vec![0; 64 * 1024];
        let mut written = 0;
        // A second without room is not for want of time.
        while let Ok(more) =
            tokio::time::timeout(Duration::from_secs(1), stream.write(&piece)).await
        {
            written += more.unwrap();
            assert!(written < 16 << 20, "nothing holds it back");
        }
    });
    // Its standard output is a pipe that nobody reads.
    let mut command = room.pipeway(["nc", &server.endpoint]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut nc = command.spawn().unwrap();
    server.end();
    nc.kill().unwrap();
    nc.wait().unwrap();
}

#[test]
fn with_ei_the_end_of_input_is_the_end() {
    let room = Room::new();
    let (said_tx, said_rx) = std::sync::mpsc::channel();
    let server = Server::start(&room, |mut stream| async move {
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        said_tx.send(all).unwrap();
    });
    let command = room.pipeway(["nc", "-ei", &server.endpoint]);
    crate::harness::run(command, b"the tail").exits_with(0);
    assert_eq!(said_rx.recv_timeout(WATCHDOG).unwrap(), "the tail");
    server.end();
}

#[test]
fn with_ep_the_servers_end_is_the_end() {
    let room = Room::new();
    // A port, as the end of one direction is no end of the other there.
    let server = Server::at("tcp:127.0.0.1:0", |mut stream| async move {
        stream.write_all(b"the tail\n").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    });
    let nc = Running::start(room.pipeway(["nc", "-ep", &server.endpoint]));
    assert_eq!(nc.line(), "the tail");
    nc.end().exits_with(0);
    server.end();
}

#[test]
fn the_end_of_each_direction_is_passed_on_by_itself() {
    let room = Room::new();
    let server = Server::at("tcp:127.0.0.1:0", |mut stream| async move {
        stream.shutdown().await.unwrap();
        assert_eq!(line(&mut stream).await, "late\n");
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    });
    let mut nc = Running::start(room.pipeway(["nc", &server.endpoint]));
    // Standard output is closed, and standard input is still carried.
    assert!(nc.is_closed_within(WATCHDOG));
    nc.write(b"late\n");
    nc.close_stdin();
    server.end();
    nc.end().exits_with(0);
}

#[test]
fn a_server_that_waits_for_the_end_of_input_answers() {
    for flags in [&["nc"][..], &["nc", "-s"]] {
        let room = Room::new();
        let server = Server::of_messages(&room, |mut stream| async move {
            let mut all = String::new();
            stream.read_to_string(&mut all).await.unwrap();
            stream.write_all(format!("{all}!").as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let command = room.pipeway(flags.iter().copied().chain([&server.endpoint[..]]));
        let ended = crate::harness::run(command, b"all").exits_with(0);
        assert_eq!(ended.stdout(), "all!");
        server.end();
    }
}

#[test]
fn a_server_that_is_not_to_know_of_the_end_of_input_does_not() {
    let room = Room::new();
    let server = Server::of_messages(&room, |mut stream| async move {
        assert_eq!(line(&mut stream).await, "all\n");
        // The end would have come at once.
        let more = tokio::time::timeout(Duration::from_millis(300), stream.read_u8()).await;
        assert!(more.is_err(), "{more:?}");
        stream.write_all(b"answer").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let command = room.pipeway(["nc", "--half-close", "none", &server.endpoint]);
    let ended = crate::harness::run(command, b"all\n").exits_with(0);
    assert_eq!(ended.stdout(), "answer");
    server.end();
}

#[test]
fn silence_after_one_end_is_told_as_such() {
    let room = Room::new();
    let (done_tx, mut done_rx) = tokio::sync::oneshot::channel::<()>();
    let server = Server::at("tcp:127.0.0.1:0", |stream| async move {
        let _ = (&mut done_rx).await;
        drop(stream);
    });
    let command = room.pipeway(["nc", "--half-close-idle-timeout", "50ms", &server.endpoint]);
    crate::harness::run(command, b"").exits_with(8).says("moved nothing for 50ms");
    drop(done_tx);
    server.end();
}

#[test]
fn an_endpoint_that_is_not_there_is_told_and_one_that_comes_is_waited_for() {
    let room = Room::new();
    let endpoint = own_endpoint(&room);
    room.run(["nc", &endpoint]).exits_with(7).says("does not exist");
    let args = ["nc", "--poll", "--timeout", "50ms", &endpoint];
    room.run(args).exits_with(8).says("could not be connected to for 50ms").says("does not exist");

    let nc = Running::start(room.pipeway(["nc", "-p", &endpoint]));
    let server = Server::at(&endpoint, |mut stream| async move {
        stream.write_all(b"late\n").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    assert_eq!(nc.line(), "late");
    server.end();
    nc.end().exits_with(0);
}

#[test]
fn what_is_no_endpoint_is_a_wrong_command_line() {
    let room = Room::new();
    room.run(["nc", "pipe:x"]).exits_with(2).says("there is no kind `pipe`");
    room.run(["nc", "--timeout", "1s", "unix:/x"]).exits_with(2).says("--poll");
    room.run(["nc", "stdio"]).exits_with(6).says("stdio can't be connected to");
}

#[test]
#[cfg_attr(windows, ignore = "Wine: a reset is read as an orderly end")]
fn a_connection_that_is_lost_is_no_end() {
    let room = Room::new();
    let server = Server::at("tcp:127.0.0.1:0", |mut stream| async move {
        stream.write_all(b"half\n").await.unwrap();
        assert_eq!(line(&mut stream).await, "go\n");
        stream.abort_on_close();
    });
    let mut nc = Running::start(room.pipeway(["nc", &server.endpoint]));
    assert_eq!(nc.line(), "half");
    nc.write(b"go\n");
    server.end();
    nc.end().exits_with(9).says("was lost");
}

#[test]
fn it_tells_what_it_does_where_that_is_asked_for() {
    let room = Room::new();
    let server = Server::start(&room, |mut stream| async move {
        assert_eq!(line(&mut stream).await, "12\n");
        stream.write_all(b"345\n").await.unwrap();
    });
    let mut nc = Running::start(room.pipeway(["nc", "-v", &server.endpoint]));
    nc.write(b"12\n");
    assert_eq!(nc.line(), "345");
    server.end();
    let ended = nc.end().exits_with(0);
    ended.says("* connected to ").says("3 bytes sent, 4 received");
}

/// An agent as GnuPG's, of one connection: it closes one that does not begin with its secret.
fn agent(room: &Room) -> (String, JoinHandle<()>) {
    const SECRET: [u8; 16] = *b"\x00\n\r\xff0123456789ab";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let file = room.file("S.gpg-agent", [format!("{port}\n").as_bytes(), &SECRET].concat());
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        let mut shown = [0; 16];
        stream.read_exact(&mut shown).unwrap();
        if shown != SECRET {
            return;
        }
        stream.write_all(b"OK Pleased to meet you\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "BYE\n");
        stream.write_all(b"OK closing connection\n").unwrap();
    });
    (file.display().to_string(), thread)
}

#[test]
fn a_socket_file_of_libassuan_opens_its_agent() {
    let room = Room::new();
    let (file, agent) = agent(&room);
    let ended = crate::harness::run(room.pipeway(["nc", "-a", &file]), b"BYE\n").exits_with(0);
    assert_eq!(ended.stdout(), "OK Pleased to meet you\nOK closing connection\n");
    agent.join().unwrap();
}

#[test]
fn an_agent_that_refuses_the_secret_is_told() {
    let room = Room::new();
    let (file, agent) = agent(&room);
    let mut content = std::fs::read(&file).unwrap();
    *content.last_mut().unwrap() ^= 1;
    let stale = room.file("stale", content).display().to_string();
    let nc = Running::start(room.pipeway(["nc", "-v", "--assuan", &stale]));
    let ended = nc.end().exits_with(10).says("closed the connection without a word");
    assert!(!ended.stderr.contains("0123456789"), "{}", ended.stderr);
    agent.join().unwrap();
}

#[test]
fn what_is_no_socket_file_is_told() {
    let room = Room::new();
    let with = |content: &str| {
        let file = room.file("file", content).display().to_string();
        room.run(["nc", "-a", &file])
    };
    with("").exits_with(1).says("it is empty");
    with("http\n0123456789abcdef").exits_with(1).says("its first line is no port");
    with("80\n0123").exits_with(1).says("4 bytes follow its first line, and 16 should");
    with(&"80\n".repeat(10_000)).exits_with(1).says("more than 16 bytes follow");
    let cygwin = "!<socket >50000 s 01234567-89ABCDEF-01234567-89ABCDEF";
    with(cygwin).exits_with(1).says("one of Cygwin's").says("enable-win32-openssh-support");
    let folder = room.path("").display().to_string();
    let ended = room.run(["nc", "-a", &folder]);
    assert!(matches!(ended.code(), Some(1 | 5)), "{ended:?}");
    room.run(["nc", "-a", "//./pipe/x"]).exits_with(2).says("no socket file");
    let missing = room.path("missing").display().to_string();
    room.run(["nc", "-a", &missing]).exits_with(7).says("gpgconf --list-dirs");
}
