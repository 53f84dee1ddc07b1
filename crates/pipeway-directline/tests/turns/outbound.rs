//! What an agent asks the other end for.

use http::{Method, Request, Response, StatusCode};
use pipeway_directline::{
    ActivityAttachment, Body, CallTimeout, Client, ErrorKind, HttpClient, Watchdog, code,
};
use tokio::sync::mpsc;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn call(path: &str) -> Request<Body> {
    Request::post(path).body(Body::empty()).unwrap()
}

/// An agent that does nothing, for calls that are made beside turns.
async fn idle() -> Ends {
    agent(async |_, _| Ok(())).await
}

type Called = tokio::task::JoinHandle<Result<Response<Body>, pipeway_directline::Error>>;

fn calling(client: &Client, request: Request<Body>) -> Called {
    let client = client.clone();
    tokio::spawn(async move { client.call(request).await })
}

#[test]
fn o01_o02_a_reply_goes_to_its_activity_and_a_message_to_the_conversation() {
    run(async {
        let ends = agent(async |turn: Turn, _| {
            turn.reply("Echo: hi")?;
            turn.send("by the way")?;
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        peer.say(&said(json!({}))).await;
        let reply = peer.next().await;
        assert_eq!(reply.asks(), "POST /v3/conversations/conv1/activities/in1");
        assert_eq!((reply.streams.len(), peer.chunks), (1, 1));
        assert_eq!(reply.streams[0].media_type, "application/json");
        assert_eq!(
            reply.json(),
            json!({"type": "message", "channelId": "directline", "text": "Echo: hi",
                "serviceUrl": "urn:botframework:namedpipe:bfv4.pipes", "replyToId": "in1",
                "conversation": {"id": "conv1"}, "from": {"id": "bot"}, "recipient": {"id": "u1"}})
        );
        let sent = peer.next().await;
        assert_eq!(sent.asks(), "POST /v3/conversations/conv1/activities");
        assert_eq!((sent.text().as_str(), &sent.json()["replyToId"]), ("by the way", &Value::Null));
    });
}

#[test]
fn o01_an_activity_is_sent_without_an_id_and_with_what_it_says_itself() {
    run(async {
        let ends = agent(async |turn: Turn, _| {
            let mut activity = Activity::message("x");
            activity.id = Some("own".into());
            activity.reply_to_id = Some("other".into());
            activity.channel_id = Some("emulator".into());
            turn.reply(activity)?;
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        peer.say(&said(json!({}))).await;
        let reply = peer.next().await;
        assert_eq!(reply.asks(), "POST /v3/conversations/conv1/activities/other");
        assert_eq!(reply.json()["id"], Value::Null);
        assert_eq!(reply.json()["channelId"], "emulator");
    });
}

#[test]
fn o03_the_parts_of_a_path_are_encoded() {
    run(async {
        let Ends { mut peer, server: _server, .. } =
            agent(async |turn: Turn, _| Ok(turn.reply("x")?)).await;
        for (id, part) in [("a b/c", "a%20b%2Fc"), ("x/v3/y", "x%2Fv3%2Fy"), ("ü+", "%C3%BC%2B")] {
            peer.say(&said(json!({"conversation": {"id": id}, "id": "a/b"}))).await;
            let asks = peer.next().await.asks();
            assert_eq!(asks, format!("POST /v3/conversations/{part}/activities/a%2Fb"));
        }
    });
}

#[test]
fn o04_a_long_reply_is_whole_and_in_frames_of_the_chunk() {
    run(async {
        let ends = agent(async |turn: Turn, _| Ok(turn.reply("x".repeat(200_000))?));
        let Ends { mut peer, server: _server, .. } = ends.await;
        peer.say(&said(json!({}))).await;
        assert_eq!(peer.next().await.text(), "x".repeat(200_000));
        assert_eq!(peer.longest, 4096);
    });
}

#[test]
fn o05_updates_and_deletes_are_waited_for() {
    run(async {
        let (result_tx, mut result_rx) = mpsc::unbounded_channel();
        let ends = agent(move |turn: Turn, _| {
            let result_tx = result_tx.clone();
            async move {
                turn.reply("first")?;
                let mut activity = Activity::message("new");
                activity.id = Some("a/1".into());
                result_tx.send(turn.update(activity).await.map(|id| id.unwrap())).unwrap();
                result_tx.send(turn.delete("a2").await.map(|()| "deleted".into())).unwrap();
                let error = turn.update(Activity::message("x")).await.unwrap_err();
                assert_eq!(error.code(), Some(code::PROTOCOL_ERROR));
                let error = turn.delete("").await.unwrap_err();
                assert_eq!(error.code(), Some(code::PROTOCOL_ERROR));
                Ok(())
            }
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        let id = peer.post(&said(json!({}))).await;
        // What was made before goes before.
        assert_eq!(peer.next().await.text(), "first");
        let put = peer.next().await;
        assert_eq!(put.asks(), "PUT /v3/conversations/conv1/activities/a%2F1");
        assert_eq!((put.text().as_str(), &put.json()["id"]), ("new", &json!("a/1")));
        peer.answer(&put, 200, Some(&json!({"id": "r1"}))).await;
        assert_eq!(result_rx.recv().await.unwrap().unwrap(), "r1");
        let delete = peer.next().await;
        assert_eq!(delete.asks(), "DELETE /v3/conversations/conv1/activities/a2");
        assert_eq!(delete.streams, []);
        peer.answer(&delete, 404, None).await;
        let error = result_rx.recv().await.unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (ErrorKind::Refused, Some(StatusCode::NOT_FOUND))
        );
        let answer = peer.next().await;
        assert_eq!((answer.id.as_str(), answer.status()), (id.as_str(), 200));
    });
}

#[test]
fn o06_an_empty_answer_fails_its_call_alone() {
    run(async {
        let Ends { mut peer, server, .. } = idle().await;
        let called = calling(server.client(), call("/v3/x"));
        let request = peer.next().await;
        peer.frame('B', &request.id, b"").await;
        assert_eq!(called.await.unwrap().unwrap_err().code(), Some(code::PROTOCOL_ERROR));
        peer.is_quiet().await;
    });
}

#[test]
fn o07_a_cancelled_answer_ends_neither_turn_nor_session() {
    run(async {
        let ends = agent(async |turn: Turn, _| {
            let error = turn.reply_and_wait("x").await.unwrap_err();
            turn.reply(error.code().unwrap().to_string())?;
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        let id = peer.post(&said(json!({}))).await;
        let request = peer.next().await;
        let stream = peer.id();
        let envelope = json!({"statusCode": 200, "streams": [{"id": stream, "length": 5}]});
        peer.frame('B', &request.id, envelope.to_string().as_bytes()).await;
        peer.frame('C', &stream, b"").await;
        let answer = peer.next().await;
        assert_eq!((answer.id, answer.envelope["statusCode"].as_u64()), (id, Some(200)));
        assert_eq!(peer.next().await.text(), code::STREAM_CANCELLED.to_string());
        peer.is_quiet().await;
    });
}

#[test]
fn o08_calls_fail_at_once_when_the_peer_leaves() {
    run(async {
        let Ends { mut peer, server, .. } = idle().await;
        let called: Vec<Called> = (0..3).map(|_| calling(server.client(), call("/v3/x"))).collect();
        for _ in 0..3 {
            peer.next().await;
        }
        drop(peer);
        for called in called {
            assert_eq!(called.await.unwrap().unwrap_err().code(), Some(code::NOT_CONNECTED));
        }
    });
}

#[test]
fn o11_silence_while_a_reply_waits_ends_the_session_and_the_next_one_serves() {
    run(async {
        let watchdog = Watchdog { period: 10 * MS, silence: 40 * MS };
        let limits = Limits { watchdog: Some(watchdog), ..Limits::agent() };
        let setting = Setting { limits, ..Setting::default() };
        let ends = serve(setting, async |turn: Turn, _| Ok(turn.reply("x")?));
        let Ends { mut peer, server, place, told } = ends.await;
        peer.say(&said(json!({}))).await;
        assert_eq!(peer.next().await.text(), "x");
        assert!(peer.try_next().await.is_none());
        told.until("Disconnected").await;
        assert_eq!(told.count("Silent"), 1);
        let mut next = connect(&server, &place).await;
        next.is_quiet().await;
    });
}

#[test]
fn o12_an_answer_has_its_status_and_its_bytes() {
    run(async {
        let Ends { mut peer, server, .. } = idle().await;
        let called = calling(server.client(), call("/v3/x"));
        let request = peer.next().await;
        let bytes = vec![7; 100_000];
        let streams = [(Some("image/png"), &bytes[..])];
        peer.message('B', &request.id, json!({"statusCode": 206}), &streams).await;
        let response = called.await.unwrap().unwrap();
        assert_eq!(response.status(), 206);
        assert_eq!(response.headers()["content-type"], "image/png");
        assert!(response.into_body().into_bytes() == bytes);
    });
}

#[test]
fn o13_traces_and_invoke_responses_are_not_sent() {
    run(async {
        let ends = agent(async |turn: Turn, _| {
            turn.send(Activity::new("trace"))?;
            let mut response = Activity::new("invokeResponse");
            assert_eq!(turn.send(response.clone()).unwrap_err().kind(), ErrorKind::Usage);
            response.value = Some(json!({"status": 202, "body": {"a": 1}}));
            turn.send_all([Activity::new("trace"), response, Activity::message("x")])?;
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        let answer = peer.say(&said(json!({"type": "invoke"}))).await;
        assert_eq!((answer.status(), answer.json()), (202, json!({"a": 1})));
        assert_eq!(peer.next().await.text(), "x");
        peer.is_quiet().await;
        peer.say(&said(json!({"type": "invoke", "channelId": "emulator"}))).await;
        assert_eq!(peer.next().await.json()["type"], "trace");
        assert_eq!(peer.next().await.json()["type"], "trace");
        assert_eq!(peer.next().await.text(), "x");
    });
}

#[test]
fn o14_o15_fetch_has_failures_as_statuses() {
    run(async {
        let pipe = "urn:botframework:namedpipe:bfv4.pipes/v3/conversations";
        let fetch = async |client: &Client, url: &str| {
            client.fetch(Method::POST, url, Body::from("{}"), "application/json").await.status()
        };
        let place = place();
        let messages = Messages::new(async |_, _| TurnResult::Ok(()));
        let server = Server::new(place.clone(), ServerOptions::default(), messages).unwrap();
        assert_eq!(fetch(server.client(), pipe).await, 503);
        let mut peer = connect(&server, &place).await;
        let client = server.client();
        assert_eq!(fetch(client, "urn:botframework:namedpipe:bfv4.pipes").await, 400);
        assert_eq!(fetch(client, "https://host/v3/conversations").await, 502);
        let fetched = async {
            let request = peer.next().await;
            assert_eq!(request.asks(), "POST /v3/conversations");
            peer.answer(&request, 201, None).await;
        };
        let (status, ()) = tokio::join!(fetch(client, pipe), fetched);
        assert_eq!(status, 201);
        for path in ["", "  "] {
            let mut request = call("/");
            request.extensions_mut().insert(pipeway_directline::RawPath(path.into()));
            assert_eq!(client.call(request).await.unwrap_err().kind(), ErrorKind::Usage);
        }
        server.stop().await;
        assert_eq!(fetch(client, pipe).await, 503);
    });
}

#[test]
fn o16_an_answer_to_a_call_that_was_given_up_is_passed_over() {
    run(async {
        let Ends { mut peer, server, told, .. } = idle().await;
        let called = calling(server.client(), call("/v3/x"));
        let request = peer.next().await;
        called.abort();
        assert!(called.await.unwrap_err().is_cancelled());
        peer.is_quiet().await;
        peer.answer(&request, 200, Some(&json!({"id": "late"}))).await;
        peer.is_quiet().await;
        assert_eq!(told.count("Disconnected"), 0);
        let mut request = call("/v3/x");
        request.extensions_mut().insert(CallTimeout(MS));
        let error = server.client().call(request).await.unwrap_err();
        assert_eq!(error.code(), Some(code::REQUEST_TIMEOUT));
    });
}

#[test]
fn o17_an_answer_of_no_media_type_is_taken_as_json() {
    run(async {
        let Ends { mut peer, server, .. } = idle().await;
        let types = [
            ("not a media type", "application/json"),
            ("json", "application/json"),
            ("a/b/c", "application/json"),
            ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ];
        for (written, read) in types {
            let called = calling(server.client(), call("/v3/x"));
            let request = peer.next().await;
            let streams = [(Some(written), &b"{}"[..])];
            peer.message('B', &request.id, json!({"statusCode": 200}), &streams).await;
            let response = called.await.unwrap().unwrap();
            assert_eq!(response.headers()["content-type"], read, "{written}");
        }
    });
}

#[test]
fn o18_a_call_that_can_not_be_written_fails_and_ends_the_session() {
    run(async {
        let Ends { peer, server, place, told, .. } = idle().await;
        let super::peer::Peer { reader, writer: _writer, .. } = peer;
        drop(reader);
        let error = server.client().call(call("/v3/x")).await.unwrap_err();
        let codes = [Some(code::WRITE_FAILED), Some(code::NOT_CONNECTED)];
        assert!(codes.contains(&error.code()), "{error}");
        told.until("Disconnected").await;
        let mut next = connect(&server, &place).await;
        next.is_quiet().await;
    });
}

#[test]
fn o19_another_service_url_is_called_by_http() {
    run(async {
        let (called_tx, mut called_rx) = mpsc::unbounded_channel();
        let service = axum::Router::new().fallback(async move |request: axum::extract::Request| {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 10_000).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            called_tx.send((parts.method, parts.uri.to_string(), body)).unwrap();
            (StatusCode::CREATED, r#"{"id":"h1"}"#)
        });
        let messages =
            MessagesOptions { http: Some(HttpClient::new(service)), ..MessagesOptions::default() };
        let setting = Setting { messages, ..Setting::default() };
        let ends = serve(setting, async |turn: Turn, _| {
            let attachment = ActivityAttachment::bytes("a/b", "x");
            let reply = Activity::message("one").with_attachment(attachment);
            assert_eq!(turn.reply_and_wait(reply).await?.as_deref(), Some("h1"));
            turn.send("two")?;
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        let answer = peer.say(&said(json!({"serviceUrl": "https://smba.example/emea/"}))).await;
        assert_eq!(answer.status(), 200);
        let (method, uri, body) = called_rx.recv().await.unwrap();
        assert_eq!(method, Method::POST);
        assert_eq!(uri, "https://smba.example/emea/v3/conversations/conv1/activities/in1");
        assert_eq!(body["attachments"][0]["content"], "eA==");
        let (_, uri, body) = called_rx.recv().await.unwrap();
        assert_eq!(uri, "https://smba.example/emea/v3/conversations/conv1/activities");
        assert_eq!(body["text"], "two");
        peer.is_quiet().await;
        // No serviceUrl is none of another kind.
        assert_eq!(peer.say(&said(json!({"serviceUrl": null}))).await.status(), 500);
    });
}

#[test]
fn bytes_that_are_attached_are_streams_of_their_own() {
    run(async {
        let ends = agent(async |turn: Turn, _| {
            let reply = Activity::message("see")
                .with_attachment(ActivityAttachment::bytes("image/png", vec![9; 5000]))
                .with_attachment(ActivityAttachment::json("x/card", json!({"a": 1})))
                .with_attachment(ActivityAttachment::bytes("a/b", ""));
            turn.reply(reply)?;
            turn.reply("after")?;
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        peer.say(&said(json!({}))).await;
        let reply = peer.next().await;
        let cards = json!([{"contentType": "x/card", "content": {"a": 1}}]);
        assert_eq!(reply.json()["attachments"], cards);
        let types: Vec<_> = reply.streams.iter().map(|it| it.media_type.as_str()).collect();
        assert_eq!(types, ["application/json", "image/png", "a/b"]);
        assert_eq!((&reply.streams[1].bytes, &reply.streams[2].bytes), (&vec![9; 5000], &vec![]));
        assert_eq!(peer.next().await.text(), "after");
    });
}

#[test]
fn what_nobody_asked_for_is_sent_through_the_client() {
    run(async {
        let Ends { mut peer, server, .. } = idle().await;
        let mut activity = Activity::message("news");
        let error = server.client().send_activity(activity.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        activity.conversation =
            Some(pipeway_directline::Conversation { id: "c".into(), ..Default::default() });
        let answered = async {
            let request = peer.next().await;
            assert_eq!(request.asks(), "POST /v3/conversations/c/activities");
            peer.answer(&request, 200, Some(&json!({"id": "n1"}))).await;
        };
        let (id, ()) = tokio::join!(server.client().send_activity(activity), answered);
        assert_eq!(id.unwrap().as_deref(), Some("n1"));
    });
}
