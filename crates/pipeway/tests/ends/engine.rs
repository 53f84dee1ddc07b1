//! A stub of a container engine, as far as `docker exec` asks it: a container `box` in which each
//! command sends its input back.

use std::io::{BufRead, Read};
use std::net::Shutdown;
use std::sync::mpsc;

use crate::harness::{Request, Service};

/// The exit code of each command.
pub const CODE: i32 = 7;

/// Docker's numbers of a frame's stream.
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;

/// What each command writes at once, to standard error.
pub const WELCOME: &str = "welcome\n";

/// When a command's output ends.
#[derive(Clone)]
pub enum Ends {
    /// When its input has ended.
    WithInput,
    /// After so many bytes of its input.
    After(usize),
    /// After the welcome; its input goes on, and is told here when it has ended.
    First(mpsc::Sender<Vec<u8>>),
}

/// Starts one whose commands' output ends so.
pub fn engine(ends: Ends) -> Service {
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
                hijacked(request, &ends);
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
fn hijacked(mut request: Request, ends: &Ends) {
    let head = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
          Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    // What a command writes at once goes out with the head, in one piece.
    request.reply(&[&head[..], &frame(STDERR, WELCOME.as_bytes())].concat());
    let most = match ends {
        Ends::WithInput => usize::MAX,
        Ends::After(most) => *most,
        Ends::First(input_tx) => {
            request.stream.get_mut().shutdown(Shutdown::Write).unwrap();
            let mut input = Vec::new();
            request.stream.read_to_end(&mut input).unwrap();
            return input_tx.send(input).unwrap();
        }
    };
    let mut count = 0;
    while count < most {
        let data = request.stream.fill_buf().unwrap().to_vec();
        if data.is_empty() {
            break;
        }
        request.stream.consume(data.len());
        count += data.len();
        request.reply(&frame(STDOUT, &data));
    }
    request.reply(&frame(STDERR, format!("{count} bytes came\n").as_bytes()));
}

fn frame(stream: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&[stream, 0, 0, 0], &length[..], data].concat()
}
