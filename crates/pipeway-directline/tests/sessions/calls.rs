//! K: what becomes of a connector's calls.

use pipeway_directline::CallTimeout;

use crate::wire::{Wire, ZERO, answer, content, frame, id};
use crate::*;

/// The descriptor of a stream, with these members besides.
fn told(stream: &str, more: &str) -> String {
    format!(r#"{{"id":"{stream}"{more}}}"#)
}

fn chunks(stream: &str, bytes: &[u8], size: usize) -> Vec<u8> {
    let count = bytes.len().div_ceil(size);
    let of = bytes.chunks(size).enumerate();
    of.flat_map(|(at, chunk)| content(stream, chunk, at + 1 == count)).collect()
}

/// One call, answered with what `answered` makes of the request's id: its type and body.
async fn answered(
    caller: &Caller,
    wire: &mut Wire,
    answered: impl Fn(&str) -> Vec<u8>,
) -> (Option<String>, bytes::Bytes) {
    let asked = caller.ask("/x");
    let request = wire.expect().await.id;
    wire.send(answered(&request)).await;
    let response = within(asked).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    let media_type = response.headers().get("content-type");
    let media_type = media_type.map(|value| value.to_str().unwrap().to_owned());
    (media_type, response.into_body().into_bytes())
}

#[test]
fn k04_a_responses_body_comes_in_every_shape() {
    run(async {
        let (caller, _gate, mut wire) = Caller::with_agent(Limits::connector()).await;
        let stream = id(7);
        let body: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
        let text = r#","type":"text/plain""#;
        let length = format!(r#"{text},"length":{}"#, body.len());
        let plain = Some("text/plain".to_owned());
        for size in [4096, 65_536, 999_999] {
            let came = answered(&caller, &mut wire, |request| {
                let head = answer(request, 200, &told(&stream, &length));
                [head, chunks(&stream, &body, size)].concat()
            });
            let (media_type, came) = came.await;
            assert!(came == body && media_type == plain, "{size}");
        }
        let before = answered(&caller, &mut wire, |request| {
            let head = answer(request, 200, &told(&stream, &length));
            [chunks(&stream, &body, 4096), head].concat()
        });
        assert!(before.await == (plain.clone(), body.clone().into()));
        let no_length = answered(&caller, &mut wire, |request| {
            let head = answer(request, 200, &told(&stream, text));
            [head, chunks(&stream, &body, 4096)].concat()
        });
        assert!(no_length.await == (plain.clone(), body.into()));
        let other_name = answered(&caller, &mut wire, |request| {
            let head =
                answer(request, 200, &told(&stream, r#","contentType":"text/plain","length":2"#));
            [head, content(&stream, "hi", true)].concat()
        });
        assert_eq!(other_name.await, (plain, "hi".into()));
        let empty = answered(&caller, &mut wire, |request| {
            let head = answer(request, 200, &told(&stream, r#","type":"text/plain","length":0"#));
            [head, content(&stream, "", true)].concat()
        });
        assert_eq!(empty.await.1, "");
    });
}

#[test]
fn k05_a_response_that_never_comes_fails_its_call_alone_and_a_late_one_is_passed_over() {
    run(async {
        let (caller, _gate, mut wire) = Caller::with_agent(Limits::connector()).await;
        let client = caller.connector.client().clone();
        let mut request = http::Request::get("/x").body(pipeway_directline::Body::empty()).unwrap();
        request.extensions_mut().insert(CallTimeout(SHORT));
        let asked = tokio::spawn(async move { client.call(request).await });
        let late = wire.expect().await.id;
        let error = within(asked).await.unwrap().unwrap_err();
        assert_eq!(error.code(), Some(-180_003));
        wire.send(answer(&late, 200, "")).await;
        wire.assert_alive().await;
        let (_, body) = answered(&caller, &mut wire, |request| answer(request, 200, "")).await;
        assert!(body.is_empty());
    });
}

#[test]
fn k09_the_agent_cancels() {
    run(async {
        let (caller, _gate, mut wire) = Caller::with_agent(Limits::connector()).await;
        let asked = caller.ask("/x");
        wire.expect().await;
        wire.send(frame('X', ZERO, "", true)).await;
        assert_eq!(within(asked).await.unwrap().unwrap_err().code(), Some(-180_007));
        let asked = caller.ask("/x");
        let request = wire.expect().await.id;
        let head = answer(&request, 200, &told(&id(7), r#","type":"text/plain","length":10"#));
        wire.send([head, content(&id(7), "half", false), frame('C', &id(7), "", true)].concat())
            .await;
        assert_eq!(within(asked).await.unwrap().unwrap_err().code(), Some(-180_014));
        wire.assert_alive().await;
    });
}

#[test]
fn k12_odd_answers_are_tolerated() {
    run(async {
        let (caller, _gate, mut wire) = Caller::with_agent(Limits::connector()).await;
        let twice = answered(&caller, &mut wire, |request| {
            [answer(request, 200, ""), answer(request, 500, "")].concat()
        });
        assert_eq!(twice.await.1, "");
        let (first, rest) = r#"{"statusCode":200,"streams":null}"#.split_at(10);
        let split = answered(&caller, &mut wire, |request| {
            [frame('B', request, first, false), frame('B', request, rest, true)].concat()
        });
        assert_eq!(split.await.1, "");
        let marked = answered(&caller, &mut wire, |request| {
            frame('B', request, "\u{feff}{\"statusCode\":200}", true)
        });
        assert_eq!(marked.await.1, "");
        let unknown = answered(&caller, &mut wire, |request| {
            [frame('Q', &id(5), "nothing", true), answer(request, 200, "")].concat()
        });
        assert_eq!(unknown.await.1, "");
        wire.assert_alive().await;
    });
}

#[test]
fn a_call_that_is_given_up_leaves_the_session_and_the_others_alone() {
    run(async {
        let (caller, _gate, mut wire) = Caller::with_agent(Limits::connector()).await;
        let (given_up, kept) = (caller.ask("/given-up"), caller.ask("/kept"));
        let (mut first, mut second) = (wire.expect().await, wire.expect().await);
        if first.json()["path"] == "/kept" {
            std::mem::swap(&mut first, &mut second);
        }
        given_up.abort();
        assert!(given_up.await.unwrap_err().is_cancelled());
        wire.send([answer(&first.id, 200, ""), answer(&second.id, 201, "")].concat()).await;
        assert_eq!(within(kept).await.unwrap().unwrap().status(), 201);
        wire.assert_alive().await;
    });
}
