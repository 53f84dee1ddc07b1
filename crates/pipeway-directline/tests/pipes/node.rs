//! Node's `net` as a connector and as an agent, as the Bot Framework's JavaScript SDK uses it.

use std::process::Stdio;

use pipeway_directline::pipes::{PairConnectOptions, connect_pair};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::*;

/// Connects both pipes in the order it is told, says `hello` on the one, prints what comes on the
/// other, and bids farewell on both when it is told to.
const CONNECTOR: &str = r#"
const net = require('net');
const [incomingPath, outgoingPath, order] = process.argv.slice(1);
let incoming, outgoing;
const openIncoming = (next) => { incoming = net.createConnection(incomingPath, next); };
const openOutgoing = (next) => {
  outgoing = net.createConnection(outgoingPath, next);
  outgoing.on('data', (data) => console.log('got ' + data));
};
const up = () => incoming.write('hello');
if (order === 'both') { openIncoming(() => {}); openOutgoing(() => {}); up(); }
if (order === 'incoming') { openIncoming(() => openOutgoing(up)); }
if (order === 'outgoing') { openOutgoing(() => openIncoming(up)); }
process.stdin.on('data', () => {
  for (const pipe of [incoming, outgoing]) { pipe.write('end'); pipe.end(); }
});
"#;

/// Listens on `.incoming`, and on `.outgoing` when somebody has connected, or on both at once. Sends
/// back what comes.
const AGENT: &str = r#"
const net = require('net');
const [incomingPath, outgoingPath, order] = process.argv.slice(1);
let outgoing;
const waiting = [];
const send = (data) => { if (outgoing) outgoing.write(data); else waiting.push(data); };
const second = net.createServer((socket) => { outgoing = socket; waiting.splice(0).forEach(send); });
const first = net.createServer((socket) => {
  if (order === 'late') second.listen(outgoingPath);
  socket.on('data', send);
  socket.on('close', () => process.exit(0));
});
first.listen(incomingPath, () => {
  if (order === 'early') second.listen(outgoingPath, () => console.log('ready'));
  else console.log('ready');
});
"#;

fn node(script: &str, place: [&str; 2], order: &str, folder: &std::path::Path) -> Child {
    Command::new("node")
        .args(["-e", script, "--"])
        .args(place)
        .arg(order)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Node is installed")
}

fn lines(child: &mut Child) -> tokio::io::Lines<BufReader<ChildStdout>> {
    BufReader::new(child.stdout.take().unwrap()).lines()
}

/// Names of files, as Node takes them there.
const STEM: &str = r"\\.\pipe\bfv4.pipes";
const NAMES: [&str; 2] = [r"\\.\pipe\bfv4.pipes.incoming", r"\\.\pipe\bfv4.pipes.outgoing"];

#[test]
fn node_connects_in_every_order() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of_stem(&folder.path().join(STEM)).unwrap();
        let mut listener = listen(&place).await;
        for order in ["both", "incoming", "outgoing", "both"] {
            let mut child = node(CONNECTOR, NAMES, order, folder.path());
            let mut said = lines(&mut child);
            let mut agent = listener.accept().await.unwrap();
            let mut hello = [0; 5];
            agent.reader.read_exact(&mut hello).await.unwrap();
            assert_eq!(&hello, b"hello", "{order}");
            agent.writer.write_all(b"answer").await.unwrap();
            assert_eq!(said.next_line().await.unwrap().unwrap(), "got answer", "{order}");
            assert_eq!(agent.peer.pid, child.id());
            // As a driver does: the farewell is read.
            let mut watch = agent.watch;
            let watching = tokio::spawn(async move { watch.closed().await });
            child.stdin.take().unwrap().write_all(b"stop").await.unwrap();
            let mut rest = Vec::new();
            agent.reader.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"end", "{order}");
            drop(agent.reader);
            // Node ends its half only; the rest follows when we close ours.
            drop(agent.writer);
            watching.await.unwrap();
            assert!(within(child.wait()).await.unwrap().success(), "{order}");
        }
    });
}

#[test]
fn a_connector_that_dies_is_noticed_on_both_pipes() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of_stem(&folder.path().join(STEM)).unwrap();
        let mut listener = listen(&place).await;
        let mut child = node(CONNECTOR, NAMES, "both", folder.path());
        let mut agent = listener.accept().await.unwrap();
        agent.reader.read_exact(&mut [0; 5]).await.unwrap();
        child.start_kill().unwrap();
        within(agent.watch.closed()).await;
        assert_eq!(within(agent.reader.read(&mut [0])).await.unwrap_or(0), 0);
    });
}

#[test]
fn agents_of_node_are_connected_early_and_late() {
    run(async {
        for order in ["early", "late"] {
            let folder = tempfile::tempdir().unwrap();
            let mut child = node(AGENT, NAMES, order, folder.path());
            let mut said = lines(&mut child);
            assert_eq!(said.next_line().await.unwrap().unwrap(), "ready");
            let [incoming, outgoing] = NAMES.map(|name| folder.path().join(name));
            let place = Place::of_paths(&incoming, &outgoing).unwrap();
            let options = PairConnectOptions::default();
            let mut connector = connect_pair(&place, &options).await.unwrap();
            connector.writer.write_all(b"echo").await.unwrap();
            let mut back = [0; 4];
            connector.reader.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, b"echo", "{order}");
            drop(connector);
            assert!(within(child.wait()).await.unwrap().success(), "{order}");
        }
    });
}
