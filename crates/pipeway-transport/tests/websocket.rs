//! The WebSocket handshakes: who is taken, who is refused, and what each failure is called.

#![cfg(feature = "tungstenite")]
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::{StatusCode, header};
use pipeway_transport::websocket::tungstenite::{self, Message};
use pipeway_transport::websocket::{self, ErrorKind, Options};
use support::{listen, pair, patient, run, unique};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
}

fn none() -> HeaderMap {
    HeaderMap::new()
}

/// A client's handshake with a server that decides so; both ends' outcomes.
async fn meet(
    sent: &HeaderMap,
    options: &Options,
    decide: impl FnOnce(&http::Request<()>) -> Result<HeaderMap, StatusCode>,
) -> (Result<http::Response<Option<Vec<u8>>>, websocket::Error>, Result<String, websocket::Error>) {
    let (near, far) = duplex(4096);
    let defaults = Options::default();
    let (client, server) = tokio::join!(
        websocket::client(near, "/chat?room=1", sent, &defaults),
        websocket::accept_with(far, options, decide),
    );
    (client.map(|client| client.1), server.map(|(_, request)| request.uri().to_string()))
}

#[test]
fn messages_go_both_ways_over_an_endpoint() {
    run(async {
        let endpoint = unique();
        let mut listener = listen(&endpoint);
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (mut messages, request) =
                websocket::accept(stream, &Options::default()).await.unwrap();
            assert_eq!(request.uri(), "/chat?room=1");
            assert_eq!(request.headers()[HOST], "localhost");
            while let Some(message) = messages.next().await {
                let message = message.unwrap();
                if message.is_close() {
                    break;
                }
                messages.send(message).await.unwrap();
            }
            // Until the client has gone.
            assert!(messages.next().await.is_none());
        });
        let options = Options::default();
        let (mut messages, response) =
            websocket::connect(&endpoint, &patient(), "/chat?room=1", &none(), &options)
                .await
                .unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        for message in [Message::text("hello"), Message::binary(vec![7; 100_000])] {
            messages.send(message.clone()).await.unwrap();
            assert_eq!(messages.next().await.unwrap().unwrap(), message);
        }
        messages.close(None).await.unwrap();
        while let Some(message) = messages.next().await {
            assert!(message.unwrap().is_close());
        }
        drop(messages);
        serving.await.unwrap();
    });
}

#[test]
fn the_server_chooses_a_subprotocol() {
    run(async {
        let sent = headers(SEC_WEBSOCKET_PROTOCOL, "v1, v2");
        let (client, server) = meet(&sent, &Options::default(), |request| {
            assert_eq!(request.headers()[SEC_WEBSOCKET_PROTOCOL], "v1, v2");
            Ok(headers(SEC_WEBSOCKET_PROTOCOL, "v2"))
        })
        .await;
        assert_eq!(client.unwrap().headers()[SEC_WEBSOCKET_PROTOCOL], "v2");
        assert_eq!(server.unwrap(), "/chat?room=1");
    });
}

#[test]
fn the_handshakes_own_headers_can_not_be_answered_with() {
    run(async {
        let (client, server) = meet(&none(), &Options::default(), |_| {
            Ok(headers(header::SEC_WEBSOCKET_ACCEPT, "wrong"))
        })
        .await;
        let response = client.unwrap();
        assert_eq!(response.headers().get_all(header::SEC_WEBSOCKET_ACCEPT).iter().count(), 1);
        server.unwrap();
    });
}

#[test]
fn a_refusal_reaches_the_client_with_its_status() {
    run(async {
        let (client, server) =
            meet(&none(), &Options::default(), |_| Err(StatusCode::NOT_FOUND)).await;
        for error in [client.unwrap_err(), server.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert_eq!(error.status(), Some(StatusCode::NOT_FOUND));
            assert!(error.to_string().contains("404"), "{error}");
        }
    });
}

#[test]
fn a_refusal_is_never_a_success() {
    run(async {
        let (client, server) = meet(&none(), &Options::default(), |_| Err(StatusCode::OK)).await;
        for error in [client.unwrap_err(), server.unwrap_err()] {
            assert_eq!(error.status(), Some(StatusCode::INTERNAL_SERVER_ERROR));
        }
    });
}

#[test]
fn a_page_of_a_browser_is_refused_unless_allowed() {
    run(async {
        let sent = headers(ORIGIN, "https://site.example");
        let (client, server) =
            meet(&sent, &Options::default(), |_| panic!("nobody is asked")).await;
        assert_eq!(client.unwrap_err().status(), Some(StatusCode::FORBIDDEN));
        assert_eq!(server.unwrap_err().status(), Some(StatusCode::FORBIDDEN));
        let options = Options { allow_origin: true, ..Options::default() };
        let (client, server) = meet(&sent, &options, |request| {
            assert_eq!(request.headers()[ORIGIN], "https://site.example");
            Ok(none())
        })
        .await;
        client.unwrap();
        server.unwrap();
    });
}

#[test]
fn the_host_is_the_callers_if_it_names_one() {
    run(async {
        let sent = headers(HOST, "service.example");
        let (client, server) = meet(&sent, &Options::default(), |request| {
            let hosts: Vec<_> = request.headers().get_all(HOST).iter().collect();
            assert_eq!(hosts, ["service.example"]);
            Ok(none())
        })
        .await;
        client.unwrap();
        server.unwrap();
    });
}

#[test]
fn what_can_not_be_sent_is_refused_before_anything_is() {
    run(async {
        let options = Options::default();
        let cases = [
            ("chat", none(), "slash"),
            ("/a b", none(), "%XX"),
            ("/a#b", none(), "fragment"),
            ("/", headers(header::UPGRADE, "x"), "`upgrade`"),
            ("/", headers(header::SEC_WEBSOCKET_KEY, "x"), "`sec-websocket-key`"),
            ("/", headers(header::SEC_WEBSOCKET_EXTENSIONS, "x"), "`sec-websocket-extensions`"),
            ("/", headers(header::CONTENT_LENGTH, "1"), "`content-length`"),
        ];
        for (path, headers, part) in cases {
            let (near, mut far) = duplex(4096);
            let error = websocket::client(near, path, &headers, &options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Request);
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
        }
        // There is nothing to connect to either: that would be another kind.
        let endpoint = unique();
        let error = websocket::connect(&endpoint, &patient(), "x", &none(), &options).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Request);
    });
}

#[test]
fn a_missing_server_is_a_failure_to_connect() {
    run(async {
        let endpoint = unique();
        let error =
            websocket::connect(&endpoint, &patient(), "/", &none(), &Options::default()).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert!(error.to_string().contains(&endpoint.to_string()), "{error}");
        let source = std::error::Error::source(&error).unwrap();
        let source = source.downcast_ref::<pipeway_transport::Error>().unwrap();
        assert_eq!(source.kind(), pipeway_transport::ErrorKind::NotFound);
    });
}

#[test]
fn a_silent_other_end_is_given_up() {
    run(async {
        tokio::time::pause();
        let options = Options { handshake_timeout: Duration::from_secs(3), ..Options::default() };
        let begin = tokio::time::Instant::now();
        let (near, _far) = duplex(4096);
        let error = websocket::client(near, "/", &none(), &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("3s"), "{error}");
        assert_eq!(begin.elapsed().as_secs(), 3);
        let (near, _far) = duplex(4096);
        let error = websocket::accept(near, &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(begin.elapsed().as_secs(), 6);
    });
}

/// What a client says of a server that answers so.
async fn answered(answer: &[u8]) -> websocket::Error {
    let (near, mut far) = duplex(4096);
    let options = Options::default();
    let headers = none();
    let answering = async {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(far.read_u8().await.unwrap());
        }
        far.write_all(answer).await.unwrap();
        drop(far);
    };
    let (client, ()) = tokio::join!(websocket::client(near, "/", &headers, &options), answering);
    client.unwrap_err()
}

#[test]
fn a_server_of_something_else_is_told_apart() {
    run(async {
        let error = answered(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").await;
        assert_eq!((error.kind(), error.status()), (ErrorKind::Refused, Some(StatusCode::OK)));
        assert_eq!(error.response().unwrap().body().as_deref(), Some(&b"hi"[..]));
        assert_eq!(answered(b"SSH-2.0-x\r\n\r\n").await.kind(), ErrorKind::Protocol);
        let wrong = b"HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
            sec-websocket-accept: wrong\r\n\r\n";
        assert_eq!(answered(wrong).await.kind(), ErrorKind::Protocol);
        assert_eq!(answered(b"").await.kind(), ErrorKind::Closed);
        assert_eq!(answered(b"HTTP/1.1 101").await.kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_client_of_something_else_is_told_apart() {
    run(async {
        for (sent, kind) in [
            (&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], ErrorKind::Protocol),
            (b"\x16\x03\x01\x02\x00", ErrorKind::Protocol),
            (b"", ErrorKind::Closed),
            (b"GET / HT", ErrorKind::Closed),
        ] {
            let (near, mut far) = duplex(4096);
            far.write_all(sent).await.unwrap();
            drop(far);
            let error = websocket::accept(near, &Options::default()).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{:?}", String::from_utf8_lossy(sent));
        }
    });
}

#[test]
fn a_connection_that_ends_within_the_handshake_is_closed_on_a_real_endpoint_too() {
    run(async {
        let mut listener = listen(&unique());
        let (client, server, _) = pair(&mut listener).await;
        drop(client);
        let error = websocket::accept(server, &Options::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        let (client, server, _) = pair(&mut listener).await;
        drop(server);
        let error = websocket::client(client, "/", &none(), &Options::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
    });
}

/// Two ends with these options.
async fn shaken(
    options: &Options,
) -> (websocket::WebSocketStream<DuplexStream>, websocket::WebSocketStream<DuplexStream>) {
    let (near, far) = duplex(1 << 20);
    let headers = none();
    let (client, server) = tokio::join!(
        websocket::client(near, "/", &headers, options),
        websocket::accept(far, options),
    );
    (client.unwrap().0, server.unwrap().0)
}

#[test]
fn a_message_over_the_bound_is_not_received() {
    run(async {
        let options = Options { max_message_bytes: 1000, ..Options::default() };
        let (mut client, mut server) = shaken(&options).await;
        client.send(Message::binary(vec![0; 1000])).await.unwrap();
        assert_eq!(server.next().await.unwrap().unwrap().len(), 1000);
        client.send(Message::binary(vec![0; 1001])).await.unwrap();
        let error = server.next().await.unwrap().unwrap_err();
        assert!(matches!(error, tungstenite::Error::Capacity(_)), "{error:?}");

        let options = Options { max_frame_bytes: 1000, ..Options::default() };
        let (mut client, mut server) = shaken(&options).await;
        client.send(Message::binary(vec![0; 1001])).await.unwrap();
        let error = server.next().await.unwrap().unwrap_err();
        assert!(matches!(error, tungstenite::Error::Capacity(_)), "{error:?}");
    });
}

#[test]
fn a_message_over_the_bound_is_not_sent() {
    run(async {
        for most in [0, 1, 5000] {
            let options = Options { max_unsent_bytes: most, ..Options::default() };
            let (mut client, _server) = shaken(&options).await;
            let error = client.send(Message::binary(vec![0; 5001])).await.unwrap_err();
            assert!(matches!(error, tungstenite::Error::WriteBufferFull(_)), "{error:?}");
        }
    });
}
