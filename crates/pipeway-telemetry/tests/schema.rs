//! Holds the lines against `docs/reference/events.md`.

#![allow(clippy::unwrap_used, reason = "a helper of tests that panics fails its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use pipeway_telemetry::{
    Direction, End, Event, EventKind, Fault, Hop, Hops, Http, LinkChange, LinkHop, MAX_VALUE_BYTES,
    PeerInfo, Route, Side, Sink, SinkOptions, TraceContext,
};
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/reference/events.md");

#[derive(Debug)]
struct Field {
    kind: String,
    always: BTreeSet<String>,
    allowed: BTreeSet<String>,
    example: Value,
}

/// The rows of the table whose first column is headed `head`, as trimmed cells.
fn rows(head: &str) -> Vec<Vec<&'static str>> {
    let mut lines = PAGE.lines().skip_while(|line| !line.starts_with(&format!("| {head} |")));
    assert!(lines.next().is_some() && lines.next().is_some_and(|line| line.starts_with("|---")));
    lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let inner = line.strip_prefix('|').unwrap().strip_suffix('|').unwrap();
            inner.split('|').map(str::trim).collect()
        })
        .collect()
}

fn bare(cell: &str) -> &str {
    cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')).unwrap()
}

fn kinds(cell: &str) -> BTreeSet<String> {
    match cell {
        "" => BTreeSet::new(),
        "all" => EventKind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect(),
        some => some.split(", ").map(str::to_owned).collect(),
    }
}

fn schema() -> BTreeMap<String, Field> {
    let mut fields = BTreeMap::new();
    for row in rows("field") {
        let [name, kind, always, may, _meaning, example] = row[..] else { panic!("{row:?}") };
        let always = kinds(always);
        let allowed = kinds(may).union(&always).cloned().collect();
        let example = serde_json::from_str(bare(example)).unwrap();
        let field = Field { kind: kind.to_owned(), always, allowed, example };
        assert!(fields.insert(bare(name).to_owned(), field).is_none(), "{name} stands twice");
    }
    fields
}

fn is_of_type(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_f64(),
        "boolean" => value.is_boolean(),
        other => panic!("the table has an unknown type {other}"),
    }
}

const LINK_HOP: LinkHop<'static> = LinkHop { name: "dev", mode: "stdio" };

const ALL_HOPS: Hops<'static> = Hops {
    transport: Some(Hop { mode: "named_pipe", endpoint: r"\\.\pipe\api" }),
    socket_activation: true,
    upstream: Some(Hop { mode: "tcp", endpoint: "tcp:127.0.0.1:3000" }),
    link: Some(LINK_HOP),
};

static BARE: LazyLock<Arc<Route>> = LazyLock::new(|| route("api", Hops::default()));
static WHOLE: LazyLock<Arc<Route>> =
    LazyLock::new(|| route("api", Hops { link: None, ..ALL_HOPS }));
static THROUGH_LINK: LazyLock<Arc<Route>> = LazyLock::new(|| route("api", ALL_HOPS));
static LINK: LazyLock<Arc<Route>> =
    LazyLock::new(|| route("", Hops { link: Some(LINK_HOP), ..Hops::default() }));

fn route(bridge: &str, hops: Hops<'_>) -> Arc<Route> {
    Arc::new(Route::new(bridge, hops))
}

/// An event with everything in it that a line of its kind may hold.
fn full(kind: EventKind) -> Event<'static> {
    if matches!(kind, EventKind::LinkUp | EventKind::LinkDown) {
        return full_of_link(kind);
    }
    let is_of_client = matches!(kind, EventKind::Session | EventKind::Request | EventKind::Upgrade);
    let mut event = Event::new(kind, if is_of_client { &THROUGH_LINK } else { &WHOLE });
    event.error = Some(Fault { kind: "upstream_closed", side: Side::Upstream });
    if kind == EventKind::Stop {
        event.end = Some(End::Drained);
    }
    if is_of_client {
        event.connection = Some(7);
        event.http = Some(Http {
            method: "PROPFIND",
            target: "/v1/items?page=2",
            status: Some(207),
            user_agent: Some(b"curl/8.14.1"),
            version: "1.1",
            upgrade: Some("websocket"),
        });
        event.bytes_received = 312;
        event.bytes_sent = 5120;
        event.total = Some(Duration::from_micros(12_345));
        event.connect = Some(Duration::from_micros(210));
        event.first_byte = Some(Duration::from_millis(11));
        event.peer = PeerInfo { pid: Some(4711), uid: Some(1000), sid: Some("S-1-5-18") };
        event.end = Some(End::UpstreamClosed);
    }
    if matches!(kind, EventKind::Request | EventKind::Upgrade) {
        event.request = Some(1);
        event.trace = Some(TraceContext::new_root());
    }
    if kind == EventKind::Request {
        event.direction = Some(Direction::ToPlatform);
    }
    event
}

/// The same for a link's own events, which are of no bridge.
fn full_of_link(kind: EventKind) -> Event<'static> {
    let mut event = empty(kind);
    if kind == EventKind::LinkUp {
        event.connect = Some(Duration::from_millis(200));
        event.link_change = Some(LinkChange { attempt: 1, guest: Some("0.1.0"), ..<_>::default() });
    } else {
        event.total = Some(Duration::from_secs(60));
        event.error = Some(Fault { kind: "link_lost", side: Side::Upstream });
        event.link_change = Some(LinkChange {
            attempt: 0,
            reason: Some("the guest's process ended with code 137"),
            retry_in: Some(Duration::from_millis(200)),
            guest: None,
        });
    }
    event
}

/// An event as empty as it gets.
fn empty(kind: EventKind) -> Event<'static> {
    if !matches!(kind, EventKind::LinkUp | EventKind::LinkDown) {
        return Event::new(kind, &BARE);
    }
    let mut event = Event::new(kind, &LINK);
    event.link_change = Some(LinkChange::default());
    event
}

/// Lines of every kind: as empty as they get, full, repeated, and after a loss.
fn lines() -> Vec<Value> {
    let options = SinkOptions { show_query: true, show_sid: false };
    let (sink, line_rx) = Sink::channel(32, options);
    for &kind in EventKind::ALL {
        sink.emit(&empty(kind));
        sink.emit(&full(kind));
    }
    for _ in 0..1000 {
        sink.emit(&full(EventKind::AcceptError));
    }
    sink.flush();
    let mut lines: Vec<String> = line_rx.try_iter().collect();

    for _ in 0..40 {
        sink.emit(&full(EventKind::Request));
    }
    lines.extend(line_rx.try_iter());
    sink.emit(&full(EventKind::Stop));
    lines.extend(line_rx.try_iter());
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_line_keeps_to_the_table() {
    let schema = schema();
    for line in lines() {
        let line = line.as_object().unwrap();
        let event = line["event"].as_str().unwrap();
        for (name, value) in line {
            let field = schema.get(name).unwrap_or_else(|| panic!("{name} is not in the table"));
            assert!(is_of_type(value, &field.kind), "{name} is {value}, not {}", field.kind);
            assert!(field.allowed.contains(event), "{name} is in a line of {event}");
        }
        for (name, field) in &schema {
            assert!(
                !field.always.contains(event) || line.contains_key(name),
                "{name} is missing in a line of {event}"
            );
        }
        assert_eq!(line.contains_key("error.type"), line.contains_key("error.side"));
    }
}

#[test]
fn every_field_of_the_table_is_emitted_by_every_kind_it_names() {
    let lines = lines();
    for (name, field) in schema() {
        // A loss is told by whatever line comes next; one is enough.
        if name == "events.dropped" {
            assert!(lines.iter().any(|line| line.get(&name).is_some()), "{name}");
            continue;
        }
        for kind in &field.allowed {
            // The version is that of HTTP, which an upgraded connection no longer speaks.
            if name == "network.protocol.version" && kind == "upgrade" {
                continue;
            }
            let emitted =
                lines.iter().any(|line| line["event"] == **kind && line.get(&name).is_some());
            assert!(emitted, "{name} in {kind}");
        }
    }
}

#[test]
fn every_example_is_of_its_type() {
    for (name, field) in schema() {
        assert!(is_of_type(&field.example, &field.kind), "{name}: {}", field.example);
    }
}

#[test]
fn the_page_names_every_kind_end_and_side_and_no_others() {
    let listed = |head| rows(head).iter().map(|row| bare(row[0])).collect::<BTreeSet<_>>();
    assert_eq!(listed("`event` | told"), EventKind::ALL.iter().map(|kind| kind.as_str()).collect());
    assert_eq!(listed("`end` | means"), End::ALL.iter().map(|end| end.as_str()).collect());
    let row = rows("field").into_iter().find(|row| bare(row[0]) == "error.side").unwrap();
    for side in Side::ALL {
        assert!(row[4].contains(&format!("`{}`", side.as_str())));
    }
}

#[test]
fn the_page_names_both_directions() {
    let row = rows("field").into_iter().find(|row| bare(row[0]) == "direction").unwrap();
    for direction in [Direction::ToAgent, Direction::ToPlatform] {
        assert!(row[4].contains(&format!("`{}`", direction.as_str())));
    }
}

#[test]
fn the_page_states_the_longest_value() {
    assert!(PAGE.contains(&format!("A value longer than {MAX_VALUE_BYTES} bytes")));
}

#[test]
fn a_time_is_rfc_3339_with_microseconds() {
    for line in lines() {
        let time = line["time"].as_str().unwrap();
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    }
}
