use std::net::{TcpListener, TcpStream};
use std::thread;

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

use crate::harness::{Room, Running, Service, WATCHDOG, run};

/// A WebSocket service on a loopback port; `converse` holds each conversation.
fn service(converse: impl Fn(WebSocket<TcpStream>) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp:{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            stream.set_read_timeout(Some(WATCHDOG)).unwrap();
            let converse = converse.clone();
            thread::spawn(move || converse(accept(stream).unwrap()));
        }
    });
    endpoint
}

/// Echoes until the close, and answers that.
fn echo(mut socket: WebSocket<TcpStream>) {
    while let Ok(message) = socket.read() {
        if message.is_text() || message.is_binary() {
            socket.send(message).unwrap();
        }
    }
}

fn close(code: CloseCode, reason: &'static str) -> Message {
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}

#[test]
fn lines_become_messages_and_messages_become_lines() {
    let room = Room::new();
    let endpoint = service(echo);
    let ended = run(room.pipeway(["ws", &endpoint, "/"]), "one\ntwo\r\n\nfür\nlast".as_bytes());
    assert_eq!(ended.exits_with(0).stdout(), "one\ntwo\n\nfür\nlast\n");
}

#[test]
fn a_conversation_goes_through_a_bridge() {
    let room = Room::new();
    let (listen, _running) = room.bridge(&service(echo), &[]);
    let mut client = Running::start(room.pipeway(["ws", &listen, "/chat"]));
    for line in ["hello", "again"] {
        client.write(format!("{line}\n").as_bytes());
        assert_eq!(client.line(), line);
    }
    client.close_stdin();
    client.end().exits_with(0).says("closed with 1000");
}

#[test]
fn binary_goes_and_comes_as_it_is() {
    let room = Room::new();
    let data: Vec<u8> = (0..200_000_u32).map(|n| (n % 253) as u8).collect();
    let ended = run(room.pipeway(["ws", "--binary", &service(echo), "/"]), &data).exits_with(0);
    assert!(ended.stdout == data, "what came back differs");
}

#[test]
fn what_comes_after_the_end_of_input_is_still_printed() {
    let room = Room::new();
    let endpoint = service(|mut socket| {
        // The client's close has been read; it still takes what was sent before the answer to it.
        assert!(socket.read().unwrap().is_text());
        socket.send(Message::text("late")).unwrap();
        while socket.read().is_ok() {}
    });
    assert_eq!(run(room.pipeway(["ws", &endpoint, "/"]), b"x\n").exits_with(0).stdout(), "late\n");
}

#[test]
fn the_other_ends_close_code_decides_the_exit_code() {
    let room = Room::new();
    for (code, reason, exit) in
        [(CloseCode::Normal, "bye", 0), (CloseCode::Away, "", 0), (CloseCode::Policy, "no", 10)]
    {
        let endpoint = service(move |mut socket| {
            socket.send(close(code, reason)).unwrap();
            while socket.read().is_ok() {}
        });
        // Its input stays open: the end is the other end's.
        let client = Running::start(room.pipeway(["ws", &endpoint, "/"]));
        let ended = client.end().exits_with(exit).says(&format!("closed with {}", u16::from(code)));
        assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    }
}

#[test]
fn a_lost_connection_is_not_a_close() {
    let room = Room::new();
    let endpoint = service(drop);
    Running::start(room.pipeway(["ws", &endpoint, "/"]))
        .end()
        .exits_with(9)
        .says("the connection was lost without a close");
}

#[test]
fn a_missing_pong_ends_it() {
    let room = Room::new();
    let (held_tx, _held_rx) = std::sync::mpsc::channel();
    let endpoint = service(move |socket| held_tx.send(socket).unwrap());
    Running::start(room.pipeway(["ws", "--ping", "100ms", &endpoint, "/"]))
        .end()
        .exits_with(8)
        .says("no pong came within 100ms");
}

#[test]
fn pings_are_answered_and_the_conversation_goes_on() {
    let room = Room::new();
    let endpoint = service(|mut socket| {
        let mut pings = 0;
        while let Ok(message) = socket.read() {
            pings += usize::from(message.is_ping());
            if pings == 3 {
                socket.send(close(CloseCode::Normal, "three pings")).unwrap();
                pings += 1;
            }
        }
    });
    Running::start(room.pipeway(["ws", "--ping", "50ms", &endpoint, "/"]))
        .end()
        .exits_with(0)
        .says("three pings");
}

#[test]
fn an_answer_without_websocket_is_told() {
    let room = Room::new();
    let service = Service::fixed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 8\r\n\r\nno chat!");
    room.run(["ws", &service.endpoint(), "/x"])
        .exits_with(10)
        .says("/x does not speak WebSocket there: 404 Not Found")
        .says("cause: no chat!");
}

#[test]
fn the_time_can_run_out() {
    let room = Room::new();
    let endpoint = service(echo);
    Running::start(room.pipeway(["ws", "--max-time", "200ms", &endpoint, "/"]))
        .end()
        .exits_with(8)
        .says("the time ran out after 200ms");
}

#[test]
fn subprotocols_and_headers_are_sent() {
    let room = Room::new();
    let service = Service::mirror();
    let args = ["ws", "-v", "--protocol", "a", "--protocol", "b", "-H", "X-A: 1"];
    let ended = room.run(args.into_iter().chain([&*service.endpoint(), "/p?q"])).exits_with(10);
    ended
        .says("> GET /p?q HTTP/1.1")
        .says("a, b")
        .says("X-A: 1".to_ascii_lowercase().as_str())
        .says("< HTTP/1.1 200 OK");
}
