//! Peers of HTTP/1.0.

use crate::rig::{Rig, get, ok, run};

#[test]
fn an_answer_of_http_1_0_is_passed_on_as_1_1() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent(get("/")).await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold").await;
        drop(upstream);
        // The rig's `status` asks for 1.1.
        assert_eq!(client.answer().await.text(), "old");
        client.send(get("/2")).await;
        rig.upstream.accept().await.head().await;
    });
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks_and_a_close() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent("GET /old HTTP/1.0\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        let head = upstream.head().await;
        assert_eq!(head.first, "GET /old HTTP/1.1");
        assert_eq!(head.get("host"), Some("localhost"));
        upstream
            .send(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n3\r\ndef\r\n0\r\nX-T: t\r\n\r\n",
            )
            .await;
        let answer = client.until_end().await;
        let text = String::from_utf8(answer).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
        assert_eq!(body, "abcdef");
    });
}

#[test]
fn a_client_of_http_1_0_that_asks_to_stay_is_kept_where_the_length_is_known() {
    run(async {
        let mut rig = Rig::start();
        let mut client =
            rig.client_that_sent("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream.send(ok("one")).await;
        let head = client.head().await;
        assert_eq!(
            head.get("connection").map(str::to_ascii_lowercase).as_deref(),
            Some("keep-alive")
        );
        client.expect("one").await;
        client.send("GET /2 HTTP/1.0\r\n\r\n").await;
        assert_eq!(upstream.head().await.first, "GET /2 HTTP/1.1");
        upstream.send(ok("two")).await;
        client.head().await;
        client.expect("two").await;
        client.ends().await;
    });
}

#[test]
fn a_client_of_http_1_0_gets_no_interim_answers() {
    run(async {
        let mut rig = Rig::start();
        let mut client = rig.client_that_sent("GET / HTTP/1.0\r\n\r\n").await;
        let mut upstream = rig.upstream.accept().await;
        upstream.head().await;
        upstream
            .send(format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{}", ok("page")))
            .await;
        let answer = client.answer().await;
        assert_eq!((answer.head.status(), answer.text()), (200, "page"));
        client.ends().await;
    });
}
