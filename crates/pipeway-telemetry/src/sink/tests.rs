use std::io::{BufRead, Write};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use super::*;
use crate::{EventKind, Fault, Hop, Hops, Http, LinkHop, PeerInfo, Route, Side, TraceContext};
use serde_json::Value;
use tempfile::TempDir;

/// Far beyond what any of these tests needs.
const WATCHDOG: Duration = Duration::from_secs(60);

/// A bridge's, of which nothing else is known.
static ROUTE: LazyLock<Arc<Route>> = LazyLock::new(|| Arc::new(Route::new("api", Hops::default())));

fn event(number: u64) -> Event<'static> {
    let mut event = Event::new(EventKind::Session, &ROUTE);
    event.bytes_sent = number;
    event
}

fn one_line(options: SinkOptions, event: &Event<'_>) -> Value {
    let (sink, line_rx) = Sink::channel(1, options);
    sink.emit(event);
    serde_json::from_str(&line_rx.try_recv().unwrap()).unwrap()
}

fn http(target: &str) -> Http<'_> {
    let (method, status, version) = ("GET", Some(200), "1.1");
    Http { method, target, status, user_agent: None, version, upgrade: None }
}

/// A stream whose writes wait for leave, and may be told to fail.
struct Gate {
    entered_tx: Sender<Vec<u8>>,
    leave_rx: Receiver<io::Result<()>>,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.entered_tx.send(bytes.to_vec()).unwrap();
        self.leave_rx.recv_timeout(WATCHDOG).unwrap().map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn gated() -> (Sink, Receiver<Vec<u8>>, Sender<io::Result<()>>) {
    let (entered_tx, entered_rx) = channel();
    let (leave_tx, leave_rx) = channel();
    let gate = Box::new(Gate { entered_tx, leave_rx });
    (Sink::stream("gate", gate, SinkOptions::default()).unwrap(), entered_rx, leave_tx)
}

#[test]
fn a_disabled_sink_takes_nothing() {
    let sink = Sink::disabled();
    assert!(!sink.is_enabled());
    sink.emit(&event(1));
    assert!(sink.flush());
    assert_eq!(sink.dropped(), 0);
}

#[test]
fn what_was_emitted_is_in_the_file_after_a_flush() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events");
    let sink = Sink::file(FileOptions::new(&path), SinkOptions::default()).unwrap();
    for round in 0..100_u64 {
        sink.emit(&event(round));
        assert!(sink.flush());
        let text = std::fs::read_to_string(&path).unwrap();
        let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(last["bytes.sent"], round);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_others_close_is_closed_while_events_are_written() {
    use std::io::Read;

    let (mut reader, kept) = std::io::pipe().unwrap();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events");
    let sink = Sink::file(FileOptions::new(&path), SinkOptions::default()).unwrap();
    let path = path.canonicalize().unwrap();
    sink.emit(&event(1));
    assert!(sink.flush());
    // Otherwise the writer's thread would still hold it, and this would never end.
    drop(kept);
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    // A signal's handler would look for its files among the writer's.
    let mut open = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        // A thread may end while it is looked at.
        let status = std::fs::read_to_string(task.join("status"));
        let Ok(status) = status else { continue };
        let of = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        if of("Name:").trim() == "pipeway-events" {
            let blocked = u64::from_str_radix(of("SigBlk:").trim(), 16).unwrap();
            assert_ne!(blocked & 1 << 14, 0, "SIGTERM is not blocked: {blocked:x}");
            let target = |number: u32| std::fs::read_link(task.join(format!("fd/{number}"))).ok();
            open.push((0..5).map_while(target).collect::<Vec<_>>());
        }
    }
    let names_it = |entry: io::Result<std::fs::DirEntry>| {
        std::fs::read_link(entry.unwrap().path()).is_ok_and(|target| target == path)
    };
    // Only where the system lets the thread have files of its own.
    let is_ours = std::fs::read_dir("/proc/self/fd").unwrap().any(names_it);
    println!("the file is {}", if is_ours { "shared" } else { "the thread's own" });
    let expected = ["/dev/null", "/dev/null"].map(std::path::PathBuf::from);
    let is_expected = |open: &Vec<_>| open.len() == 4 && open[..2] == expected && open[3] == path;
    assert!(is_ours || open.iter().any(is_expected), "{open:?}");
    sink.emit(&event(2));
    assert!(sink.flush());
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    drop(reader);
}

#[test]
fn events_of_many_threads_are_all_written_each_in_its_order() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events");
    let sink = Sink::file(FileOptions::new(&path), SinkOptions::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let sink = sink.clone();
            scope.spawn(move || {
                for number in 0..2000 {
                    sink.emit(&Event { connection: Some(thread), ..event(number) });
                }
            });
        }
    });
    assert!(sink.flush());
    assert_eq!(sink.dropped(), 0);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut next = std::collections::HashMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let expected = next.entry(line["connection.id"].as_str().unwrap().to_owned()).or_insert(0);
        assert_eq!(line["bytes.sent"], *expected);
        *expected += 1;
    }
    assert!(next.len() == 4 && next.values().all(|&count| count == 2000));
}

#[test]
fn a_writer_that_stands_still_bounds_memory_and_the_loss_is_told() {
    let (sink, entered_rx, leave_tx) = gated();
    sink.emit(&event(0));
    entered_rx.recv_timeout(WATCHDOG).unwrap();
    let line = "x".repeat(crate::MAX_VALUE_BYTES);
    let emitted = 2 * crate::writer::MAX_PENDING_BYTES / line.len();
    for number in 0..emitted {
        if number % 2 == 0 {
            sink.emit(&Event { http: Some(http(&line)), ..event(1) });
        } else {
            let route = Arc::new(Route::new(&line, Hops::default()));
            sink.emit(&Event { route: &route, ..event(1) });
        }
    }
    let dropped = sink.dropped();
    assert!(dropped > 0);
    assert!(emitted as u64 - dropped <= (crate::writer::MAX_PENDING_BYTES / line.len()) as u64);
    let mut written = 0;
    while written + dropped < emitted as u64 {
        leave_tx.send(Ok(())).unwrap();
        let batch = entered_rx.recv_timeout(WATCHDOG).unwrap();
        assert!(batch.len() < 2 * crate::writer::WRITE_BYTES, "{} bytes at once", batch.len());
        written += batch.iter().filter(|&&byte| byte == b'\n').count() as u64;
    }
    assert_eq!(written + dropped, emitted as u64);

    leave_tx.send(Ok(())).unwrap();
    sink.emit(&event(2));
    let batch = entered_rx.recv_timeout(WATCHDOG).unwrap();
    let line: Value = serde_json::from_slice(&batch).unwrap();
    assert_eq!(line["events.dropped"], dropped);
    leave_tx.send(Ok(())).unwrap();
    sink.emit(&event(3));
    let batch = entered_rx.recv_timeout(WATCHDOG).unwrap();
    let line: Value = serde_json::from_slice(&batch).unwrap();
    assert_eq!(line.get("events.dropped"), None);
    leave_tx.send(Ok(())).unwrap();
    assert!(sink.flush());
}

#[test]
fn events_of_many_routes_are_told_each_of_its_own() {
    let (sink, entered_rx, leave_tx) = gated();
    sink.emit(&event(0));
    entered_rx.recv_timeout(WATCHDOG).unwrap();
    let routes: Vec<Arc<Route>> = (0..100)
        .map(|number| Arc::new(Route::new(&format!("bridge{number}"), Hops::default())))
        .collect();
    // More than are looked for, forwards and backwards, and each twice in a row.
    let order = || (0..100).chain((0..100).rev()).flat_map(|number| [number; 2]);
    for number in order() {
        sink.emit(&Event { route: &routes[number], ..event(number as u64) });
    }
    drop(routes);
    leave_tx.send(Ok(())).unwrap();
    let batch = entered_rx.recv_timeout(WATCHDOG).unwrap();
    let lines: Vec<Value> =
        batch.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert_eq!(lines.len(), 400);
    for (line, number) in lines.iter().zip(order()) {
        assert_eq!(line["bridge"], format!("bridge{number}"));
        assert_eq!(line["bytes.sent"], number);
    }
    leave_tx.send(Ok(())).unwrap();
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_told_when_they_can() {
    let (sink, entered_rx, leave_tx) = gated();
    for _ in 0..3 {
        sink.emit(&event(1));
        entered_rx.recv_timeout(WATCHDOG).unwrap();
        leave_tx.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        assert!(sink.flush());
    }
    assert_eq!(sink.dropped(), 3);
    sink.emit(&event(2));
    let batch = entered_rx.recv_timeout(WATCHDOG).unwrap();
    leave_tx.send(Ok(())).unwrap();
    let line: Value = serde_json::from_slice(&batch).unwrap();
    assert_eq!(line["events.dropped"], 3);
}

#[test]
fn a_flush_gives_up_at_its_deadline() {
    let (sink, entered_rx, leave_tx) = gated();
    sink.emit(&event(1));
    entered_rx.recv_timeout(WATCHDOG).unwrap();
    let inner = sink.inner.as_ref().unwrap();
    assert!(!inner.flush(Duration::from_millis(1)));
    leave_tx.send(Ok(())).unwrap();
    assert!(inner.flush(WATCHDOG));
}

#[test]
fn the_writer_ends_with_the_last_clone_and_writes_what_is_left() {
    let (sink, entered_rx, leave_tx) = gated();
    sink.emit(&event(1));
    entered_rx.recv_timeout(WATCHDOG).unwrap();
    sink.emit(&event(2));
    let clone = sink.clone();
    drop(sink);
    drop(clone);
    leave_tx.send(Ok(())).unwrap();
    let last = entered_rx.recv_timeout(WATCHDOG).unwrap();
    assert!(last.ends_with(b"\"bytes.sent\":2}\n"));
    leave_tx.send(Ok(())).unwrap();
    assert!(
        entered_rx
            .recv_timeout(WATCHDOG)
            .is_err_and(|error| { error == std::sync::mpsc::RecvTimeoutError::Disconnected })
    );
}

#[test]
fn a_full_channel_and_one_without_a_reader_drop_and_count() {
    let (sink, line_rx) = Sink::channel(2, SinkOptions::default());
    for number in 0..5 {
        sink.emit(&event(number));
    }
    assert_eq!(sink.dropped(), 3);
    assert_eq!(line_rx.try_iter().count(), 2);
    sink.emit(&event(5));
    let line: Value = serde_json::from_str(&line_rx.try_recv().unwrap()).unwrap();
    assert_eq!(line["events.dropped"], 3);
    drop(line_rx);
    sink.emit(&event(6));
    assert_eq!(sink.dropped(), 4);
}

#[test]
fn repeated_accept_errors_are_one_line_and_the_rest_is_told_at_the_flush() {
    let (sink, line_rx) = Sink::channel(100, SinkOptions::default());
    let mut failure = Event::new(EventKind::AcceptError, &ROUTE);
    failure.error = Some(Fault { kind: "too_many_files", side: Side::Bridge });
    let start = Instant::now();
    for _ in 0..50 {
        sink.emit(&failure);
    }
    sink.flush();
    sink.flush();
    let lines: Vec<Value> =
        line_rx.try_iter().map(|line| serde_json::from_str(&line).unwrap()).collect();
    let repeated: u64 = lines.iter().map(|line| line["repeated"].as_u64().unwrap_or(0)).sum();
    assert_eq!(repeated + lines.len() as u64, 50);
    assert!(lines.len() as u64 <= 2 + start.elapsed().as_secs());
    assert_eq!(lines.last().unwrap()["error.type"], "too_many_files");
}

#[test]
fn a_query_is_written_only_where_it_was_asked_for() {
    let mut event = event(0);
    event.http = Some(http("http://me:secret@localhost/a?token=secret"));
    let line = one_line(SinkOptions::default(), &event);
    assert_eq!(line["url.path"], "/a");
    assert!(!line.to_string().contains("secret"));
    let line = one_line(SinkOptions { show_query: true, ..SinkOptions::default() }, &event);
    assert_eq!((&line["url.path"], &line["url.query"]), (&"/a".into(), &"token=secret".into()));
    assert!(!line.to_string().contains("me:"));
}

#[test]
fn a_sid_is_hashed_unless_asked_for() {
    let mut event = event(0);
    event.peer = PeerInfo { sid: Some("S-1-5-21-1-2-3-1001"), ..PeerInfo::default() };
    let line = one_line(SinkOptions::default(), &event);
    let hashed = line["peer.sid"].as_str().unwrap();
    assert!(hashed.starts_with("fnv1a:") && hashed.len() == 22, "{hashed}");
    assert_eq!(line["peer.sid"], one_line(SinkOptions::default(), &event)["peer.sid"]);
    let line = one_line(SinkOptions { show_sid: true, ..SinkOptions::default() }, &event);
    assert_eq!(line["peer.sid"], "S-1-5-21-1-2-3-1001");
}

#[test]
fn an_unknown_method_is_other_and_stands_beside_it() {
    let mut event = event(0);
    event.http = Some(Http { method: "BREW", ..http("/") });
    let line = one_line(SinkOptions::default(), &event);
    assert_eq!(line["http.request.method"], "_OTHER");
    assert_eq!(line["http.request.method_original"], "BREW");
}

#[test]
fn only_an_upgrade_is_named_by_its_token() {
    let mut event = event(0);
    event.http = Some(Http { upgrade: Some("WebSocket"), ..http("/") });
    assert_eq!(one_line(SinkOptions::default(), &event)["network.protocol.name"], "http");
    event.kind = EventKind::Upgrade;
    let line = one_line(SinkOptions::default(), &event);
    assert_eq!(line["network.protocol.name"], "websocket");
    assert_eq!(line.get("network.protocol.version"), None);
}

#[test]
fn the_ids_join_the_events_of_one_session() {
    let (sink, line_rx) = Sink::channel(10, SinkOptions::default());
    let root = TraceContext::new_root();
    sink.emit(&Event { connection: Some(7), request: Some(2), trace: Some(root), ..event(0) });
    sink.emit(&Event { connection: Some(7), ..event(0) });
    sink.emit(&Event { connection: Some(8), ..event(0) });
    let lines: Vec<Value> =
        line_rx.try_iter().map(|line| serde_json::from_str(&line).unwrap()).collect();
    let id = lines[0]["connection.id"].as_str().unwrap();
    assert_eq!(id.len(), 16);
    assert_eq!(lines[0]["request.id"], format!("{id}-2"));
    assert_eq!(lines[1]["connection.id"], id);
    assert_ne!(lines[2]["connection.id"], id);
    let header = String::from_utf8(root.write_header().to_vec()).unwrap();
    let ids = [&lines[0]["trace_id"], &lines[0]["span_id"]].map(|id| id.as_str().unwrap());
    assert_eq!(header, format!("00-{}-{}-01", ids[0], ids[1]));
}

#[test]
fn a_line_holds_the_longest_values_in_its_bound() {
    let worst = "\u{1}".repeat(2 * crate::MAX_VALUE_BYTES);
    let hop = Some(Hop { mode: &worst, endpoint: &worst });
    let link = Some(LinkHop { name: &worst, mode: &worst });
    let hops = Hops { transport: hop, upstream: hop, link, socket_activation: true };
    let route = Arc::new(Route::new(&worst, hops));
    let mut event = Event::new(EventKind::Upgrade, &route);
    let target = format!("/{worst}?{worst}");
    event.http = Some(Http {
        method: &worst,
        target: &target,
        user_agent: Some(worst.as_bytes()),
        version: &worst,
        ..http("")
    });
    event.peer.sid = Some(&worst);
    event.error = Some(Fault { kind: &worst, side: Side::Client });
    let (sink, line_rx) = Sink::channel(1, SinkOptions { show_query: true, show_sid: true });
    sink.emit(&event);
    assert!(line_rx.try_recv().unwrap().len() < crate::jsonl::MAX_LINE_BYTES);
}

#[test]
fn each_line_tells_its_own_way_whatever_the_last_one_told() {
    let (sink, line_rx) = Sink::channel(64, SinkOptions::default());
    let hops = [
        None,
        Some(Hop { mode: "unix", endpoint: "unix:/a" }),
        Some(Hop { mode: "tcp", endpoint: "unix:/a" }),
        Some(Hop { mode: "unix", endpoint: "unix:/a\n" }),
    ];
    let links = [None, Some(LinkHop { name: "l", mode: "stdio" })];
    for transport in hops {
        for upstream in hops {
            for (link, activated) in [(links[0], true), (links[1], false)] {
                let hops = Hops { transport, upstream, link, socket_activation: activated };
                let route = Arc::new(Route::new("api", hops));
                let told = Event { route: &route, ..event(1) };
                for _ in 0..2 {
                    sink.emit(&told);
                    let line = line_rx.try_recv().unwrap();
                    let line: Value = serde_json::from_str(&line).unwrap();
                    let endpoint = |hop: Option<Hop<'_>>| hop.map(|hop| hop.endpoint.to_owned());
                    let text = |field: &str| line[field].as_str().map(str::to_owned);
                    assert_eq!(text("transport.endpoint"), endpoint(transport));
                    assert_eq!(text("upstream.endpoint"), endpoint(upstream));
                    let mode = transport.map(|hop| hop.mode.to_owned());
                    assert_eq!(text("transport.mode"), mode);
                    assert_eq!(text("link.name"), link.map(|link| link.name.to_owned()));
                    assert_eq!(line["transport.socket_activation"].as_bool().is_some(), activated);
                }
            }
        }
    }
}
