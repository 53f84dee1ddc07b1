//! Long bodies: where the system can, it moves them itself, and nothing of that is to be seen.

use std::time::Duration;

use pipeway_transport::{ConnectOptions, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::rig::{Length, Rig, Wire, chunked, get, ok, pattern, post, run, run_paused};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// About the lengths at which something changes: what is copied, a read buffer's, a pipe's.
const EDGES: [usize; 10] = [
    64 * KIB - 1,
    64 * KIB,
    64 * KIB + 1,
    80 * KIB,
    128 * KIB,
    512 * KIB - 1,
    512 * KIB,
    512 * KIB + 1,
    MIB + 1,
    3 * MIB + 17,
];

/// The head of a request with a body of so many bytes.
fn post_head(length: usize) -> String {
    format!("POST /up HTTP/1.1\r\nHost: pipe\r\nContent-Length: {length}\r\n\r\n")
}

/// The head of an answer with a body of so many bytes.
fn ok_head(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
}

async fn joined(rig: &mut Rig, head: impl AsRef<[u8]>) -> (Wire, Wire) {
    let client = rig.client_that_sent(head).await;
    let upstream = rig.upstream.accept().await;
    (client, upstream)
}

#[test]
fn bodies_of_known_length_end_where_they_end_and_the_next_message_follows() {
    run(async {
        let mut rig = Rig::start();
        let (mut client, mut upstream) = joined(&mut rig, get("/first")).await;
        upstream.head().await;
        upstream.send(ok("first")).await;
        client.answer().await;
        for length in EDGES {
            let body = pattern(length);
            // Both requests stand right behind each other, and so do both answers.
            let requests = [post_head(length).as_bytes(), &body, get("/next").as_bytes()].concat();
            let answers = [ok_head(length).as_bytes(), &body, ok("next").as_bytes()].concat();
            let up = async {
                let first = upstream.request().await;
                assert!(first.body == body, "{length} bytes up");
                // The next one comes only once this one is answered.
                let (head, rest) = answers.split_at(answers.len() - ok("next").len());
                upstream.send(head).await;
                let next = upstream.request().await;
                assert_eq!(next.head.first, "GET /next HTTP/1.1");
                upstream.send(rest).await;
            };
            let down = async {
                let (mut reads, mut writes) = tokio::io::split(client.stream());
                let mut got = vec![0; length];
                let mut head = vec![0; ok_head(length).len()];
                let read = async {
                    reads.read_exact(&mut head).await.expect("a head");
                    reads.read_exact(&mut got).await.expect("a body");
                };
                let (sent, ()) = tokio::join!(writes.write_all(&requests), read);
                sent.expect("sent");
                assert!(got == body, "{length} bytes down");
            };
            tokio::join!(up, down);
            assert_eq!(client.answer().await.text(), "next");
        }
    });
}

/// Writes `count` pieces.
async fn write_pieces(wire: &mut (impl AsyncWriteExt + Unpin), piece: &[u8], count: usize) {
    for _ in 0..count {
        wire.write_all(piece).await.expect("written");
    }
}

/// Reads as many and compares each.
async fn read_pieces(wire: &mut (impl AsyncReadExt + Unpin), piece: &[u8], count: usize) -> bool {
    let mut got = vec![0; piece.len()];
    let mut same = true;
    for _ in 0..count {
        wire.read_exact(&mut got).await.expect("read");
        same &= got == piece;
    }
    same
}

#[test]
#[cfg_attr(windows, ignore = "slow under Wine: the runtime reads 4 KiB at a time")]
fn a_long_body_passes_each_way_at_once_unchanged_and_is_counted() {
    // Not a multiple of a page's size: a piece that is shifted or repeated is seen.
    let piece = pattern(251 * 4111);
    let count = 64;
    let length = piece.len() * count;
    run(async {
        let mut rig = Rig::start();
        let (mut client, mut upstream) = joined(&mut rig, post_head(length)).await;
        upstream.head().await;
        // The answer comes while the request is still on its way.
        upstream.send(ok_head(length)).await;
        client.head().await;
        let (mut client_reads, mut client_writes) = tokio::io::split(client.into_stream());
        let (mut upstream_reads, mut upstream_writes) = tokio::io::split(upstream.into_stream());
        let ((), (), up, down) = tokio::join!(
            write_pieces(&mut client_writes, &piece, count),
            write_pieces(&mut upstream_writes, &piece, count),
            read_pieces(&mut upstream_reads, &piece, count),
            read_pieces(&mut client_reads, &piece, count),
        );
        assert!(up && down);
        let event = rig.event("request").await;
        assert_eq!(event["end"], "complete", "{event}");
        assert_eq!(event["bytes.received"], length + post_head(length).len(), "{event}");
        assert_eq!(event["bytes.sent"], length + ok_head(length).len(), "{event}");
    });
}

#[test]
fn one_byte_at_a_time_and_then_much_passes_at_once_and_in_order() {
    run(async {
        let mut rig = Rig::start();
        let body = pattern(2 * MIB);
        let (slow, rest) = body.split_at(100);
        let (mut client, mut upstream) = joined(&mut rig, post_head(body.len())).await;
        upstream.head().await;
        for byte in slow {
            client.send([*byte]).await;
            upstream.expect(&[*byte]).await;
        }
        let (got, ()) = tokio::join!(upstream.take(rest.len()), client.send(rest));
        assert!(got == rest, "up");
        upstream.send(ok_head(body.len())).await;
        client.head().await;
        for byte in slow {
            upstream.send([*byte]).await;
            client.expect(&[*byte]).await;
        }
        let (got, ()) = tokio::join!(client.take(rest.len()), upstream.send(rest));
        assert!(got == rest, "down");
    });
}

#[test]
fn chunks_larger_than_any_buffer_pass_with_their_trailers() {
    run(async {
        let mut rig = Rig::start();
        let body = pattern(3 * MIB);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for size in [64 * KIB + 1, 200 * KIB, MIB, 3 * MIB] {
            let mut coded = chunked(&body, size);
            coded.truncate(coded.len() - 2);
            coded.extend(b"X-Sum: 1\r\n\r\n");
            let (mut client, mut upstream) = joined(&mut rig, head).await;
            let (request, ()) = tokio::join!(upstream.request(), client.send(&coded));
            assert!(request.body == body, "chunks of {size} up");
            assert_eq!(request.trailers, [("X-Sum".into(), "1".into())]);
            let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let answer = [answer.as_bytes(), &coded].concat();
            let (answer, ()) = tokio::join!(client.answer(), upstream.send(&answer));
            assert!(answer.body == body, "chunks of {size} down");
            assert_eq!(answer.trailers, [("X-Sum".into(), "1".into())]);
        }
    });
}

#[test]
fn a_chunk_that_breaks_the_limit_is_refused_in_its_middle() {
    run(async {
        let mut rig = Rig::with(|config| config.limits.max_body_bytes = Some(300 * KIB as u64));
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n";
        let (mut client, mut upstream) = joined(&mut rig, head).await;
        let body = pattern(MIB);
        let sent = async {
            // The bridge stops reading at some point.
            let _ = client.stream().write_all(&body).await;
        };
        let (seen, ()) = tokio::join!(upstream.until_end(), sent);
        let start = seen.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
        assert!(seen.len() - start <= 300 * KIB + 8, "{} bytes passed", seen.len() - start);
        client.refusal(413, "body_too_large").await;
    });
}

#[test]
fn a_long_answer_that_ends_with_the_connection_passes_to_an_old_client() {
    run(async {
        let mut rig = Rig::start();
        let body = pattern(5 * MIB + 3);
        let (mut client, mut upstream) = joined(&mut rig, "GET / HTTP/1.0\r\n\r\n").await;
        upstream.head().await;
        let sent = async {
            upstream.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await;
            upstream.send(&body).await;
            drop(upstream);
        };
        let (answer, ()) = tokio::join!(client.answer(), sent);
        assert_eq!(answer.head.length(), None);
        assert!(answer.body == body, "{} bytes came", answer.body.len());
        client.ends().await;
    });
}

#[test]
fn a_long_answer_cut_short_breaks_off() {
    for sent in [100 * KIB, 700 * KIB, 2 * MIB] {
        run(async {
            let mut rig = Rig::start();
            let length = 3 * MIB;
            let (mut client, mut upstream) = joined(&mut rig, get("/")).await;
            upstream.head().await;
            upstream.send(ok_head(length)).await;
            assert_eq!(client.head().await.length(), Some(Length::Bytes(length)));
            let body = pattern(sent);
            let dying = async {
                upstream.send(&body).await;
                drop(upstream);
            };
            let (got, ()) = tokio::join!(client.until_end(), dying);
            assert!(body.starts_with(&got), "{} bytes came", got.len());
            let event = rig.event("request").await;
            assert_eq!(event["end"], "upstream_closed", "{event}");
        });
    }
}

#[test]
fn a_client_that_leaves_within_a_long_body_ends_it_at_the_upstream() {
    run(async {
        let mut rig = Rig::start();
        let (mut client, mut upstream) = joined(&mut rig, post_head(3 * MIB)).await;
        upstream.head().await;
        let body = pattern(MIB);
        let leaving = async {
            client.send(&body).await;
            drop(client);
        };
        let (got, ()) = tokio::join!(upstream.until_end(), leaving);
        assert!(body.starts_with(&got), "{} bytes came", got.len());
        let event = rig.event("request").await;
        assert_eq!(event["end"], "client_closed", "{event}");
    });
}

#[test]
fn an_early_answer_reaches_a_client_within_a_long_body() {
    run(async {
        let mut rig = Rig::start();
        let length = 64 * MIB;
        let (mut client, mut upstream) = joined(&mut rig, post_head(length)).await;
        upstream.head().await;
        let body = pattern(MIB);
        let refusing = async {
            upstream.take(MIB).await;
            upstream
                .send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")
                .await;
            // It reads no more, and is there until its answer was read.
            upstream
        };
        let sending = async {
            let (mut reads, mut writes) = tokio::io::split(client.stream());
            let mut head = [0; 12];
            let write = async {
                for _ in 0..64 {
                    if writes.write_all(&body).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                read = reads.read_exact(&mut head) => drop(read.expect("an answer")),
                () = async { write.await; std::future::pending().await } => {}
            }
            assert_eq!(&head, b"HTTP/1.1 413");
        };
        let (upstream, ()) = tokio::join!(refusing, sending);
        drop(upstream);
        let event = rig.event("request").await;
        assert_eq!(
            (&event["http.response.status_code"], &event["end"]),
            (&413.into(), &"complete".into())
        );
    });
}

#[test]
#[cfg_attr(windows, ignore = "pipes complete elsewhere, so the clock would run ahead of them")]
fn a_long_body_that_stops_coming_or_being_read_is_given_up() {
    run_paused(async {
        let mut rig = Rig::with(|config| config.timeouts.body_idle = Duration::from_secs(20));
        // The client stops sending.
        let (mut client, mut upstream) = joined(&mut rig, post_head(3 * MIB)).await;
        upstream.head().await;
        let body = pattern(MIB);
        let (got, ()) = tokio::join!(upstream.take(MIB), client.send(&body));
        assert!(got == body);
        let stopped = Instant::now();
        client.refusal(408, "body_timeout").await;
        assert_eq!(stopped.elapsed().as_secs(), 20);
        assert_eq!(rig.event("request").await["end"], "timeout");
        // The client stops reading.
        let (client, mut upstream) = joined(&mut rig, get("/")).await;
        upstream.head().await;
        upstream.send(ok_head(8 * MIB)).await;
        let stopped = Instant::now();
        let sent = upstream.try_send(pattern(8 * MIB)).await;
        assert!(sent.is_err(), "nobody read it");
        assert_eq!(stopped.elapsed().as_secs(), 20);
        let event = rig.event("request").await;
        assert_eq!(event["end"], "timeout", "{event}");
        drop(client);
    });
}

#[test]
fn a_long_body_under_way_is_finished_when_the_bridge_is_to_stop() {
    run(async {
        let mut rig = Rig::start();
        let body = pattern(4 * MIB);
        let (mut client, mut upstream) = joined(&mut rig, get("/")).await;
        upstream.head().await;
        upstream.send(ok_head(body.len())).await;
        client.head().await;
        let (first, rest) = body.split_at(MIB);
        let (got, ()) = tokio::join!(client.take(MIB), upstream.send(first));
        assert!(got == first);
        rig.order_stop();
        let (got, ()) = tokio::join!(client.take(rest.len()), upstream.send(rest));
        assert!(got == rest);
        client.ends().await;
        assert_eq!(rig.stopped().await.cut, 0);
    });
}

#[test]
fn more_long_bodies_at_once_than_there_are_pipes_all_pass() {
    run(async {
        pipeway_transport::raise_file_limit();
        let mut rig = Rig::start();
        let body = pattern(2 * MIB);
        let mut pairs = Vec::new();
        for _ in 0..40 {
            let (mut client, mut upstream) = joined(&mut rig, get("/")).await;
            upstream.head().await;
            upstream.send(ok_head(body.len())).await;
            client.head().await;
            pairs.push((client, upstream));
        }
        // Nobody reads yet, so each has something under way.
        let mut sending = tokio::task::JoinSet::new();
        let mut clients = Vec::new();
        for (client, mut upstream) in pairs {
            let body = body.clone();
            sending.spawn(async move { upstream.send(&body).await });
            clients.push(client);
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        for client in &mut clients {
            assert!(client.take(body.len()).await == body);
        }
        while sending.join_next().await.is_some() {}
    });
}

#[test]
fn long_bodies_pass_from_and_to_a_tcp_port() {
    run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let rig = Rig::with(|config| {
            config.upstream = format!("tcp:127.0.0.1:{port}").parse().expect("an endpoint");
        });
        let body = pattern(3 * MIB + 1);
        let mut client = connect(&rig.listen, &ConnectOptions::default())
            .await
            .map(Wire::new)
            .expect("connects");
        client.send(post_head(body.len())).await;
        let (mut upstream, _) = listener.accept().await.expect("accepted");
        let serving = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(upstream.read_u8().await.expect("a head"));
            }
            let mut got = vec![0; body.len()];
            upstream.read_exact(&mut got).await.expect("a body");
            assert!(got == body, "up");
            upstream.write_all(ok_head(body.len()).as_bytes()).await.expect("sent");
            upstream.write_all(&body).await.expect("sent");
        };
        let asking = async {
            client.send(&body).await;
            client.answer().await
        };
        let ((), answer) = tokio::join!(serving, asking);
        assert!(answer.body == body, "down");
        client.send(post("/", "next")).await;
        let mut next = [0; 6];
        upstream.read_exact(&mut next).await.expect("the next one");
        assert_eq!(&next, b"POST /");
    });
}
