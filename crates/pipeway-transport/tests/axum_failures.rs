//! A listener that can't accept for want of files goes on once there are some. In a program of its
//! own, since it takes all files that the process may have.

#![cfg(all(unix, feature = "axum"))]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::serve::Listener as _;
use pipeway_transport::ErrorKind;
use pipeway_transport::axum::ServeListener;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{listen, patient, run, unique};

#[test]
fn a_listener_without_files_says_so_waits_and_goes_on() {
    run(async {
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: most }).unwrap();

        let endpoint = unique();
        let failures = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&failures);
        let mut listener = ServeListener::new(listen(&endpoint), move |error| {
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.os_error().is_some(), "{error:?}");
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let client = pipeway_transport::connect(&endpoint, &patient()).await.unwrap();
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
        }

        let accepting = tokio::spawn(async move { listener.accept().await });
        // Pauses of 5, 10 and 20 ms lie between them, in which nothing is tried.
        while failures.load(Ordering::Relaxed) < 4 {
            assert!(!accepting.is_finished());
            tokio::task::yield_now().await;
        }
        drop(files);
        accepting.await.unwrap();
        // The next pauses are of 40 and more: a loop without them would have counted thousands.
        assert!(failures.load(Ordering::Relaxed) < 12, "{failures:?}");
        drop(client);
    });
}
