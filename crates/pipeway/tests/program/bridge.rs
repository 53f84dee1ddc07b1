use std::time::{Duration, Instant};

use crate::harness::{Room, Running, Service, unique_local};

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_bridge_says_that_it_is_ready_and_carries_a_request() {
    let room = Room::new();
    let service = Service::fixed(HELLO);
    let (listen, running) = room.bridge(&service.endpoint(), &[]);
    let ended = room.run(["curl", &listen, "/"]).exits_with(0);
    assert_eq!(ended.stdout(), "hello");
    drop(running);
}

#[test]
fn the_ready_line_names_the_observed_endpoint() {
    let room = Room::new();
    let listen = unique_local();
    let running =
        Running::start(room.pipeway(["bridge", "--listen", &listen, "--to", "tcp:127.0.0.1:9"]));
    let expected = if cfg!(windows) {
        format!(r"ready \\.\pipe\{}", listen.strip_prefix("local:").unwrap())
    } else {
        format!("ready unix:{}", room.socket(&listen).display())
    };
    assert_eq!(running.line(), expected);
}

#[test]
fn a_second_instance_fails_within_a_second_and_names_the_first() {
    let room = Room::new();
    let (listen, running) = room.bridge("tcp:127.0.0.1:9", &[]);
    let begin = Instant::now();
    let ended = room.run(["bridge", "--listen", &listen, "--to", "tcp:127.0.0.1:9"]).exits_with(4);
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    ended.says(&format!("is taken by process {}", running.id())).says("hint: stop that program");
}

#[test]
fn an_absent_service_is_a_503_that_says_what_to_do() {
    let room = Room::new();
    // A port that was just free, and nobody's now.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (listen, _running) = room.bridge(&format!("tcp:{free}"), &[]);
    let ended = room.run(["curl", "-i", &listen, "/"]).exits_with(0);
    let shown = ended.stdout();
    assert!(shown.starts_with("HTTP/1.1 50"), "{shown}");
    assert!(shown.contains(r#""hint":"#), "{shown}");
    room.run(["curl", "--fail", &listen, "/"]).exits_with(10).says("the answer's status is 50");
}

#[test]
fn a_wrong_flag_is_told_by_its_name() {
    let room = Room::new();
    let bridge = ["bridge", "--listen", "local:a", "--to", "tcp:127.0.0.1:80"];
    let with = |more: &[&'static str]| room.run(bridge.iter().chain(more));
    with(&["--head-timeout", "10"]).exits_with(2).says("--head-timeout").says("such as 10s");
    with(&["--max-headers", "2000"]).exits_with(2).says("error: --max-headers: ");
    with(&["--allow-path", "v1"]).exits_with(2).says("a path begins with a slash");
    let remote = ["bridge", "--listen", "local:a", "--to", "tcp:192.0.2.1:80"];
    room.run(remote).exits_with(5).says("error: --to: tcp:192.0.2.1:80 is not a loopback address");
}

#[test]
fn a_policy_of_flags_is_held() {
    let room = Room::new();
    let service = Service::fixed(HELLO);
    let policy = ["--allow-method", "GET", "--allow-path", "/v1/**"];
    let (listen, _running) = room.bridge(&service.endpoint(), &policy);
    let status = |args: &[&str]| {
        let args = ["curl", "-o", "body", "-w", "%{http_code}"].iter().chain(args);
        room.run(args).exits_with(0).stdout()
    };
    assert_eq!(status(&[&listen, "/v1/x"]), "200");
    assert_eq!(status(&[&listen, "/v2/x"]), "403");
    assert_eq!(status(&["-X", "DELETE", &listen, "/v1/x"]), "405");
}

#[test]
#[cfg_attr(windows, ignore = "signals are sent with kill(1)")]
fn a_signal_ends_a_bridge_with_0_and_leaves_no_socket() {
    for signal in ["INT", "TERM"] {
        let room = Room::new();
        let (listen, running) = room.bridge("tcp:127.0.0.1:9", &[]);
        let socket = room.socket(&listen);
        assert!(socket.exists());
        running.signal(signal);
        running.end().exits_with(0).says(&format!("stopping (SIG{signal})"));
        assert!(!socket.exists(), "{} is left", socket.display());
    }
}

#[test]
#[cfg_attr(windows, ignore = "signals are sent with kill(1)")]
fn a_request_that_runs_is_finished_before_the_end() {
    let room = Room::new();
    let (asked_tx, asked_rx) = std::sync::mpsc::channel();
    let (go_tx, go_rx) = std::sync::mpsc::channel::<()>();
    let go_rx = std::sync::Arc::new(std::sync::Mutex::new(go_rx));
    let service = Service::start(move |mut request| {
        asked_tx.send(()).unwrap();
        go_rx.lock().unwrap().recv().unwrap();
        request.reply(HELLO);
    });
    let (listen, running) = room.bridge(&service.endpoint(), &["--drain-timeout", "1h"]);
    let client = Running::start(room.pipeway(["curl", &listen, "/"]));
    asked_rx.recv_timeout(crate::harness::WATCHDOG).unwrap();
    running.signal("TERM");
    go_tx.send(()).unwrap();
    assert_eq!(client.end().exits_with(0).stdout(), "hello\n");
    running.end().exits_with(0);
}

#[test]
#[cfg_attr(windows, ignore = "signals are sent with kill(1)")]
fn a_second_signal_cuts_what_runs_at_once() {
    let room = Room::new();
    let (asked_tx, asked_rx) = std::sync::mpsc::channel();
    let service = Service::start(move |request| {
        // Never answered: the connection is kept until the bridge closes it.
        asked_tx.send(request).unwrap();
    });
    let more = ["--drain-timeout", "1h", "--events", "e.jsonl"];
    let (listen, running) = room.bridge(&service.endpoint(), &more);
    let client = Running::start(room.pipeway(["curl", &listen, "/"]));
    let _request = asked_rx.recv_timeout(crate::harness::WATCHDOG).unwrap();
    running.signal("INT");
    // Two signals that wait to be received are one, so the second is repeated.
    let cut = (0..100).any(|_| {
        running.signal("INT");
        running.is_closed_within(Duration::from_millis(100))
    });
    assert!(cut, "the bridge goes on");
    running.end().exits_with(0).says("cut while running: 1 sessions");
    client.end().exits_with(9);
    // The request and its session.
    let events = std::fs::read_to_string(room.path("e.jsonl")).unwrap();
    assert_eq!(events.matches(r#""end":"cut""#).count(), 2, "{events}");
}

#[test]
#[cfg_attr(windows, ignore = "signals are sent with kill(1)")]
fn events_are_written_to_the_end() {
    let room = Room::new();
    let service = Service::fixed(HELLO);
    let (listen, running) = room.bridge(&service.endpoint(), &["--events", "events.jsonl"]);
    room.run(["curl", &listen, "/a?secret=1"]).exits_with(0);
    running.signal("TERM");
    running.end().exits_with(0);
    let events = std::fs::read_to_string(room.path("events.jsonl")).unwrap();
    let events: Vec<serde_json::Value> =
        events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    for kind in ["start", "request", "session", "stop"] {
        assert!(kinds.contains(&kind), "{kind} is not in {kinds:?}");
    }
    assert!(events.iter().all(|event| !event.to_string().contains("secret=1")), "{events:?}");
}

#[cfg(unix)]
#[test]
fn a_service_manager_is_told_that_it_is_ready() {
    let room = Room::new();
    let path = room.path("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(crate::harness::WATCHDOG)).unwrap();
    let listen = unique_local();
    let mut command = room.pipeway(["bridge", "--listen", &listen, "--to", "tcp:127.0.0.1:9"]);
    command.env("NOTIFY_SOCKET", &path);
    let running = Running::start(command);
    let mut word = [0; 64];
    let mut next = || {
        let length = manager.recv(&mut word).unwrap();
        String::from_utf8_lossy(&word[..length]).into_owned()
    };
    assert_eq!(next(), "READY=1");
    running.signal("TERM");
    assert_eq!(next(), "STOPPING=1");
    running.end().exits_with(0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_bridge_under_nohup_outlives_its_terminal() {
    let room = Room::new();
    let service = Service::fixed(HELLO);
    let listen = unique_local();
    let program = env!("CARGO_BIN_EXE_pipeway");
    // The same environment as every other start, by way of nohup(1).
    let mut command = std::process::Command::new("nohup");
    command.args([program, "bridge", "--listen", &listen, "--to", &service.endpoint()]);
    command.env("XDG_RUNTIME_DIR", room.path("run"));
    let running = Running::start(command);
    running.line();
    running.signal("HUP");
    assert_eq!(room.run(["curl", &listen, "/"]).exits_with(0).stdout(), "hello");
    running.signal("TERM");
    running.end().exits_with(0).says("stopping (SIGTERM)");
}

#[test]
#[cfg_attr(windows, ignore = "a pipe lies in no folder")]
fn a_socket_in_a_folder_that_others_may_write_to_is_not_made() {
    let room = Room::new();
    let folder = room.path("open");
    std::fs::create_dir(&folder).unwrap();
    assert!(
        std::process::Command::new("chmod").arg("777").arg(&folder).status().unwrap().success()
    );
    let listen = format!("unix:{}", folder.join("x.sock").display());
    room.run(["bridge", "--listen", &listen, "--to", "tcp:127.0.0.1:9"])
        .exits_with(5)
        .says("can't be private")
        .says("hint: ");
    assert!(!folder.join("x.sock").exists());
}

/// A bridge started by a shell that sets limits of open files first.
#[cfg(unix)]
fn bridge_with_file_limit(room: &Room, to: &str, limits: &str) -> (std::path::PathBuf, Running) {
    let listen = unique_local();
    let program = room.pipeway(["bridge", "--listen", &listen, "--to", to]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("{limits} && exec \"$0\" \"$@\"")]);
    command.arg(program.get_program()).args(program.get_args());
    command.current_dir(room.path(""));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let running = Running::start(command);
    running.line();
    (room.socket(&listen), running)
}

/// Sends a request and reads the answer's first line; the connection stays open.
#[cfg(unix)]
fn ask(client: &std::os::unix::net::UnixStream) -> String {
    use std::io::{BufRead, Write};
    client.set_read_timeout(Some(crate::harness::WATCHDOG)).unwrap();
    (&*client).write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut line = String::new();
    std::io::BufReader::new(client).read_line(&mut line).unwrap();
    line
}

#[cfg(unix)]
#[test]
fn a_low_soft_limit_of_open_files_is_raised() {
    let room = Room::new();
    let service = Service::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let (socket, _running) = bridge_with_file_limit(&room, &service.endpoint(), "ulimit -Sn 40");
    let clients: Vec<_> =
        (0..100).map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap()).collect();
    for client in &clients {
        assert_eq!(ask(client), "HTTP/1.1 200 OK\r\n");
    }
}

#[cfg(unix)]
#[test]
fn a_low_hard_limit_of_open_files_lets_further_clients_wait() {
    let room = Room::new();
    let service = Service::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let (socket, running) = bridge_with_file_limit(&room, &service.endpoint(), "ulimit -n 100");
    let mut clients: Vec<_> =
        (0..40).map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap()).collect();
    // 18 are served; each of the others has its turn when one has gone.
    for client in clients.drain(..) {
        assert_eq!(ask(&client), "HTTP/1.1 200 OK\r\n");
    }
    running.signal("TERM");
    running.end().exits_with(0).says("at most 18 sessions at once");
}

#[cfg(unix)]
#[test]
fn a_service_whose_path_is_too_long_stops_the_start() {
    let room = Room::new();
    let to = format!("unix:/tmp/{}", "x".repeat(120));
    let ended = room.run(["bridge", "--listen", &unique_local(), "--to", &to]).exits_with(6);
    assert_eq!(ended.stdout(), "");
    ended.says("125 bytes long").says("may have").says("hint: choose a shorter path");
}
