//! What waits unread in the system for a peer that is known, and for one that is not.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use pipeway_directline::{Connection, Limits, StreamHeads};
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::task::yield_now;

use crate::wire::{Wire, get, id};
use crate::{Agent, run};

/// Half of what the flawed peers read at once, in bytes: one that is interrupted finds as much again.
const READ: usize = 32 * 1024;

/// An id as ends of this crate mark those of their requests.
fn marked() -> String {
    let now = std::time::Instant::now();
    let mut other = Connection::new(Limits::connector(), now).unwrap();
    other.send_request("GET", "/", &StreamHeads::default(), None, now).unwrap().0.to_string()
}

/// How many bytes of an answer wait for who has asked for it and reads nothing.
async fn unread(request: &str) -> usize {
    let agent = Agent::start();
    let mut wire = Wire::connect(&agent.place).await;
    wire.send(get(request, "/bytes/3000000")).await;
    let mut most = 0;
    let mut space = vec![0; 1 << 20];
    loop {
        // The agent writes what it can. While the bytes are counted it does not run.
        for _ in 0..100 {
            yield_now().await;
        }
        let waits = poll_fn(|cx| {
            let mut room = ReadBuf::new(&mut space);
            loop {
                let before = room.filled().len();
                let polled = Pin::new(&mut wire.reads).poll_read(cx, &mut room);
                if polled.is_pending() || room.filled().len() == before {
                    return Poll::Ready(before);
                }
            }
        })
        .await;
        if waits == 0 && most > 0 {
            return most;
        }
        most = most.max(waits);
    }
}

#[test]
fn little_waits_unread_unless_the_peer_is_known() {
    run(async {
        let (unknown, known) = (unread(&id(1)).await, unread(&marked()).await);
        assert!(unknown < READ && known > READ, "{unknown} and {known}");
    });
}
