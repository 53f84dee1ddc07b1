//! The streams beside the multiplexer: substreams (cases 93 to 95), the queue and the pair (97).
//! Case 96, a WebSocket as bytes, is in `pipeway-transport/tests/websocket_bytes.rs`.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::io::{self, Cursor, ErrorKind};

use futures_util::FutureExt as _;
use pipeway_mux::{SubstreamReader, SubstreamWriter, simplex};
use support::{pattern, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

/// What a substream's writer made of its stream.
async fn written(writes: &[&[u8]]) -> Vec<u8> {
    let mut writer = SubstreamWriter::new(Vec::new());
    for write in writes {
        writer.write_all(write).await.unwrap();
        writer.flush().await.unwrap();
    }
    writer.shutdown().await.unwrap();
    writer.into_inner()
}

#[test]
fn case_93_a_substream_is_chunks_and_an_end_and_the_stream_goes_on() {
    run(async {
        let mut bytes = written(&[&[1, 2, 3], b"abc"]).await;
        assert_eq!(bytes, b"\0\0\0\x03\x01\x02\x03\0\0\0\x03abc\0\0\0\0");
        bytes.push(b'!');
        // In one piece, and a byte at a time.
        for holds in [64, 1] {
            let (mut near, far) = duplex(holds);
            let bytes = bytes.clone();
            let writing = tokio::spawn(async move { near.write_all(&bytes).await });
            let mut reader = SubstreamReader::new(far);
            let mut read = Vec::new();
            reader.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, b"\x01\x02\x03abc");
            assert!(reader.is_ended());
            assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
            assert_eq!(reader.into_inner().read_u8().await.unwrap(), b'!');
            writing.await.unwrap().unwrap();
        }
    });
}

#[test]
fn case_94_what_is_empty_writes_nothing_but_the_end() {
    run(async {
        assert_eq!(written(&[]).await, [0; 4]);
        // An empty write and a flush of nothing are no end.
        assert_eq!(written(&[b"", b"a", b"", b""]).await, b"\0\0\0\x01a\0\0\0\0");
        let mut read = Vec::new();
        let mut reader = SubstreamReader::new(&[0, 0, 0, 0][..]);
        assert_eq!(reader.read_to_end(&mut read).await.unwrap(), 0);
    });
}

#[test]
fn case_95_a_stream_that_ends_inside_a_substream_is_an_error_wherever_it_ends() {
    run(async {
        let whole = written(&[b"abc", b"de"]).await;
        for cut in 0..whole.len() {
            let mut reader = SubstreamReader::new(&whole[..cut]);
            let mut read = Vec::new();
            let first = reader.read_to_end(&mut read).await.unwrap_err();
            let again = reader.read(&mut [0]).await.unwrap_err();
            assert_eq!((first.kind(), again.kind()), (ErrorKind::UnexpectedEof, first.kind()));
            assert!(b"abcde".starts_with(&read) && !reader.is_ended(), "{cut}");
        }
    });
}

#[test]
fn a_chunk_longer_than_others_can_count_is_refused() {
    run(async {
        let mut reader = SubstreamReader::new(&b"\x80\0\0\0abc"[..]);
        for _ in 0..2 {
            let error = reader.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
        let mut reader = SubstreamReader::new(&b"\x7f\xff\xff\xffabc"[..]);
        assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 3);
    });
}

#[test]
fn small_writes_gather_in_a_chunk_and_large_ones_are_cut() {
    run(async {
        let mut writer = SubstreamWriter::new(Vec::new()).with_chunk_bytes(4);
        for write in [&b"a"[..], b"b", b"cdefghijk"] {
            writer.write_all(write).await.unwrap();
        }
        writer.shutdown().await.unwrap();
        writer.shutdown().await.unwrap();
        let error = writer.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        let expected = b"\0\0\0\x04abcd\0\0\0\x04efgh\0\0\0\x03ijk\0\0\0\0";
        assert_eq!(writer.into_inner(), expected);
    });
}

#[test]
fn a_part_of_a_chunk_is_handed_out_before_the_rest_has_come() {
    run(async {
        let (mut near, far) = duplex(64);
        let mut reader = SubstreamReader::new(far);
        near.write_all(b"\0\0\0\x05ab").await.unwrap();
        assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 2);
        assert!(reader.read(&mut [0; 8]).now_or_never().is_none());
        near.write_all(b"cde\0\0").await.unwrap();
        assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 3);
        assert!(reader.read(&mut [0; 8]).now_or_never().is_none());
        near.write_all(b"\0\0").await.unwrap();
        assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

#[test]
fn substreams_follow_each_other_over_a_stream_that_holds_little() {
    run(async {
        for (holds, chunk) in [(1, 3), (7, 4096), (4096, 1), (65_536, 4096)] {
            let (mut near, mut far) = duplex(holds);
            let sent = pattern(20_000);
            let expected = sent.clone();
            let writing = tokio::spawn(async move {
                for part in sent.chunks(9000) {
                    let mut writer = SubstreamWriter::new(&mut near).with_chunk_bytes(chunk);
                    writer.write_all(part).await.unwrap();
                    writer.shutdown().await.unwrap();
                }
            });
            for part in expected.chunks(9000) {
                let mut read = Vec::new();
                SubstreamReader::new(&mut far).read_to_end(&mut read).await.unwrap();
                assert!(read == part, "{holds} {chunk}");
            }
            writing.await.unwrap();
        }
    });
}

#[test]
fn nothing_behind_the_end_of_a_substream_is_taken() {
    run(async {
        let bytes = [&written(&[b"abc"]).await[..], b"rest"].concat();
        let mut reader = SubstreamReader::new(Cursor::new(bytes));
        let mut read = [0; 64];
        assert_eq!(reader.read(&mut read).await.unwrap(), 3);
        assert_eq!(reader.read(&mut read).await.unwrap(), 0);
        assert_eq!(reader.into_inner().position(), 11);
    });
}

#[test]
fn case_97_the_end_of_one_side_of_a_pair_comes_after_the_rest() {
    run(async {
        let (mut near, mut far) = duplex(4);
        near.write_all(b"abcd").await.unwrap();
        // The writer is held by what is not read.
        assert!(near.write(b"e").now_or_never().is_none());
        assert_eq!(far.read(&mut [0; 2]).await.unwrap(), 2);
        assert_eq!(near.write(b"efg").now_or_never().unwrap().unwrap(), 2);
        near.shutdown().await.unwrap();
        let mut rest = String::new();
        far.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "cdef");
        // The other direction goes on.
        far.write_all(b"yes").await.unwrap();
        drop(far);
        let mut rest = String::new();
        near.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "yes");
    });
}

#[test]
fn case_97_an_error_comes_after_the_last_byte_and_the_first_end_counts() {
    run(async {
        let (mut writer, mut reader) = simplex(8);
        writer.write_all(b"last").await.unwrap();
        writer.fail(&io::Error::new(ErrorKind::TimedOut, "too late"));
        writer.fail(&io::Error::other("later still"));
        writer.shutdown().await.unwrap();
        assert_eq!(writer.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut read = Vec::new();
        let first = reader.read_to_end(&mut read).await.unwrap_err();
        let again = reader.read(&mut [0]).await.unwrap_err();
        assert_eq!(read, b"last");
        for error in [first, again] {
            assert_eq!((error.kind(), error.to_string()), (ErrorKind::TimedOut, "too late".into()));
        }
    });
}

#[test]
fn a_queue_ends_after_the_rest_and_an_end_is_no_error() {
    run(async {
        let (mut writer, mut reader) = simplex(8);
        writer.write_all(b"all").await.unwrap();
        writer.shutdown().await.unwrap();
        writer.fail(&io::Error::other("not any more"));
        let mut read = String::new();
        reader.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "all");
    });
}

#[test]
fn a_queue_holds_its_writer_and_hides_nothing() {
    run(async {
        let (mut writer, mut reader) = simplex(4);
        assert_eq!(writer.write(b"abcdef").await.unwrap(), 4);
        assert!(writer.write(b"ef").now_or_never().is_none());
        // Without a flush.
        assert_eq!(reader.read(&mut [0; 1]).now_or_never().unwrap().unwrap(), 1);
        assert_eq!(writer.write(b"ef").now_or_never().unwrap().unwrap(), 1);
        assert_eq!(reader.read(&mut []).now_or_never().unwrap().unwrap(), 0);
    });
}

#[test]
fn a_dropped_end_of_a_queue_is_seen_by_the_one_that_waits() {
    run(async {
        let (mut writer, mut reader) = simplex(4);
        writer.write_all(b"abcd").await.unwrap();
        let waiting = tokio::spawn(async move { writer.write(b"e").await });
        tokio::task::yield_now().await;
        reader.read_exact(&mut [0; 0]).await.unwrap();
        drop(reader);
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);

        let (writer, mut reader) = simplex(4);
        let waiting = tokio::spawn(async move { reader.read(&mut [0; 4]).await });
        tokio::task::yield_now().await;
        drop(writer);
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    });
}
