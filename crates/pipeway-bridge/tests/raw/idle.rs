//! What is left of a raw session, and what an idle one does.

use std::time::Duration;

use tokio::time::timeout;

use crate::rig::{pattern, run, run_paused};
use crate::{joined, raw};

#[test]
fn bytes_that_the_system_holds_for_a_reader_that_has_gone_are_no_ones() {
    run(async {
        let mut rig = raw();
        let (mut client, mut upstream) = joined(&mut rig).await;
        let write = async { while upstream.try_send(&[b'x'; 65536]).await.is_ok() {} };
        // The reader goes in the middle of a long transfer.
        let read = async move { client.take(8 << 20).await.len() };
        let ((), taken) = tokio::join!(write, read);
        assert_eq!(taken, 8 << 20);
        let event = rig.event("session").await;
        assert_eq!(event["end"], "client_closed", "{event}");
        // What lay in the pipe then is nobody else's.
        let (mut client, mut upstream) = joined(&mut rig).await;
        let piece = pattern(4 << 20);
        let (got, ()) = tokio::join!(client.take(piece.len()), upstream.send(&piece));
        assert!(got == piece);
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn an_idle_raw_session_wakes_for_nothing() {
    run_paused(async {
        let mut rig = raw();
        let (mut client, _upstream) = joined(&mut rig).await;
        // A year of idleness. A timer of one second would need thirty million wakings, and this
        // test has a minute.
        let year = timeout(Duration::from_secs(365 * 24 * 3600), client.take(1)).await;
        assert!(year.is_err());
    });
}
