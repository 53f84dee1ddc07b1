//! FIFOs.
#![cfg(unix)] // No other system has them.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::time::Duration;

use pipeway_transport::child::{FifoReader, FifoWriter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs a test with a deadline.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ended =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), test).await });
    ended.expect("the test ends in time");
}

#[test]
fn a_fifo_is_its_owners_alone_and_never_replaces_anything() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let _reader = FifoReader::make(&path).unwrap();
        let metadata = std::fs::symlink_metadata(&path).unwrap();
        assert!(metadata.file_type().is_fifo());
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
        let again = FifoWriter::make(&path).unwrap_err();
        assert_eq!(again.kind(), std::io::ErrorKind::AlreadyExists);
    });
}

#[test]
fn a_reader_survives_each_of_its_writers() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let mut reader = FifoReader::make(&path).unwrap();
        for text in ["one", "two"] {
            std::fs::write(&path, text).unwrap();
            let mut read = [0; 3];
            reader.read_exact(&mut read).await.unwrap();
            assert_eq!(read, text.as_bytes());
        }
    });
}

#[test]
fn dropping_a_writer_is_the_end_for_its_reader() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        let mut writer = FifoWriter::make(&path).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        writer.write_all(b"all of it").await.unwrap();
        drop(writer);
        assert_eq!(std::io::read_to_string(file).unwrap(), "all of it");
    });
}
