//! Connections that an HTTP exchange turns into plain bytes, as Docker's `attach` and `exec` do:
//! `Upgrade: tcp`, then bytes both ways whose directions end one by one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use crate::harness::{Request, Room, Running, Service, WATCHDOG};
use crate::rig::{PIPEWAY, command};

/// Both kinds of bridge: HTTP and raw.
const KINDS: [&[&str]; 2] = [&[], &["--raw"]];

const ATTACH: &str = "POST /v1.41/containers/x/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\n\
    Host: docker\r\nContent-Length: 0\r\nContent-Type: text/plain\r\n\
    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// What a container writes at once goes out with the head, in one piece.
const ATTACHED: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
    Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nwelcome\n";

/// A stub of Docker's API: whatever is attached to, `container` is in it.
fn stub(container: fn(BufReader<TcpStream>)) -> Service {
    Service::start(move |mut request: Request| {
        assert!(request.head.starts_with("POST /v1.41/containers/x/attach?"), "{}", request.head);
        assert_eq!(request.header("upgrade"), Some("tcp"));
        request.reply(ATTACHED.as_bytes());
        container(request.stream);
    })
}

/// A client that is attached through a bridge of this kind and a link, and has seen the welcome.
fn attach(room: &Room, to: &Service, kind: &[&str]) -> (BufReader<UnixStream>, Running) {
    let through = command(&[PIPEWAY, "guest"]);
    let more = [kind, &["--through", &through]].concat();
    let (listen, bridge) = room.bridge(&to.endpoint(), &more);
    let mut stream = UnixStream::connect(room.socket(&listen)).unwrap();
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    stream.set_write_timeout(Some(WATCHDOG)).unwrap();
    stream.write_all(ATTACH.as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "no whole head: {head:?}");
    }
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.to_lowercase().contains("\r\nupgrade: tcp\r\n"), "{head}");
    assert_eq!(line(&mut stream), "welcome\n");
    (stream, bridge)
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}

#[test]
fn the_end_of_an_attached_input_arrives_and_the_output_goes_on() {
    for kind in KINDS {
        let service = stub(|mut container| {
            let typed = line(&mut container);
            container.get_mut().write_all(format!("echo {typed}").as_bytes()).unwrap();
            let mut rest = Vec::new();
            container.read_to_end(&mut rest).unwrap();
            // As `wc` does: nothing before the input's end, then more than one window holds.
            let answer = [format!("{}\n", rest.len()).as_bytes(), &rest].concat();
            container.get_mut().write_all(&answer).unwrap();
        });
        let room = Room::new();
        let (mut attached, _bridge) = attach(&room, &service, kind);
        attached.get_mut().write_all(b"typed\n").unwrap();
        assert_eq!(line(&mut attached), "echo typed\n", "{kind:?}");
        let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        attached.get_mut().write_all(&data).unwrap();
        attached.get_mut().shutdown(Shutdown::Write).unwrap();
        assert_eq!(line(&mut attached), "3000000\n", "{kind:?}");
        let mut back = Vec::new();
        attached.read_to_end(&mut back).unwrap();
        assert!(back == data, "{kind:?}: {} bytes came back", back.len());
    }
}

#[test]
fn the_end_of_an_attached_output_arrives_and_the_input_goes_on() {
    for kind in KINDS {
        let (typed_tx, typed_rx) = std::sync::mpsc::channel();
        let service = Service::start(move |mut request| {
            request.reply(ATTACHED.as_bytes());
            request.stream.get_mut().shutdown(Shutdown::Write).unwrap();
            let mut typed = String::new();
            request.stream.read_to_string(&mut typed).unwrap();
            typed_tx.send(typed).unwrap();
        });
        let room = Room::new();
        let (mut attached, _bridge) = attach(&room, &service, kind);
        let mut rest = Vec::new();
        attached.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{kind:?}: {rest:?}");
        attached.get_mut().write_all(b"typed after the end").unwrap();
        attached.get_mut().shutdown(Shutdown::Write).unwrap();
        assert_eq!(typed_rx.recv_timeout(WATCHDOG).unwrap(), "typed after the end", "{kind:?}");
    }
}
