//! A bot made with `botbuilder`, behind our connector.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request as AxumRequest;
use axum::routing::any;
use http::Request;
use http_body_util::BodyExt as _;
use pipeway_directline::{Attachment, Attachments, Body, Connector, Limits};
use serde_json::{Value, json};

use crate::ours::{connector_serving, limits, run};
use crate::script::{Scene, Script};

/// What the bot called: verb, path and activity.
type Calls = Arc<Mutex<Vec<(String, String, Value)>>>;

struct Bot {
    connector: Connector,
    calls: Calls,
    script: Script,
    _scene: Scene,
}

impl Bot {
    async fn start() -> Bot {
        let scene = Scene::new();
        let script = scene.start(&["bot.cjs"], &[]).await;
        let calls = Calls::default();
        let seen = Arc::clone(&calls);
        let channel = async move |request: AxumRequest| {
            let (verb, path) = (request.method().to_string(), request.uri().to_string());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let is_members = path.ends_with("/members");
            let activity = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let mut calls = seen.lock().unwrap();
            calls.push((verb, path, activity));
            if is_members {
                return r#"[{"id":"u1"},{"id":"u2"}]"#.to_owned();
            }
            format!(r#"{{"id":"r{}"}}"#, calls.len())
        };
        let router = Router::new().fallback(any(channel));
        let connector = connector_serving(&scene, limits(Limits::connector()), router).await;
        Bot { connector, calls, script, _scene: scene }
    }

    /// Sends an activity with these members: the status and the body.
    async fn send(&self, more: Value, attachments: Vec<Attachment>) -> (u16, Value) {
        let mut activity = json!({
            "type": "message", "id": "in1", "channelId": "directline",
            "serviceUrl": "urn:botframework:namedpipe:bfv4.pipes",
            "conversation": {"id": "conv/1 x"}, "from": {"id": "u1"}, "recipient": {"id": "bot"},
        });
        let activity_members = activity.as_object_mut().unwrap();
        activity_members.extend(more.as_object().unwrap().clone());
        let mut request = Request::post("/api/messages")
            .header("content-type", "application/json; charset=utf-8")
            .body(Body::from(activity.to_string()))
            .unwrap();
        if !attachments.is_empty() {
            request.extensions_mut().insert(Attachments(attachments));
        }
        let response = self.connector.client().call(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().into_bytes();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn say(&self, text: &str) -> u16 {
        self.send(json!({"text": text}), Vec::new()).await.0
    }

    fn calls(&self) -> Vec<(String, String, Value)> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// Verbs and paths of what it called.
    fn routes(&self) -> Vec<String> {
        self.calls().into_iter().map(|(verb, path, _)| format!("{verb} {path}")).collect()
    }
}

const ACTIVITIES: &str = "/v3/conversations/conv%2F1%20x/activities";

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn a_message_is_replied_to_in_its_turn() {
    run(async {
        let bot = Bot::start().await;
        assert_eq!(bot.say("hello").await, 200);
        let calls = bot.calls();
        assert_eq!(calls.len(), 1);
        let (verb, path, activity) = &calls[0];
        assert_eq!((verb.as_str(), path.as_str()), ("POST", &*format!("{ACTIVITIES}/in1")));
        assert_eq!(
            (&activity["text"], &activity["replyToId"]),
            (&json!("echo: hello"), &json!("in1"))
        );
        assert_eq!(bot.say("many 30").await, 200);
        let texts: Vec<_> =
            bot.calls().iter().map(|(_, _, activity)| activity["text"].clone()).collect();
        let expected: Vec<_> = (0..30).map(|at| json!(format!("echo: {at}"))).collect();
        assert_eq!(texts, expected);
        assert_eq!(bot.say("big 200000").await, 200);
        assert_eq!(bot.calls()[0].2["text"].as_str().unwrap().len(), 200_000);
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn it_updates_deletes_sends_and_asks() {
    run(async {
        let bot = Bot::start().await;
        assert_eq!(bot.say("update").await, 200);
        assert_eq!(
            bot.routes(),
            [format!("POST {ACTIVITIES}/in1"), format!("PUT {ACTIVITIES}/r1")]
        );
        assert_eq!(bot.say("delete").await, 200);
        assert_eq!(
            bot.routes(),
            [format!("POST {ACTIVITIES}/in1"), format!("DELETE {ACTIVITIES}/r1")]
        );
        assert_eq!(bot.say("send").await, 200);
        assert_eq!(bot.routes(), [format!("POST {ACTIVITIES}")]);
        assert_eq!(bot.say("members").await, 200);
        let calls = bot.calls();
        assert_eq!(calls[0].1, "/v3/conversations/conv%2F1%20x/members");
        assert_eq!(calls[1].2["text"], "members: 2");
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn attachments_come_both_ways() {
    run(async {
        let bot = Bot::start().await;
        assert_eq!(bot.say("attach").await, 200);
        let attachment = &bot.calls()[0].2["attachments"][0];
        assert_eq!(attachment["contentType"], "text/plain");
        assert_eq!(attachment["contentUrl"], "data:text/plain;base64,aGVsbG8=");
        let file = Attachment::new("image/png", vec![7; 10_000]);
        assert_eq!(bot.send(json!({"text": "received"}), vec![file]).await.0, 200);
        assert_eq!(bot.calls()[0].2["text"], "received: image/png 10000");
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn an_invoke_and_expected_replies_are_in_the_answer() {
    run(async {
        let bot = Bot::start().await;
        let invoke = json!({"type": "invoke", "name": "foo"});
        assert_eq!(bot.send(invoke, Vec::new()).await, (200, json!({"invoked": "foo"})));
        let refused = json!({"type": "invoke", "name": "foo", "value": {"status": 418}});
        assert_eq!(bot.send(refused, Vec::new()).await.0, 418);
        let ignored = json!({"type": "invoke", "name": "ignored"});
        assert_eq!(bot.send(ignored, Vec::new()).await.0, 501);
        let replies = json!({"text": "hello", "deliveryMode": "expectReplies"});
        let (status, body) = bot.send(replies, Vec::new()).await;
        assert_eq!(status, 200);
        assert_eq!(body["activities"][0]["text"], "echo: hello");
        assert_eq!(bot.calls().len(), 0);
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn a_turn_that_fails_is_a_500_and_the_next_one_works() {
    run(async {
        let mut bot = Bot::start().await;
        assert_eq!(bot.say("fail").await, 500);
        let told = bot.script.event("turn error").await;
        assert_eq!(told["error"], "the bot fails as it was told to");
        assert_eq!(bot.say("hello").await, 200);
    });
}

#[test]
#[cfg_attr(windows, ignore = "needs Windows Node: the step `windows` runs it")]
fn a_hundred_turns_at_once_each_have_their_reply() {
    run(async {
        let bot = Bot::start().await;
        let turns = (0..100).map(|at| bot.say(["hello", "many 3"][at % 2]));
        let statuses = futures_util::future::join_all(turns).await;
        assert_eq!(statuses, [200; 100]);
        assert_eq!(bot.calls().len(), 50 + 150);
    });
}
