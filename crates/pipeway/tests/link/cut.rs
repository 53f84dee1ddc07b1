//! What clients of a bridge see when its guest dies, at each point of a session.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio_tungstenite::tungstenite::{Message, accept, client};

use crate::harness::{Request, Room, Running, Service, WATCHDOG, kill, unique_local};
use crate::rig::{PIPEWAY, children, command};

/// A bridge through a link to `service`, and a connection to it.
struct Scene {
    room: Room,
    listen: String,
    bridge: Running,
}

impl Scene {
    fn start(service: &str, more: &[&str]) -> Self {
        let room = Room::new();
        let listen = unique_local();
        let through = command(&[PIPEWAY, "guest"]);
        let args = ["bridge", "--listen", &listen, "--to", service, "--through", &through];
        let bridge = Running::start(room.pipeway(args.iter().chain(more)));
        assert!(bridge.line().starts_with("ready "));
        Scene { room, listen, bridge }
    }

    fn client(&self) -> UnixStream {
        let stream = UnixStream::connect(self.room.socket(&self.listen)).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        stream
    }

    /// Kills the guest.
    fn kill_guest(&self) {
        let guests = children(self.bridge.id());
        assert_eq!(guests.len(), 1, "{guests:?}");
        assert!(kill("KILL", guests[0]));
    }

    /// Whether requests go through (again).
    fn serves(&self) {
        let shown = self.room.run(["curl", "-f", &self.listen, "/"]).exits_with(0).stdout();
        assert!(!shown.is_empty());
    }
}

/// A service that hands each request after `/` to the test.
fn service() -> (Service, mpsc::Receiver<Request>) {
    let (request_tx, request_rx) = mpsc::channel();
    let service = Service::start(move |mut request| {
        if request.head.starts_with("GET / ") {
            request.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        } else {
            request_tx.send(request).unwrap();
        }
    });
    (service, request_rx)
}

/// Reads to the end or an error.
fn rest(mut stream: UnixStream) -> Vec<u8> {
    let mut all = Vec::new();
    let began = Instant::now();
    // A reset is as good an end here as any.
    let _ = stream.read_to_end(&mut all);
    assert!(began.elapsed() < Duration::from_secs(10), "the end took {:?}", began.elapsed());
    all
}

#[test]
fn while_idle_nothing_is_lost() {
    let (service, _request_rx) = service();
    let scene = Scene::start(&service.endpoint(), &[]);
    scene.serves();
    scene.kill_guest();
    scene.serves();
}

#[test]
fn between_two_requests_of_a_connection_the_second_is_served() {
    let (service, _request_rx) = service();
    let scene = Scene::start(&service.endpoint(), &[]);
    let mut client = scene.client();
    let ask = |client: &mut UnixStream| {
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut reader = BufReader::new(client);
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        while !reader.fill_buf().unwrap().ends_with(b"ok") {
            let length = reader.buffer().len();
            reader.consume(length);
        }
        line
    };
    assert_eq!(ask(&mut client), "HTTP/1.1 200 OK\r\n");
    scene.kill_guest();
    scene.serves();
    assert_eq!(ask(&mut client), "HTTP/1.1 200 OK\r\n");
}

#[test]
fn before_the_answer_the_client_is_told_and_nothing_is_sent_again() {
    let (service, request_rx) = service();
    let scene = Scene::start(&service.endpoint(), &[]);
    let client = Running::start(scene.room.pipeway(["curl", "-i", &scene.listen, "/slow"]));
    let _request = request_rx.recv_timeout(WATCHDOG).unwrap();
    scene.kill_guest();
    let answer = client.end().exits_with(0).stdout();
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("upstream_closed"), "{answer}");
    scene.serves();
    request_rx.try_recv().map(|request| request.head).unwrap_err();
}

#[test]
fn while_a_body_goes_up_the_client_is_told() {
    let (service, request_rx) = service();
    let scene = Scene::start(&service.endpoint(), &[]);
    let mut client = scene.client();
    client
        .write_all(b"PUT /up HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nhalf")
        .unwrap();
    let _request = request_rx.recv_timeout(WATCHDOG).unwrap();
    scene.kill_guest();
    let answer = String::from_utf8(rest(client)).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}

#[test]
fn while_a_body_comes_down_it_never_looks_complete() {
    for head in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        // Only the connection's end ends it: the bridge makes it chunks, so that a cut shows.
        b"HTTP/1.1 200 OK\r\n\r\nhalf",
    ] {
        let (service, request_rx) = service();
        let scene = Scene::start(&service.endpoint(), &[]);
        let client = Running::start(scene.room.pipeway(["curl", "-N", &scene.listen, "/down"]));
        let mut request = request_rx.recv_timeout(WATCHDOG).unwrap();
        request.reply(head);
        request.reply(b"");
        // The bytes are through when the client has written them; it ends no line, so its output
        // is looked at when it has ended. A second request tells that the first one's are on
        // their way.
        scene.serves();
        scene.kill_guest();
        client.end().exits_with(9);
    }
}

#[test]
fn a_websocket_is_closed_at_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp:{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || converse(stream));
        }
    });
    let scene = Scene::start(&endpoint, &["--events", "events.jsonl"]);
    let (mut socket, _) = client("ws://localhost/", scene.client()).unwrap();
    socket.send(Message::text("hello")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("hello"));
    let began = Instant::now();
    scene.kill_guest();
    socket.read().unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let (mut again, _) = client("ws://localhost/", scene.client()).unwrap();
    again.send(Message::binary(vec![7; 300_000])).unwrap();
    assert_eq!(again.read().unwrap(), Message::binary(vec![7; 300_000]));
    again.close(None).unwrap();
    while again.read().is_ok() {}
    scene.bridge.signal("TERM");
    scene.bridge.end().exits_with(0);
    let events = std::fs::read_to_string(scene.room.path("events.jsonl")).unwrap();
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let upgrades: Vec<_> = events.iter().filter(|event| event["event"] == "upgrade").collect();
    assert_eq!(upgrades.len(), 2, "{events:#?}");
    assert_eq!(upgrades[0]["error.type"], "upstream_reset");
    assert_eq!(upgrades[0]["link.mode"], "stdio");
}

/// Echoes until the close.
fn converse(stream: TcpStream) {
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    let mut socket = accept(stream).unwrap();
    while let Ok(message) = socket.read() {
        if message.is_text() || message.is_binary() {
            socket.send(message).unwrap();
        }
    }
}
