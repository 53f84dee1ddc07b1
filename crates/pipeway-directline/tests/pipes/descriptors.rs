//! What a hundred sessions leave open: nothing. Alone in its program, for what others open counts too.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use pipeway_directline::pipes::{
    PairConnectOptions, PairListenOptions, PairListener, Place, connect_pair,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn a_hundred_sessions_leave_no_descriptor_open() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::in_folder(folder.path(), &"a".parse().unwrap()).unwrap();
    let mut listener = PairListener::bind(&place, &PairListenOptions::default()).await.unwrap();
    let before = open_descriptors();
    for round in 0..100 {
        let options = PairConnectOptions::default();
        let (agent, connector) = tokio::join!(listener.accept(), connect_pair(&place, &options));
        let (mut agent, mut connector) = (agent.unwrap(), connector.unwrap());
        if round % 2 == 0 {
            // A half-closed pipe has a watch with a descriptor of its own.
            connector.writer.shutdown().await.unwrap();
            assert_eq!(agent.reader.read(&mut [0]).await.unwrap(), 0);
        }
        drop(connector);
        agent.watch.closed().await;
    }
    assert_eq!(open_descriptors(), before);
}
