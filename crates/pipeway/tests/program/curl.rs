use std::io::Write;

use crate::harness::{Room, Running, Service, run};

/// What a mirror was sent by these arguments.
fn sent(args: &[&str], stdin: &[u8]) -> String {
    let room = Room::new();
    room.file("data.txt", "one\ntwo\r\n");
    let service = Service::mirror();
    let endpoint = service.endpoint();
    let mut all = vec!["curl"];
    all.extend_from_slice(args);
    let path = all.pop().unwrap();
    all.extend([endpoint.as_str(), path]);
    run(room.pipeway(all), stdin).exits_with(0).stdout()
}

#[test]
fn a_plain_request_is_a_get_with_few_headers() {
    let sent = sent(&["/a?b=c"], b"");
    let expected = concat!(
        "GET /a?b=c HTTP/1.1\n",
        "Host: localhost\n",
        "User-Agent: pipeway/",
        env!("CARGO_PKG_VERSION"),
        "\nAccept: */*\n\n"
    );
    assert_eq!(sent, expected);
}

#[test]
fn data_is_joined_and_posted_as_a_form() {
    let sent = sent(&["-d", "a=1", "-d", "@data.txt", "/"], b"");
    assert!(sent.starts_with("POST / HTTP/1.1\n"), "{sent}");
    assert!(sent.contains("\nContent-Type: application/x-www-form-urlencoded\n"), "{sent}");
    assert!(sent.contains("\nContent-Length: 10\n"), "{sent}");
    assert!(sent.ends_with("\n\na=1&onetwo"), "{sent}");
}

#[test]
fn binary_data_is_sent_as_it_is() {
    assert!(sent(&["--data-binary", "@data.txt", "/"], b"").ends_with("\n\none\ntwo\n"));
    assert!(sent(&["--data-binary", "@-", "/"], b"from stdin\n").ends_with("\n\nfrom stdin\n"));
    assert!(sent(&["--data-raw", "@data.txt", "/"], b"").ends_with("\n\n@data.txt"));
    assert!(sent(&["-d", "-1", "/"], b"").ends_with("\n\n-1"));
}

#[test]
fn data_can_go_into_the_query() {
    let sent = sent(&["-G", "--data-urlencode", "q=a b", "-d", "x=1", "/s"], b"");
    assert!(sent.starts_with("GET /s?x=1&q=a%20b HTTP/1.1\n"), "{sent}");
}

#[test]
fn json_is_sent_as_json() {
    let sent = sent(&["--json", "{}", "/"], b"");
    assert!(sent.starts_with("POST / "), "{sent}");
    assert!(sent.contains("\nContent-Type: application/json\n"), "{sent}");
    assert!(sent.contains("\nAccept: application/json\n"), "{sent}");
}

#[test]
fn headers_are_set_emptied_and_left_out() {
    let sent = sent(&["-H", "X-A: 1", "-H", "X-B;", "-H", "Accept:", "-H", "Host: me", "/"], b"");
    for part in ["\nX-A: 1\n", "\nX-B: \n", "\nHost: me\n"] {
        assert!(sent.contains(part), "{part:?} is not in {sent:?}");
    }
    assert!(!sent.contains("Accept"), "{sent}");
}

#[test]
fn an_upload_is_a_put_with_the_length_of_a_file_or_in_chunks() {
    let file = sent(&["-T", "data.txt", "/folder/"], b"");
    assert!(file.starts_with("PUT /folder/data.txt HTTP/1.1\n"), "{file}");
    assert!(file.contains("\nContent-Length: 9\n"), "{file}");
    let stdin = sent(&["-T", "-", "-X", "POST", "/x"], b"streamed");
    assert!(stdin.starts_with("POST /x HTTP/1.1\n"), "{stdin}");
    assert!(stdin.contains("\nTransfer-Encoding: chunked\n"), "{stdin}");
    assert!(stdin.ends_with("\n\nstreamed"), "{stdin}");
}

#[test]
fn the_head_is_printed_as_it_came() {
    let room = Room::new();
    let answer = b"HTTP/1.1 200 Fine\r\nX-OdD-CaSe:  1\r\nContent-Length: 2\r\n\r\nok";
    let service = Service::fixed(answer);
    let ended = room.run(["curl", "-i", &service.endpoint(), "/"]).exits_with(0);
    assert_eq!(ended.stdout, answer);
    let ended = room.run(["curl", "-I", &service.endpoint(), "/"]).exits_with(0);
    assert_eq!(ended.stdout, &answer[..answer.len() - 2]);
}

#[test]
fn verbose_tells_the_way_and_both_heads_on_standard_error() {
    let room = Room::new();
    let service = Service::fixed(
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let endpoint = service.endpoint();
    let ended = room.run(["curl", "-v", &endpoint, "/p"]).exits_with(0);
    assert_eq!(ended.stdout(), "ok");
    ended
        .says(&format!("* connected to {endpoint} (tcp) in "))
        .says("> GET /p HTTP/1.1")
        .says("> Host: localhost")
        .says("< HTTP/1.1 103 Early Hints")
        .says("< HTTP/1.1 200 OK");
}

#[test]
fn each_piece_of_an_answer_is_written_at_once() {
    let room = Room::new();
    let (go_tx, go_rx) = std::sync::mpsc::channel::<()>();
    let go_rx = std::sync::Arc::new(std::sync::Mutex::new(go_rx));
    let service = Service::start(move |mut request| {
        request.reply(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n");
        // The second piece is sent when the first has been seen.
        if go_rx.lock().unwrap().recv().is_ok() {
            request.reply(b"7\r\nsecond\n\r\n0\r\n\r\n");
        }
    });
    let running = Running::start(room.pipeway(["curl", &service.endpoint(), "/"]));
    assert_eq!(running.line(), "first");
    go_tx.send(()).unwrap();
    assert_eq!(running.line(), "second");
    running.end().exits_with(0);
}

#[test]
fn an_answer_cut_short_is_an_error_that_counts() {
    let room = Room::new();
    let service = Service::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    let ended = room.run(["curl", &service.endpoint(), "/"]).exits_with(9);
    assert_eq!(ended.stdout(), "hello");
    ended.says("the answer was cut short: 5 of 10 bytes came");
    let service =
        Service::fixed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello");
    room.run(["curl", &service.endpoint(), "/"]).exits_with(9).says("cut short after 5 bytes");
}

#[test]
fn no_answer_and_no_http_are_told_apart() {
    let room = Room::new();
    let silent = Service::fixed(b"");
    room.run(["curl", &silent.endpoint(), "/"]).exits_with(9).says("without an answer");
    let other = Service::fixed(b"220 mail.example.org ESMTP\r\n\r\n");
    room.run(["curl", &other.endpoint(), "/"]).exits_with(1).says("is no HTTP answer");
}

#[test]
fn nobody_at_the_endpoint_is_told() {
    let room = Room::new();
    let ended = room.run(["curl", &crate::harness::unique_local(), "/"]).exits_with(7);
    assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
    room.run(["curl", "-s", &crate::harness::unique_local(), "/"]).exits_with(7);
    let quiet = room.run(["curl", "-s", &crate::harness::unique_local(), "/"]);
    assert_eq!(quiet.stderr, "");
    let told = room.run(["curl", "-sS", &crate::harness::unique_local(), "/"]);
    assert_ne!(told.stderr, "");
}

#[test]
fn the_time_can_run_out() {
    let room = Room::new();
    let (held_tx, _held_rx) = std::sync::mpsc::channel();
    let service = Service::start(move |mut request| {
        request.reply(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        let _ = held_tx.send(request);
    });
    let ended = room.run(["curl", "--max-time", "0.5", &service.endpoint(), "/"]).exits_with(8);
    ended.says("the time ran out after 500ms, with 5 of 10 bytes received");
}

#[test]
fn output_goes_to_a_file_and_the_account_to_standard_output() {
    let room = Room::new();
    let service = Service::fixed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno");
    let endpoint = service.endpoint();
    let format = "%{http_code} %{size_download}\\n";
    for more in [&[][..], &["-N"]] {
        let args = ["curl", "-o", "out", "-w", format, &endpoint, "/"];
        let ended = room.run(args.iter().chain(more)).exits_with(0);
        assert_eq!(ended.stdout(), "404 2\n");
        assert_eq!(std::fs::read(room.path("out")).unwrap(), b"no");
        std::fs::remove_file(room.path("out")).unwrap();
    }
    room.run(["curl", "-f", "-o", "out", &endpoint, "/"]).exits_with(10).says("404 Not Found");
    assert!(!room.path("out").exists());
}

#[test]
fn a_large_body_goes_both_ways_at_once() {
    let room = Room::new();
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    room.file("big", &data);
    let service = Service::start(|mut request| {
        let length: usize = request.header("content-length").unwrap().parse().unwrap();
        request.reply(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes());
        let mut to = request.stream.get_ref().try_clone().unwrap();
        let mut from = std::io::Read::take(request.stream, length as u64);
        std::io::copy(&mut from, &mut to).unwrap();
        to.flush().unwrap();
    });
    let (listen, _running) = room.bridge(&service.endpoint(), &[]);
    room.run(["curl", "-T", "big", "-o", "back", &listen, "/echo"]).exits_with(0);
    assert!(std::fs::read(room.path("back")).unwrap() == data, "what came back differs");
}

#[test]
fn a_wrong_request_is_a_usage_error() {
    let room = Room::new();
    room.run(["curl", "local:x", "health"]).exits_with(2).says("begins with a slash");
    room.run(["curl", "-X", "A B", "local:x", "/"]).exits_with(2).says("not a method");
    room.run(["curl", "-H", "nonsense", "local:x", "/"]).exits_with(2).says("not a header");
    room.run(["curl", "-w", "%{nope}", "local:x", "/"]).exits_with(2).says("no variable");
    room.run(["curl", "x", "/"]).exits_with(2).says("not an endpoint");
}
