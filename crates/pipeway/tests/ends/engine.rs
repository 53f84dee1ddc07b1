//! A stub of a container engine, as far as `docker exec` asks it: a container `box` in which each
//! command sends its input back.

use std::io::{BufRead, Write};

use crate::harness::{Request, Service};

/// The exit code of each command.
pub const CODE: i32 = 7;

/// Docker's numbers of a frame's stream.
const STDOUT: u8 = 1;
const STDERR: u8 = 2;

/// Starts one whose commands end when their input does, or after so many bytes of it.
pub fn engine(ends_after: Option<usize>) -> Service {
    Service::start(move |mut request| {
        let line = request.head.lines().next().unwrap().to_owned();
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        // The client writes the version of the interface first.
        let path = path.strip_prefix("/v1.41").unwrap_or(path);
        let body = request.body();
        match (method, path) {
            ("HEAD" | "GET", "/_ping") => answer(&mut request, "200 OK", "OK"),
            ("GET", "/containers/box/json") => answer(
                &mut request,
                "200 OK",
                r#"{"Id":"box","Name":"/box","State":{"Running":true},"Config":{"Tty":false}}"#,
            ),
            ("POST", "/containers/box/exec") => {
                answer(&mut request, "201 Created", r#"{"Id":"run"}"#);
            }
            ("POST", "/exec/run/start") => {
                assert_eq!(request.header("connection"), Some("Upgrade"), "{}", request.head);
                assert_eq!(request.header("upgrade"), Some("tcp"), "{}", request.head);
                assert!(!body.is_empty(), "{}", request.head);
                hijacked(request, ends_after);
            }
            ("GET", "/exec/run/json") => {
                let told = format!(r#"{{"ID":"run","Running":false,"ExitCode":{CODE}}}"#);
                answer(&mut request, "200 OK", &told);
            }
            ("GET", "/containers/nobody/json") => {
                let told = r#"{"message":"No such container: nobody"}"#;
                answer(&mut request, "404 Not Found", told);
            }
            // Shown by the client, as it is no error that a test expects.
            _ => answer(&mut request, "404 Not Found", &format!(r#"{{"message":"{line}"}}"#)),
        }
    })
}

fn answer(request: &mut Request, status: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\nApi-Version: 1.41\r\nOSType: linux\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    request.reply(head.as_bytes());
    if !request.head.starts_with("HEAD ") {
        request.reply(body.as_bytes());
    }
}

/// Bytes both ways on what was a connection of HTTP, as the engine's own interface does it.
fn hijacked(mut request: Request, ends_after: Option<usize>) {
    request.reply(
        b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
          Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n",
    );
    let mut count = 0;
    while ends_after.is_none_or(|most| count < most) {
        let data = request.stream.fill_buf().unwrap().to_vec();
        if data.is_empty() {
            break;
        }
        request.stream.consume(data.len());
        count += data.len();
        frame(&mut request, STDOUT, &data);
    }
    frame(&mut request, STDERR, format!("{count} bytes came\n").as_bytes());
}

fn frame(request: &mut Request, stream: u8, data: &[u8]) {
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    let head = [&[stream, 0, 0, 0], &length[..]].concat();
    // A client that is gone is no fault of the engine's.
    let _ = request.stream.get_mut().write_all(&[&head, data].concat());
}
