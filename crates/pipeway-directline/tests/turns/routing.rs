//! Which requests are turns, and what they are answered with.

use http::StatusCode;
use pipeway_directline::{ActivityAttachment, AttachmentContent, ErrorHook};
use tokio::sync::mpsc;

use super::*;

const JSON: Option<&str> = Some("application/json");
const MESSAGES: &str = "/api/messages";

/// An agent that tells the test which activities it got.
async fn listening() -> (Ends, mpsc::UnboundedReceiver<Activity>) {
    let (got_tx, got_rx) = mpsc::unbounded_channel();
    let ends = agent(move |_, activity| {
        got_tx.send(activity).unwrap();
        async { Ok(()) }
    });
    (ends.await, got_rx)
}

#[test]
fn r01_a_valid_activity_is_a_turn() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, mut got_rx) = listening().await;
        let answer = peer.say(&said(json!({"locale": "en"}))).await;
        assert_eq!((answer.status(), answer.streams.len()), (200, 0));
        let activity = got_rx.recv().await.unwrap();
        assert_eq!(activity.kind, "message");
        assert_eq!(activity.id.as_deref(), Some("in1"));
        assert_eq!(activity.text.as_deref(), Some("hi"));
        assert_eq!(activity.other["locale"], "en");
    });
}

#[test]
fn r02_r03_r16_whatever_else_is_asked_for_is_not_found() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, mut got_rx) = listening().await;
        let body = said(json!({})).to_string();
        let asked = [
            ("GET", MESSAGES),
            ("PUT", MESSAGES),
            ("DELETE", MESSAGES),
            ("PATCH", MESSAGES),
            ("POST", "/api/other"),
            ("POST", "/v3/conversations"),
            ("POST", "/"),
            ("POST", ""),
            ("POST", "/api/messages/"),
            ("POST", "/api/messages?a=b"),
            ("GET", "/api/version"),
        ];
        for (verb, path) in asked {
            let answer = peer.ask(verb, path, &[(JSON, body.as_bytes())]).await;
            assert_eq!((answer.status(), answer.streams.len()), (404, 0), "{verb} {path}");
        }
        assert!(got_rx.try_recv().is_err());
    });
}

#[test]
fn r04_r05_the_case_of_verb_and_path_is_ignored() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, mut got_rx) = listening().await;
        let body = said(json!({})).to_string();
        for (verb, path) in
            [("post", MESSAGES), ("POST", "/API/MESSAGES"), ("Post", "/Api/messages")]
        {
            let answer = peer.ask(verb, path, &[(JSON, body.as_bytes())]).await;
            assert_eq!(answer.status(), 200, "{verb} {path}");
            got_rx.recv().await.unwrap();
        }
    });
}

#[test]
fn r06_a_body_must_be_there() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, mut got_rx) = listening().await;
        for streams in [&[][..], &[(JSON, &b""[..])], &[(Some("text/plain"), &b""[..])]] {
            let answer = peer.ask("POST", MESSAGES, streams).await;
            assert_eq!(answer.status(), 400);
            assert_eq!(answer.json(), json!({"error": "Missing request body"}));
        }
        assert!(got_rx.try_recv().is_err());
    });
}

#[test]
fn r07_r08_what_is_not_json_is_refused() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, mut got_rx) = listening().await;
        let body = said(json!({})).to_string();
        let types = [
            "text/plain",
            "image/png",
            "application/xml",
            "multipart/form-data",
            "application/jsonfoo",
            "application/json-patch+json",
            "not a media type at all",
            "application/json\u{1}",
            "ünbekannt",
        ];
        for media_type in types {
            let answer = peer.ask("POST", MESSAGES, &[(Some(media_type), body.as_bytes())]).await;
            assert_eq!((answer.status(), answer.streams.len()), (415, 0), "{media_type}");
        }
        // The type is looked at before the content.
        let answer = peer.ask("POST", MESSAGES, &[(Some("text/plain"), b"{")]).await;
        assert_eq!(answer.status(), 415);
        assert!(got_rx.try_recv().is_err());
    });
}

#[test]
fn r09_r10_json_is_known_whatever_stands_around_it() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, mut got_rx) = listening().await;
        let body = said(json!({})).to_string();
        let types = [
            Some("application/json; charset=utf-8"),
            Some("APPLICATION/JSON"),
            Some(" application/json ;x"),
            Some(""),
            None,
        ];
        for media_type in types {
            let answer = peer.ask("POST", MESSAGES, &[(media_type, body.as_bytes())]).await;
            assert_eq!(answer.status(), 200, "{media_type:?}");
            got_rx.recv().await.unwrap();
        }
    });
}

#[test]
fn r11_r12_what_is_no_activity_is_refused() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, mut got_rx) = listening().await;
        let bodies = [
            "{not valid json",
            "null",
            "[]",
            "7",
            "{}",
            r#"{"type":""}"#,
            r#"{"type":5,"conversation":{"id":"c"}}"#,
            "\u{feff}",
        ];
        for body in bodies {
            let answer = peer.ask("POST", MESSAGES, &[(JSON, body.as_bytes())]).await;
            assert_eq!(answer.status(), 400, "{body}");
            assert_eq!(answer.json()["error"], "Invalid activity body", "{body}");
        }
        assert!(got_rx.try_recv().is_err());
    });
}

#[test]
fn r13_an_invoke_is_answered_with_what_the_turn_says() {
    run(async {
        let ends = agent(async |turn, activity| {
            let name = activity.name.unwrap();
            turn.respond_invoke(StatusCode::OK, json!({"invoked": name}))?;
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        let answer = peer.say(&said(json!({"type": "invoke", "name": "foo"}))).await;
        assert_eq!((answer.status(), answer.json()), (200, json!({"invoked": "foo"})));
        assert_eq!(answer.streams[0].media_type, "application/json");
        // For what is no invoke it says nothing.
        let answer = peer.say(&said(json!({"name": "foo"}))).await;
        assert_eq!((answer.status(), answer.streams.len()), (200, 0));
    });
}

#[test]
fn r14_an_invoke_that_is_not_answered_is_not_implemented() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, _got_rx) = listening().await;
        let answer = peer.say(&said(json!({"type": "invoke"}))).await;
        assert_eq!((answer.status(), answer.streams.len()), (501, 0));
    });
}

#[test]
fn r15_expected_replies_go_into_the_answer() {
    run(async {
        let ends = agent(async |turn: Turn, _| {
            turn.reply("one")?;
            assert_eq!(turn.reply_and_wait("two").await?, None);
            turn.send(Activity::new("trace"))?;
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        let answer = peer.say(&said(json!({"deliveryMode": "expectReplies"}))).await;
        assert_eq!(answer.status(), 200);
        let answer = answer.json();
        let replies = answer["activities"].as_array().unwrap();
        assert_eq!(replies.len(), 2);
        assert_eq!((&replies[0]["text"], &replies[1]["text"]), (&json!("one"), &json!("two")));
        assert_eq!(replies[0]["replyToId"], "in1");
        peer.is_quiet().await;
    });
}

#[test]
fn r15_an_invoke_that_expects_replies_has_its_response_among_them() {
    run(async {
        let ends = agent(async |turn: Turn, _| {
            turn.reply("one")?;
            turn.respond_invoke(StatusCode::CREATED, "done")?;
            Ok(())
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        let invoke = said(json!({"type": "invoke", "deliveryMode": "expectReplies"}));
        let answer = peer.say(&invoke).await.json();
        assert_eq!(answer["activities"][1]["value"], json!({"status": 201, "body": "done"}));
        peer.is_quiet().await;
    });
}

#[test]
fn r17_a_byte_order_mark_may_stand_before_the_activity() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, _got_rx) = listening().await;
        let body = format!("\u{feff}{}", said(json!({})));
        let answer = peer.ask("POST", MESSAGES, &[(JSON, body.as_bytes())]).await;
        assert_eq!(answer.status(), 200);
    });
}

#[test]
fn r18_attachments_of_the_pipe_follow_those_of_the_activity() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, mut got_rx) = listening().await;
        let card = json!({"contentType": "x/card", "content": {"title": "t"}});
        let body = said(json!({"attachments": [card]})).to_string();
        let streams =
            [(JSON, body.as_bytes()), (Some("image/png"), &[1, 2, 3][..]), (None, &b""[..])];
        assert_eq!(peer.ask("POST", MESSAGES, &streams).await.status(), 200);
        let attachments = got_rx.recv().await.unwrap().attachments;
        let expected = [
            ActivityAttachment::json("x/card", json!({"title": "t"})),
            ActivityAttachment::bytes("image/png", vec![1, 2, 3]),
            ActivityAttachment::bytes("application/octet-stream", ""),
        ];
        assert_eq!(attachments.len(), 3);
        for (attachment, expected) in attachments.into_iter().zip(expected) {
            assert_eq!(attachment.content_type, expected.content_type);
            let bytes = |content| match content {
                Some(AttachmentContent::Bytes(body)) => Ok(body.into_bytes()),
                other => Err(other),
            };
            assert_eq!(bytes(attachment.content), bytes(expected.content));
        }
    });
}

#[test]
fn r19_work_that_fails_is_an_error_and_what_it_sent_follows() {
    run(async {
        let ends = agent(async |turn: Turn, activity: Activity| {
            turn.reply("before")?;
            match activity.text.as_deref() {
                Some("panic") => panic!("as it was asked to"),
                _ => Err("it failed".into()),
            }
        });
        let Ends { mut peer, told, server: _server, .. } = ends.await;
        for text in ["fail", "panic"] {
            let answer = peer.say(&said(json!({"text": text}))).await;
            assert_eq!((answer.status(), answer.streams.len()), (500, 0), "{text}");
            assert_eq!(peer.next().await.text(), "before");
        }
        peer.is_quiet().await;
        assert_eq!(told.count("turn failed: it failed"), 1);
    });
}

#[test]
fn r19_a_hook_takes_up_what_failed() {
    run(async {
        let hook = ErrorHook::new(async |turn: Turn, error| {
            turn.reply(format!("sorry: {error}"))?;
            if turn.inbound().channel_id.as_deref() == Some("bad") { Err(error) } else { Ok(()) }
        });
        let messages = MessagesOptions { on_error: Some(hook), ..MessagesOptions::default() };
        let setting = Setting { messages, ..Setting::default() };
        let ends = serve(setting, async |_, _| Err("it failed".into()));
        let Ends { mut peer, server: _server, .. } = ends.await;
        assert_eq!(peer.say(&said(json!({}))).await.status(), 200);
        assert_eq!(peer.next().await.text(), "sorry: it failed");
        assert_eq!(peer.say(&said(json!({"channelId": "bad"}))).await.status(), 500);
        assert_eq!(peer.next().await.text(), "sorry: it failed");
    });
}

#[test]
fn r20_without_a_route_for_activities_there_is_none() {
    run(async {
        let place = place();
        let server =
            Server::new(place.clone(), ServerOptions::default(), axum::Router::new()).unwrap();
        let mut peer = connect(&server, &place).await;
        assert_eq!(peer.say(&said(json!({}))).await.status(), 404);
    });
}

#[test]
fn r21_an_activity_without_a_conversation_is_refused() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, mut got_rx) = listening().await;
        let conversations =
            [json!(null), json!({}), json!({"id": ""}), json!({"id": 5}), json!("c")];
        for conversation in conversations {
            let answer = peer.say(&said(json!({"conversation": conversation}))).await;
            assert_eq!((answer.status(), answer.streams.len()), (400, 0));
        }
        assert!(got_rx.try_recv().is_err());
    });
}

#[test]
fn an_activity_that_can_not_be_answered_is_refused() {
    run(async {
        let (Ends { mut peer, server: _server, .. }, mut got_rx) = listening().await;
        let urls = ["https://smba.example/", "urn:botframework:namedpipe", "urn:other", ""];
        for url in urls {
            let answer = peer.say(&said(json!({"serviceUrl": url}))).await;
            assert_eq!((answer.status(), answer.streams.len()), (500, 0), "{url}");
        }
        assert_eq!(peer.say(&said(json!({"serviceUrl": null}))).await.status(), 500);
        assert!(got_rx.try_recv().is_err());
        let answer = peer.say(&said(json!({"serviceUrl": "URN:botframework:namedpipe:x"}))).await;
        assert_eq!(answer.status(), 200);
    });
}

#[test]
fn what_came_counts_for_the_memory_until_its_work_ends() {
    run(async {
        let limits = Limits { memory_bytes_max: 300_000, ..Limits::agent() };
        let setting = Setting { limits, ..Setting::default() };
        let ends = serve(setting, async |turn: Turn, activity: Activity| {
            drop(activity.text);
            turn.reply("begun")?;
            match activity.name.as_deref() {
                Some("wait") => std::future::pending().await,
                _ => Ok(()),
            }
        });
        let Ends { mut peer, server: _server, .. } = ends.await;
        let text = "x".repeat(200_000);
        for _ in 0..3 {
            assert_eq!(peer.say(&said(json!({"text": text}))).await.status(), 200);
            assert_eq!(peer.next().await.text(), "begun");
        }
        peer.post(&said(json!({"text": text, "name": "wait"}))).await;
        assert_eq!(peer.next().await.text(), "begun");
        let body = said(json!({"text": text})).to_string();
        // The session ends while it is written, or behind it.
        let (id, stream) = (peer.id(), peer.id());
        let envelope = json!({"verb": "POST", "path": MESSAGES, "streams": [{"id": stream}]});
        peer.frame('A', &id, envelope.to_string().as_bytes()).await;
        let frame = format!("S.{:06}.{stream}.1\n{body}", body.len());
        let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.writer, frame.as_bytes()).await;
        assert!(peer.try_next().await.is_none());
    });
}

#[test]
fn a_router_has_the_route_among_others() {
    run(async {
        let messages = Messages::new(async |turn: Turn, _| turn.reply("yes"));
        let router = axum::Router::new()
            .route_service("/api/messages", messages)
            .route("/health", axum::routing::get(async || "well"));
        let place = place();
        let server = Server::new(place.clone(), ServerOptions::default(), router).unwrap();
        let mut peer = connect(&server, &place).await;
        assert_eq!(peer.ask("GET", "/health", &[]).await.streams[0].bytes, b"well");
        assert_eq!(peer.say(&said(json!({}))).await.status(), 200);
        assert_eq!(peer.next().await.text(), "yes");
        assert_eq!(peer.ask("GET", MESSAGES, &[]).await.status(), 404);
    });
}

#[test]
fn what_did_not_come_over_a_pipe_is_refused() {
    use tower_service::Service as _;
    run(async {
        let mut messages = Messages::new(async |_, _| -> TurnResult { panic!("it is no turn") });
        let body = axum::body::Body::from(said(json!({})).to_string());
        let request = http::Request::post(MESSAGES).body(body).unwrap();
        assert_eq!(messages.call(request).await.unwrap().status(), 500);
    });
}
