//! Requests and answers on their ordinary ways.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rig::{Length, Rig, chunked, get, ok, pattern, post, run};

#[test]
fn a_get_is_answered() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/a?b=c")).await;
        let mut upstream = rig.upstream.accept().await;
        assert_eq!(upstream.request().await.head.first, "GET /a?b=c HTTP/1.1");
        upstream.send("HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello").await;
        let answer = client.answer().await;
        assert_eq!(answer.head.first, "HTTP/1.1 200 Fine");
        assert_eq!(answer.head.get("x-a"), Some("b"));
        assert_eq!(answer.text(), "hello");
    });
}

#[test]
fn a_post_carries_its_body() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(post("/", "question")).await;
        let mut upstream = rig.upstream.accept().await;
        let request = upstream.request().await;
        assert_eq!(request.head.first, "POST / HTTP/1.1");
        assert_eq!(request.head.length(), Some(Length::Bytes(8)));
        assert_eq!(request.text(), "question");
        upstream.send(ok("answer")).await;
        assert_eq!(client.answer().await.text(), "answer");
    });
}

#[test]
fn an_unknown_method_passes() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent("M-SEARCH /x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        assert_eq!(upstream.request().await.head.first, "M-SEARCH /x HTTP/1.1");
        upstream.send(ok("")).await;
        assert_eq!(client.answer().await.head.status(), 200);
    });
}

#[test]
fn an_empty_body_of_known_length_stays_so() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(post("/", "")).await;
        let mut upstream = rig.upstream.accept().await;
        assert_eq!(upstream.request().await.head.length(), Some(Length::Bytes(0)));
        upstream.send(ok("")).await;
        assert_eq!(client.answer().await.head.length(), Some(Length::Bytes(0)));
    });
}

#[test]
fn answers_without_a_body_keep_the_length_they_tell() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send("HEAD /big HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 123456\r\n\r\n").await;
        let head = client.head().await;
        assert_eq!(head.get("content-length"), Some("123456"));

        client.send("HEAD /chunked HTTP/1.1\r\nHost: a\r\n\r\n").await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 200);

        client.send(get("/cached")).await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"e\"\r\n\r\n")
            .await;
        let head = client.head().await;
        assert_eq!((head.status(), head.get("etag")), (304, Some("\"e\"")));

        client.send("DELETE /it HTTP/1.1\r\nHost: a\r\n\r\n").await;
        upstream.head().await;
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n").await;
        let head = client.head().await;
        assert_eq!((head.status(), head.length()), (204, None));

        // Had any of them been given a body, it would stand here.
        client.send(get("/last")).await;
        upstream.head().await;
        upstream.send(ok("last")).await;
        assert_eq!(client.answer().await.text(), "last");
    });
}

#[test]
fn one_upstream_connection_serves_a_clients_connection() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send(get("/0")).await;
        let mut upstream = rig.upstream.accept().await;
        for round in 0..5 {
            let path = format!("/{round}");
            if round > 0 {
                client.send(get(&path)).await;
            }
            assert_eq!(upstream.request().await.head.first, format!("GET {path} HTTP/1.1"));
            upstream.send(ok(&path)).await;
            assert_eq!(client.answer().await.text(), path);
        }
    });
}

#[test]
fn nothing_is_dialled_before_the_first_request() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
        let mut other = rig.client_that_sent(get("/other")).await;
        let mut first = rig.upstream.accept().await;
        assert_eq!(first.request().await.head.first, "GET /other HTTP/1.1");
        first.send(ok("other")).await;
        assert_eq!(other.answer().await.text(), "other");
        client.send("\r\n").await;
        let mut second = rig.upstream.accept().await;
        assert_eq!(second.request().await.head.first, "GET / HTTP/1.1");
    });
}

#[test]
fn two_clients_do_not_share_an_upstream_connection() {
    run(async {
        let mut rig = Rig::start();
        let mut one = rig.client_that_sent(get("/1")).await;
        let mut for_one = rig.upstream.accept().await;
        let mut two = rig.client_that_sent(get("/2")).await;
        let mut for_two = rig.upstream.accept().await;
        assert_eq!(for_one.request().await.head.first, "GET /1 HTTP/1.1");
        assert_eq!(for_two.request().await.head.first, "GET /2 HTTP/1.1");
        for_two.send(ok("2")).await;
        assert_eq!(two.answer().await.text(), "2");
        for_one.send(ok("1")).await;
        assert_eq!(one.answer().await.text(), "1");
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let mut rig = Rig::start();
        let requests = [get("/1"), post("/2", "two"), get("/3")].concat();
        let mut client = rig.client_that_sent(requests).await;
        let mut upstream = rig.upstream.accept().await;
        for (path, body) in [("/1", ""), ("/2", "two"), ("/3", "")] {
            let request = upstream.request().await;
            assert_eq!(request.head.first.split(' ').nth(1), Some(path));
            assert_eq!(request.text(), body);
            upstream.send(ok(path)).await;
        }
        for path in ["/1", "/2", "/3"] {
            assert_eq!(client.answer().await.text(), path);
        }
    });
}

#[test]
fn empty_lines_before_a_request_are_skipped() {
    run(async {
        let mut rig = Rig::start();
        let mut client =
            rig.client_that_sent(format!("\r\n{}\r\n\r\n{}", get("/1"), get("/2"))).await;
        let mut upstream = rig.upstream.accept().await;
        for path in ["/1", "/2"] {
            assert_eq!(upstream.request().await.head.first, format!("GET {path} HTTP/1.1"));
            upstream.send(ok(path)).await;
            assert_eq!(client.answer().await.text(), path);
        }
    });
}

#[test]
fn chunked_bodies_pass_both_ways_with_their_trailers() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client
            .send(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                 5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n",
            )
            .await;
        let mut upstream = rig.upstream.accept().await;
        let request = upstream.request().await;
        assert_eq!(request.head.length(), Some(Length::Chunks));
        assert_eq!(request.text(), "hello world");
        assert_eq!(request.trailers, [("X-Sum".to_owned(), "11".to_owned())]);
        upstream
            .send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n\
                 A\r\n0123456789\r\n001\r\n!\r\n0\r\nX-End: yes\r\nX-More: also\r\n\r\n",
            )
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.text(), "0123456789!");
        let names: Vec<_> = answer.trailers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["X-End", "X-More"]);
    });
}

#[test]
fn chunk_extensions_change_nothing() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client
            .send(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5;name=value\r\nhello\r\n0;last\r\n\r\n",
            )
            .await;
        let mut upstream = rig.upstream.accept().await;
        assert_eq!(upstream.request().await.text(), "hello");
    });
}

#[test]
fn bytes_that_arrive_one_at_a_time_make_the_same_messages() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client
            .send_slowly(
                "POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n\
                 5\r\nhello\r\n0\r\nX-T: t\r\n\r\n",
            )
            .await;
        let mut upstream = rig.upstream.accept().await;
        let request = upstream.request().await;
        assert_eq!(request.head.first, "POST /slow HTTP/1.1");
        assert_eq!(request.head.get("x-a"), Some("b"));
        assert_eq!((request.text(), request.trailers.len()), ("hello", 1));
        upstream
            .send_slowly(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: t\r\n\r\n",
            )
            .await;
        let mut answer = client.answer().await;
        if answer.head.status() == 100 {
            answer = client.answer().await;
        }
        assert_eq!((answer.text(), answer.trailers.len()), ("abcde", 1));

        client.send_slowly(post("/again", "12345")).await;
        assert_eq!(upstream.request().await.text(), "12345");
        upstream.send_slowly(ok("67890")).await;
        assert_eq!(client.answer().await.text(), "67890");
    });
}

#[test]
fn large_bodies_pass_unchanged() {
    run(async {
        let mut rig = Rig::start();
        let body = pattern(3 * 1024 * 1024 + 17);
        for coded in [false, true] {
            let framing = |length: usize| match coded {
                true => "Transfer-Encoding: chunked\r\n\r\n".to_owned(),
                false => format!("Content-Length: {length}\r\n\r\n"),
            };
            let payload = if coded { chunked(&body, 100_003) } else { body.clone() };
            let mut client = rig.client().await;
            client.send(format!("PUT /big HTTP/1.1\r\nHost: a\r\n{}", framing(body.len()))).await;
            let mut upstream = rig.upstream.accept().await;
            let (request, ()) = tokio::join!(upstream.request(), client.send(&payload));
            assert!(request.body == body, "the request's body, coded: {coded}");
            upstream.send(format!("HTTP/1.1 200 OK\r\n{}", framing(body.len()))).await;
            let (answer, ()) = tokio::join!(client.answer(), upstream.send(&payload));
            assert!(answer.body == body, "the answer's body, coded: {coded}");
        }
    });
}

#[test]
fn both_directions_flow_at_once() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        assert_eq!(client.head().await.status(), 200);
        // Each piece goes up only after the one before has come back.
        for round in 0..20 {
            let piece = format!("6\r\nr{round:05}\r\n");
            client.send(&piece).await;
            upstream.expect(&piece).await;
            upstream.send(&piece).await;
            client.expect(&piece).await;
        }
        client.send("0\r\n\r\n").await;
        upstream.expect("0\r\n\r\n").await;
        upstream.send("0\r\n\r\n").await;
        client.expect("0\r\n\r\n").await;
        // And the connection goes on.
        client.send(get("/next")).await;
        assert_eq!(upstream.request().await.head.first, "GET /next HTTP/1.1");
    });
}

#[test]
fn an_echo_of_megabytes_does_not_lock_up() {
    run(async {
        let mut rig = Rig::start();
        let body = pattern(4 * 1024 * 1024);
        let mut client = rig.client().await;
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        client.send(head).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        client.head().await;
        let (mut reads, mut writes) = tokio::io::split(client.into_stream());
        let (mut from, mut to) = tokio::io::split(upstream.into_stream());
        let echo = async { tokio::io::copy(&mut (&mut from).take(4 * 1024 * 1024), &mut to).await };
        let mut back = vec![0; body.len()];
        let (sent, echoed, read) =
            tokio::join!(writes.write_all(&body), echo, reads.read_exact(&mut back));
        sent.expect("sent");
        assert_eq!(echoed.expect("echoed"), 4 * 1024 * 1024);
        read.expect("read");
        assert!(back == body);
    });
}

#[test]
fn each_piece_of_an_event_stream_is_passed_on_at_once() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/events")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream
            .send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                 Transfer-Encoding: chunked\r\n\r\n",
            )
            .await;
        assert_eq!(client.head().await.get("content-type"), Some("text/event-stream"));
        for round in 0..5 {
            let event = format!("data: {round}\n\n");
            upstream.send(format!("{:x}\r\n{event}\r\n", event.len())).await;
            client.expect(&format!("{:x}\r\n{event}\r\n", event.len())).await;
        }
    });
}

#[test]
fn a_stream_that_only_the_close_ends_is_passed_on_at_once() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/lines")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n\r\n").await;
        let head = client.head().await;
        let is_chunked = head.length() == Some(Length::Chunks);
        for line in ["{\"a\":1}\n", "{\"b\":22}\n"] {
            upstream.send(line).await;
            let expected = if is_chunked {
                format!("{:x}\r\n{line}\r\n", line.len())
            } else {
                line.to_owned()
            };
            client.expect(&expected).await;
        }
        drop(upstream);
        if is_chunked {
            client.expect("0\r\n\r\n").await;
            client.send(get("/next")).await;
            let mut upstream = rig.upstream.accept().await;
            assert_eq!(upstream.request().await.head.first, "GET /next HTTP/1.1");
        } else {
            assert!(head.closes());
            client.ends().await;
        }
    });
}

#[test]
fn a_request_body_without_end_reaches_the_upstream_piece_by_piece() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.expect("ab").await;
        client.send("cd").await;
        upstream.expect("cd").await;
        client.send("ef").await;
        upstream.expect("ef").await;
        upstream.send(ok("")).await;
        assert_eq!(client.answer().await.head.status(), 200);
    });
}

#[test]
fn an_answer_before_the_requests_end_reaches_the_client() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nbegin").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream
            .send("HTTP/1.1 413 Too Big\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
            .await;
        drop(upstream);
        let answer = client.answer().await;
        assert_eq!((answer.head.status(), answer.text()), (413, "big"));
    });
}

#[test]
fn an_early_answer_of_a_living_upstream_lets_the_upload_finish_or_closes() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.expect("12345").await;
        upstream.send(ok("early")).await;
        let answer = client.answer().await;
        assert_eq!(answer.text(), "early");
        let more = client.try_send(format!("67890{}", get("/2"))).await;
        if answer.head.closes() {
            client.ends().await;
            return;
        }
        // The rest of the body is never taken for a request.
        more.expect("the connection is open");
        upstream.expect("67890").await;
        assert_eq!(upstream.request().await.head.first, "GET /2 HTTP/1.1");
        upstream.send(ok("two")).await;
        assert_eq!(client.answer().await.text(), "two");
    });
}

#[test]
fn a_continue_comes_from_the_upstream_alone() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
            .await;
        let mut upstream = rig.upstream.accept().await;
        let head = upstream.head().await;
        assert_eq!(head.get("expect"), Some("100-continue"));
        upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(client.answer().await.head.status(), 100);
        client.send("body").await;
        upstream.expect("body").await;
        upstream.send(ok("done")).await;
        assert_eq!(client.answer().await.text(), "done");
        client.send(get("/2")).await;
        assert_eq!(upstream.request().await.head.first, "GET /2 HTTP/1.1");
    });
}

#[test]
fn a_final_answer_in_place_of_a_continue_stands_alone() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client
            .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
            .await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno").await;
        let answer = client.answer().await;
        assert_eq!((answer.head.status(), answer.text()), (401, "no"));
        // Nobody can know whether the next bytes are the body, so they are never a request.
        let _ = client.try_send(get("/smuggled")).await;
        drop(client);
        let seen = String::from_utf8_lossy(&upstream.until_end().await).into_owned();
        assert!(!seen.contains("HTTP/1.1"), "a request was made of it: {seen}");
        drop(upstream);
        rig.upstream_saw_nothing().await;
    });
}

#[test]
fn a_client_that_does_not_wait_for_its_continue_is_served() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client
            .send(
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody",
            )
            .await;
        let mut upstream = rig.upstream.accept().await;
        assert_eq!(upstream.request().await.text(), "body");
        upstream.send(ok("done")).await;
        assert_eq!(client.answer().await.text(), "done");
    });
}

#[test]
fn early_hints_are_passed_before_the_answer() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n").await;
        let hints = client.answer().await;
        assert_eq!((hints.head.status(), hints.head.get("link")), (103, Some("</a.css>")));
        upstream.send(ok("page")).await;
        assert_eq!(client.answer().await.text(), "page");
    });
}

#[test]
fn an_answer_whose_end_is_the_connections_end_is_whole() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
        drop(upstream);
        assert_eq!(client.answer().await.text(), "until the end");
    });
}

#[test]
fn a_client_that_says_close_is_answered_and_closed() {
    run(async {
        let mut rig = Rig::start();
        let mut client =
            rig.client_that_sent("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(ok("bye")).await;
        let answer = client.answer().await;
        assert_eq!(answer.text(), "bye");
        assert!(answer.head.closes());
        client.ends().await;
        upstream.ends().await;
    });
}

#[test]
fn an_upstream_that_closes_after_its_answer_costs_the_client_nothing() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        for said in [true, false, true, false] {
            client.send(get("/")).await;
            let mut upstream = rig.upstream.accept().await;
            upstream.head().await;
            let word = if said { "Connection: close\r\n" } else { "" };
            upstream.send(format!("HTTP/1.1 200 OK\r\n{word}Content-Length: 2\r\n\r\nok")).await;
            drop(upstream);
            let answer = client.answer().await;
            assert_eq!(answer.text(), "ok");
            assert!(!answer.head.closes());
        }
    });
}

#[test]
fn an_upstream_that_closed_while_idle_is_dialled_again_and_a_post_goes_out_once() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/1")).await;
        let mut first = rig.upstream.accept().await;
        first.head().await;
        first.send(ok("one")).await;
        assert_eq!(client.answer().await.text(), "one");
        drop(first);
        client.send(post("/2", "once")).await;
        let mut second = rig.upstream.accept().await;
        assert_eq!(second.request().await.text(), "once");
        second.send(ok("two")).await;
        assert_eq!(client.answer().await.text(), "two");
    });
}

#[test]
fn a_request_that_the_upstream_read_and_dropped_is_not_sent_again() {
    run(async {
        for request in [post("/pay", "once"), get("/1")] {
            for answered_before in [false, true] {
                let mut rig = Rig::start();
                let mut client = rig.client().await;
                if answered_before {
                    client.send(get("/0")).await;
                } else {
                    client.send(&request).await;
                }
                let mut upstream = rig.upstream.accept().await;
                if answered_before {
                    upstream.head().await;
                    upstream.send(ok("")).await;
                    client.answer().await;
                    client.send(&request).await;
                }
                upstream.request().await;
                drop(upstream);
                client.refusal(502, "upstream_closed").await;
                rig.upstream_saw_nothing().await;
            }
        }
    });
}

#[test]
fn a_client_that_ends_its_half_after_the_request_is_answered() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/")).await;
        if !client.stream().can_half_close() {
            return;
        }
        client.end_sending().await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nans").await;
        client.head().await;
        client.expect("ans").await;
        upstream.send("wer").await;
        client.expect("wer").await;
        client.ends().await;
    });
}

#[test]
fn an_absolute_target_becomes_a_path() {
    run(async {
        let mut rig = Rig::with(|config| config.policy.host = pipeway_bridge::HostRule::Preserve);
        let cases = [
            ("http://example.org/a?b", "/a?b", "example.org"),
            ("http://example.org:81", "/", "example.org:81"),
            ("HTTP://[::1]:81/a", "/a", "[::1]:81"),
        ];
        for (target, path, host) in cases {
            let mut client =
                rig.client_that_sent(format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n")).await;
            let mut upstream = rig.upstream.accept().await;
            let head = upstream.head().await;
            assert_eq!(head.first, format!("GET {path} HTTP/1.1"));
            // The target's authority stands above the header (RFC 9112, 3.2.2).
            assert_eq!(head.get("host"), Some(host));
            upstream.send(ok("")).await;
            client.answer().await;
        }
    });
}

#[test]
fn options_of_the_whole_server_pass() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        assert_eq!(upstream.head().await.first, "OPTIONS * HTTP/1.1");
        upstream.send("HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n").await;
        assert_eq!(client.answer().await.head.get("allow"), Some("GET"));
    });
}

#[test]
fn a_status_line_without_a_reason_passes() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(client.answer().await.head.status(), 299);
    });
}

#[test]
fn a_client_that_sends_everything_before_it_reads_gets_an_early_answer() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno").await;
        drop(upstream);
        client.send(pattern(5_000_000)).await;
        let answer = client.answer().await;
        assert_eq!((answer.head.status(), answer.text()), (403, "no"));
    });
}

#[test]
fn a_client_that_sends_everything_before_it_reads_gets_its_refusal() {
    run(async {
        let mut rig = Rig::with(|config| {
            config.policy.methods = vec!["GET".into(), "PUT".into()];
            config.limits.max_body_bytes = Some(1000);
        });
        for (method, status, kind) in
            [("POST", 405, "method_not_allowed"), ("PUT", 413, "body_too_large")]
        {
            let mut client = rig.client().await;
            client
                .send(format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n"))
                .await;
            client.send(pattern(5_000_000)).await;
            client.refusal(status, kind).await;
        }
        rig.upstream_saw_nothing().await;
    });
}

#[test]
#[cfg_attr(windows, ignore = "a byte-type pipe has no half-close")]
fn all_requests_that_were_sent_before_the_client_ended_its_sending_are_answered() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client().await;
        client.send(get("/one") + &get("/two") + &get("/three")).await;
        client.end_sending().await;
        let mut upstream = rig.upstream.accept().await;
        for (path, is_last) in [("/one", false), ("/two", false), ("/three", true)] {
            let request = upstream.request().await;
            assert_eq!(request.head.first, format!("GET {path} HTTP/1.1"));
            upstream.send(ok(path)).await;
            let answer = client.answer().await;
            assert_eq!(answer.body, path.as_bytes());
            assert_eq!(answer.head.closes(), is_last, "{path}");
        }
        client.ends().await;
    });
}
