//! A link that this process holds, with the built program as its guest.

use std::future::Future;
use std::time::Duration;

use pipeway_transport::link::{Link, LinkConfig, LinkDown, LinkState, LinkUp, LinkWatch, Opening};
use pipeway_transport::{ConnectOptions, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

pub use crate::harness::WATCHDOG;

/// The built program.
pub const PIPEWAY: &str = env!("CARGO_BIN_EXE_pipeway");

/// Runs `test` on one thread, as the program does, with a watchdog.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(2 * WATCHDOG, test).await.expect("the test hangs") });
    // Nothing that reads for ever keeps the test.
    runtime.shutdown_background();
}

/// The text of a link whose guest is this command.
pub fn command(words: &[&str]) -> String {
    format!("command:{}", serde_json::to_string(words).unwrap())
}

/// A link whose guest is this command, for these openings; quick in everything.
pub fn config(words: &[&str], openings: &[Opening]) -> LinkConfig {
    let mut config = LinkConfig::new("test", command(words).parse().unwrap());
    config.openings = openings.to_vec();
    config.retry_first = Duration::from_millis(20);
    config.retry_most = Duration::from_millis(100);
    config
}

/// A link to the built program, up.
pub async fn link(openings: &[Opening]) -> (Link, LinkWatch) {
    started(config(&[PIPEWAY, "guest"], openings)).await
}

pub async fn started(config: LinkConfig) -> (Link, LinkWatch) {
    let link = Link::start(config).unwrap();
    let mut watch = link.watch();
    until_up(&mut watch).await;
    (link, watch)
}

/// Waits until the link is up.
pub async fn until_up(watch: &mut LinkWatch) -> LinkUp {
    loop {
        if let LinkState::Up(up) = watch.next().await.expect("the link is not stopped") {
            return up;
        }
    }
}

/// Waits until the link is down.
pub async fn until_down(watch: &mut LinkWatch) -> LinkDown {
    loop {
        if let LinkState::Down(down) = watch.next().await.expect("the link is not stopped") {
            return down;
        }
    }
}

/// A service on a loopback port, and what leads to it.
pub async fn service() -> (TcpListener, Opening) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let opening = opening(&format!("tcp:{}", listener.local_addr().unwrap()));
    (listener, opening)
}

pub fn opening(endpoint: &str) -> Opening {
    Opening::new(&endpoint.parse().unwrap(), &ConnectOptions::default()).unwrap()
}

/// A session: the stream, and the service's end of its connection.
pub async fn session(
    link: &Link,
    listener: &TcpListener,
    opening: &Opening,
) -> (Stream, TcpStream) {
    let (stream, accepted) = tokio::join!(link.connect(opening), listener.accept());
    (stream.unwrap(), accepted.unwrap().0)
}

/// The processes that this one, or process `pid`, has started and that run.
pub fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task");
    let threads = std::fs::read_dir(path).unwrap().map_while(Result::ok);
    let lists = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")));
    let mut children = Vec::new();
    for list in lists.map_while(Result::ok) {
        children.extend(list.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
    }
    children
}

/// The guest whose command line has `mark` in it, among this process's children.
pub fn guest_with(mark: &str) -> u32 {
    let is_it = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(mark)
    };
    let found: Vec<u32> = children(std::process::id()).into_iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "guests with {mark}: {found:?}");
    found[0]
}

/// A link to the built program whose process can be told from the other tests'.
pub async fn marked(openings: &[Opening]) -> (Link, LinkWatch, u32) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // An endpoint that nobody opens marks the command line; each test has its own.
    let mark = format!("local:mark-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut words =
        vec![PIPEWAY.to_owned(), "guest".to_owned(), "--allow".to_owned(), mark.clone()];
    for opening in openings {
        words.extend(["--allow".to_owned(), opening.endpoint().to_string()]);
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (link, watch) = started(config(&words, openings)).await;
    let pid = guest_with(&format!("{mark}\0"));
    (link, watch, pid)
}
